//! Alerts: what a rule has found, from when it was raised until it is resolved.
//!
//! An alert is a document of `ops` beside the jobs, of the kind [`ALERT`](crate::kind::ALERT), with an event stream and a
//! life of its own. Its parts: the [`Origin`] never changes; the [`AlertHead`] is the fold of the events; what was [`Seen`]
//! last, and the notices that are [`Due`], are written over, and no event tells of them. No worker looks at it.

mod document;
mod event;
mod id;

pub use document::UnreadableAlert;
pub use event::{AlertEvent, AlertEventBody};
pub use id::{AlertId, Fingerprint};

use crate::Stamp;
use bson::DateTime;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Number of the alert document's shape.
pub const ALERT_SCHEMA: i32 = 1;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Somebody should look in the morning.
    Warning,
    /// Somebody should look now.
    Critical,
}

/// Where an alert stands. Which moves are legal is decided in `lucid-core`, nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// It is so, and nobody has said that he knows.
    Raised,
    /// It is so, and somebody knows: nobody is told again until he is late.
    Acknowledged,
    /// It is over for good; when it comes back, that is another alert.
    Resolved,
}

/// Why an alert is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolvedBy {
    /// What its rule found isn't so any more.
    Condition,
    /// A person said so.
    Operator,
    /// What it was about is gone on purpose: the member was removed, the schedule deleted.
    Gone,
    /// Its stream is full: another alert goes on with the same.
    Continued,
}

/// What somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// That it was raised; the first time on this channel.
    Firing,
    /// That it is still so.
    Repeat,
    /// That it is over.
    Resolved,
}

/// Who writes alerts: the claim of a job of kind `monitor`. A later one is greater; a write of an older one does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Token {
    /// Number of the job in the chain of its kind.
    pub generation: i64,
    /// Epoch of its claim.
    pub epoch: i64,
}

/// What never changes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Origin {
    /// The alert.
    #[serde(rename = "_id")]
    pub id: AlertId,
    /// The rule that found it, such as `backup_overdue`.
    pub rule: String,
    /// What it is about. Measured values are none of it: they change.
    pub labels: BTreeMap<String, String>,
    /// Of rule and labels: at most one open alert has it.
    pub fingerprint: Fingerprint,
    /// Since when it was so, by the primary's clock as far as the evaluator knew that.
    pub starts_at: DateTime,
    /// Whether he didn't.
    #[serde(default)]
    pub starts_at_uncertain: bool,
    /// The name under which it was notified before it could be written; its id where absent.
    #[serde(default)]
    pub incident: Option<String>,
    /// The alert of the same fingerprint before this one.
    #[serde(default)]
    pub previous: Option<AlertId>,
}

/// The fold of an alert's events.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AlertHead {
    /// Where it stands.
    pub state: AlertState,
    /// Number of events; every write names the version that it builds on.
    pub version: i64,
    /// How much it matters.
    pub severity: Severity,
    /// Since when it matters so much, where that has changed.
    #[serde(default)]
    pub severity_changed_at: Option<Stamp>,
    /// Who knows, while somebody does.
    #[serde(default)]
    pub acknowledged_by: Option<String>,
    /// Until when that counts; absent: until it is over.
    #[serde(default)]
    pub acknowledged_until: Option<Stamp>,
    /// The channels that were told of it, in the order in which they were.
    #[serde(default)]
    pub notified: Vec<String>,
    /// When it was written first.
    pub created_at: Stamp,
    /// When it was over.
    #[serde(default)]
    pub resolved_at: Option<Stamp>,
    /// Why.
    #[serde(default)]
    pub resolved_by: Option<ResolvedBy>,
}

/// What was seen last. Written at most once a minute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Seen {
    /// When, by the primary's clock.
    pub last_seen_at: Stamp,
    /// What was measured, in the rule's unit; absent where the rule measures nothing.
    #[serde(default)]
    pub value: Option<f64>,
    /// How often it was found.
    pub occurrences: i64,
    /// The rule's sentence, for people.
    pub summary: String,
    /// Number of the rules that found it: programs with older ones leave what they don't know alone.
    pub rules_version: i32,
    /// Since when there is nothing to see: no data isn't health.
    #[serde(default)]
    pub silent_since: Option<Stamp>,
    /// Whether it comes and goes, and stays open until it is quiet.
    #[serde(default)]
    pub flapping: bool,
}

/// A notice that is to be sent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Due {
    /// To whom: the name of a channel, which is configured where monitors run.
    pub channel: String,
    /// What he is told.
    pub what: What,
    /// When.
    pub due_at: Stamp,
    /// Whether somebody has begun to send it, so that it may have arrived.
    #[serde(default)]
    pub begun: bool,
}

/// A whole alert document.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// What never changes.
    pub origin: Origin,
    /// Where it stands.
    pub head: AlertHead,
    /// What was seen last.
    pub seen: Seen,
    /// Which notices are due; at most one of each kind for a channel.
    pub notify: Vec<Due>,
    /// The last evaluator that wrote it.
    pub token: Token,
    /// Number of the writes that no event tells of. They don't change the version, but build on one another.
    pub touches: i64,
    /// The last write: tells its writer after a lost answer that it was his.
    pub write: String,
    /// What happened.
    pub events: Vec<AlertEvent>,
}

impl Severity {
    /// Every severity, least first.
    pub const ALL: [Self; 2] = [Self::Warning, Self::Critical];

    /// The stored and spoken word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl AlertState {
    /// Every state, in the order of this enum.
    pub const ALL: [Self; 3] = [Self::Raised, Self::Acknowledged, Self::Resolved];

    /// The stored and spoken word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// Whether it is still so.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Raised | Self::Acknowledged => true,
            Self::Resolved => false,
        }
    }
}

impl ResolvedBy {
    /// The stored and spoken word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Operator => "operator",
            Self::Gone => "gone",
            Self::Continued => "continued",
        }
    }
}

impl What {
    /// The stored and spoken word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Repeat => "repeat",
            Self::Resolved => "resolved",
        }
    }
}

impl Alert {
    /// The alert.
    pub const fn id(&self) -> &AlertId {
        &self.origin.id
    }

    /// What tells this incident from others of the same fingerprint, wherever it is notified from.
    pub fn incident(&self) -> &str {
        self.origin.incident.as_deref().unwrap_or(self.origin.id.as_str())
    }

    /// The notice of this kind that is due on a channel.
    pub fn due(&self, channel: &str, what: What) -> Option<&Due> {
        self.notify.iter().find(|due| due.what == what && due.channel == channel)
    }
}

macro_rules! displayed {
    ($($word:ty),*) => {$(
        impl fmt::Display for $word {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )*};
}
displayed!(Severity, AlertState, ResolvedBy, What);

impl FromStr for Severity {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|severity| severity.as_str() == word);
        known.ok_or_else(|| format!("unknown severity '{word}': expected warning or critical"))
    }
}

impl FromStr for AlertState {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == word);
        known.ok_or_else(|| format!("unknown state '{word}': expected raised, acknowledged or resolved"))
    }
}
