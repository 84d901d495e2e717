//! Names of alerts: one of its own for each, and one that all have which are about the same.

use crate::{
    id::{is_label, label},
    kind::ALERT,
};
use bson::DateTime;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt, str::FromStr};

const FINGERPRINT_BYTES: usize = 16;

/// The id of an alert, such as `alert_20250109_020000_7k3fq2m8ab`. The date inside is a label from the client that made it,
/// never a time to reason with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct AlertId(String);

/// The hash (hex) of a rule and the labels of what it found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl AlertId {
    /// Makes an id from its parts; `chance` supplies 50 random bits of its 64.
    pub fn compose(at: DateTime, chance: u64) -> Self {
        Self(label(ALERT, at, chance))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for AlertId {
    type Err = String;

    /// Accepts whole ids and prefixes of them that are longer than their kind.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_of_alert = text.strip_prefix(ALERT).is_some_and(|rest| rest.starts_with('_'));
        if is_of_alert && is_label(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err("is not an alert's id: expected something like alert_20250109_020000_7k3fq2m8ab".into())
        }
    }
}

impl<'de> Deserialize<'de> for AlertId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Fingerprint {
    /// Of what this rule finds about this subject. Never changed: programs of different versions must agree.
    pub fn of(rule: &str, labels: &BTreeMap<String, String>) -> Self {
        let mut hash = Sha256::new();
        let pairs = labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for text in std::iter::once(rule).chain(pairs) {
            // With its length first, no text can pass for two.
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'));
        Self(hash.finalize().iter().take(FINGERPRINT_BYTES).flat_map(digits).collect())
    }

    /// The fingerprint as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_the_design_writes_it() {
        let at = DateTime::parse_rfc3339_str("2025-01-09T02:00:00Z").expect("a date");
        let id = AlertId::compose(at, 0x0123_4567_89ab_cdef);
        assert!(id.as_str().starts_with("alert_20250109_020000_"), "{id}");
        assert_eq!(id.as_str().len(), "alert_20250109_020000_7k3fq2m8ab".len());
        assert_eq!(id.as_str().parse(), Ok(id));
        for text in ["", "alert", "alerts_1", "backup_20250109_020000_7k3fq2m8ab", "alert_../x", "alert_A"] {
            assert!(text.parse::<AlertId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_fingerprint_tells_what_is_the_same() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let lag = Fingerprint::of("lag", &labels(&[("member", "pi-2:27017"), ("set", "rs0")]));
        assert_eq!(lag, Fingerprint::of("lag", &labels(&[("set", "rs0"), ("member", "pi-2:27017")])));
        assert_eq!(lag.as_str(), "dcf6e9a642ba241ecfc1a3ede05ad6e7", "stored: it never changes");
        for other in [
            Fingerprint::of("lag", &labels(&[("member", "pi-3:27017"), ("set", "rs0")])),
            Fingerprint::of("lags", &labels(&[("member", "pi-2:27017"), ("set", "rs0")])),
            Fingerprint::of("lag", &labels(&[("member", "pi-2:27017"), ("setr", "s0")])),
            Fingerprint::of("lag", &labels(&[("member", "pi-2:27017")])),
            Fingerprint::of("lag", &labels(&[])),
        ] {
            assert_ne!(lag, other);
        }
    }
}
