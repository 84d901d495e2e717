//! Telling one channel of one group of alerts what is due: one message.
//!
//! What is due is read when it is sent, so that nothing is told that isn't so any more. Whoever sends says first that he begins: from
//! then on a notice may have arrived, and that the alert is over will be told, whatever becomes of him. A message that was sent, and
//! of which nobody could note that it was, is sent again, with the same keys.

use crate::{
    channels::Channels,
    config::Channel,
    due::{DUE_MOST, Held},
    message::{ALERTS_MOST, Message, Notice, rank},
    send::{SendError, Sender},
};
use bson::DateTime;
use futures::{StreamExt, TryStreamExt, stream};
use lucid_core::alert::{Command, Refusal, transition};
use lucid_ports::{AlertOutcome, Alerts, DueAlert, StoreError};
use lucid_schemas::{
    alert::{Alert, What},
    kinds::NotifyResult,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// So many alerts are written at once.
const AT_ONCE: usize = 16;
/// So often a write is tried where others write the same alert meanwhile.
const TRIES: usize = 8;

/// Why a channel wasn't told.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The alerts couldn't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The message wasn't taken for sure.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Another one goes on with it.
    #[error("stopped as asked")]
    Stopped,
}

/// Who tells, and how.
pub struct Delivery<'a> {
    /// Where alerts are.
    pub alerts: &'a dyn Alerts,
    /// The channels; what came of it is noted there.
    pub channels: &'a Channels,
    /// The one that is told.
    pub channel: &'a Channel,
    /// Which of its alerts.
    pub group: &'a str,
    /// What keeps alerts from being told.
    pub held: &'a Held<'a>,
    /// How messages are sent.
    pub sender: Sender,
    /// Who tells.
    pub by: &'a str,
    /// Fires when it mustn't go on.
    pub stop: &'a CancellationToken,
}

/// An alert, and what is due of it; all of that is told at once.
struct Item {
    alert: Alert,
    due: Vec<What>,
}

impl Item {
    /// What is told: the most that is due. The law takes everything else away as an alert is over.
    fn what(&self) -> What {
        let strength = |what: &What| match what {
            What::Resolved => 2,
            What::Firing => 1,
            What::Repeat => 0,
        };
        self.due.iter().copied().max_by_key(strength).unwrap_or(What::Repeat)
    }

    fn notice(&self) -> Notice {
        Notice::of(&self.alert, self.what())
    }
}

impl Delivery<'_> {
    /// Tells what is due.
    ///
    /// # Errors
    /// Where that wasn't done for sure: everything that was due, or is by now, is told the next time.
    pub async fn deliver(&self) -> Result<NotifyResult, DeliverError> {
        let mut items = self.due().await?;
        items.sort_by_cached_key(|item| rank(&item.notice()));
        let left_out = items.len().saturating_sub(ALERTS_MOST);
        items.truncate(ALERTS_MOST);
        let begun: Vec<Option<Item>> =
            stream::iter(items).map(|item| self.begin(item)).buffered(AT_ONCE).try_collect().await?;
        let items: Vec<Item> = begun.into_iter().flatten().collect();
        if items.is_empty() {
            return Ok(NotifyResult::default());
        }
        let notices = items.iter().map(Item::notice).collect();
        let sent_at = DateTime::from_millis(self.held.now_ms);
        let mut message = Message::new(&self.channel.name, self.group, sent_at, self.held.config.link.clone(), notices);
        message.left_out += left_out;
        self.send(&message).await?;
        let repeat_ms = i64::try_from(self.held.config.repeat.as_millis()).unwrap_or(i64::MAX);
        let count = |what| i64::try_from(items.iter().filter(|item| item.what() == what).count()).unwrap_or(i64::MAX);
        let result = NotifyResult {
            messages: 1,
            firing: count(What::Firing),
            repeated: count(What::Repeat),
            resolved: count(What::Resolved),
            ..NotifyResult::default()
        };
        let taken = stream::iter(items).map(|item| self.take(item, repeat_ms)).buffered(AT_ONCE);
        taken.try_collect::<()>().await?;
        Ok(result)
    }

    /// What this channel is to be told of this group now.
    async fn due(&self) -> Result<Vec<Item>, StoreError> {
        let item = |due: DueAlert| {
            let ours = self.held.ready(&due).filter(|notice| notice.channel == self.channel.name);
            let due_whats: Vec<What> = ours.map(|notice| notice.what).collect();
            let is_ours = !due_whats.is_empty() && self.channel.group_of(&due.alert) == self.group;
            is_ours.then_some(Item { alert: due.alert, due: due_whats })
        };
        Ok(self.alerts.due_alerts(DUE_MOST).await?.into_iter().filter_map(item).collect())
    }

    async fn send(&self, message: &Message) -> Result<(), DeliverError> {
        let sent = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(DeliverError::Stopped),
            sent = self.sender.send(self.channel, message) => sent,
        };
        self.channels.note(&self.channel.name, sent.as_ref().err().map(ToString::to_string));
        Ok(sent?)
    }

    /// Says of everything that is due of an alert that it is being sent; `None` where nothing of that is due any more.
    async fn begin(&self, item: Item) -> Result<Option<Item>, StoreError> {
        let Item { mut alert, due } = item;
        let mut begun = Vec::new();
        for what in due {
            let command = Command::BeginNotice { channel: self.channel.name.clone(), what };
            let (now, is_begun) = self.ask(alert, &command).await?;
            alert = now;
            begun.extend(is_begun.then_some(what));
        }
        // What was over meanwhile is told so the next time, and nothing else any more.
        begun.retain(|what| alert.due(&self.channel.name, *what).is_some_and(|due| due.begun));
        Ok((!begun.is_empty()).then_some(Item { alert, due: begun }))
    }

    /// Notes that everything that was due of an alert was sent.
    async fn take(&self, item: Item, repeat_ms: i64) -> Result<(), StoreError> {
        let Item { mut alert, due } = item;
        for what in due {
            let repeat_in_ms = Some(repeat_ms);
            let command = Command::TakeNotice { channel: self.channel.name.clone(), what, repeat_in_ms };
            alert = self.ask(alert, &command).await?.0;
        }
        Ok(())
    }

    /// Asks this of an alert, anew where somebody else was faster; the alert as it is then, and whether it is so.
    async fn ask(&self, mut alert: Alert, command: &Command) -> Result<(Alert, bool), StoreError> {
        for _ in 0..TRIES {
            let next = match transition(&alert, command, self.by, &Uuid::new_v4().simple().to_string()) {
                Ok(next) => next,
                Err(refusal) => {
                    tracing::debug!(alert = %alert.id(), %refusal, "nothing is written");
                    return Ok((alert, matches!(refusal, Refusal::Begun { .. })));
                }
            };
            match self.alerts.apply_alert(&next).await? {
                AlertOutcome::Won(now) => return Ok((*now, true)),
                AlertOutcome::Lost(Some(now)) => alert = *now,
                AlertOutcome::Lost(None) => return Ok((alert, false)),
            }
        }
        tracing::warn!(alert = %alert.id(), "others write it all the time: it is told the next time");
        Ok((alert, false))
    }
}

#[cfg(test)]
mod tests;
