//! A decision made ready for a store: what to compare, what to append, what the head will be.

use crate::{Command, Guard, LeaseChange, Refusal, decide, evolve};
use lucid_schemas::{Event, Head, Job, JobId, Stamp};

/// One compare-and-set on one job document.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The job.
    pub id: JobId,
    /// The version that the decision builds on.
    pub version: i64,
    /// The epoch that it builds on.
    pub epoch: i64,
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
        id: job.id().clone(),
        version: job.head.version,
        epoch: job.head.epoch,
        guards: decision.guards,
        head: events.iter().fold(job.head.clone(), evolve),
        events,
        lease: decision.lease,
        write: write.to_owned(),
    })
}
