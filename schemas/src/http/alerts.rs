//! Bodies about alerts and silences, on the port of the monitor.

use super::EventView;
use crate::silence::{Matcher, Window};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One alert. Times are RFC 3339 in UTC by the primary's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertView {
    /// The alert; absent while it isn't written, as while there is no primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_id: Option<String>,
    /// `raised`, `acknowledged` or `resolved`.
    pub state: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// The rule that found it.
    pub rule: String,
    /// One sentence for people: what is wrong.
    pub summary: String,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// Of rule and labels: at most one open alert has it.
    pub fingerprint: String,
    /// What was measured last, in the rule's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Since when it is so.
    pub starts_at: String,
    /// Whether that is only nearly known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub starts_at_uncertain: bool,
    /// When it was written first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When it was seen last; written at most once a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<String>,
    /// How often it was found.
    pub occurrences: i64,
    /// Since when there is nothing to see: it may be so, or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<String>,
    /// Whether it comes and goes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flapping: bool,
    /// Who knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// Until when that counts; absent: until it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_until: Option<String>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<String>,
    /// Why: `condition`, `operator`, `gone` or `continued`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
    /// The channels that were told of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notified: Vec<String>,
    /// The notices that are still to be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<NoticeView>,
    /// Why nobody is told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced_by: Option<SilencedBy>,
    /// The alert of the same fingerprint before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// What happened, where one alert is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventView>,
    /// Who told this, where the store isn't there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

/// A notice that is still to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeView {
    /// To whom.
    pub channel: String,
    /// What he is told: `firing`, `repeat` or `resolved`.
    pub what: String,
    /// When.
    pub due_at: String,
}

/// The silence that keeps an alert quiet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilencedBy {
    /// The silence.
    pub silence_id: String,
    /// Until when, unless it is ended before.
    pub until: String,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub comment: String,
}

/// Who told what a list shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// `store`, or `memory` where the store isn't there.
    pub from: String,
    /// From memory: how old this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<f64>,
    /// From memory: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// `GET /alerts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertList {
    /// Newest first.
    pub alerts: Vec<AlertView>,
    /// Where the next page begins: the parameter `after`; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Who told this.
    #[serde(flatten)]
    pub told: Told,
}

/// `POST /alerts/{id}/acknowledge`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeBody {
    /// For how many seconds that counts; until it is over where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<i64>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// `POST /alerts/{id}/resolve`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveBody {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// `POST /alerts/{id}/silence`: about just what this alert is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceAlertBody {
    /// For how many seconds from now; this or `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<i64>,
    /// Until when (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Why, for people.
    pub comment: String,
}

/// `POST /alerts/test`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestBody {
    /// A channel of the monitor's node.
    pub channel: String,
}

/// What came of trying a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestView {
    /// The channel.
    pub channel: String,
    /// How many messages it took: one that something is wrong, and one that it is over.
    pub sent: i64,
}

/// `POST /silences`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceBody {
    /// What it is about: all of them must hold, and one at least says what is equal.
    pub matchers: Vec<Matcher>,
    /// From when on (RFC 3339); now where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Until when (RFC 3339): at most 30 days ahead, 366 with a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The same as so many seconds from its begin; this or `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<i64>,
    /// Where it holds only in parts of that time: a maintenance window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Why, for people.
    pub comment: String,
}

/// One silence. Times are RFC 3339 in UTC by the primary's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceView {
    /// The silence.
    pub silence_id: String,
    /// What it is about: all of them must hold.
    pub matchers: Vec<Matcher>,
    /// From when on.
    pub from: String,
    /// Until when, unless it is ended before.
    pub until: String,
    /// In which parts of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Whether it holds now.
    pub active: bool,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub comment: String,
    /// When it was written.
    pub created_at: String,
    /// When somebody ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
}

/// `GET /silences`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SilenceList {
    /// Those that aren't over, by when they end.
    pub silences: Vec<SilenceView>,
    /// One sentence on each that this program can't read: what it silences is heard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Who told this.
    #[serde(flatten)]
    pub told: Told,
}
