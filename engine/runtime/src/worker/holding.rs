//! What the worker holds: from a claim that was won to the end of its attempt.

use super::Worker;
use crate::{attempt::attempt, context::Claim, seats::Seat};
use lucid_schemas::Job;
use std::sync::Arc;
use tokio::{
    task::{Id, JoinError},
    time::Instant,
};

impl Worker {
    pub(super) fn hold(&mut self, job: Job, claimed_from: Instant, seat: Seat) {
        self.promising = true;
        let Some(handler) = self.handlers.get(&job.kind()).map(Arc::clone) else {
            return;
        };
        let id = job.id().clone();
        let claim = self.claim_of(job, claimed_from);
        self.held.insert(id.clone(), Arc::clone(&claim));
        let task = self.attempts.spawn(attempt(claim, handler, seat));
        self.jobs.insert(task.id(), id);
    }

    pub(super) fn claim_of(&self, job: Job, claimed_from: Instant) -> Arc<Claim> {
        let (store, options) = (Arc::clone(&self.store), Arc::clone(&self.options));
        // Handlers are told to stop the moment that the worker is, whatever it is waiting for itself.
        Claim::new(store, options, job, claimed_from, self.stop.child_token())
    }

    pub(super) fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(broken) => {
                tracing::error!(%broken, "an attempt broke off: its lease will end");
                broken.id()
            }
        };
        if let Some(id) = self.jobs.remove(&task) {
            self.held.remove(&id);
        }
        self.slots_freed();
    }
}
