//! Asking for backups, restores and verifications. Everything that can be known to be wrong is said before there is
//! a job.

use crate::{
    Answer, ApiError, ApiState,
    body::{Body, shortened},
    check::{self, Source},
    state::write_token,
    view,
};
use actix_web::{HttpResponse, http::header::LOCATION, web};
use bson::DateTime;
use lucid_ports::{Enqueue, StoreError};
use lucid_schemas::{
    BackupSpec, JobId, Kind, RepositoryName, Request, Requires, RestoreSpec, Spec, VerifyLevel, VerifySpec,
    http::{BackupBody, RestoreBody, VerifyBody},
};

type State = web::Data<ApiState>;

/// `POST /backup`.
pub(crate) async fn backup(state: State, body: Body<BackupBody>) -> Answer {
    let (spec, repository) = backup_spec(&state, body.0).await?;
    accept(&state, spec, repository).await
}

/// What a backup that is asked for comes to, checked.
pub(crate) async fn backup_spec(state: &ApiState, asked: BackupBody) -> Result<(Spec, RepositoryName), ApiError> {
    let spec = BackupSpec {
        database: asked.database,
        collections: asked.collections,
        compression: asked.compression.unwrap_or(state.options.compression_default),
        encryption: asked.encryption.unwrap_or(state.options.encryption_default),
        require_consistent: asked.require_consistent.unwrap_or(false),
    };
    let name = asked.repository.as_deref().unwrap_or(&state.options.default_repository);
    let repository = check::backup(state, &spec, name).await?;
    Ok((Spec::Backup(spec), repository))
}

/// `POST /restore`.
pub(crate) async fn restore(state: State, body: Body<RestoreBody>) -> Answer {
    let Body(asked) = body;
    let source = Source::find(&state, &asked.backup).await?;
    let spec = RestoreSpec {
        backup: source.job.id().clone(),
        manifest: source.manifest.clone(),
        database: asked.database.unwrap_or_else(|| source.database.clone()),
        collections: asked.collections,
        replace: asked.replace.unwrap_or(false),
        dry_run: asked.dry_run.unwrap_or(false),
    };
    check::restore(&state, &spec, &source).await?;
    accept(&state, Spec::Restore(spec), source.repository).await
}

/// `POST /verify`.
pub(crate) async fn verify(state: State, body: Body<VerifyBody>) -> Answer {
    let (spec, repository) = verify_spec(&state, body.0).await?;
    accept(&state, spec, repository).await
}

/// What a verification that is asked for comes to, checked.
pub(crate) async fn verify_spec(state: &ApiState, asked: VerifyBody) -> Result<(Spec, RepositoryName), ApiError> {
    let level = match asked.level.as_deref() {
        None | Some("data") => VerifyLevel::Data,
        Some("structure") => VerifyLevel::Structure,
        Some(other) => {
            let problem = format!("must be 'structure' or 'data', not '{}'", shortened(other));
            return Err(ApiError::field("level", problem));
        }
    };
    let source = Source::find(state, &asked.backup).await?;
    let spec = VerifySpec { backup: source.job.id().clone(), manifest: source.manifest, level };
    Ok((Spec::Verify(spec), source.repository))
}

async fn accept(state: &ApiState, spec: Spec, repository: RepositoryName) -> Answer {
    let request = Request {
        id: fresh_id(spec.kind()),
        spec,
        requested_by: state.options.actor(),
        unique_key: None,
        priority: 0,
        max_attempts: state.options.max_attempts,
        requires: Requires { repository: Some(repository), labels: Vec::new() },
    };
    enqueue(state, request).await
}

/// The id of a job that is asked for now.
pub(crate) fn fresh_id(kind: Kind) -> JobId {
    JobId::compose(kind, DateTime::now(), uuid::Uuid::new_v4().as_u64_pair().0)
}

/// Makes the job.
pub(crate) async fn enqueue(state: &ApiState, request: Request) -> Answer {
    let (id, kind) = (request.id.clone(), request.spec.kind());
    let enqueue = Enqueue { request, delay_ms: 0, write: write_token() };
    let job = state.store.enqueue(&enqueue).await.map_err(|error| unsure(&id, error))?;
    tracing::info!(job = %job.id(), "accepted");
    // The job exists; not knowing the workers only leaves out a hint.
    let workers = state.workers().await.unwrap_or_default();
    let path = if kind == Kind::Backup { "backup" } else { "jobs" };
    Ok(HttpResponse::Accepted().insert_header((LOCATION, format!("/{path}/{id}"))).json(view::job(&job, &workers)))
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
