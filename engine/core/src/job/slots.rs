//! Which slots of its concurrency keys a job may take now. Pure: a worker asks with what it has read, and the unique index
//! on slots has the last word.

use lucid_schemas::{ConcurrencyKey, Job, JobId, State};
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

/// Plans for a job that lacks slots. Slots that a job needs to itself are taken in order, key by key and upwards, so that two
/// such jobs can't wait for each other; sharers take from the top down, never slot 0 or 1, and none while slot 0 is taken.
/// Where a blocked job stands in slot 1, nothing is reserved: others may share the key for as long as that takes.
pub fn plan(job: &Job, occupied: &Occupied) -> SlotPlan {
    let own = |slot: &String| occupied.get(slot).map_or_else(|| job.head.holds.contains(slot), |by| by == job.id());
    let mut take = Vec::new();
    let (exclusive, shared): (Vec<_>, Vec<_>) = job.request.keys.iter().partition(|key| key.exclusive);
    if let Some(key) = exclusive.iter().find(|key| stands(key, occupied) && !own(&key.standing())) {
        return SlotPlan::Wait { key: key.key.clone() };
    }
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
    let (first, _standing) = (slots.next()?, slots.next());
    if occupied.contains_key(&first) {
        return None;
    }
    slots.rev().find(|slot| !occupied.contains_key(slot))
}

/// Whether somebody has the slot of a key that lets others share it, and nobody have it to himself.
fn stands(key: &ConcurrencyKey, occupied: &Occupied) -> bool {
    occupied.contains_key(&key.standing())
}

/// Keys of which nobody can share a slot now, and keys that somebody has, or reserves, to himself.
pub fn pressed(occupied: &Occupied) -> (Vec<String>, Vec<String>) {
    let names: BTreeSet<&str> = occupied.keys().filter_map(|slot| Some(slot.rsplit_once('#')?.0)).collect();
    let keys: Vec<ConcurrencyKey> = names.into_iter().map(ConcurrencyKey::shared).collect();
    let named = |is: &dyn Fn(&ConcurrencyKey) -> bool| -> Vec<String> {
        keys.iter().filter(|key| is(key)).map(|key| key.key.clone()).collect()
    };
    let full = named(&|key| free_to_share(key, occupied).is_none());
    let first_taken = |key: &ConcurrencyKey| key.slots().next().is_some_and(|first| occupied.contains_key(&first));
    let taken = named(&|key| first_taken(key) || stands(key, occupied));
    (full, taken)
}

/// Whether a job has to take slots before it can be worked on: one that is queued, or that gave them back when it was blocked.
pub fn lacks(job: &Job) -> bool {
    let waits = match job.head.state {
        State::Queued => true,
        State::Committing => job.lease.is_none(),
        State::Waiting
        | State::Running
        | State::Canceling
        | State::Blocked
        | State::Succeeded
        | State::Failed
        | State::Canceled => false,
    };
    waits && missing(&job.request.keys, &job.head.holds).is_some()
}

/// Which slots those are, where all are free.
pub fn lacking(job: &Job) -> Vec<String> {
    match plan(job, &Occupied::new()) {
        SlotPlan::Take(slots) if lacks(job) => slots,
        SlotPlan::Take(_) | SlotPlan::Reserve(_) | SlotPlan::Wait { .. } => Vec::new(),
    }
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
