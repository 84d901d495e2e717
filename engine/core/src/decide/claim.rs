//! Taking a job: for the first time, again, or over from a worker that was lost.

use super::{Decision, Guard, LeaseChange, wrong_state};
use crate::Refusal;
use lucid_schemas::{EventBody, Failure, Job, State};

pub(super) fn claim(job: &Job, worker: &str, lease_ms: i64) -> Result<Decision, Refusal> {
    let head = &job.head;
    let guards = match head.state {
        State::Queued => vec![Guard::Due],
        // A holder that lives renews its lease; where it has ended, the holder is lost.
        State::Running => vec![Guard::LeaseOver],
        State::Canceling | State::Committing => vec![Guard::Due, Guard::LeaseOver],
        State::Blocked => return Err(wrong_state(head.state, "claim")),
        State::Succeeded | State::Failed | State::Canceled => {
            return Err(Refusal::AlreadyEnded { state: head.state });
        }
    };
    if head.state == State::Running && attempts_used_up(job) {
        return Err(Refusal::AttemptsExhausted {
            max_attempts: job.request.max_attempts,
        });
    }
    Ok(Decision {
        guards,
        events: vec![EventBody::Claimed {
            epoch: head.epoch + 1,
            attempt: head.attempt + 1,
            takeover: job.lease.is_some(),
        }],
        lease: LeaseChange::Take {
            worker: worker.to_owned(),
            lease_ms,
        },
    })
}

/// Ends a running job whose last worker was lost on the last attempt.
pub(super) fn expire(job: &Job) -> Result<Decision, Refusal> {
    let head = &job.head;
    match head.state {
        State::Running if attempts_used_up(job) => Ok(Decision {
            guards: vec![Guard::LeaseOver],
            events: vec![EventBody::Failed {
                error: Failure {
                    code: "worker_lost".into(),
                    message: format!(
                        "the worker was lost on attempt {} of {}; look at the log of {}",
                        head.attempt,
                        job.request.max_attempts,
                        head.worker.as_deref().unwrap_or("its node"),
                    ),
                    retryable: false,
                },
            }],
            lease: LeaseChange::Drop,
        }),
        State::Running
        | State::Queued
        | State::Canceling
        | State::Committing
        | State::Blocked
        | State::Succeeded
        | State::Failed
        | State::Canceled => Err(wrong_state(head.state, "expire")),
    }
}

fn attempts_used_up(job: &Job) -> bool {
    job.head.attempt >= job.request.max_attempts
}
