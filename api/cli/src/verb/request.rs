//! Asking for backups, restores and verifications, and waiting for them.

use super::{client, failed, finish, follow, print};
use crate::{
    args::{BackupArgs, ClientArgs, Level, RestoreArgs, VerifyArgs},
    exit::Exit,
};
use lucid_client::ClientError;
use lucid_schemas::http::{BackupBody, JobView, RestoreBody, VerifyBody};

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
    };
    ask(&args.client, args.detach, |client| client.backup(&body))
}

/// `lucid-ops restore`.
pub fn restore(args: RestoreArgs) -> Result<(), Exit> {
    let body = RestoreBody {
        backup: args.backup,
        database: args.to,
        collections: args.collections,
        replace: args.replace.then_some(true),
        dry_run: args.dry_run.then_some(true),
    };
    ask(&args.client, args.detach, |client| client.restore(&body))
}

/// `lucid-ops verify`.
pub fn verify(args: VerifyArgs) -> Result<(), Exit> {
    let level = match args.level {
        Level::Structure => "structure",
        Level::Data => "data",
    };
    let body = VerifyBody { backup: args.backup, level: Some(level.into()) };
    ask(&args.client, args.detach, |client| client.verify(&body))
}

fn ask(
    args: &ClientArgs,
    detach: bool,
    call: impl FnOnce(&lucid_client::Client) -> Result<JobView, ClientError>,
) -> Result<(), Exit> {
    let client = client(args)?;
    let job = call(&client).map_err(|error| failed(&error))?;
    if detach {
        print(args, &job, |job| format!("{} is accepted\n", job.job_id));
        return Ok(());
    }
    if !args.json {
        eprintln!("{}", job.job_id);
    }
    let ended = follow(&client, &job.job_id)?;
    finish(args, &ended)
}
