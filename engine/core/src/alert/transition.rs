//! A decision made ready for a store: what to compare, what to append, what the alert will be.

use super::{Command, Fence, Finding, Guard, Refusal, birth, decide, decide::firing, evolve};
use lucid_schemas::{
    Stamp,
    alert::{Alert, AlertEvent, AlertEventBody, AlertId, Fingerprint, Origin, Seen, Token},
};

/// One compare-and-set on one alert document.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The alert that the decision builds on: it happens only where version and touches are still these.
    pub before: Alert,
    /// Conditions on time.
    pub guards: Vec<Guard>,
    /// The evaluator's claim, where it is an evaluator's write: it happens only where the stored one isn't later.
    pub token: Option<Token>,
    /// The alert as it will be, with times that only the store knows; its events begin with those of `before`.
    pub after: Alert,
}

/// An alert that is to be written for the first time.
#[derive(Debug, Clone, PartialEq)]
pub struct Raise {
    /// As it will be.
    pub alert: Alert,
    /// What makes it do nothing when it comes late.
    pub fence: Fence,
}

impl Transition {
    /// The alert.
    pub const fn id(&self) -> &AlertId {
        self.before.id()
    }

    /// Names this write; told from others by it when an answer is lost.
    pub fn write(&self) -> &str {
        &self.after.write
    }

    /// What is appended; empty where no event tells of the write.
    pub fn events(&self) -> &[AlertEvent] {
        self.after.events.get(self.before.events.len()..).unwrap_or_default()
    }
}

/// Decides, and folds the new event into the head; `by` is who acts, `write` a fresh random name.
///
/// # Errors
/// The [`Refusal`], where the law doesn't allow it.
pub fn transition(alert: &Alert, command: &Command, by: &str, write: &str) -> Result<Transition, Refusal> {
    let decision = decide(alert, command)?;
    let token = command.fence().map(|fence| fence.token);
    let mut after = Alert {
        seen: decision.seen,
        notify: decision.notify,
        token: token.unwrap_or(alert.token),
        write: write.to_owned(),
        ..alert.clone()
    };
    if let Some(body) = decision.event {
        let event = event(alert.head.version + 1, by, write, body);
        after.head = evolve(after.head, &event);
        after.events.push(event);
    } else {
        after.touches += 1;
    }
    Ok(Transition { before: alert.clone(), guards: decision.guards, token, after })
}

/// The alert that a finding becomes.
pub fn raise(finding: &Finding, fence: Fence, by: &str, write: &str) -> Raise {
    let Finding { id, rule, labels, severity, starts_at, starts_at_uncertain, incident, previous, sighting, notify } =
        finding.clone();
    let fingerprint = Fingerprint::of(&rule, &labels);
    let first = event(
        1,
        by,
        write,
        AlertEventBody::Raised {
            fingerprint: fingerprint.clone(),
            severity,
            starts_at,
            summary: sighting.summary.clone(),
            value: sighting.value,
            previous: previous.clone(),
        },
    );
    let alert = Alert {
        head: birth(&first),
        seen: Seen {
            last_seen_at: Stamp::NOW,
            value: sighting.value,
            occurrences: sighting.times,
            summary: sighting.summary,
            rules_version: sighting.rules_version,
            silent_since: None,
            flapping: sighting.flapping,
        },
        notify: firing(&notify),
        token: fence.token,
        touches: 0,
        write: write.to_owned(),
        events: vec![first],
        origin: Origin { id, rule, labels, fingerprint, starts_at, starts_at_uncertain, incident, previous },
    };
    Raise { alert, fence }
}

fn event(seq: i64, by: &str, write: &str, body: AlertEventBody) -> AlertEvent {
    AlertEvent { seq, at: Stamp::NOW, by: by.to_owned(), write: write.to_owned(), body }
}
