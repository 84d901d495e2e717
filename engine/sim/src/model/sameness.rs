//! Which states are one: those that the law and the store can't tell apart, now or later.
//!
//! The law reads a job's head and lease, and of its events only whether it was given up (how often cleaning up failed since can't
//! matter within the bounds); all invariants are inductive over events, so that a sound
//! history may be forgotten. A write that builds on an earlier version is lost whatever it says, and one of an earlier
//! epoch is then refused whatever it asks. Workers have no traits but their names. Where a mutant breaks one of these
//! sentences, states are compared whole.

use super::{
    actor::Actor,
    stored::Stored,
    world::{World, name},
};
use lucid_core::is_given_up;
use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
};

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.lease_left, self.due_in, self.acknowledged, self.broken).hash(state);
        if self.exact {
            (self.stored.print(), &self.actors).hash(state);
            return;
        }
        let job = self.stored.job();
        let head = &job.head;
        (head.state, head.version, head.epoch, head.attempt, head.error.is_some()).hash(state);
        (job.lease.is_some(), is_given_up(job), self.stored.verdict().sound).hash(state);
        let mut actors: Vec<u64> = (0..self.actors.len()).map(|worker| self.essence(worker)).collect();
        actors.sort_unstable();
        actors.hash(state);
    }
}

impl World {
    /// What matters of a worker.
    fn essence(&self, worker: usize) -> u64 {
        let job = self.stored.job();
        let mut hasher = DefaultHasher::new();
        (job.head.worker.as_deref() == Some(name(worker).as_str())).hash(&mut hasher);
        match &self.actors[worker] {
            Actor::Idle => 0.hash(&mut hasher),
            Actor::Sending { landed: Some(landed), order, epoch, .. } => {
                let heard = landed.job();
                (1, order, epoch, heard.head.epoch, heard.head.state, self.is_fresh(landed)).hash(&mut hasher);
            }
            Actor::Sending { order, epoch, base, .. } if self.is_fresh(base) => (2, order, epoch).hash(&mut hasher),
            Actor::Sending { epoch, .. } if *epoch > 0 && *epoch != job.head.epoch => 3.hash(&mut hasher),
            Actor::Sending { order, epoch, .. } => (4, order, epoch).hash(&mut hasher),
            Actor::Holding { epoch, seen, .. } => {
                (5, epoch, seen.job().head.state, self.is_fresh(seen)).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn is_fresh(&self, known: &Stored) -> bool {
        known.job().head.version == self.stored.job().head.version
    }
}
