//! What became of a backup after its job had ended. It is no state of the job and no event of it: that the backup was made stays true.

use bson::DateTime;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What became of a backup that is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// What.
    pub state: FateState,
    /// When, by the clock of whoever noted it in the repository.
    pub at: DateTime,
    /// The job that did it.
    pub by: String,
    /// Why, for people.
    pub reason: String,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FateState {
    /// A prune has forgotten it.
    Forgotten,
    /// Its manifest isn't there, nobody has forgotten it, and somebody has accepted that. So is read what only a later program knows.
    #[serde(other)]
    Missing,
}

/// A fate as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FateView {
    /// `forgotten` or `missing`.
    pub state: String,
    /// When.
    pub at: String,
    /// The job that forgot it, or that was told to accept the loss.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl FateState {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forgotten => "forgotten",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, at, by, reason } = self;
        let at = at.try_to_rfc3339_string().unwrap_or_else(|_| at.timestamp_millis().to_string());
        match state {
            FateState::Forgotten => write!(f, "it was forgotten by {by} at {at}: {reason}"),
            FateState::Missing => write!(f, "it is missing, which {by} has noted at {at}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn a_fate_reads_back_and_a_later_programs_word_locks_nobody_out() {
        let at = DateTime::from_millis(1_736_388_000_000);
        let fate = Fate { state: FateState::Forgotten, at, by: "prune_1".into(), reason: "no rule keeps it".into() };
        let mut stored = bson::serialize_to_document(&fate).expect("BSON");
        assert_eq!(stored, doc! { "state": "forgotten", "at": at, "by": "prune_1", "reason": "no rule keeps it" });
        assert_eq!(bson::deserialize_from_document::<Fate>(stored.clone()).expect("a fate"), fate);
        stored.insert("state", "eaten");
        let later: Fate = bson::deserialize_from_document(stored).expect("a fate");
        assert_eq!(later.state, FateState::Missing);
        assert_eq!(fate.to_string(), "it was forgotten by prune_1 at 2025-01-09T02:00:00Z: no rule keeps it");
    }
}
