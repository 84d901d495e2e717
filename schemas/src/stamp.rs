//! Time that only the server knows.
//!
//! A new event has no time yet: the store writes the server's `$$NOW` into it and into every head field
//! folded from it. A [`Stamp`] stands for either: a time that was read back, or "the server's now, plus".

use bson::DateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error};

/// A point in time by the primary's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// A time read from the store.
    At(DateTime),
    /// The server's clock at the moment of the write, plus so many milliseconds.
    Now {
        /// Milliseconds added to the server's clock.
        plus_ms: i64,
    },
}

impl Stamp {
    /// The server's clock at the moment of the write.
    pub const NOW: Self = Self::Now { plus_ms: 0 };

    /// The same moment, later by `delay_ms`.
    #[must_use]
    pub fn plus(self, delay_ms: i64) -> Self {
        match self {
            Self::At(at) => Self::At(DateTime::from_millis(at.timestamp_millis().saturating_add(delay_ms))),
            Self::Now { plus_ms } => Self::Now { plus_ms: plus_ms.saturating_add(delay_ms) },
        }
    }

    /// The time that this stamp stands for when the server's clock shows `now`.
    pub fn resolve(self, now: DateTime) -> DateTime {
        match self {
            Self::At(at) => at,
            Self::Now { plus_ms } => DateTime::from_millis(now.timestamp_millis() + plus_ms),
        }
    }

    /// The stored time; `None` before the store has written it.
    pub const fn stored(self) -> Option<DateTime> {
        match self {
            Self::At(at) => Some(at),
            Self::Now { .. } => None,
        }
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(at) => at.serialize(serializer),
            Self::Now { .. } => Err(S::Error::custom("a time that no store has written yet")),
        }
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DateTime::deserialize(deserializer).map(Self::At)
    }
}
