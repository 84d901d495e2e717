//! Job ids: `backup_20250109_020000_7k3fq2m8ab`, readable, sortable within a kind, safe in a URL and in a file name.

use crate::{Kind, kind::ALERT};
use bson::DateTime;
use serde::{Deserialize, Deserializer, Serialize};
use std::{fmt, str::FromStr};

const SUFFIX_CHARACTERS: usize = 10;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ID_CHARACTERS_MAX: usize = 80;

/// The id of a job. The date inside is a label from the client that made it, never a time to reason with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// Makes an id from its parts; `chance` supplies 50 random bits of its 64.
    pub fn compose(kind: Kind, at: DateTime, chance: u64) -> Self {
        Self(label(kind.as_str(), at, chance))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind that the id begins with; `None` where it is of no kind that this program knows, or ends within the kind.
    pub fn kind(&self) -> Option<Kind> {
        let begins = |kind: &Kind| self.0.strip_prefix(kind.as_str()).is_some_and(|rest| rest.starts_with('_'));
        // A word may begin with another one and `_`: the longest is meant.
        Kind::ALL.into_iter().filter(begins).max_by_key(|kind| kind.as_str().len())
    }
}

/// A name that is readable, sortable within its kind, and safe in a URL and in a file name.
pub(crate) fn label(kind: &str, at: DateTime, chance: u64) -> String {
    let date = at.to_chrono().format("%Y%m%d_%H%M%S");
    let suffix: String = (0..SUFFIX_CHARACTERS)
        .map(|place| char::from(ALPHABET[usize::try_from((chance >> (5 * place)) & 31).unwrap_or(0)]))
        .collect();
    format!("{kind}_{date}_{suffix}")
}

/// Whether a text may be such a name, or the beginning of one: lower-case letters, digits and `_`.
pub(crate) fn is_label(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !text.is_empty() && text.len() <= ID_CHARACTERS_MAX && text.bytes().all(fits)
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for JobId {
    type Err = String;

    /// Accepts whole ids and prefixes: lower-case letters, digits and `_`. An alert's id is none of a job.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.strip_prefix(ALERT).is_some_and(|rest| rest.starts_with('_')) {
            return Err("is the id of an alert, not of a job: lucid-ops alerts show tells of it".into());
        }
        if is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err("is not a job id: expected something like backup_20250109_020000_7k3fq2m8ab".into())
        }
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_the_mission_writes_it() {
        let at = DateTime::parse_rfc3339_str("2025-01-09T02:00:00Z").expect("a date");
        let id = JobId::compose(Kind::Backup, at, 0x0123_4567_89ab_cdef);
        assert!(id.as_str().starts_with("backup_20250109_020000_"), "{id}");
        assert_eq!(id.as_str().len(), "backup_20250109_020000_7k3fq2m8ab".len());
        assert_eq!(id.as_str().parse(), Ok(id));
    }

    #[test]
    fn the_kind_is_the_whole_word_before_the_date() {
        for kind in Kind::ALL {
            assert_eq!(JobId::compose(kind, DateTime::MIN, 1).kind(), Some(kind));
        }
        for text in ["verification_1", "backup", "backups_1", "compact_20250109_020000_7k3fq2m8ab", "_backup_1"] {
            assert_eq!(text.parse::<JobId>().expect("an id").kind(), None, "{text}");
        }
    }

    #[test]
    fn an_alert_is_no_job() {
        assert!("alert_20250109_020000_7k3fq2m8ab".parse::<JobId>().is_err());
        for prefix in ["a", "alert", "alerts_1"] {
            assert!(prefix.parse::<JobId>().is_ok(), "{prefix}");
        }
    }

    #[test]
    fn hostile_ids_are_refused() {
        for text in ["", "../x", "Backup", "a b", "$where", &"a".repeat(81)] {
            assert!(text.parse::<JobId>().is_err(), "{text:?}");
        }
    }
}
