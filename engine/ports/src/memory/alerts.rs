//! Alerts in memory: the same as the statements on MongoDB.

use super::{
    Held, MemoryStore,
    document::{outside, set},
};
use crate::{AlertFilter, AlertOutcome, AlertPage, Alerts, DueAlert, Raised, StoreError};
use async_trait::async_trait;
use bson::{Bson, DateTime, Document, doc};
use lucid_core::alert::{Guard, Raise, SEEN_EACH_MS, SEVERITY_EACH_MS, Transition};
use lucid_schemas::{
    Stamp,
    alert::{Alert, AlertEvent, AlertId},
};
use std::cmp::Reverse;

#[async_trait]
impl Alerts for MemoryStore {
    async fn raise_alert(&self, raise: &Raise) -> Result<Raised, StoreError> {
        let mut held = self.held();
        let now = held.clock.now();
        let alert = &raise.alert;
        if let Some(there) = held.alerts.get(alert.id().as_str()) {
            let there = read(there)?;
            return if there.events.first().is_some_and(|first| first.write == alert.write) {
                Ok(Raised::New(Box::new(there)))
            } else {
                Err(StoreError::Rejected(format!("the alert id {} is taken", alert.id())))
            };
        }
        if now >= raise.fence.deadline {
            return Ok(Raised::Late);
        }
        let same = |other: &Alert| other.head.state.is_open() && other.origin.fingerprint == alert.origin.fingerprint;
        if let Some(open) = held.all_alerts()?.into_iter().find(same) {
            return Ok(Raised::Open(Box::new(open)));
        }
        let mut born = alert.origin.to_document().map_err(|error| unstorable(&error))?;
        set(&mut born, alert.fields(), now);
        born.insert("events", event_documents(&alert.events, now)?);
        let read = read(&born)?;
        held.alerts.insert(alert.id().to_string(), born);
        held.log.add_alert(&self.recent, &read);
        Ok(Raised::New(Box::new(read)))
    }

    async fn apply_alert(&self, transition: &Transition) -> Result<AlertOutcome, StoreError> {
        let mut held = self.held();
        let now = held.clock.now();
        if let Some(stored) = held.alerts.get_mut(transition.id().as_str())
            && holds(stored, transition, now)
        {
            set(stored, transition.after.fields(), now);
            let appended = event_documents(transition.events(), now)?;
            if let Ok(events) = stored.get_array_mut("events") {
                events.extend(appended);
            }
            // What no event tells of is no transition.
            let changed = (!transition.events().is_empty()).then(|| read(stored)).transpose()?;
            if let Some(alert) = changed {
                held.log.add_alert(&self.recent, &alert);
            }
        }
        let afterwards = held.alerts.get(transition.id().as_str()).map(read).transpose()?;
        Ok(AlertOutcome::of(transition, afterwards))
    }

    async fn alert(&self, id: &AlertId) -> Result<Option<Alert>, StoreError> {
        self.held().alerts.get(id.as_str()).map(read).transpose()
    }

    async fn alert_ids_with_prefix(&self, prefix: &AlertId, limit: u32) -> Result<Vec<AlertId>, StoreError> {
        let held = self.held();
        let ids = held.alerts.keys().filter(|id| id.starts_with(prefix.as_str()));
        Ok(ids.filter_map(|id| id.parse().ok()).take(limit as usize).collect())
    }

