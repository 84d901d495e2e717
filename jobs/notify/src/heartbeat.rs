//! The heartbeat: somebody outside hears from us as long as all is well, and tells people when he doesn't any more. So that a house
//! that is dark is told of, silence is the alarm: nothing is ever sent that says that something is wrong.

use crate::{channels::Channels, send::Sender};
use lucid_ports::Problems;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether one is to be sent.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// A heartbeat that wasn't taken is sent again after that time, or sooner where they are more frequent.
const AGAIN: Duration = Duration::from_secs(30);
/// Under which subject it is said that it isn't taken.
const SUBJECT: &str = "heartbeat";

/// A round that was evaluated and written by this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// When it was written.
    pub at: Instant,
    /// For how long that says something: a few intervals.
    pub counts_for: Duration,
    /// Channels of which something is to be told for longer than it should take; see [`Held::late`](crate::due::Held::late).
    pub late: BTreeSet<String>,
}

/// The newest such round; `None` where this process doesn't write alerts: then it has nothing to say.
pub type Rounds = watch::Receiver<Option<Round>>;

/// Whether all is well, or why not.
fn is_well(round: Option<&Round>, failing: &BTreeMap<String, String>, now: Instant) -> Result<(), String> {
    let Some(round) = round else { return Err("this process writes no alerts".into()) };
    if now.saturating_duration_since(round.at) > round.counts_for {
        // Without its age: the same reason is logged once.
        return Err("no round of alerts was written lately".into());
    }
    if let Some((channel, trouble)) = failing.first_key_value() {
        return Err(format!("the last message over {channel} wasn't taken: {trouble}"));
    }
    match round.late.first() {
        Some(channel) => Err(format!("nobody tells {channel} what is due")),
        None => Ok(()),
    }
}

/// Sends heartbeats until `stop`.
pub async fn beat(channels: Channels, rounds: Rounds, sender: Sender, problems: Problems, stop: CancellationToken) {
    let mut due = Instant::now();
    let mut silent: Option<String> = None;
    while !stop.is_cancelled() {
        let config = channels.current();
        if let Some(heartbeat) = config.heartbeat.as_ref().filter(|_| Instant::now() >= due) {
            // What is borrowed must not be held over a wait.
            let well = is_well(rounds.borrow().as_ref(), &channels.failing(), Instant::now());
            if let Err(reason) = &well
                && silent.as_ref() != Some(reason)
            {
                tracing::info!(reason, "no heartbeat is sent");
            }
            silent = well.err();
            if silent.is_none() {
                let sent = sender.beat(&heartbeat.http, heartbeat.is_post).await;
                due = Instant::now() + if sent.is_ok() { heartbeat.every } else { heartbeat.every.min(AGAIN) };
                match sent {
                    Ok(()) => drop(problems.clear(SUBJECT)),
                    Err(error) => problems.set(SUBJECT, error.to_string()),
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(LOOK_EACH) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::{Answer, File, Receiver};
    use lucid_schemas::zones::installed;

    fn round(late: &[&str]) -> Round {
        let late = late.iter().map(|channel| (*channel).to_owned()).collect();
        Round { at: Instant::now(), counts_for: Duration::from_secs(90), late }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_fresh_written_round_with_every_channel_well_is_well() {
        let (fine, now) = (BTreeMap::new(), Instant::now());
        assert!(is_well(None, &fine, now).is_err());
        assert_eq!(is_well(Some(&round(&[])), &fine, now), Ok(()));
        assert_eq!(is_well(Some(&round(&[])), &fine, now + Duration::from_secs(90)), Ok(()));
        assert!(is_well(Some(&round(&[])), &fine, now + Duration::from_secs(91)).is_err());
        assert!(is_well(Some(&round(&["mail"])), &fine, now).is_err_and(|reason| reason.contains("mail")));
        let failing = [("chat".to_owned(), "it answers 500".to_owned())].into();
        assert!(is_well(Some(&round(&[])), &failing, now).is_err_and(|reason| reason.contains("chat")));
    }

    /// Waits, on the real clock, until this is so.
    async fn until(what: impl Fn() -> bool) {
        for _ in 0..1_000 {
            if what() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("it never was so");
    }

    #[tokio::test]
    async fn it_is_heard_while_all_is_well_and_not_at_all_otherwise() {
        let receiver = Receiver::start().await;
        receiver.answer(Answer::Status(500));
        let text = format!("[heartbeat]\nurl = \"{}\"\nevery = \"1m\"\n", receiver.url);
        let channels = Channels::open(File::new(&text).path(), installed()).expect("fine");
        channels.note("chat", Some("away".into()));
        let (told, rounds) = watch::channel(Some(round(&[])));
        let (problems, stop) = (Problems::default(), CancellationToken::new());
        let beating = tokio::spawn(beat(channels.clone(), rounds, Sender::default(), problems.clone(), stop.clone()));
        // Nothing that happens meanwhile can be waited for: it is silent for longer than it looks.
        sleep(LOOK_EACH * 2).await;
        assert!(receiver.told().is_empty(), "a channel doesn't work");
        told.send_replace(None);
        channels.note("chat", None);
        sleep(LOOK_EACH * 2).await;
        assert!(receiver.told().is_empty(), "nobody writes alerts here");
        told.send_replace(Some(round(&[])));
        until(|| !problems.sentences().is_empty()).await;
        assert_eq!(receiver.told().len(), 1, "all is well, but it isn't taken");
        stop.cancel();
        beating.await.expect("it ends");
    }
}
