//! Which slots of its concurrency keys a job may take now. Pure: a worker asks with what it has read, and the unique index
//! on slots has the last word.

use lucid_schemas::{ConcurrencyKey, Job, JobId};
use std::collections::{BTreeMap, BTreeSet};

/// Occupied slots and who has them.
pub type Occupied = BTreeMap<String, JobId>;

/// What a job that is due may do about its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotPlan {
    /// Everything is free, or its own already: claim, taking these.
    Take(Vec<String>),
    /// It needs a key to itself, and not all of it is free: reserve these meanwhile.
    Reserve(Vec<String>),
    /// Nothing can be taken now.
    Wait {
        /// The key that is full or reserved.
        key: String,
    },
}

/// Plans for a queued job. Slots that a job needs to itself are taken in order, key by key and upwards, so that two such
/// jobs can't wait for each other; sharers take from the top down, never slot 0, and none while slot 0 is taken.
pub fn plan(job: &Job, occupied: &Occupied) -> SlotPlan {
    let own = |slot: &String| occupied.get(slot).map_or_else(|| job.head.holds.contains(slot), |by| by == job.id());
    let mut take = Vec::new();
    let (exclusive, shared): (Vec<_>, Vec<_>) = job.request.keys.iter().partition(|key| key.exclusive);
    for key in exclusive {
        for slot in key.slots().filter(|slot| !own(slot)) {
            if !occupied.contains_key(&slot) {
                take.push(slot);
            } else if take.is_empty() {
                return SlotPlan::Wait { key: key.key.clone() };
            } else {
                return SlotPlan::Reserve(take);
            }
        }
    }
    for key in shared {
        if key.slots().any(|slot| own(&slot)) {
            continue;
        }
        match free_to_share(key, occupied) {
            Some(slot) => take.push(slot),
            // What it reserved stays its own; what is free beside waits with it, so that nobody comes in between.
            None if take.is_empty() => return SlotPlan::Wait { key: key.key.clone() },
            None => return reserve_exclusive(&take, job, key),
        }
    }
    SlotPlan::Take(take)
}

/// Of what could be taken, only slots of keys that the job needs to itself are reserved.
fn reserve_exclusive(take: &[String], job: &Job, full: &ConcurrencyKey) -> SlotPlan {
    let exclusive = |slot: &&String| job.request.keys.iter().any(|key| key.exclusive && key.has(slot));
    let slots: Vec<String> = take.iter().filter(exclusive).cloned().collect();
    if slots.is_empty() { SlotPlan::Wait { key: full.key.clone() } } else { SlotPlan::Reserve(slots) }
}

fn free_to_share(key: &ConcurrencyKey, occupied: &Occupied) -> Option<String> {
    let mut slots = key.slots();
    let first = slots.next()?;
    if occupied.contains_key(&first) {
        return None;
    }
    slots.rev().find(|slot| !occupied.contains_key(slot))
}

/// Keys of which nobody can share a slot now, and keys that somebody has, or reserves, to himself.
pub fn pressed(occupied: &Occupied) -> (Vec<String>, Vec<String>) {
    let names: BTreeSet<&str> = occupied.keys().filter_map(|slot| Some(slot.rsplit_once('#')?.0)).collect();
    let keys: Vec<ConcurrencyKey> = names.into_iter().map(ConcurrencyKey::shared).collect();
    let named = |is: &dyn Fn(&ConcurrencyKey) -> bool| -> Vec<String> {
        keys.iter().filter(|key| is(key)).map(|key| key.key.clone()).collect()
    };
    let full = named(&|key| free_to_share(key, occupied).is_none());
    let taken = named(&|key| key.slots().next().is_some_and(|first| occupied.contains_key(&first)));
    (full, taken)
}

/// The first key of a job that these slots don't fill.
pub fn missing<'a>(keys: &'a [ConcurrencyKey], slots: &[String]) -> Option<&'a str> {
    let filled = |key: &&ConcurrencyKey| {
        if key.exclusive {
            key.slots().all(|slot| slots.contains(&slot))
        } else {
            slots.iter().any(|slot| key.has(slot))
        }
    };
    keys.iter().find(|key| !filled(key)).map(|key| key.key.as_str())
}

#[cfg(test)]
mod tests;
