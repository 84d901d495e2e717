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
    BackupSpec, JobId, Kind, RepositoryName, Request, RestoreSpec, Spec, VerifyLevel, VerifySpec,
    http::{BackupBody, RestoreBody, VerifyBody},
};

type State = web::Data<ApiState>;

/// `POST /backup`.
pub(crate) async fn backup(state: State, body: Body<BackupBody>) -> Answer {
    let Body(asked) = body;
    let spec = BackupSpec {
        database: asked.database,
        collections: asked.collections,
        compression: asked.compression.unwrap_or(state.options.compression_default),
        encryption: asked.encryption.unwrap_or(state.options.encryption_default),
        require_consistent: asked.require_consistent.unwrap_or(false),
    };
    let name = asked.repository.as_deref().unwrap_or(&state.options.default_repository);
    let repository = check::backup(&state, &spec, name).await?;
    accept(&state, Spec::Backup(spec), repository).await
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
    let Body(asked) = body;
    let level = match asked.level.as_deref() {
        None | Some("data") => VerifyLevel::Data,
        Some("structure") => VerifyLevel::Structure,
        Some(other) => {
            let problem = format!("must be 'structure' or 'data', not '{}'", shortened(other));
            return Err(ApiError::field("level", problem));
        }
    };
    let source = Source::find(&state, &asked.backup).await?;
    let spec = VerifySpec { backup: source.job.id().clone(), manifest: Some(source.manifest), level };
    accept(&state, Spec::Verify(spec), source.repository).await
}

async fn accept(state: &ApiState, spec: Spec, repository: RepositoryName) -> Answer {
    let kind = spec.kind();
    let (chance, _) = uuid::Uuid::new_v4().as_u64_pair();
    let id = JobId::compose(kind, DateTime::now(), chance);
    let request = Request {
        max_attempts: state.options.max_attempts,
        ..Request::new(id.clone(), spec, state.options.actor(), Some(repository))
    };
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
