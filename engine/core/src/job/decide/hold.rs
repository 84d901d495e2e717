//! What a holder may do short of ending the job, and letting a blocked one go on.

use super::{Decision, EVENTS_MAX_RESUMED, LeaseChange, wrong_state};
use crate::Refusal;
use lucid_schemas::{ConcurrencyKey, EventBody, Failure, Job, State};

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
        | EventBody::GivenUp { .. }
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
        | EventBody::GivenUp { .. }
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

/// Stuck past the point of no return. Meanwhile the job holds nothing that others need who share its keys; but of a key that
/// it had to itself it keeps the one slot that nobody shares, so that nobody else has that to himself before this job has
/// ended, or gone on.
pub(super) fn blocked(job: &Job, error: Failure) -> EventBody {
    EventBody::Blocked { error, kept: Some(standing(job)) }
}

/// Of the slots that the job holds, those that it keeps whatever it waits for.
pub(super) fn standing(job: &Job) -> Vec<String> {
    let exclusive = job.request.keys.iter().filter(|key| key.exclusive);
    exclusive.map(ConcurrencyKey::standing).filter(|slot| job.head.holds.contains(slot)).collect()
}
