//! Taking a job: for the first time, again, or over from a worker that was lost.

use super::{Decision, EVENTS_MAX, Guard, LeaseChange, hold, is_given_up, wait, wrong_state};
use crate::{Refusal, slots};
use lucid_schemas::{Code, EventBody, Failure, Job, State};

pub(super) fn claim(job: &Job, worker: &str, lease_ms: i64, slots: &[String]) -> Result<Decision, Refusal> {
    let head = &job.head;
    let guards = match head.state {
        // A holder that lives renews its lease; where it has ended, the holder is lost, whatever else a clock says.
        State::Canceling | State::Committing if job.lease.is_some() => vec![Guard::LeaseOver],
        State::Running => vec![Guard::LeaseOver],
        State::Queued | State::Canceling | State::Committing => vec![Guard::Due],
        State::Waiting | State::Blocked => return Err(wrong_state(head.state, "claim")),
        State::Succeeded | State::Failed | State::Canceled => {
            return Err(Refusal::AlreadyEnded { state: head.state });
        }
    };
    // A job that nobody holds was let go on by a person, or given back: its claim is what leads to its end.
    if head.version >= EVENTS_MAX && job.lease.is_some() {
        return Err(Refusal::StreamFull { events: head.version });
    }
    if head.state == State::Running && attempts_used_up(job) {
        return Err(Refusal::AttemptsExhausted { max_attempts: job.request.max_attempts });
    }
    wait::may_take(job, slots)?;
    let held: Vec<String> = head.holds.iter().chain(slots).cloned().collect();
    // Who only cleans up after what was given up keeps nobody from anything.
    if let Some(key) = slots::missing(&job.request.keys, &held).filter(|_| !is_given_up(job)) {
        return Err(Refusal::SlotsMissing { key: key.to_owned() });
    }
    Ok(Decision {
        guards,
        events: vec![EventBody::Claimed {
            epoch: head.epoch + 1,
            attempt: head.attempt + 1,
            takeover: job.lease.is_some(),
            slots: slots.to_vec(),
        }],
        lease: LeaseChange::Take { worker: worker.to_owned(), lease_ms },
    })
}

/// Whether a worker could claim the job if all slots that it lacks were free, and once it is due, or its lease over.
pub fn may_claim(job: &Job) -> bool {
    let slots = slots::lacking(job);
    claim(job, "", 0, &slots).is_ok()
}

/// Ends what no claim may take over any more: a running job whose worker was lost on its last attempt, and any held job
/// whose stream is full.
pub(super) fn expire(job: &Job) -> Result<Decision, Refusal> {
    let head = &job.head;
    let full = head.version >= EVENTS_MAX;
    let event = match head.state {
        State::Running if full || attempts_used_up(job) => EventBody::Failed { error: lost(job) },
        State::Canceling if full && is_given_up(job) => EventBody::Failed { error: lost(job) },
        State::Canceling if full => EventBody::Canceled {},
        State::Committing if full => hold::blocked(job, lost(job)),
        State::Running
        | State::Waiting
        | State::Queued
        | State::Canceling
        | State::Committing
        | State::Blocked
        | State::Succeeded
        | State::Failed
        | State::Canceled => return Err(wrong_state(head.state, "expire")),
    };
    Ok(Decision { guards: vec![Guard::LeaseOver], events: vec![event], lease: LeaseChange::Drop })
}

fn lost(job: &Job) -> Failure {
    let head = &job.head;
    Failure {
        code: Code::WorkerLost.into(),
        message: format!(
            "the worker was lost on attempt {} of {}; look at the log of {}",
            head.attempt,
            job.request.max_attempts,
            head.worker.as_deref().unwrap_or("its node"),
        ),
        retryable: false,
    }
}

/// Whether no attempt is left to a job whose worker was lost. Attempts that failed, and that time allowed beyond the number,
/// don't count against it.
fn attempts_used_up(job: &Job) -> bool {
    let max_attempts = job.request.max_attempts;
    job.head.attempt >= max_attempts && (job.request.retry_ms().is_none() || losses(job) + 1 >= max_attempts)
}

/// Whether a claim would take over what two workers in a row were lost under: it may be what kills them, so it is run with
/// nothing beside it that a third one would lose, too.
pub fn was_lost_twice(job: &Job) -> bool {
    job.lease.is_some() && losses(job) >= 1
}

/// How many workers in a row were lost under the job, up to the last claim: a job that kills its worker shows by this.
pub fn losses(job: &Job) -> i32 {
    let mut lost = 0;
    for event in job.events.iter().rev() {
        match &event.body {
            EventBody::Claimed { takeover: true, .. } => lost += 1,
            EventBody::Enqueued { .. }
            | EventBody::DependencyMet { .. }
            | EventBody::DependencyFailed { .. }
            | EventBody::SlotsReserved { .. }
            | EventBody::SlotsReturned { .. }
            | EventBody::Claimed { takeover: false, .. }
            | EventBody::Released { .. }
            | EventBody::AttemptFailed { .. }
            | EventBody::Resumed {}
            | EventBody::GivenUp { .. }
            | EventBody::Blocked { .. } => break,
            EventBody::SnapshotTaken { .. }
            | EventBody::CommitStarted {}
            | EventBody::SwapStarted { .. }
            | EventBody::CancelRequested {}
            | EventBody::Canceled {}
            | EventBody::Succeeded { .. }
            | EventBody::Failed { .. } => {}
        }
    }
    lost
}
