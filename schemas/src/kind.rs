//! What a job does. A new kind is one variant here, one spec and one handler.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The stored kind of what isn't a job: an alert stands among the jobs in `ops`, with states of its own.
pub const ALERT: &str = "alert";

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Copy a database at one instant into a repository.
    Backup,
    /// Put a backup into a database, replacing nothing before the new data is proven.
    Restore,
    /// Read a backup back and prove that it is whole.
    Verify,
    /// Forget backups that no rule keeps, and free what only they needed.
    Prune,
    /// Take backups to another repository.
    Copy,
    /// Seal with the newest master key what older ones have sealed.
    Reencrypt,
    /// Write alerts.
    Monitor,
    /// Tell a channel what is due.
    Notify,
}

impl Kind {
    /// Every kind, in the order of this enum.
    pub const ALL: [Self; 8] = [
        Self::Backup,
        Self::Restore,
        Self::Verify,
        Self::Prune,
        Self::Copy,
        Self::Reencrypt,
        Self::Monitor,
        Self::Notify,
    ];

    /// Whether only the system asks for it: no request, no schedule, no retry.
    pub const fn is_internal(self) -> bool {
        match self {
            Self::Monitor | Self::Notify => true,
            Self::Backup | Self::Restore | Self::Verify | Self::Prune | Self::Copy | Self::Reencrypt => false,
        }
    }

    /// How long failures that trying again may mend are tried again, in milliseconds: a night for what runs at night, an hour
    /// for what somebody waits for.
    pub const fn retry_ms(self) -> i64 {
        const HOUR_MS: i64 = 3_600_000;
        match self {
            Self::Backup | Self::Prune | Self::Copy | Self::Reencrypt => 6 * HOUR_MS,
            Self::Restore | Self::Verify | Self::Monitor | Self::Notify => HOUR_MS,
        }
    }

    /// The stored and spoken word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Verify => "verify",
            Self::Prune => "prune",
            Self::Copy => "copy",
            Self::Reencrypt => "reencrypt",
            Self::Monitor => "monitor",
            Self::Notify => "notify",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| format!("unknown kind '{word}': expected {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}
