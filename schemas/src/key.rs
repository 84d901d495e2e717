//! Concurrency keys: what a job needs to itself, or shares with its like, and the slots that stand for it.
//!
//! A key has a fixed number of slots, the same for every program that ever runs: who shares takes one, who excludes takes
//! all. Slot 0 is never shared: whoever takes it keeps further sharers out, so that an exclusive job isn't starved. Nor is
//! slot 1: who is blocked keeps that of a key which it had to itself, so that others may share the key, but none have it.

use serde::{Deserialize, Serialize};

/// What a job needs to run: a key, to itself or shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConcurrencyKey {
    /// The key: `cluster`, `database:NAME`, `repository:ID`, `reencryption:ID` or `copies:ID`.
    pub key: String,
    /// Whether nobody else may share it meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exclusive: bool,
}

impl ConcurrencyKey {
    /// The whole replica set.
    pub const CLUSTER: &'static str = "cluster";

    /// A key that is shared.
    pub fn shared(key: impl Into<String>) -> Self {
        Self { key: key.into(), exclusive: false }
    }

    /// A key that excludes everybody else.
    pub fn exclusive(key: impl Into<String>) -> Self {
        Self { key: key.into(), exclusive: true }
    }

    /// The key of a database.
    pub fn database(name: &str) -> String {
        format!("database:{name}")
    }

    /// The key of a repository, by its own id.
    pub fn repository(id: &str) -> String {
        format!("repository:{id}")
    }

    /// The key of what encrypts a repository anew: one at a time.
    pub fn reencryption(id: &str) -> String {
        format!("reencryption:{id}")
    }

    /// The key of what copies into a repository: one at a time, or two would copy the same.
    pub fn copies(id: &str) -> String {
        format!("copies:{id}")
    }

    /// All slots of the key, from 0.
    pub fn slots(&self) -> impl DoubleEndedIterator<Item = String> + '_ {
        (0..slot_count(&self.key)).map(|number| slot(&self.key, number))
    }

    /// The slot that keeps everybody else from having the key to himself, and nobody from sharing it.
    pub fn standing(&self) -> String {
        slot(&self.key, 1)
    }

    /// Whether a slot is one of this key.
    pub fn has(&self, slot: &str) -> bool {
        slot.rsplit_once('#').is_some_and(|(key, _)| key == self.key)
    }
}

/// The name of a slot, such as `database:lucid#3`.
pub fn slot(key: &str, number: u32) -> String {
    format!("{key}#{number}")
}

/// How many slots a key has. Never changed: programs of different versions must agree.
fn slot_count(key: &str) -> u32 {
    if key == ConcurrencyKey::CLUSTER {
        64
    } else if key.starts_with("repository:") {
        32
    } else {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_belong_to_their_key_only() {
        let key = ConcurrencyKey::shared(ConcurrencyKey::database("a#1"));
        let slots: Vec<_> = key.slots().collect();
        assert_eq!((slots.len(), slots[3].as_str()), (8, "database:a#1#3"));
        assert!(slots.iter().all(|slot| key.has(slot)));
        let other = ConcurrencyKey::exclusive(ConcurrencyKey::database("a"));
        assert!(other.slots().all(|slot| !key.has(&slot)) && slots.iter().all(|slot| !other.has(slot)));
    }
}
