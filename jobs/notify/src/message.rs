//! What a channel is told: one message about many alerts, whatever form it takes.

use crate::text::plain;
use bson::DateTime;
use lucid_schemas::alert::{Alert, Fingerprint, ResolvedBy, Severity, What};
use std::{cmp::Reverse, collections::BTreeMap};

/// No more alerts than this in one message; the rest is counted, and follows in the next one.
pub const ALERTS_MOST: usize = 200;

/// What is told of one alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The alert; `None` where it couldn't be written yet.
    pub id: Option<String>,
    /// Of rule and labels.
    pub fingerprint: Fingerprint,
    /// What tells this incident from others of the same fingerprint.
    pub incident: String,
    /// Of two notices about one incident, the one with the greater number says what is so.
    pub sequence: i64,
    /// What is told.
    pub what: What,
    /// The rule.
    pub rule: String,
    /// What it is about, exactly.
    pub labels: BTreeMap<String, String>,
    /// How much it matters.
    pub severity: Severity,
    /// How much it mattered before, where that was more or less.
    pub severity_before: Option<Severity>,
    /// What is wrong, for people; see [`plain`].
    pub summary: String,
    /// What was measured, in the rule's unit.
    pub value: Option<f64>,
    /// Since when it is so.
    pub starts_at: DateTime,
    /// Whether that is a guess.
    pub starts_at_uncertain: bool,
    /// Since when it isn't.
    pub ends_at: Option<DateTime>,
    /// Why it isn't.
    pub resolved_by: Option<ResolvedBy>,
    /// Whether nothing was seen lately that could tell.
    pub is_silent: bool,
    /// Whether it comes and goes.
    pub is_flapping: bool,
}

impl Notice {
    /// What an alert is told to be. Its `sequence` grows with every write of the alert.
    pub fn of(alert: &Alert, what: What) -> Self {
        let Alert { origin, head, seen, .. } = alert;
        Self {
            id: Some(origin.id.to_string()),
            fingerprint: origin.fingerprint.clone(),
            incident: alert.incident().to_owned(),
            sequence: head.version + alert.touches,
            what,
            rule: origin.rule.clone(),
            labels: origin.labels.clone(),
            severity: head.severity,
            severity_before: head.severity_changed_at.map(|_| other(head.severity)),
            summary: plain(&seen.summary),
            value: seen.value,
            starts_at: origin.starts_at,
            starts_at_uncertain: origin.starts_at_uncertain,
            ends_at: head.resolved_at.and_then(lucid_schemas::Stamp::stored),
            resolved_by: head.resolved_by,
            is_silent: seen.silent_since.is_some(),
            is_flapping: seen.flapping,
        }
    }

    /// The same for all who tell of this incident, and from first to last.
    pub fn dedup_key(&self) -> String {
        format!("{}/{}", self.fingerprint, self.incident)
    }

    /// Whether it says that the alert is over.
    pub const fn is_over(&self) -> bool {
        match self.what {
            What::Resolved => true,
            What::Firing | What::Repeat => false,
        }
    }
}

/// In which order notices are told: what is so before what is over, what matters most first, then what is so for longest.
pub(crate) fn rank(notice: &Notice) -> impl Ord + use<> {
    (notice.is_over(), Reverse(notice.severity), notice.starts_at, notice.fingerprint.clone())
}

const fn other(severity: Severity) -> Severity {
    match severity {
        Severity::Warning => Severity::Critical,
        Severity::Critical => Severity::Warning,
    }
}

/// What a channel is told at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The channel.
    pub channel: String,
    /// Which of its alerts.
    pub group: String,
    /// When, by the clock of whoever sends it.
    pub sent_at: DateTime,
    /// Where the monitor is reached.
    pub link: Option<String>,
    /// At most [`ALERTS_MOST`], what matters most first.
    pub notices: Vec<Notice>,
    /// So many more are to be told.
    pub left_out: usize,
}

impl Message {
    /// One that tells as many as it may, what matters most first.
    pub fn new(channel: &str, group: &str, sent_at: DateTime, link: Option<String>, mut notices: Vec<Notice>) -> Self {
        notices.sort_by_cached_key(rank);
        let left_out = notices.len().saturating_sub(ALERTS_MOST);
        notices.truncate(ALERTS_MOST);
        Self { channel: channel.to_owned(), group: group.to_owned(), sent_at, link, notices, left_out }
    }

    /// Whether everything that it tells is over.
    pub fn is_over(&self) -> bool {
        self.notices.iter().all(Notice::is_over)
    }
}
