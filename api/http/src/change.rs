//! Ending jobs, and letting blocked ones go on: a command of the law, made true by compare-and-set.

use crate::{Answer, ApiError, ApiState, lookup, lookup::PathId, state::write_token, view};
use actix_web::{HttpResponse, web};
use lucid_core::{Command, Refusal, transition};
use lucid_ports::Outcome;
use lucid_schemas::{Job, Kind};

/// Somebody else wins a race at most once per event, and a job has few; this many losses in a row are a fault.
const TRIES: usize = 20;

type State = web::Data<ApiState>;

/// `DELETE /backup/{job_id}`.
pub(crate) async fn cancel_backup(state: State, id: PathId) -> Answer {
    let job = lookup::job(&state, &id.0, Some(Kind::Backup)).await?;
    cancel_job(&state, job).await
}

/// `DELETE /jobs/{job_id}`.
pub(crate) async fn cancel(state: State, id: PathId) -> Answer {
    let job = lookup::job(&state, &id.0, None).await?;
    cancel_job(&state, job).await
}

/// `POST /jobs/{job_id}/resume`.
pub(crate) async fn resume(state: State, id: PathId) -> Answer {
    let job = lookup::job(&state, &id.0, None).await?;
    let job = command(&state, job, &Command::Resume).await?;
    accepted(&state, &job).await
}

async fn cancel_job(state: &ApiState, job: Job) -> Answer {
    let job = command(state, job, &Command::RequestCancel).await?;
    accepted(state, &job).await
}

async fn accepted(state: &ApiState, job: &Job) -> Answer {
    // What was asked for has happened; not knowing the workers only leaves out a hint.
    let workers = state.workers().await.unwrap_or_default();
    Ok(HttpResponse::Accepted().json(view::job(job, &workers)))
}

/// Makes `command` true; where somebody was faster, decides again on what is there now.
async fn command(state: &ApiState, mut job: Job, command: &Command) -> Result<Job, ApiError> {
    let by = state.options.actor();
    for _ in 0..TRIES {
        let next = match transition(&job, command, &by, &write_token()) {
            Ok(next) => next,
            // Asking twice is the same as asking once.
            Err(Refusal::AlreadyCanceling) => return Ok(job),
            Err(refusal) => {
                return Err(ApiError::Law { job: job.id().clone(), refusal });
            }
        };
        match state.store.apply(&next).await? {
            Outcome::Won(job) => {
                tracing::info!(job = %job.id(), state = %job.head.state, command = command.name(), "accepted");
                return Ok(*job);
            }
            Outcome::Lost(Some(current)) => job = *current,
            Outcome::Lost(None) => return Err(ApiError::NotFound(format!("{} is gone", job.id()))),
        }
    }
    Err(ApiError::Busy(job.id().to_string()))
}
