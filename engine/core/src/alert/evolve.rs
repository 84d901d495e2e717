//! What an event changes. Total and exhaustive: replaying any stored stream gives the stored head.

use lucid_schemas::{
    Stamp,
    alert::{AlertEvent, AlertEventBody, AlertHead, AlertState, Severity, What},
};

/// The head after an alert's first event.
pub fn birth(first: &AlertEvent) -> AlertHead {
    let severity = match &first.body {
        AlertEventBody::Raised { severity, .. } => *severity,
        AlertEventBody::Acknowledged { .. }
        | AlertEventBody::AcknowledgementEnded {}
        | AlertEventBody::SeverityChanged { .. }
        | AlertEventBody::Notified { .. }
        | AlertEventBody::Resolved { .. } => Severity::Warning,
    };
    AlertHead {
        state: AlertState::Raised,
        version: first.seq,
        severity,
        severity_changed_at: None,
        acknowledged_by: None,
        acknowledged_until: None,
        notified: Vec::new(),
        created_at: first.at,
        resolved_at: None,
        resolved_by: None,
    }
}

/// The head after `event`.
#[must_use]
pub fn evolve(mut head: AlertHead, event: &AlertEvent) -> AlertHead {
    head.version = event.seq;
    match &event.body {
        AlertEventBody::Raised { .. } => return birth(event),
        AlertEventBody::Acknowledged { for_ms, .. } => {
            head.state = AlertState::Acknowledged;
            head.acknowledged_by = Some(event.by.clone());
            head.acknowledged_until = for_ms.map(|for_ms| event.at.plus(for_ms));
        }
        AlertEventBody::AcknowledgementEnded {} => forget_acknowledgement(&mut head),
        AlertEventBody::SeverityChanged { from, to } => {
            head.severity = *to;
            head.severity_changed_at = Some(event.at);
            // What somebody knows of was less than this.
            if to > from {
                forget_acknowledgement(&mut head);
            }
        }
        AlertEventBody::Notified { channel, what } => match what {
            What::Firing => head.notified.push(channel.clone()),
            What::Repeat | What::Resolved => {}
        },
        AlertEventBody::Resolved { how, ended_at, .. } => {
            head.state = AlertState::Resolved;
            head.resolved_at = Some(ended_at.map_or(event.at, Stamp::At));
            head.resolved_by = Some(*how);
        }
    }
    head
}

/// The head of a whole stream; `None` for an empty one.
pub fn fold(events: &[AlertEvent]) -> Option<AlertHead> {
    let (first, rest) = events.split_first()?;
    Some(rest.iter().fold(birth(first), evolve))
}

fn forget_acknowledgement(head: &mut AlertHead) {
    head.state = AlertState::Raised;
    head.acknowledged_by = None;
    head.acknowledged_until = None;
}
