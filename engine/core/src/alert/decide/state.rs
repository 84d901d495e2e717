//! What moves an alert on.

use super::{Decision, EVENTS_MAX, EVENTS_MAX_ACKNOWLEDGED, Guard, notice, open, room, wrong_state};
use crate::alert::{Refusal, Wanted};
use bson::DateTime;
use lucid_schemas::alert::{Alert, AlertEventBody, AlertState, ResolvedBy, Severity};

pub(super) fn change_severity(alert: &Alert, to: Severity, notify: &[Wanted]) -> Result<Decision, Refusal> {
    open(alert, "change_severity")?;
    room(alert, EVENTS_MAX)?;
    let from = alert.head.severity;
    if to == from {
        return Err(Refusal::SameSeverity { severity: to });
    }
    Ok(Decision {
        guards: vec![Guard::SeveritySteady],
        notify: notice::wanted(alert, notify),
        ..Decision::of(alert, AlertEventBody::SeverityChanged { from, to })
    })
}

pub(super) fn end_acknowledgement(alert: &Alert, notify: &[Wanted]) -> Result<Decision, Refusal> {
    match alert.head.state {
        AlertState::Acknowledged if alert.head.acknowledged_until.is_some() => {}
        AlertState::Acknowledged | AlertState::Raised | AlertState::Resolved => {
            return Err(wrong_state(alert.head.state, "end_acknowledgement"));
        }
    }
    room(alert, EVENTS_MAX)?;
    Ok(Decision {
        guards: vec![Guard::AcknowledgementOver],
        notify: notice::wanted(alert, notify),
        ..Decision::of(alert, AlertEventBody::AcknowledgementEnded {})
    })
}

pub(super) fn acknowledge(alert: &Alert, for_ms: Option<i64>, comment: &str) -> Result<Decision, Refusal> {
    open(alert, "acknowledge")?;
    room(alert, EVENTS_MAX_ACKNOWLEDGED)?;
    Ok(Decision {
        notify: notice::known(alert),
        ..Decision::of(alert, AlertEventBody::Acknowledged { for_ms, comment: comment.to_owned() })
    })
}

/// Whatever an evaluator finds.
pub(super) fn resolve(alert: &Alert, how: ResolvedBy, ended_at: Option<DateTime>) -> Result<Decision, Refusal> {
    match how {
        ResolvedBy::Condition | ResolvedBy::Gone => {}
        ResolvedBy::Continued if alert.head.version >= EVENTS_MAX => {}
        ResolvedBy::Continued => return Err(Refusal::RoomLeft { events: alert.head.version }),
        ResolvedBy::Operator => return Err(Refusal::NotByHand),
    }
    end(alert, "resolve", AlertEventBody::Resolved { how, ended_at, comment: String::new() })
}

pub(super) fn resolve_by_hand(alert: &Alert, comment: &str) -> Result<Decision, Refusal> {
    let how = ResolvedBy::Operator;
    end(alert, "resolve_by_hand", AlertEventBody::Resolved { how, ended_at: None, comment: comment.to_owned() })
}

fn end(alert: &Alert, command: &'static str, event: AlertEventBody) -> Result<Decision, Refusal> {
    open(alert, command)?;
    Ok(Decision { notify: notice::over(alert), ..Decision::of(alert, event) })
}
