//! One transition made true: decide, compare and set, decide again where somebody was faster.

use lucid_core::{Command, Refusal, invariant::violations, transition};
use lucid_ports::{Outcome, Store, StoreError};
use lucid_schemas::Job;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LONGEST: Duration = Duration::from_secs(2);

/// Why a step didn't come about.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The law doesn't allow it; the job as it is now.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The job.
        job: Box<Job>,
    },
    /// A guard doesn't hold: not due yet, or the lease of another worker runs.
    #[error("not now: the job isn't due, or its lease isn't over")]
    NotNow,
    /// The job isn't there any more.
    #[error("the job doesn't exist any more")]
    Gone,
    /// The store failed until the deadline.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes `command` true, trying again until `deadline` where the store can't be reached.
pub async fn step(
    store: &Arc<dyn Store>,
    mut job: Job,
    command: &Command,
    by: &str,
    deadline: Instant,
) -> Result<Job, StepError> {
    // One name for all tries: an answer that was lost is recognised by it.
    let write = uuid::Uuid::new_v4().to_string();
    loop {
        match try_step(store, &job, command, by, &write, deadline).await? {
            Outcome::Won(job) => return Ok(*job),
            Outcome::Lost(None) => return Err(StepError::Gone),
            Outcome::Lost(Some(current)) if current.head.version == job.head.version => return Err(StepError::NotNow),
            Outcome::Lost(Some(current)) => job = *current,
        }
    }
}

/// Decides once: somebody else may be faster, which the outcome tells.
pub async fn try_step(
    store: &Arc<dyn Store>,
    job: &Job,
    command: &Command,
    by: &str,
    write: &str,
    deadline: Instant,
) -> Result<Outcome, StepError> {
    let next = transition(job, command, by, write)
        .map_err(|refusal| StepError::Refused { refusal, job: Box::new(job.clone()) })?;
    let mut pause = PAUSE_FIRST;
    loop {
        match store.apply(&next).await {
            Ok(outcome) => {
                if let Outcome::Won(after) = &outcome {
                    check(job, after);
                }
                return Ok(outcome);
            }
            Err(error) if error.is_retryable() && Instant::now() + pause < deadline => {
                tracing::warn!(job = %job.id(), command = command.name(), %error, "trying again");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_LONGEST);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What was wrong before this program touched it is another's doing: a hand's, or a later program's.
fn check(before: &Job, after: &Job) {
    let found = violations(after);
    if found.is_empty() {
        return;
    }
    let was_sound = violations(before).is_empty();
    for violation in found {
        if was_sound {
            tracing::error!(%violation, "an invariant is broken, which is a defect");
        } else {
            tracing::warn!(%violation, "the stored job was changed by something else than this program");
        }
        debug_assert!(!was_sound, "{violation}");
    }
}
