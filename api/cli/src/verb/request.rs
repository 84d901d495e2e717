//! Asking for backups, restores, verifications, prunes, copies and encrypting anew, and waiting for them.

use super::{client, failed, finish, follow, print};
use crate::{
    args::{BackupArgs, ClientArgs, CopyArgs, PruneArgs, ReencryptArgs, RestoreArgs, RunArgs, VerifyArgs},
    exit::Exit,
    output,
};
use lucid_client::ClientError;
use lucid_schemas::{
    http::{BackupBody, CopyBody, JobView, PruneBody, ReencryptBody, RestoreBody, VerifyBody},
    run::RunBody,
};

/// `lucid-ops backup`.
pub fn backup(args: BackupArgs) -> Result<(), Exit> {
    let body = BackupBody {
        database: args.database,
        collections: args.collections,
        // The server's defaults hold unless the person says no.
        compression: args.no_compression.then_some(false),
        encryption: args.no_encryption.then_some(false),
        require_consistent: args.require_consistent.then_some(true),
        repository: args.repository,
        job: run(&args.run),
    };
    ask(&args.client, &args.run, args.detach, |client| client.backup(&body))
}

/// `lucid-ops restore`.
pub fn restore(args: RestoreArgs) -> Result<(), Exit> {
    let body = RestoreBody {
        backup: args.backup,
        database: args.to,
        collections: args.collections,
        replace: args.replace.then_some(true),
        dry_run: args.dry_run.then_some(true),
        job: run(&args.run),
    };
    ask(&args.client, &args.run, args.detach, |client| client.restore(&body))
}

/// `lucid-ops verify`.
pub fn verify(args: VerifyArgs) -> Result<(), Exit> {
    let body = VerifyBody {
        backup: args.backup,
        level: Some(args.level.as_str().into()),
        sample: args.share.sample.map(String::from),
        seed: args.share.seed,
        part: args.share.part.map(String::from),
        job: run(&args.run),
    };
    ask(&args.client, &args.run, args.detach, |client| client.verify(&body))
}

/// `lucid-ops prune`.
pub fn prune(args: PruneArgs) -> Result<(), Exit> {
    let body = PruneBody {
        keep: args.keep.read(),
        dry_run: args.dry_run.then_some(true),
        at_once: args.at_once.then_some(true),
        repack: args.no_repack.then_some(false),
        grace_hours: args.grace_hours,
        take_ownership: args.take_ownership.then_some(true),
        cluster: args.cluster,
        accept_loss: args.accept_loss.then_some(true),
        forget_many: args.forget_many.then_some(true),
        repository: args.repository,
        job: run(&args.run),
    };
    ask(&args.client, &args.run, args.detach, |client| client.prune(&body))
}

/// `lucid-ops copy`.
pub fn copy(args: CopyArgs) -> Result<(), Exit> {
    let body = CopyBody { backup: args.backup, to: args.to, repository: args.repository, job: run(&args.run) };
    ask(&args.client, &args.run, args.detach, |client| client.copy(&body))
}

/// `lucid-ops reencrypt`.
pub fn reencrypt(args: ReencryptArgs) -> Result<(), Exit> {
    let body = ReencryptBody { repository: args.repository, job: run(&args.run) };
    ask(&args.client, &args.run, args.detach, |client| client.reencrypt(&body))
}

/// What the flags say about how the job is run; nothing where there are none.
fn run(args: &RunArgs) -> Option<RunBody> {
    let body = RunBody {
        priority: args.priority,
        run_at: args.run_at.clone(),
        timeout_seconds: args.timeout_seconds,
        max_attempts: args.max_attempts,
        labels: (!args.labels.is_empty()).then(|| args.labels.clone()),
        unique_key: args.unique_key.clone(),
        after: args.after.clone(),
        on: args.on_failure.then(|| "failed".into()),
    };
    (body != RunBody::default()).then_some(body)
}

fn ask(
    args: &ClientArgs,
    run: &RunArgs,
    detach: bool,
    call: impl FnOnce(&lucid_client::Client) -> Result<JobView, ClientError>,
) -> Result<(), Exit> {
    let client = client(args)?.with_idempotency_key(run.idempotency_key.as_deref());
    let job = call(&client).map_err(|error| failed(&error))?;
    wait(args, &client, detach, &job)
}

/// Follows a job that was asked for to its end, unless nobody wants to.
pub fn wait(args: &ClientArgs, client: &lucid_client::Client, detach: bool, job: &JobView) -> Result<(), Exit> {
    if detach {
        return print(args, job, |job| format!("{} is accepted\n", job.job_id));
    }
    if !args.json {
        output::say(&job.job_id);
    }
    let ended = follow(client, &job.job_id)?;
    finish(args, &ended)
}
