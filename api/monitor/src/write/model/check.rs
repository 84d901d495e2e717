//! What must be true of all that was written and told, whoever wrote it: judged from the documents and from what monitors have found.

use lucid_core::alert::invariant::violations;
use lucid_schemas::alert::{Alert, AlertEventBody, AlertId, Fingerprint, ResolvedBy, What};
use std::collections::{BTreeMap, BTreeSet};

/// A write counts for so long after the round that it was made of, in milliseconds.
pub const FRESH_MS: i64 = 2_000;

/// Whether a round has found that there should be an alert, or that there shouldn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Wrong,
    Right,
}

/// What is judged.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Every alert.
    pub alerts: Vec<Alert>,
    /// What rounds of any monitor have found, and when, by the store's clock in milliseconds.
    pub found: Vec<(i64, Fingerprint, Found)>,
    /// What people heard, in order.
    pub told: Vec<(AlertId, What)>,
    /// What somebody began to tell, or tried to: they may have heard of it.
    pub begun: BTreeSet<AlertId>,
}

/// What is wrong at any time.
pub fn always(history: &History) -> Vec<String> {
    let mut wrong: Vec<String> =
        history.alerts.iter().flat_map(violations).map(|violation| violation.to_string()).collect();
    let mut about: BTreeMap<&Fingerprint, Vec<&Alert>> = BTreeMap::new();
    for alert in &history.alerts {
        about.entry(&alert.origin.fingerprint).or_default().push(alert);
        wrong.extend(claims(alert));
        wrong.extend(unfounded(alert, &history.found));
    }
    for alerts in about.values_mut() {
        alerts.sort_by_key(|alert| alert.head.created_at.stored());
        if alerts.iter().filter(|alert| alert.head.state.is_open()).count() > 1 {
            wrong.push(format!("several are open about the same as {}", alerts[0].id()));
        }
        for (place, alert) in alerts.iter().enumerate() {
            // One that came and went while this one was being raised it can't name.
            let is_past = |other: &&&Alert| created_ms(alert) - created_ms(other) > FRESH_MS;
            let named = alert.origin.previous.as_ref();
            let newest = alerts[..place].last().map(|other| other.id());
            let newest_past = alerts[..place].iter().rfind(is_past).map(|other| other.id());
            if named != newest && named != newest_past {
                wrong.push(format!("{} names {named:?} instead of {newest:?}", alert.id()));
            }
        }
    }
    wrong.extend(history.alerts.iter().filter_map(|alert| out_of_order(alert.id(), &history.told)));
    wrong
}

/// What is wrong in the end, when all of it is over and told.
pub fn finally(history: &History) -> Vec<String> {
    let mut wrong = always(history);
    for alert in &history.alerts {
        let count = |name: &str| alert.events.iter().filter(|event| event.body.name() == name).count();
        let ends = (count("raised"), count("resolved"));
        if ends != (1, 1) {
            wrong.push(format!("{} was raised and resolved {ends:?} times", alert.id()));
        }
        let heard = |sought: What| history.told.iter().any(|(id, what)| id == alert.id() && *what == sought);
        if heard(What::Firing) && !heard(What::Resolved) {
            wrong.push(format!("people heard of {} and not of its end", alert.id()));
        }
        if heard(What::Resolved) && !history.begun.contains(alert.id()) {
            wrong.push(format!("people heard of the end of {} and can't have heard of it", alert.id()));
        }
        if !alert.notify.is_empty() {
            wrong.push(format!("{} is still to be told: {:?}", alert.id(), alert.notify));
        }
    }
    wrong
}

/// Writers are called after their claims: once a later one has written, no earlier one does.
fn claims(alert: &Alert) -> Option<String> {
    let writers: Vec<i64> = alert.events.iter().filter_map(|event| event.by.strip_prefix("w")?.parse().ok()).collect();
    let is_fenced = writers.is_sorted();
    (!is_fenced).then(|| format!("{} was written under the claims {writers:?}", alert.id()))
}

/// Nothing is raised or resolved that no round had found so shortly before.
fn unfounded(alert: &Alert, found: &[(i64, Fingerprint, Found)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for event in &alert.events {
        let wanted = match &event.body {
            AlertEventBody::Raised { .. } => Found::Wrong,
            AlertEventBody::Resolved { how: ResolvedBy::Gone, .. } => {
                wrong.push(format!("{} is gone, which nothing was", alert.id()));
                continue;
            }
            AlertEventBody::Resolved { how: ResolvedBy::Condition | ResolvedBy::Continued, .. } => Found::Right,
            // Somebody at a keyboard may do as he likes.
            AlertEventBody::Resolved { how: ResolvedBy::Operator, .. }
            | AlertEventBody::Acknowledged { .. }
            | AlertEventBody::AcknowledgementEnded {}
            | AlertEventBody::SeverityChanged { .. }
            | AlertEventBody::Notified { .. } => continue,
        };
        let at = event.at.stored().map_or(0, bson::DateTime::timestamp_millis);
        let is_founded = found.iter().any(|(when, about, what)| {
            *about == alert.origin.fingerprint && *what == wanted && (at - FRESH_MS..=at).contains(when)
        });
        if !is_founded {
            wrong.push(format!("{} was {} and no round had found that", alert.id(), event.body.name()));
        }
    }
    wrong
}

/// Nobody hears that something is so after he has heard that it is over.
fn out_of_order(id: &AlertId, told: &[(AlertId, What)]) -> Option<String> {
    let of_it = || told.iter().filter(|(about, _)| about == id).map(|(_, what)| *what);
    let over = of_it().position(|what| what == What::Resolved)?;
    of_it().skip(over).any(|what| what != What::Resolved).then(|| format!("{id} was told to be so after its end"))
}

fn created_ms(alert: &Alert) -> i64 {
    alert.head.created_at.stored().map_or(0, bson::DateTime::timestamp_millis)
}