    async fn open_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        let mut open = self.held().all_alerts()?;
        open.retain(|alert| alert.head.state.is_open());
        open.sort_by(|one, other| one.origin.fingerprint.cmp(&other.origin.fingerprint));
        Ok(open)
    }

    async fn list_alerts(&self, filter: &AlertFilter) -> Result<AlertPage, StoreError> {
        let age = |alert: &Alert| (alert.head.created_at.stored(), alert.id().clone());
        let mut alerts = self.held().all_alerts()?;
        alerts.sort_by_key(|alert| Reverse(age(alert)));
        let after = filter.after.as_ref().map(|place| (Some(place.created_at), place.id.clone()));
        alerts.retain(|alert| after.as_ref().is_none_or(|after| age(alert) < *after) && matches(alert, filter));
        let limit = filter.limit as usize;
        let more = limit > 0 && alerts.len() > limit;
        alerts.truncate(limit);
        Ok(AlertPage { alerts, more })
    }

    async fn due_alerts(&self, limit: u32) -> Result<Vec<DueAlert>, StoreError> {
        let held = self.held();
        let now = held.clock.now();
        let first = |alert: &Alert| alert.notify.iter().filter_map(|due| due.due_at.stored()).min();
        let mut due: Vec<Alert> = held.all_alerts()?;
        due.retain(|alert| first(alert).is_some_and(|at| at <= now));
        due.sort_by_key(first);
        due.truncate(limit as usize);
        Ok(due.into_iter().map(|alert| DueAlert::at(alert, now)).collect())
    }

    async fn forget_alerts(&self, older_ms: i64, limit: u32) -> Result<u64, StoreError> {
        let mut held = self.held();
        let before = DateTime::from_millis(held.clock.now().timestamp_millis().saturating_sub(older_ms));
        let age = |alert: &Alert| (alert.head.created_at.stored(), alert.id().clone());
        let mut all = held.all_alerts()?;
        all.sort_by_key(age);
        let has_newer = |place: usize, alert: &Alert| {
            all[place + 1..].iter().any(|later| later.origin.fingerprint == alert.origin.fingerprint)
        };
        let is_old = |alert: &Alert| alert.head.resolved_at.and_then(Stamp::stored).is_some_and(|at| at < before);
        let old = all.iter().enumerate().filter(|(place, alert)| is_old(alert) && has_newer(*place, alert));
        let old: Vec<_> = old.map(|(_, alert)| alert.id().to_string()).take(limit as usize).collect();
        for id in &old {
            held.alerts.remove(id);
        }
        Ok(old.len() as u64)
    }
}

impl Held {
    fn all_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        self.alerts.values().map(read).collect()
    }
}

/// Whether a transition may happen: version, touches, the claim, and the guards by the store's clock.
fn holds(document: &Document, transition: &Transition, now: DateTime) -> bool {
    let before = &transition.before;
    let is = |field: &str, number: i64| document.get_i64(field).ok() == Some(number);
    let last_event = usize::try_from(before.head.version - 1).ok();
    let has_last_event =
        document.get_array("events").is_ok_and(|events| last_event.is_some_and(|last| last < events.len()));
    let claim = || {
        let token = document.get_document("token").ok()?;
        Some((token.get_i64("generation").ok()?, token.get_i64("epoch").ok()?))
    };
    let at = |field: &str| document.get_datetime(field).ok().copied();
    let long_ago = |at: Option<DateTime>, ms: i64| at.is_none_or(|at| outside(at, now, -ms, 0));
    has_last_event
        && is("version", before.head.version)
        && is("touches", before.touches)
        && transition.token.is_none_or(|token| claim().is_some_and(|stored| stored <= (token.generation, token.epoch)))
        && transition.guards.iter().all(|guard| match guard {
            Guard::Before(deadline) => now < *deadline,
            Guard::SeenLongAgo => long_ago(at("last_seen_at"), SEEN_EACH_MS),
            Guard::SeveritySteady => long_ago(at("severity_changed_at"), SEVERITY_EACH_MS),
            Guard::AcknowledgementOver => at("acknowledged_until").is_none_or(|until| until <= now),
        })
}

fn matches(alert: &Alert, filter: &AlertFilter) -> bool {
    let (origin, head) = (&alert.origin, &alert.head);
    (filter.states.is_empty() || filter.states.contains(&head.state))
        && filter.severity.is_none_or(|severity| head.severity == severity)
        && filter.rule.as_ref().is_none_or(|rule| origin.rule == *rule)
        && filter.fingerprint.as_ref().is_none_or(|fingerprint| origin.fingerprint == *fingerprint)
}

fn event_documents(events: &[AlertEvent], now: DateTime) -> Result<Vec<Bson>, StoreError> {
    let one = |event: &AlertEvent| {
        Ok(Bson::Document(doc! {
            "seq": event.seq,
            "at": event.at.resolve(now),
            "type": event.body.name(),
            "by": &event.by,
            "write": &event.write,
            "data": event.body.data().map_err(|error| unstorable(&error))?,
        }))
    };
    events.iter().map(one).collect()
}

fn read(document: &Document) -> Result<Alert, StoreError> {
    Alert::from_document(document).map_err(|error| StoreError::Rejected(error.to_string()))
}

fn unstorable(error: &bson::error::Error) -> StoreError {
    StoreError::Rejected(format!("the alert has no BSON form: {error}"))
}
