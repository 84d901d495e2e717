//! What must be true of every alert at every time: checked by tests, and counted where one is read.

use super::fold;
use lucid_schemas::alert::{Alert, AlertEventBody, AlertState, Fingerprint, What};
use std::{collections::BTreeSet, fmt};

/// The invariants. That at most one open alert has a fingerprint is the unique index's part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// ALERT-1: the fold of the events equals the head.
    HeadIsFold,
    /// ALERT-2: events are numbered from 1 without gaps.
    SeqContiguous,
    /// ALERT-3: `raised` is the first event and the only one of its kind, and fits rule and labels.
    RaisedOnce,
    /// ALERT-4: nothing but notices follows the one `resolved`.
    EndIsFinal,
    /// ALERT-5: who was told that an alert was raised was told that it is over, or is to be.
    EndIsTold,
    /// ALERT-6: of an alert that is over nothing else is to be told, and of an open one not that; nothing is due twice.
    DueFitsState,
}

impl Invariant {
    /// The number, for messages and metrics.
    pub const fn number(self) -> u8 {
        match self {
            Self::HeadIsFold => 1,
            Self::SeqContiguous => 2,
            Self::RaisedOnce => 3,
            Self::EndIsFinal => 4,
            Self::EndIsTold => 5,
            Self::DueFitsState => 6,
        }
    }
}

/// An invariant that an alert breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ALERT-{}: {}", self.invariant.number(), self.detail)
    }
}

/// Every invariant that `alert` breaks.
pub fn violations(alert: &Alert) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut check = |holds: bool, invariant, detail: &dyn Fn() -> String| {
        if !holds {
            found.push(Violation { invariant, detail: format!("alert {}: {}", alert.id(), detail()) });
        }
    };
    let folded = fold(&alert.events);
    check(folded.as_ref() == Some(&alert.head), Invariant::HeadIsFold, &|| {
        format!("the head is {:?}, its events fold to {folded:?}", alert.head)
    });
    let numbers: Vec<i64> = alert.events.iter().map(|event| event.seq).collect();
    check(numbers.iter().copied().eq((1..).take(numbers.len())), Invariant::SeqContiguous, &|| {
        format!("its events are numbered {numbers:?}")
    });
    check(is_raised_once(alert), Invariant::RaisedOnce, &|| "its first event doesn't fit its rule and labels".into());
    check(ends_once(alert), Invariant::EndIsFinal, &|| {
        let names: Vec<_> = alert.events.iter().map(|event| event.body.name()).collect();
        format!("it is {} after {names:?}", alert.head.state)
    });
    let untold = untold(alert);
    check(untold.is_empty(), Invariant::EndIsTold, &|| format!("it is over, which {untold:?} aren't told"));
    let due: BTreeSet<_> = alert.notify.iter().map(|due| (&due.channel, due.what)).collect();
    let is_over = !alert.head.state.is_open();
    let fits = alert.notify.iter().all(|due| (due.what == What::Resolved) == is_over);
    check(fits && due.len() == alert.notify.len(), Invariant::DueFitsState, &|| {
        format!("it is {} and {:?} is due", alert.head.state, alert.notify)
    });
    found
}

fn is_raised_once(alert: &Alert) -> bool {
    let origin = &alert.origin;
    let expected = Fingerprint::of(&origin.rule, &origin.labels);
    let raises: Vec<_> = alert
        .events
        .iter()
        .filter_map(|event| match &event.body {
            AlertEventBody::Raised { fingerprint, starts_at, previous, .. } => Some(
                event.seq == 1
                    && *fingerprint == expected
                    && *starts_at == origin.starts_at
                    && *previous == origin.previous,
            ),
            AlertEventBody::Acknowledged { .. }
            | AlertEventBody::AcknowledgementEnded {}
            | AlertEventBody::SeverityChanged { .. }
            | AlertEventBody::Notified { .. }
            | AlertEventBody::Resolved { .. } => None,
        })
        .collect();
    raises == [true] && origin.fingerprint == expected
}

fn ends_once(alert: &Alert) -> bool {
    let mut over = false;
    for event in &alert.events {
        let ends = match &event.body {
            AlertEventBody::Notified { .. } => continue,
            AlertEventBody::Resolved { .. } => true,
            AlertEventBody::Raised { .. }
            | AlertEventBody::Acknowledged { .. }
            | AlertEventBody::AcknowledgementEnded {}
            | AlertEventBody::SeverityChanged { .. } => false,
        };
        if over {
            return false;
        }
        over = ends;
    }
    over == (alert.head.state == AlertState::Resolved)
}

/// Of an alert that is over: who was told that it was raised, but neither was told nor is to be told that it is over.
fn untold(alert: &Alert) -> Vec<&str> {
    if alert.head.state.is_open() {
        return Vec::new();
    }
    let told_of = |sought: What| -> BTreeSet<&str> {
        let channel = |body| match body {
            &AlertEventBody::Notified { ref channel, what } if what == sought => Some(channel.as_str()),
            _ => None,
        };
        alert.events.iter().filter_map(|event| channel(&event.body)).collect()
    };
    let over = told_of(What::Resolved);
    let open = told_of(What::Firing);
    open.into_iter().filter(|channel| !over.contains(channel) && alert.due(channel, What::Resolved).is_none()).collect()
}
