//! What a command leads to. Pure: the same alert and command always give the same decision.
//!
//! Times never enter a decision. Where one depends on the clock, it carries a [`Guard`], which the store judges by the
//! primary's clock in the very write that makes the decision true.

mod notice;
mod see;
mod state;

pub(super) use notice::firing;

use super::{Command, Refusal};
use bson::DateTime;
use lucid_schemas::alert::{Alert, AlertEventBody, AlertState, Due, Seen};

/// A stream is bounded: an alert with so many events is only acknowledged and resolved. Short of the validator's 1,000, so
/// that there is always room for an end and for the notices of it.
pub const EVENTS_MAX: i64 = 900;
/// Beyond this not even a person's acknowledgement is taken.
const EVENTS_MAX_ACKNOWLEDGED: i64 = 940;
/// Beyond this no event tells of a notice.
const EVENTS_MAX_NOTIFIED: i64 = 990;

/// How often what was seen last is written at most, in milliseconds.
pub const SEEN_EACH_MS: i64 = 60_000;
/// How often a severity may change at most, in milliseconds.
pub const SEVERITY_EACH_MS: i64 = 600_000;

/// A condition on time that the store judges by `$$NOW` in the write's own filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// This moment is still to come.
    Before(DateTime),
    /// It was seen last longer than [`SEEN_EACH_MS`] ago, or, by a clock that was put back, later than now.
    SeenLongAgo,
    /// Its severity never changed, or did longer than [`SEVERITY_EACH_MS`] ago, or later than now.
    SeveritySteady,
    /// The time that somebody took for it has run out.
    AcknowledgementOver,
}

/// What a command leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Conditions on time.
    pub guards: Vec<Guard>,
    /// What will have happened; `None` where only what no event tells of changes.
    pub event: Option<AlertEventBody>,
    /// What was seen last, from then on.
    pub seen: Seen,
    /// Which notices are due, from then on.
    pub notify: Vec<Due>,
}

impl Decision {
    /// This event, and nothing else.
    fn of(alert: &Alert, event: AlertEventBody) -> Self {
        Self { event: Some(event), ..Self::touch(alert) }
    }

    /// A write that no event tells of.
    fn touch(alert: &Alert) -> Self {
        Self { guards: Vec::new(), event: None, seen: alert.seen.clone(), notify: alert.notify.clone() }
    }
}

/// Says what `command` leads to on `alert`.
///
/// # Errors
/// The [`Refusal`], where the law doesn't allow it.
pub fn decide(alert: &Alert, command: &Command) -> Result<Decision, Refusal> {
    let fence = command.fence();
    if let Some(fence) = fence
        && fence.token < alert.token
    {
        return Err(Refusal::Fenced { given: fence.token, current: alert.token, command: command.name() });
    }
    let mut decision = match command {
        Command::SeeAgain { sighting, .. } => see::again(alert, sighting),
        Command::MissData { .. } => see::nothing(alert),
        Command::ChangeSeverity { to, notify, .. } => state::change_severity(alert, *to, notify),
        Command::EndAcknowledgement { notify, .. } => state::end_acknowledgement(alert, notify),
        Command::Resolve { how, ended_at, .. } => state::resolve(alert, *how, *ended_at),
        Command::Acknowledge { for_ms, comment } => state::acknowledge(alert, *for_ms, comment),
        Command::ResolveByHand { comment } => state::resolve_by_hand(alert, comment),
        Command::BeginNotice { channel, what } => notice::begin(alert, channel, *what),
        Command::TakeNotice { channel, what, repeat_in_ms } => notice::take(alert, channel, *what, *repeat_in_ms),
    }?;
    decision.guards.extend(fence.map(|fence| Guard::Before(fence.deadline)));
    Ok(decision)
}

/// Refuses what an alert that is over can't take.
fn open(alert: &Alert, command: &'static str) -> Result<(), Refusal> {
    match alert.head.state {
        AlertState::Raised | AlertState::Acknowledged => Ok(()),
        AlertState::Resolved => Err(wrong_state(AlertState::Resolved, command)),
    }
}

/// Refuses what a stream with so many events has no room for.
const fn room(alert: &Alert, events_max: i64) -> Result<(), Refusal> {
    if alert.head.version >= events_max {
        return Err(Refusal::StreamFull { events: alert.head.version });
    }
    Ok(())
}

const fn wrong_state(state: AlertState, command: &'static str) -> Refusal {
    Refusal::WrongState { state, command }
}
