//! What alerts and silences look like.

use crate::open::Found;
use bson::DateTime;
use lucid_core::alert::is_silenced;
use lucid_http::json;
use lucid_schemas::{
    Stamp,
    alert::{Alert, AlertState, Due, Fingerprint},
    http::{AlertView, EventView, NoticeView, SilenceView, SilencedBy},
    silence::Silence,
};

/// What keeps alerts quiet at a time, by the primary's clock as far as it is known.
#[derive(Clone, Copy)]
pub struct Quiet<'a> {
    pub silences: &'a [Silence],
    pub now: DateTime,
}

/// An alert that is kept, without its events.
pub fn alert(alert: &Alert, quiet: Quiet<'_>) -> AlertView {
    let (origin, head, seen) = (&alert.origin, &alert.head, &alert.seen);
    let time = |stamp: Option<Stamp>| stamp.map(json::time);
    let silence = is_silenced(quiet.silences, &origin.rule, head.severity, &origin.labels, quiet.now);
    AlertView {
        alert_id: Some(origin.id.to_string()),
        state: head.state.to_string(),
        severity: head.severity.to_string(),
        rule: origin.rule.clone(),
        summary: seen.summary.clone(),
        labels: origin.labels.clone(),
        fingerprint: origin.fingerprint.to_string(),
        value: seen.value,
        starts_at: json::date(origin.starts_at),
        starts_at_uncertain: origin.starts_at_uncertain,
        created_at: Some(json::time(head.created_at)),
        last_seen_at: Some(json::time(seen.last_seen_at)),
        occurrences: seen.occurrences,
        silent_since: time(seen.silent_since),
        flapping: seen.flapping,
        acknowledged_by: head.acknowledged_by.clone(),
        acknowledged_until: time(head.acknowledged_until),
        resolved_at: time(head.resolved_at),
        resolved_by: head.resolved_by.map(|how| how.to_string()),
        notified: head.notified.clone(),
        notify: alert.notify.iter().map(notice).collect(),
        silenced_by: silence.filter(|_| head.state.is_open()).map(silenced_by),
        previous: origin.previous.as_ref().map(ToString::to_string),
        events: Vec::new(),
        told: None,
    }
}

/// What happened to it.
pub fn events(alert: &Alert) -> Vec<EventView> {
    alert.events.iter().map(json::alert_event).collect()
}

/// What is wrong and isn't kept.
pub fn found(found: &Found, quiet: Quiet<'_>) -> AlertView {
    let silence = is_silenced(quiet.silences, &found.rule, found.severity, &found.labels, quiet.now);
    AlertView {
        alert_id: None,
        state: AlertState::Raised.to_string(),
        severity: found.severity.to_string(),
        rule: found.rule.clone(),
        summary: found.summary.clone(),
        labels: found.labels.clone(),
        fingerprint: Fingerprint::of(&found.rule, &found.labels).to_string(),
        value: found.value,
        starts_at: json::date(DateTime::from_millis(found.since_ms)),
        starts_at_uncertain: true,
        created_at: None,
        last_seen_at: None,
        occurrences: 1,
        silent_since: None,
        flapping: false,
        acknowledged_by: None,
        acknowledged_until: None,
        resolved_at: None,
        resolved_by: None,
        notified: Vec::new(),
        notify: Vec::new(),
        silenced_by: silence.map(silenced_by),
        previous: None,
        events: Vec::new(),
        told: None,
    }
}

fn notice(due: &Due) -> NoticeView {
    NoticeView { channel: due.channel.clone(), what: due.what.to_string(), due_at: json::time(due.due_at) }
}

fn silenced_by(silence: &Silence) -> SilencedBy {
    SilencedBy {
        silence_id: silence.id.to_string(),
        until: json::date(silence.until),
        by: silence.by.clone(),
        comment: silence.comment.clone(),
    }
}

/// A silence at a time.
pub fn silence(silence: &Silence, now: DateTime) -> SilenceView {
    SilenceView {
        silence_id: silence.id.to_string(),
        matchers: silence.matchers.clone(),
        from: json::date(silence.from),
        until: json::date(silence.until),
        window: silence.window.clone(),
        active: silence.is_active(now),
        by: silence.by.clone(),
        comment: silence.comment.clone(),
        created_at: json::date(silence.created_at),
        ended_at: silence.ended_at.map(json::date),
        ended_by: silence.ended_by.clone(),
    }
}
