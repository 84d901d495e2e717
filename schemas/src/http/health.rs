//! How the service is.

use crate::run::WorkerView;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How all of it is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A monitor has looked, and nothing is wrong.
    Healthy,
    /// It works, but somebody should look.
    Degraded,
    /// Somebody should look now.
    Critical,
    /// Nobody knows: no monitor has looked lately.
    Unknown,
}

impl Status {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Degraded, Self::Critical, Self::Unknown];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a probe fails: where it is critical or nobody knows, and with `strict` also where it is degraded.
    pub const fn fails(self, strict: bool) -> bool {
        match self {
            Self::Healthy => false,
            Self::Degraded => strict,
            Self::Critical | Self::Unknown => true,
        }
    }

    /// The same where this process itself has found what somebody should look at.
    #[must_use]
    pub const fn at_best_degraded(self, has_problems: bool) -> Self {
        match self {
            Self::Healthy if has_problems => Self::Degraded,
            Self::Healthy | Self::Degraded | Self::Critical | Self::Unknown => self,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// In one word: by the alerts that are open, and by whether a monitor looks.
    pub status: Status,
    /// When a monitor has looked last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated_at: Option<String>,
    /// Version of this program.
    pub version: String,
    /// One sentence on the replica set.
    pub mongodb: String,
    /// Workers that were heard of lately.
    pub workers: Vec<WorkerView>,
    /// Open jobs by state.
    pub open_jobs: std::collections::BTreeMap<String, i64>,
    /// What somebody should look at; empty when `healthy`.
    pub problems: Vec<String>,
    /// By which rules of time zones the API goes, such as `2026a, in /usr/share/zoneinfo`.
    #[serde(default)]
    pub time_zones: String,
}
