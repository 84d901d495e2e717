//! Asking for backups, restores, verifications, prunes, copies and encrypting anew. Everything that can be known to be wrong is said before there is
//! a job.

use crate::{
    Answer, ApiError, ApiState, Caller,
    body::{Body, shortened},
    check::{self, Found, Source},
    idempotency::{Birth, Key},
    run::{Due, Run},
    view,
};
use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION, web};
use bson::DateTime;
use lucid_ports::{Enqueue, StoreError};
use lucid_schemas::{
    BackupSpec, CopySpec, Job, JobId, Keep, Kind, PruneSpec, ReencryptSpec, RepositoryName, Request, RestoreSpec, Spec,
    VerifyLevel, VerifySpec,
    http::{BackupBody, CopyBody, PruneBody, ReencryptBody, RestoreBody, VerifyBody},
    prune::GRACE_HOURS,
};
use serde::Serialize;

type State = web::Data<ApiState>;

/// `POST /backup`.
pub(crate) async fn backup(state: State, caller: Caller, request: HttpRequest, body: Body<BackupBody>) -> Answer {
    ask(state, caller, request, body, backup_asked).await
}

/// What a backup that is asked for comes to, checked.
pub(crate) async fn backup_asked(state: &ApiState, caller: &Caller, asked: BackupBody) -> Result<Asked, ApiError> {
    // Nothing is told of what lies elsewhere, not even whether it is there.
    caller.may_touch(&asked.database)?;
    let spec = BackupSpec {
        database: asked.database,
        collections: asked.collections,
        compression: asked.compression.unwrap_or(state.options.compression_default),
        encryption: asked.encryption.unwrap_or(state.options.encryption_default),
        require_consistent: asked.require_consistent.unwrap_or(false),
    };
    let name = asked.repository.as_deref().unwrap_or(&state.options.default_repository);
    let repository = check::backup(state, &spec, name).await?;
    let run = Run::read(state, caller, asked.job).await?;
    Ok(Asked { spec: Spec::Backup(spec), repository, run })
}

/// `POST /restore`.
pub(crate) async fn restore(state: State, caller: Caller, request: HttpRequest, body: Body<RestoreBody>) -> Answer {
    ask(state, caller, request, body, restore_asked).await
}

async fn restore_asked(state: &ApiState, caller: &Caller, asked: RestoreBody) -> Result<Asked, ApiError> {
    let source = Source::find(state, caller, &asked.backup).await?;
    let spec = RestoreSpec {
        backup: source.job.id().clone(),
        manifest: source.manifest.clone(),
        database: asked.database.unwrap_or_else(|| source.database.clone()),
        collections: asked.collections,
        replace: asked.replace.unwrap_or(false),
        dry_run: asked.dry_run.unwrap_or(false),
    };
    caller.may_touch(&spec.database)?;
    check::restore(state, &spec, &source).await?;
    let run = Run::read(state, caller, asked.job).await?;
    Ok(Asked { spec: Spec::Restore(spec), repository: source.repository, run })
}

/// `POST /verify`. One of a backup that isn't finished yet waits for it.
pub(crate) async fn verify(state: State, caller: Caller, request: HttpRequest, body: Body<VerifyBody>) -> Answer {
    ask(state, caller, request, body, verify_asked).await
}

/// What a verification that is asked for comes to, checked.
pub(crate) async fn verify_asked(state: &ApiState, caller: &Caller, asked: VerifyBody) -> Result<Asked, ApiError> {
    let level = asked.level.as_deref().unwrap_or("data");
    let Some(level) = VerifyLevel::ALL.into_iter().find(|known| known.as_str() == level) else {
        let problem = format!("must be 'structure', 'data' or 'drill', not '{}'", shortened(level));
        return Err(ApiError::field("level", problem));
    };
    let sample = asked.sample.map(|text| text.parse().map_err(|problem: String| ApiError::field("sample", problem)));
    let part = asked.part.map(|text| text.parse().map_err(|problem: String| ApiError::field("part", problem)));
    let (sample, part, seed) = (sample.transpose()?, part.transpose()?, asked.seed);
    let run = Run::read(state, caller, asked.job).await?;
    let (manifest, repository, backup, run) = match Source::find_or_open(state, caller, &asked.backup).await? {
        Found::Made(source) => (Some(source.manifest), source.repository, source.job.id().clone(), run),
        Found::Open(job, repository) => (None, repository, job.id().clone(), run.after_success(&job)?),
    };
    let spec = VerifySpec { sample, seed, part, ..VerifySpec::whole(backup, manifest, level) };
    if let Some(error) = spec.check().into_iter().next() {
        return Err(ApiError::field(error.field, error.problem));
    }
    let spec = Spec::Verify(spec);
    Ok(Asked { spec, repository, run })
}

/// `POST /prune`.
pub(crate) async fn prune(state: State, caller: Caller, request: HttpRequest, body: Body<PruneBody>) -> Answer {
    ask(state, caller, request, body, prune_asked).await
}

/// What a prune that is asked for comes to, checked.
pub(crate) async fn prune_asked(state: &ApiState, caller: &Caller, asked: PruneBody) -> Result<Asked, ApiError> {
    caller.needs_all("a prune")?;
    let spec = Spec::Prune(PruneSpec {
        keep: asked.keep.unwrap_or(Keep::of_days(state.options.retention_days, state.options.keep_last)),
        dry_run: asked.dry_run.unwrap_or(false),
        at_once: asked.at_once.unwrap_or(false),
        repack: asked.repack.unwrap_or(true),
        grace_hours: asked.grace_hours.unwrap_or(GRACE_HOURS),
        take_ownership: asked.take_ownership.unwrap_or(false),
        cluster: asked.cluster,
        accept_loss: asked.accept_loss.unwrap_or(false),
        forget_many: asked.forget_many.unwrap_or(false),
    });
    let name = asked.repository.as_deref().unwrap_or(&state.options.default_repository);
    let repository = check::repository(state, &spec, name).await?;
    let run = Run::read(state, caller, asked.job).await?;
    Ok(Asked { spec, repository, run })
}

