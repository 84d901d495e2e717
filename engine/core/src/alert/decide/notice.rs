//! Which notices are due, and that one was sent.
//!
//! Whoever was told that an alert was raised is told that it is over. A notice may have arrived though nobody noted it: so
//! its sender says first that he begins, and what was begun counts as sent once the alert is over.

use super::{Decision, EVENTS_MAX_NOTIFIED};
use crate::alert::{Refusal, Wanted};
use lucid_schemas::{
    Stamp,
    alert::{Alert, AlertEventBody, AlertState, Due, What},
};

/// Who is told of an alert that is new.
pub(in crate::alert) fn firing(wanted: &[Wanted]) -> Vec<Due> {
    let mut notify: Vec<Due> = Vec::new();
    for Wanted { channel, in_ms } in wanted {
        if !notify.iter().any(|due| due.channel == *channel) {
            notify.push(due(channel, What::Firing, *in_ms));
        }
    }
    notify
}

/// These are to be told as well; who was told of it before, or may have been, that it is so now.
pub(super) fn wanted(alert: &Alert, wanted: &[Wanted]) -> Vec<Due> {
    let mut notify = alert.notify.clone();
    for Wanted { channel, in_ms } in wanted {
        let begun = alert.due(channel, What::Firing).is_some_and(|due| due.begun);
        let was_told = begun || alert.head.notified.contains(channel);
        let what = if was_told { What::Repeat } else { What::Firing };
        // A repeat in hours must not hold up news, nor one that is being sent pass for it.
        notify.retain(|due| due.channel != *channel || due.what != What::Repeat);
        if !notify.iter().any(|due| due.channel == *channel && due.what == what) {
            notify.push(due(channel, what, *in_ms));
        }
    }
    notify
}

/// What is left to tell once somebody knows: only what may be on its way.
pub(super) fn known(alert: &Alert) -> Vec<Due> {
    alert.notify.iter().filter(|due| due.begun).cloned().collect()
}

/// What is left to tell once it is over: that, to everybody who was told of it, or may have been.
pub(super) fn over(alert: &Alert) -> Vec<Due> {
    let told = alert.head.notified.iter();
    let begun = alert.notify.iter().filter(|due| due.begun).map(|due| &due.channel);
    let mut notify: Vec<Due> = Vec::new();
    for channel in told.chain(begun) {
        if !notify.iter().any(|due| due.channel == *channel) {
            notify.push(due(channel, What::Resolved, 0));
        }
    }
    notify
}

pub(super) fn begin(alert: &Alert, channel: &str, what: What) -> Result<Decision, Refusal> {
    let Some(due) = alert.due(channel, what) else {
        return Err(Refusal::NotDue { channel: channel.to_owned(), what });
    };
    if due.begun {
        return Err(Refusal::Begun { channel: channel.to_owned(), what });
    }
    let mut decision = Decision::touch(alert);
    for due in decision.notify.iter_mut().filter(|due| due.channel == channel && due.what == what) {
        due.begun = true;
    }
    Ok(decision)
}

pub(super) fn take(alert: &Alert, channel: &str, what: What, repeat_in_ms: Option<i64>) -> Result<Decision, Refusal> {
    let has_room = alert.head.version < EVENTS_MAX_NOTIFIED;
    let news = is_news(alert, channel, what) && has_room;
    // What was on its way when the alert was over: that it was sent is noted, and that it is over is still to be told.
    let overtaken = news && what == What::Firing && alert.due(channel, What::Resolved).is_some();
    if !overtaken && !alert.due(channel, what).is_some_and(|due| due.begun) {
        return Err(Refusal::NotDue { channel: channel.to_owned(), what });
    }
    if what == What::Firing && !has_room {
        // It stays begun, and so its end is told.
        return Err(Refusal::StreamFull { events: alert.head.version });
    }
    let event = AlertEventBody::Notified { channel: channel.to_owned(), what };
    let mut decision = if news { Decision::of(alert, event) } else { Decision::touch(alert) };
    decision.notify.retain(|due| due.channel != channel || due.what != what);
    let again = match alert.head.state {
        AlertState::Raised => repeat_in_ms,
        AlertState::Acknowledged | AlertState::Resolved => None,
    };
    let repeats = decision.notify.iter().any(|due| due.channel == channel && due.what == What::Repeat);
    if let Some(in_ms) = again.filter(|_| !repeats) {
        decision.notify.push(due(channel, What::Repeat, in_ms));
    }
    Ok(decision)
}

/// Whether an event tells of the notice: of the first one that an alert was raised, and of the one that it is over.
fn is_news(alert: &Alert, channel: &str, what: What) -> bool {
    match what {
        What::Firing => !alert.head.notified.iter().any(|told| told == channel),
        What::Repeat => false,
        What::Resolved => true,
    }
}

fn due(channel: &str, what: What, in_ms: i64) -> Due {
    Due { channel: channel.to_owned(), what, due_at: Stamp::NOW.plus(in_ms), begun: false }
}
