//! A decision made ready for a store: what to compare, what to append, what the head will be.

use crate::{Command, Guard, LeaseChange, Refusal, decide, evolve};
use bson::DateTime;
use lucid_schemas::{Event, Head, Job, JobId, Lease, Stamp};

/// One compare-and-set on one job document.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The job that the decision builds on: it happens only where version and epoch are still these.
    pub before: Job,
    /// Conditions on time.
    pub guards: Vec<Guard>,
    /// Appended in this order.
    pub events: Vec<Event>,
    /// The head once they are.
    pub head: Head,
    /// What becomes of the lease.
    pub lease: LeaseChange,
    /// Names this write; told from others by it when an answer is lost.
    pub write: String,
}

impl Transition {
    /// The job.
    pub const fn id(&self) -> &JobId {
        self.before.id()
    }

    /// The version that the decision builds on.
    pub const fn version(&self) -> i64 {
        self.before.head.version
    }

    /// The epoch that it builds on.
    pub const fn epoch(&self) -> i64 {
        self.before.head.epoch
    }

    /// The job as the transition left it, where it is certain that it happened, at this time of the server's clock. Renewals
    /// since `before` don't show: they are no part of the law.
    pub fn made_at(&self, now: DateTime) -> Job {
        let resolved = |at: Stamp| Stamp::At(at.resolve(now));
        let mut job = self.before.clone();
        let head = self.head.clone();
        job.head = Head {
            run_at: resolved(head.run_at),
            rank_at: resolved(head.rank_at),
            created_at: resolved(head.created_at),
            reserved_at: head.reserved_at.map(resolved),
            started_at: head.started_at.map(resolved),
            finished_at: head.finished_at.map(resolved),
            ..head
        };
        job.events.extend(self.events.iter().map(|event| Event { at: resolved(event.at), ..event.clone() }));
        match &self.lease {
            LeaseChange::Keep => {}
            LeaseChange::Drop => job.lease = None,
            LeaseChange::Take { worker, lease_ms } => {
                let expires_at = resolved(Stamp::NOW.plus(*lease_ms));
                job.lease = Some(Lease { worker: worker.clone(), token: self.write.clone(), expires_at });
                job.progress = None;
            }
        }
        job
    }
}

/// Decides, and folds the new events into the head; `by` is who acts, `write` a fresh random name.
///
/// # Errors
/// The [`Refusal`], where the law doesn't allow it.
pub fn transition(job: &Job, command: &Command, by: &str, write: &str) -> Result<Transition, Refusal> {
    let decision = decide(job, command)?;
    let first_seq = job.head.version + 1;
    let events: Vec<Event> = (first_seq..)
        .zip(decision.events)
        .map(|(seq, body)| Event { seq, at: Stamp::NOW, by: by.to_owned(), write: write.to_owned(), body })
        .collect();
    Ok(Transition {
        before: job.clone(),
        guards: decision.guards,
        head: events.iter().fold(job.head.clone(), evolve),
        events,
        lease: decision.lease,
        write: write.to_owned(),
    })
}
