//! What somebody sees of the jobs whose token is for some databases only.
//!
//! Invariant: what isn't about his databases is for him as if it weren't there. What is about a backup is about the database of that backup;
//! what is about all of them, or can't be told, is none of his.

use crate::{ApiError, ApiState, Caller};
use lucid_schemas::{CopySpec, JobId, Spec};

/// Whether he sees a job, or a schedule, that is to do this.
pub(crate) async fn sees(state: &ApiState, caller: &Caller, spec: &Spec) -> Result<bool, ApiError> {
    let scope = caller.scope();
    if scope.is_all() {
        return Ok(true);
    }
    match spec {
        Spec::Backup(spec) => Ok(scope.has(&spec.database)),
        Spec::Restore(spec) => Ok(scope.has(&spec.database) && of_backup(state, caller, &spec.backup).await?),
        Spec::Verify(spec) => of_backup(state, caller, &spec.backup).await,
        Spec::Copy(CopySpec { backup: Some(backup), .. }) => of_backup(state, caller, backup).await,
        Spec::Copy(CopySpec { backup: None, .. })
        | Spec::Prune(_)
        | Spec::Reencrypt(_)
        | Spec::Monitor(_)
        | Spec::Notify(_) => Ok(false),
    }
}

/// The same of a job by its id; one that is gone isn't seen.
pub(crate) async fn sees_job(state: &ApiState, caller: &Caller, id: &JobId) -> Result<bool, ApiError> {
    if caller.scope().is_all() {
        return Ok(true);
    }
    match state.store.load(id).await? {
        Some(job) => sees(state, caller, &job.request.spec).await,
        None => Ok(false),
    }
}

async fn of_backup(state: &ApiState, caller: &Caller, id: &JobId) -> Result<bool, ApiError> {
    let backup = state.store.load(id).await?;
    Ok(backup.is_some_and(|job| match &job.request.spec {
        Spec::Backup(spec) => caller.scope().has(&spec.database),
        Spec::Restore(_)
        | Spec::Verify(_)
        | Spec::Copy(_)
        | Spec::Prune(_)
        | Spec::Reencrypt(_)
        | Spec::Monitor(_)
        | Spec::Notify(_) => false,
    }))
}
