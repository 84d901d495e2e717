//! The ways a job ends: well, badly, or because somebody asked for it.

use super::{Decision, EVENTS_MAX, Guard, LeaseChange, hold, is_given_up, wrong_state};
use crate::Refusal;
use bson::{DateTime, Document};
use lucid_schemas::{Event, EventBody, Failure, Job, Kind, State};

/// So often cleaning up is tried after what was given up; then the job fails, and says what stays behind.
const CLEAN_UP_TRIES: usize = 10;

pub(super) fn succeed(job: &Job, result: &Document) -> Result<Decision, Refusal> {
    match job.head.state {
        State::Running | State::Committing => {
            Ok(Decision::of(EventBody::Succeeded { result: result.clone() }, LeaseChange::Drop))
        }
        State::Canceling => Err(Refusal::AlreadyCanceling),
        State::Waiting | State::Queued | State::Blocked | State::Succeeded | State::Failed | State::Canceled => {
            Err(wrong_state(job.head.state, "succeed"))
        }
    }
}

/// Before the point of no return a job is tried again, or fails: by the number of its attempts, and where the number is the
/// default one, only once the time of its kind is over, too. After it, it is tried again without limit, or
/// stays open as blocked: what was begun is never left half-done without saying so.
pub(super) fn fail(job: &Job, error: &Failure, retry_in_ms: i64, out_of_time: bool) -> Result<Decision, Refusal> {
    let again = EventBody::AttemptFailed { error: error.clone(), retry_in_ms };
    let attempts_left = job.head.attempt < job.request.max_attempts;
    // A stream is bounded: a job that has failed for so long needs a person.
    let stream_left = job.head.version < EVENTS_MAX;
    if job.head.state == State::Running
        && error.retryable
        && stream_left
        && !attempts_left
        && let Some(retry_ms) = job.request.retry_ms()
    {
        let (guards, event) = match failing_since(job) {
            None => (Vec::new(), again),
            Some(since) if out_of_time => {
                (vec![Guard::NotBefore(plus(since, retry_ms))], EventBody::Failed { error: error.clone() })
            }
            Some(since) => (vec![Guard::Before(plus(since, retry_ms))], again),
        };
        return Ok(Decision { guards, events: vec![event], lease: LeaseChange::Drop });
    }
    let event = match job.head.state {
        State::Running if error.retryable && attempts_left && stream_left => again,
        State::Running => EventBody::Failed { error: error.clone() },
        State::Committing if error.retryable && stream_left => again,
        State::Committing => hold::blocked(job, error.clone()),
        State::Canceling if is_given_up(job) => {
            let more = error.retryable && stream_left && cleaned_up_in_vain(job) + 1 < CLEAN_UP_TRIES;
            if more { again } else { EventBody::Failed { error: error.clone() } }
        }
        // What was asked for is the end, and a failed attempt is one.
        State::Canceling => EventBody::Canceled {},
        State::Waiting | State::Queued | State::Blocked | State::Succeeded | State::Failed | State::Canceled => {
            return Err(wrong_state(job.head.state, "fail"));
        }
    };
    Ok(Decision::of(event, LeaseChange::Drop))
}

/// How often cleaning up after what was given up has failed.
fn cleaned_up_in_vain(job: &Job) -> usize {
    let since = job.events.iter().rev().take_while(|event| !matches!(event.body, EventBody::GivenUp { .. }));
    since.filter(|event| matches!(event.body, EventBody::AttemptFailed { .. })).count()
}

/// When an attempt failed for the first time.
fn failing_since(job: &Job) -> Option<DateTime> {
    let failed = |event: &&Event| matches!(event.body, EventBody::AttemptFailed { .. });
    job.events.iter().find(failed).and_then(|first| first.at.stored())
}

fn plus(at: DateTime, ms: i64) -> DateTime {
    DateTime::from_millis(at.timestamp_millis().saturating_add(ms))
}

pub(super) fn request_cancel(job: &Job) -> Result<Decision, Refusal> {
    match job.head.state {
        State::Waiting | State::Queued => Ok(Decision::of(EventBody::Canceled {}, LeaseChange::Drop)),
        State::Running => Ok(Decision::of(EventBody::CancelRequested {}, LeaseChange::Keep)),
        State::Canceling => Err(Refusal::AlreadyCanceling),
        // A manifest that no result names is void, so a backup that is stuck leaves nothing half-done.
        State::Blocked if job.kind() == Kind::Backup => Ok(Decision::of(EventBody::Canceled {}, LeaseChange::Drop)),
        State::Committing | State::Blocked => Err(Refusal::PastPointOfNoReturn),
        State::Succeeded | State::Failed | State::Canceled => Err(Refusal::AlreadyEnded { state: job.head.state }),
    }
}

/// Past the point of no return nothing goes back by itself; so it ends as failed, never as canceled, and says what was done.
pub(super) fn give_up(job: &Job, reason: &str) -> Result<Decision, Refusal> {
    match job.head.state {
        State::Blocked => Ok(Decision::of(EventBody::GivenUp { reason: reason.to_owned() }, LeaseChange::Keep)),
        State::Canceling if is_given_up(job) => Err(Refusal::AlreadyCanceling),
        State::Waiting | State::Queued | State::Running | State::Canceling | State::Committing => {
            Err(wrong_state(job.head.state, "give_up"))
        }
        State::Succeeded | State::Failed | State::Canceled => Err(Refusal::AlreadyEnded { state: job.head.state }),
    }
}

pub(super) fn confirm_cancel(job: &Job) -> Result<Decision, Refusal> {
    match job.head.state {
        State::Canceling if is_given_up(job) => Err(wrong_state(job.head.state, "confirm_cancel")),
        State::Canceling => Ok(Decision::of(EventBody::Canceled {}, LeaseChange::Drop)),
        State::Waiting
        | State::Queued
        | State::Running
        | State::Committing
        | State::Blocked
        | State::Succeeded
        | State::Failed
        | State::Canceled => Err(wrong_state(job.head.state, "confirm_cancel")),
    }
}