/// `POST /copy`. One of a backup that isn't finished yet waits for it.
pub(crate) async fn copy(state: State, caller: Caller, request: HttpRequest, body: Body<CopyBody>) -> Answer {
    ask(state, caller, request, body, copy_asked).await
}

/// What a copy that is asked for comes to, checked.
pub(crate) async fn copy_asked(state: &ApiState, caller: &Caller, asked: CopyBody) -> Result<Asked, ApiError> {
    let to = check::named(state, "to", &asked.to).await?;
    let run = Run::read(state, caller, asked.job).await?;
    let (backup, manifest, repository, run) = match &asked.backup {
        None => {
            caller.needs_all("a copy of every backup")?;
            let name = asked.repository.as_deref().unwrap_or(&state.options.default_repository);
            (None, None, check::named(state, "repository", name).await?, run)
        }
        Some(_) if asked.repository.is_some() => {
            return Err(ApiError::field("repository", "is known by the backup: leave it out"));
        }
        Some(backup) => match Source::find_or_open(state, caller, backup).await? {
            Found::Made(source) => (Some(source.job.id().clone()), Some(source.manifest), source.repository, run),
            Found::Open(job, repository) => (Some(job.id().clone()), None, repository, run.after_success(&job)?),
        },
    };
    let spec = CopySpec { backup, manifest, to };
    if let Some(error) = spec.check(Some(&repository)).into_iter().next() {
        return Err(ApiError::field(error.field, error.problem));
    }
    Ok(Asked { spec: Spec::Copy(spec), repository, run })
}

/// `POST /reencrypt`.
pub(crate) async fn reencrypt(state: State, caller: Caller, request: HttpRequest, body: Body<ReencryptBody>) -> Answer {
    ask(state, caller, request, body, reencrypt_asked).await
}

async fn reencrypt_asked(state: &ApiState, caller: &Caller, asked: ReencryptBody) -> Result<Asked, ApiError> {
    let name = asked.repository.as_deref().unwrap_or(&state.options.default_repository);
    let repository = check::named(state, "repository", name).await?;
    let run = Run::read(state, caller, asked.job).await?;
    Ok(Asked { spec: Spec::Reencrypt(ReencryptSpec {}), repository, run })
}

/// What a job is asked to do, where its worker finds what it needs, and how it is run.
pub(crate) struct Asked {
    pub spec: Spec,
    pub repository: RepositoryName,
    pub run: Run,
}

/// The job that a body asks for; the one that was made already, where the same request came before.
async fn ask<T: Serialize>(
    state: State,
    caller: Caller,
    request: HttpRequest,
    Body(asked): Body<T>,
    check: impl AsyncFnOnce(&ApiState, &Caller, T) -> Result<Asked, ApiError>,
) -> Answer {
    let key = Key::read(&request, &caller, &asked)?;
    if let Some(job) = key.made(&state).await? {
        return accepted(&state, &job).await;
    }
    let asked = check(&state, &caller, asked).await?;
    accept(&state, &caller, key, asked).await
}

async fn accept(state: &ApiState, caller: &Caller, key: Key, asked: Asked) -> Answer {
    let Asked { spec, repository, run } = asked;
    let request = |id| {
        let max_attempts = state.options.max_attempts;
        Request { max_attempts, ..Request::new(id, spec.clone(), &caller.name, Some(repository.clone())) }
    };
    let due = run.due();
    enqueue(state, caller, key, &spec, due, |id| run.apply(request(id))).await
}

/// The id of a job that is asked for now.
pub(crate) fn fresh_id(kind: Kind) -> JobId {
    JobId::compose(kind, DateTime::now(), uuid::Uuid::new_v4().as_u64_pair().0)
}

/// Makes the job that does this, under the id and the write that the key is bound to, where the caller may ask for it.
pub(crate) async fn enqueue(
    state: &ApiState,
    caller: &Caller,
    key: Key,
    spec: &Spec,
    due: Due,
    request: impl FnOnce(JobId) -> Request,
) -> Answer {
    caller.may_ask_for(spec)?;
    let Birth { id, write } = key.bind(state, fresh_id(spec.kind())).await?;
    let enqueue = Enqueue { request: request(id.clone()), delay_ms: due.in_ms, run_at: due.at, write };
    let job = state.store.enqueue(&enqueue).await.map_err(|error| unsure(&id, error))?;
    tracing::info!(job = %job.id(), "accepted");
    accepted(state, &job).await
}

/// 202 with the job.
pub(crate) async fn accepted(state: &ApiState, job: &Job) -> Answer {
    // The job exists; not knowing the workers only leaves out a hint.
    let around = state.workers().await.unwrap_or_default();
    let path = if job.kind() == Kind::Backup { "backup" } else { "jobs" };
    let place = format!("/{path}/{}", job.id());
    Ok(HttpResponse::Accepted().insert_header((LOCATION, place)).json(view::job(job, &around)))
}

/// A store that went away may have kept the job: say under which id to look for it.
fn unsure(id: &JobId, error: StoreError) -> ApiError {
    match error {
        StoreError::Unavailable(_) => ApiError::Unavailable(format!(
            "{error}; the job may have been stored: look for it as {id} before you ask again"
        )),
        other => other.into(),
    }
}
