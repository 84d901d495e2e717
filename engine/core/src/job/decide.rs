//! What a command leads to. Pure: the same job and command always give the same decision.
//!
//! Times never enter a decision. Where one depends on the clock, it carries a [`Guard`], which the store judges by
//! the primary's clock in the very write that makes the decision true.

mod claim;
mod end;
mod hold;
mod wait;

pub use claim::{losses, may_claim, was_lost_twice};

use crate::{Command, Refusal};
use bson::DateTime;
use lucid_schemas::{EventBody, Job, State};

/// A stream is bounded: a job with so many events gets no further attempt. Short of the validator's 1,000, so that there
/// is always room for an end.
pub const EVENTS_MAX: i64 = 900;
/// Beyond this not even an operator's `resume` is taken.
const EVENTS_MAX_RESUMED: i64 = 980;

/// How long a job may keep slots that it reserves, before it gives others a turn.
pub const RESERVATION_MS: i64 = 600_000;

/// No lease is longer. One that ends later than so long from now was given before the primary's clock was put back.
pub const LEASE_LONGEST_MS: i64 = 600_000;

/// A condition on time that the store judges by `$$NOW` in the write's own filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// `run_at` has come.
    Due,
    /// Nobody holds a lease that is still running; one that ends later than [`LEASE_LONGEST_MS`] from now doesn't count.
    LeaseOver,
    /// The job has been reserving slots for longer than [`RESERVATION_MS`], or, by a clock that was put back, since later than
    /// so long from now.
    ReservationOver,
    /// This moment, taken from the job's events, is still to come.
    Before(DateTime),
    /// It has passed.
    NotBefore(DateTime),
}

/// What becomes of the lease with the transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseChange {
    /// It stays as it is.
    Keep,
    /// This worker gets one of so many milliseconds.
    Take {
        /// The worker.
        worker: String,
        /// How long.
        lease_ms: i64,
    },
    /// Nobody has one.
    Drop,
}

/// What a command leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Conditions on time.
    pub guards: Vec<Guard>,
    /// What will have happened, in order; never empty.
    pub events: Vec<EventBody>,
    /// What becomes of the lease.
    pub lease: LeaseChange,
}

impl Decision {
    fn of(event: EventBody, lease: LeaseChange) -> Self {
        Self { guards: Vec::new(), events: vec![event], lease }
    }
}

/// Says what `command` leads to on `job`.
///
/// # Errors
/// The [`Refusal`], where the law doesn't allow it.
pub fn decide(job: &Job, command: &Command) -> Result<Decision, Refusal> {
    match command {
        Command::Claim { worker, lease_ms, slots } => claim::claim(job, worker, *lease_ms, slots),
        Command::Reserve { slots } => wait::reserve(job, slots),
        Command::ReturnSlots { retry_in_ms } => wait::return_slots(job, *retry_in_ms),
        Command::Settle { dependency, result } => wait::settle(job, *dependency, result.as_ref()),
        Command::Expire => claim::expire(job),
        Command::Release { epoch, reason } => {
            held_by(job, *epoch, command)?;
            hold::release(job, reason)
        }
        Command::Record { epoch, fact } => {
            held_by(job, *epoch, command)?;
            hold::record(job, fact)
        }
        Command::Commit { epoch, fact } => {
            held_by(job, *epoch, command)?;
            hold::commit(job, fact)
        }
        Command::Succeed { epoch, result } => {
            held_by(job, *epoch, command)?;
            end::succeed(job, result)
        }
        Command::Fail { epoch, error, retry_in_ms, out_of_time } => {
            held_by(job, *epoch, command)?;
            end::fail(job, error, *retry_in_ms, *out_of_time)
        }
        Command::ConfirmCancel { epoch } => {
            held_by(job, *epoch, command)?;
            end::confirm_cancel(job)
        }
        Command::RequestCancel => end::request_cancel(job),
        Command::Resume => hold::resume(job),
        Command::GiveUp { reason } => end::give_up(job, reason),
    }
}

/// The fence: a worker's command counts only within its own claim.
fn held_by(job: &Job, epoch: i64, command: &Command) -> Result<(), Refusal> {
    if job.head.epoch != epoch || job.lease.is_none() {
        return Err(Refusal::Fenced { given: epoch, current: job.head.epoch, command: command.name() });
    }
    Ok(())
}

/// Whether an operator has given the job up: from then on it is cleaned up after, and fails.
pub fn is_given_up(job: &Job) -> bool {
    job.events.iter().any(|event| matches!(event.body, EventBody::GivenUp { .. }))
}

const fn wrong_state(state: State, command: &'static str) -> Refusal {
    Refusal::WrongState { state, command }
}
