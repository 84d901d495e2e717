//! `lucid-ops repo copy`: takes backups to another repository, without any job.

use super::{
    output,
    pick::{Holdings, Picked},
};
use crate::{
    args::RepoCopyArgs,
    exit::{Exit, FAILED},
    repositories::refused,
};
use lucid_client::{render::units, sink_for_stderr};
use lucid_repository::{Compression, CopyReport, Repository};
use lucid_schemas::http::ProgressView;
use serde_json::json;
use std::sync::{Mutex, PoisonError};

/// Copies; with `--all` it goes on after a backup that can't be copied, and fails in the end.
pub async fn run(args: &RepoCopyArgs) -> Result<(), Exit> {
    let (from, target) = Holdings::open(&args.repo.repository).await?.without(&args.to)?;
    if let Some(backup) = &args.backup {
        return one(args, &from.pick(backup).await?, &target).await;
    }
    let (jobs, mut failed) = (jobs(&from), false);
    if jobs.is_empty() && !args.repo.json {
        return output::text("there is no backup to copy\n").await;
    }
    for job in jobs {
        let copied = match from.pick(&job).await {
            Ok(picked) => one(args, &picked, &target).await,
            Err(exit) => Err(exit),
        };
        if let Err(exit) = copied {
            exit.tell();
            failed = true;
        }
    }
    if failed { Err(Exit::new(FAILED, "")) } else { Ok(()) }
}

/// The jobs of all backups, the oldest first: so each builds on the one before.
fn jobs(from: &Holdings) -> Vec<String> {
    let at = |manifest: &Result<lucid_repository::Manifest, _>| manifest.as_ref().ok().map(|found| found.started_at);
    let mut all: Vec<_> = from.entries().iter().map(|(_, entry)| (at(&entry.manifest), entry.job.clone())).collect();
    all.sort();
    let mut jobs: Vec<String> = all.into_iter().map(|(_, job)| job).collect();
    jobs.dedup();
    jobs
}

async fn one(args: &RepoCopyArgs, picked: &Picked, target: &Repository) -> Result<(), Exit> {
    let Picked { name, repository, manifest, .. } = picked;
    let total = manifest.collections.iter().map(|entry| entry.content.raw_bytes).sum();
    let sink = Mutex::new(sink_for_stderr());
    let shown = |documents: u64, bytes: u64| {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let phase = format!("into '{}'", args.to);
        let view =
            ProgressView { phase, documents: number(documents), bytes: number(bytes), total_bytes: number(total) };
        sink.lock().unwrap_or_else(PoisonError::into_inner).advance(&format!("copying {}", manifest.job), &view);
    };
    let copied = repository.copy_backup(manifest, target, Compression::default(), &shown, &|| false).await;
    sink.lock().unwrap_or_else(PoisonError::into_inner).close();
    let report = copied.map_err(|error| refused(name, &error))?;
    output::text(&told(args, picked, &report)).await
}

fn told(args: &RepoCopyArgs, picked: &Picked, report: &CopyReport) -> String {
    let (job, stored_bytes) = (&picked.manifest.job, report.stats.stored_bytes);
    if args.repo.json {
        let manifest = json!({ "key": report.reference.key, "hash": report.reference.hash });
        let copy = json!({
            "backup": job, "from": picked.name, "to": args.to, "manifest": manifest,
            "was_there": report.was_there, "stored_bytes": stored_bytes,
        });
        return format!("{}\n", output::marked(copy, picked.manifest.selected.as_deref()));
    }
    let note = picked.note();
    if report.was_there {
        return format!("{job} is in '{}' already\n{note}", args.to);
    }
    let stored = units::bytes(i64::try_from(stored_bytes).unwrap_or(i64::MAX));
    format!("{job} is now in '{}', too: {stored} newly stored\n{note}", args.to)
}
