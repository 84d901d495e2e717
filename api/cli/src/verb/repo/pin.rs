//! `lucid-ops repo pin` and `unpin`: backups that no prune removes.

use super::{output, pick};
use crate::{
    args::{BackupHereArgs, PinArgs},
    exit::Exit,
    repositories::refused,
};
use serde_json::json;

/// Pins a backup.
pub async fn pin(args: &PinArgs) -> Result<(), Exit> {
    let picked = pick::one(&args.repo.repository, &args.backup).await?;
    let pinned = picked.repository.pin(&picked.reference.key, &args.reason).await;
    pinned.map_err(|error| refused(&picked.name, &error))?;
    say(args.repo.json, &picked, true).await
}

/// Takes a pin away.
pub async fn unpin(args: &BackupHereArgs) -> Result<(), Exit> {
    let picked = pick::one(&args.repo.repository, &args.backup).await?;
    let unpinned = picked.repository.unpin(&picked.reference.key).await;
    unpinned.map_err(|error| refused(&picked.name, &error))?;
    say(args.repo.json, &picked, false).await
}

async fn say(as_json: bool, picked: &pick::Picked, pinned: bool) -> Result<(), Exit> {
    let (job, note) = (&picked.manifest.job, picked.note());
    let said = if as_json {
        let pin = json!({ "repository": picked.name, "backup": job, "pinned": pinned });
        format!("{}\n", output::marked(pin, picked.manifest.selected.as_deref()))
    } else if pinned {
        format!("{job} stays, whatever prunes are asked to keep\n{note}")
    } else {
        format!("{job} is judged by prunes again\n{note}")
    };
    output::text(&said).await
}
