//! Where a job stands. Which moves are legal is decided in `lucid-core`, nowhere else.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for another job to end.
    Waiting,
    /// Waits for its `run_at` and for a worker that reaches what it needs.
    Queued,
    /// A worker holds it.
    Running,
    /// Somebody asked for its end, or gave it up when it was blocked; the worker that holds it cleans up.
    Canceling,
    /// Past its point of no return: it can only be carried through.
    Committing,
    /// Past its point of no return and stuck: an operator must look, then `resume` it, or give it up.
    Blocked,
    /// Ended well.
    Succeeded,
    /// Ended badly; nothing of it counts.
    Failed,
    /// Ended because somebody asked for it; nothing of it counts.
    Canceled,
}

impl State {
    /// Every state, in the order of this enum.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Queued,
        Self::Running,
        Self::Canceling,
        Self::Committing,
        Self::Blocked,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
    ];

    /// The stored and spoken word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Canceling => "canceling",
            Self::Committing => "committing",
            Self::Blocked => "blocked",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether the job has ended for good.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Canceled => true,
            Self::Waiting | Self::Queued | Self::Running | Self::Canceling | Self::Committing | Self::Blocked => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|state| state.as_str()).collect();
            format!("unknown state '{word}': expected one of {}", known.join(", "))
        })
    }
}
