//! What a holder may do short of ending the job, and letting a blocked one go on.

use super::{Decision, EVENTS_MAX_RESUMED, LeaseChange, wrong_state};
use crate::Refusal;
use lucid_schemas::{EventBody, Job, State};

pub(super) fn release(job: &Job, reason: &str) -> Result<Decision, Refusal> {
    match job.head.state {
        State::Running | State::Canceling | State::Committing => {
            Ok(Decision::of(EventBody::Released { reason: reason.to_owned() }, LeaseChange::Drop))
        }
        State::Waiting | State::Queued | State::Blocked | State::Succeeded | State::Failed | State::Canceled => {
            Err(wrong_state(job.head.state, "release"))
        }
    }
}

pub(super) fn record(job: &Job, fact: &EventBody) -> Result<Decision, Refusal> {
    match fact {
        EventBody::SnapshotTaken { .. } => {}
        EventBody::Enqueued { .. }
        | EventBody::DependencyMet { .. }
        | EventBody::DependencyFailed { .. }
        | EventBody::SlotsReserved { .. }
        | EventBody::SlotsReturned { .. }
        | EventBody::Claimed { .. }
        | EventBody::Released { .. }
        | EventBody::AttemptFailed { .. }
        | EventBody::CommitStarted {}
        | EventBody::SwapStarted { .. }
        | EventBody::CancelRequested {}
        | EventBody::Canceled {}
        | EventBody::Resumed {}
        | EventBody::Blocked { .. }
        | EventBody::Succeeded { .. }
        | EventBody::Failed { .. } => {
            return Err(Refusal::WrongFact { command: "record", fact: fact.name() });
        }
    }
    match job.head.state {
        State::Running => Ok(Decision::of(fact.clone(), LeaseChange::Keep)),
        State::Canceling => Err(Refusal::AlreadyCanceling),
        State::Waiting
        | State::Queued
        | State::Committing
        | State::Blocked
        | State::Succeeded
        | State::Failed
        | State::Canceled => Err(wrong_state(job.head.state, "record")),
    }
}

pub(super) fn commit(job: &Job, fact: &EventBody) -> Result<Decision, Refusal> {
    match fact {
        EventBody::CommitStarted {} | EventBody::SwapStarted { .. } => {}
        EventBody::Enqueued { .. }
        | EventBody::DependencyMet { .. }
        | EventBody::DependencyFailed { .. }
        | EventBody::SlotsReserved { .. }
        | EventBody::SlotsReturned { .. }
        | EventBody::Claimed { .. }
        | EventBody::Released { .. }
        | EventBody::AttemptFailed { .. }
        | EventBody::SnapshotTaken { .. }
        | EventBody::CancelRequested {}
        | EventBody::Canceled {}
        | EventBody::Resumed {}
        | EventBody::Blocked { .. }
        | EventBody::Succeeded { .. }
        | EventBody::Failed { .. } => {
            return Err(Refusal::WrongFact { command: "commit", fact: fact.name() });
        }
    }
    match job.head.state {
        State::Running => Ok(Decision::of(fact.clone(), LeaseChange::Keep)),
        State::Canceling => Err(Refusal::AlreadyCanceling),
        State::Waiting
        | State::Queued
        | State::Committing
        | State::Blocked
        | State::Succeeded
        | State::Failed
        | State::Canceled => Err(wrong_state(job.head.state, "commit")),
    }
}

pub(super) fn resume(job: &Job) -> Result<Decision, Refusal> {
    if job.head.version >= EVENTS_MAX_RESUMED {
        return Err(Refusal::StreamFull { events: job.head.version });
    }
    match job.head.state {
        State::Blocked => Ok(Decision::of(EventBody::Resumed {}, LeaseChange::Keep)),
        State::Waiting
        | State::Queued
        | State::Running
        | State::Canceling
        | State::Committing
        | State::Succeeded
        | State::Failed
        | State::Canceled => Err(wrong_state(job.head.state, "resume")),
    }
}
