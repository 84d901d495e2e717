//! What the worker holds: from a claim that was won to the end of its attempt.

use super::Worker;
use crate::{
    attempt::attempt,
    claims::{claimable_at_once, put_off},
    context::Claim,
    look::AFTER_DUE,
    moment::Moment,
    seats::Seat,
};
use lucid_ports::JobContext;
use lucid_schemas::Job;
use std::sync::Arc;
use tokio::task::{Id, JoinError};

impl Worker {
    pub(super) fn hold(&mut self, job: Job, claimed_from: Moment, seat: Seat) {
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

    pub(super) fn claim_of(&self, job: Job, claimed_from: Moment) -> Arc<Claim> {
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
        let claim = self.jobs.remove(&task).and_then(|id| self.held.remove(&id));
        if let Some(job) = claim.map(|claim| claim.job()).filter(|job| claimable_at_once(job.head.state)) {
            // It goes on later. The wake-up that says so may have come while it was held, when it was not heeded.
            self.look_in(put_off(&job).unwrap_or_default() + AFTER_DUE);
        }
        self.slots_freed();
    }
}
