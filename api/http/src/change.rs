//! Ending jobs, and letting blocked ones go on or giving them up: a command of the law, made true by compare-and-set.

use crate::{
    Answer, ApiError, ApiState, Caller,
    body::Body,
    check::{Found, Source},
    idempotency::Key,
    lookup,
    lookup::PathId,
    queues::reason,
    request,
    run::Due,
    state::write_token,
    view,
};
use actix_web::{HttpRequest, HttpResponse, web};
use lucid_core::{Command, Refusal, transition};
use lucid_ports::Outcome;
use lucid_schemas::{
    After, CopySpec, JOB_SCHEMA, Job, Kind, Request, Spec, State as JobState, VerifySpec, run::GiveUpBody, unique_key,
};

/// Somebody else wins a race at most once per event, and a job has few; this many losses in a row are a fault.
const TRIES: usize = 20;

type State = web::Data<ApiState>;

/// `DELETE /backup/{job_id}`.
pub(crate) async fn cancel_backup(state: State, caller: Caller, id: PathId) -> Answer {
    let job = lookup::job(&state, &caller, &id.0, Some(Kind::Backup)).await?;
    cancel_job(&state, &caller, job).await
}

/// `DELETE /jobs/{job_id}`.
pub(crate) async fn cancel(state: State, caller: Caller, id: PathId) -> Answer {
    let job = lookup::job(&state, &caller, &id.0, None).await?;
    cancel_job(&state, &caller, job).await
}

/// `POST /jobs/{job_id}/resume`.
pub(crate) async fn resume(state: State, caller: Caller, id: PathId) -> Answer {
    let job = lookup::job(&state, &caller, &id.0, None).await?;
    let job = command(&state, &caller, job, &Command::Resume).await?;
    accepted(&state, &job).await
}

/// `POST /jobs/{job_id}/give-up`: a blocked job is cleaned up after, and fails with what it did and what it didn't.
pub(crate) async fn give_up(state: State, caller: Caller, id: PathId, body: Body<GiveUpBody>) -> Answer {
    let reason = reason(body.0.reason)?;
    let job = lookup::job(&state, &caller, &id.0, None).await?;
    let job = command(&state, &caller, job, &Command::GiveUp { reason }).await?;
    accepted(&state, &job).await
}

/// `POST /jobs/{job_id}/retry`: asks for the same again, as a new job; what has ended stays as it is.
pub(crate) async fn retry(state: State, caller: Caller, request: HttpRequest, id: PathId) -> Answer {
    let key = Key::read(&request, &caller, &id.0)?;
    if let Some(job) = key.made(&state).await? {
        return request::accepted(&state, &job).await;
    }
    let old = lookup::job(&state, &caller, &id.0, None).await?;
    if !matches!(old.head.state, JobState::Failed | JobState::Canceled) {
        let refusal = Refusal::WrongState { state: old.head.state, command: "retry" };
        return Err(ApiError::Law { job: old.id().clone(), refusal });
    }
    if old.kind().is_internal() {
        let kind = old.kind();
        return Err(ApiError::Excluded(format!(
            "monitors ask for jobs of kind {kind} by themselves: there is nothing to retry"
        )));
    }
    let (spec, after) = what_again(&state, &caller, &old).await?;
    let unique_key = old.request.unique_key.as_ref().map(|key| unique_key::renewed(key, &old.request.requested_by));
    let again = |id| Request {
        id,
        schema: JOB_SCHEMA,
        requested_by: caller.name.clone(),
        keys: spec.keys(old.request.requires.repository.as_ref()),
        spec,
        after,
        unique_key,
        retry_of: Some(old.id().clone()),
        ..old.request.clone()
    };
    request::enqueue(&state, &caller, key, &old.request.spec, Due::default(), again).await
}

/// What a repeated job does, and after what: as it would be asked for now. What the first one waited for has mostly ended,
/// whichever way; what it would have been given by that is looked for here.
async fn what_again(state: &ApiState, caller: &Caller, old: &Job) -> Result<(Spec, Option<After>), ApiError> {
    let spec = old.request.spec.clone();
    let backup = match &spec {
        Spec::Verify(VerifySpec { manifest: None, backup, .. })
        | Spec::Copy(CopySpec { manifest: None, backup: Some(backup), .. }) => backup,
        // These know from birth what they are about.
        Spec::Verify(_)
        | Spec::Copy(_)
        | Spec::Backup(_)
        | Spec::Restore(_)
        | Spec::Prune(_)
        | Spec::Reencrypt(_)
        | Spec::Monitor(_)
        | Spec::Notify(_) => return Ok((spec, None)),
    };
    let manifest = match Source::find_or_open(state, caller, backup.as_str()).await? {
        Found::Made(source) => Some(source.manifest),
        Found::Open(job, _) => {
            let after = After { job: job.id().clone(), state: JobState::Succeeded };
            return Ok((spec, Some(after)));
        }
    };
    let spec = match spec {
        Spec::Verify(spec) => Spec::Verify(VerifySpec { manifest, ..spec }),
        Spec::Copy(spec) => Spec::Copy(CopySpec { manifest, ..spec }),
        Spec::Backup(_)
        | Spec::Restore(_)
        | Spec::Prune(_)
        | Spec::Reencrypt(_)
        | Spec::Monitor(_)
        | Spec::Notify(_) => spec,
    };
    Ok((spec, None))
}

async fn cancel_job(state: &ApiState, caller: &Caller, job: Job) -> Answer {
    caller.may_end(&job)?;
    let job = command(state, caller, job, &Command::RequestCancel).await?;
    accepted(state, &job).await
}

async fn accepted(state: &ApiState, job: &Job) -> Answer {
    // What was asked for has happened; not knowing the workers only leaves out a hint.
    let workers = state.workers().await.unwrap_or_default();
    Ok(HttpResponse::Accepted().json(view::job(job, &workers)))
}

/// Makes `command` true; where somebody was faster, decides again on what is there now.
async fn command(state: &ApiState, caller: &Caller, mut job: Job, command: &Command) -> Result<Job, ApiError> {
    for _ in 0..TRIES {
        let next = match transition(&job, command, &caller.name, &write_token()) {
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
