//! `lucid-ops repo verify`: proves backups without any job.

use super::{output, pick};
use crate::{
    args::{Level, RepoVerifyArgs, ShareArgs},
    exit::{Exit, FAILED},
    repositories::{self, refused},
};
use lucid_client::{Sink, render::lines, sink_for_stderr};
use lucid_repository::{BackupFindings, Coverage, Finding, Manifest, Share, Verified, VerifyLevel, VerifyProgress};
use lucid_schemas::http::ProgressView;
use serde_json::json;
use std::{
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Verifies; fails where anything is wrong.
pub async fn run(args: &RepoVerifyArgs) -> Result<(), Exit> {
    let wrong = match &args.backup {
        Some(backup) => one(args, backup).await?,
        None => all(args).await?,
    };
    if wrong { Err(Exit::new(FAILED, "")) } else { Ok(()) }
}

/// Whether anything is wrong with this backup.
async fn one(args: &RepoVerifyArgs, backup: &str) -> Result<bool, Exit> {
    let (level, share) = (deepness(args.level)?, share(args)?);
    let picked = pick::one(&args.repo.repository, backup).await?;
    let failed = |error| refused(&picked.name, &error);
    let reader = picked.repository.open_backup(&picked.manifest).await.map_err(failed)?;
    let shown = Shown::new(format!("verifying {}", picked.manifest.job));
    let verified = reader.verify_share(level, share, &|progress| shown.show(progress), &|| false).await;
    shown.close();
    let Verified { findings, coverage } = verified.map_err(failed)?;
    let Manifest { job, database, selected, .. } = picked.manifest;
    let found = BackupFindings { key: picked.reference.key, job, database: Some(database), selected, findings };
    let text = of_backup(args, &picked.name, &found) + &covered(args, &picked.name, share, coverage);
    output::text(&text).await?;
    Ok(!found.findings.is_empty())
}

/// Whether anything is wrong with any backup.
async fn all(args: &RepoVerifyArgs) -> Result<bool, Exit> {
    let (level, share) = (deepness(args.level)?, share(args)?);
    let mut wrong = false;
    for (name, repository) in repositories::open(&repositories::read(&args.repo.repository)?).await? {
        let shown = Shown::new(format!("verifying '{name}'"));
        let found = repository.verify_all(level, share, &|progress| shown.show(progress), &|| false).await;
        shown.close();
        let found = found.map_err(|error| refused(&name, &error))?;
        let mut text = String::new();
        for backup in &found.backups {
            text += &of_backup(args, &name, backup);
            wrong |= !backup.findings.is_empty();
        }
        if !found.repository.is_empty() {
            text += &of_repository(args, &name, &found.repository);
            wrong = true;
        }
        if found.backups.is_empty() && !args.repo.json {
            let _ = writeln!(text, "no backups in '{name}'");
        }
        text += &covered(args, &name, share, found.coverage);
        output::text(&text).await?;
    }
    Ok(wrong)
}

fn deepness(level: Level) -> Result<VerifyLevel, Exit> {
    match level {
        Level::Structure => Ok(VerifyLevel::Structure),
        Level::Data => Ok(VerifyLevel::Data),
        Level::Drill => Err(Exit::usage("a drill needs a MongoDB and a worker: lucid-ops verify BACKUP --level drill")),
    }
}

fn share(args: &RepoVerifyArgs) -> Result<Share, Exit> {
    let ShareArgs { sample, seed, part } = &args.share;
    if args.level != Level::Data && (sample.is_some() || part.is_some()) {
        return Err(Exit::usage("--sample and --part go with --level data"));
    }
    // Any number will do, as long as it is told.
    let by_clock = || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos());
    Ok(match (sample, part) {
        (Some(sample), _) => {
            let seed = seed.map_or_else(by_clock, i64::cast_unsigned);
            Share::Sample { hundredths: sample.hundredths, seed }
        }
        (None, Some(part)) => Share::Part { number: part.number, of: part.of },
        (None, None) => Share::All,
    })
}

/// What was read, where that isn't all.
fn covered(args: &RepoVerifyArgs, name: &str, share: Share, coverage: Coverage) -> String {
    if args.repo.json {
        return match share {
            Share::All => String::new(),
            _ => format!("{}\n", json!({ "repository": name, "share": share, "coverage": coverage })),
        };
    }
    let Coverage { packs_read, packs, bytes_read, bytes } = coverage;
    let read = format!(
        "{} of {} packs were read, {} of {}",
        output::count(packs_read),
        output::count(packs),
        output::bytes(bytes_read),
        output::bytes(bytes)
    );
    match share {
        Share::All => String::new(),
        Share::Sample { seed, .. } => format!("{read}; chosen by --seed {}\n", seed.cast_signed()),
        Share::Part { number, of } => format!("{read}: part {number} of {of}\n"),
    }
}

/// How far it is, on standard error.
pub struct Shown {
    what: String,
    sink: Mutex<Box<dyn Sink + Send>>,
}

impl Shown {
    /// Shows what is done.
    pub fn new(what: String) -> Self {
        Self { what, sink: Mutex::new(sink_for_stderr()) }
    }

    /// Shows how far it is.
    pub fn show(&self, progress: VerifyProgress) {
        let bytes = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let view = ProgressView {
            phase: "reading packs".into(),
            documents: 0,
            bytes: bytes(progress.bytes_done),
            total_bytes: bytes(progress.bytes_total),
        };
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).advance(&self.what, &view);
    }

    /// Clears the line.
    pub fn close(&self) {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).close();
    }
}

/// What was found of a backup.
fn of_backup(args: &RepoVerifyArgs, name: &str, found: &BackupFindings) -> String {
    let BackupFindings { key: _, job, database, selected, findings } = found;
    let (level, selected) = (args.level.as_str(), selected.as_deref());
    if args.repo.json {
        let told = json!({ "repository": name, "job": job, "level": level, "findings": findings });
        return format!("{}\n", output::marked(told, selected));
    }
    let judged = match findings.as_slice() {
        [] => format!("{job} is whole ({level})\n"),
        _ => format!("{job} isn't as it should be:\n"),
    };
    lines(&(judged + &as_text(findings))) + &output::note(job, database.as_deref().unwrap_or_default(), selected)
}

/// What was found that hurts no single backup.
fn of_repository(args: &RepoVerifyArgs, name: &str, findings: &[Finding]) -> String {
    let level = args.level.as_str();
    if args.repo.json {
        return format!("{}\n", json!({ "repository": name, "job": null, "level": level, "findings": findings }));
    }
    lines(&(format!("repository '{name}' needs care:\n") + &as_text(findings)))
}

fn as_text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { object, collection, problem, lost_documents, needed } in findings {
        let collection = collection.as_ref().map_or_else(String::new, |name| format!(" (collection '{name}')"));
        let lost = lost_documents.filter(|lost| *lost > 0);
        let lost = lost.map_or_else(String::new, |lost| format!(", {} documents lost", output::count(lost)));
        let needed = if *needed { "" } else { "; no document is lost by that" };
        let _ = writeln!(text, "  {object}{collection}: {problem}{lost}{needed}");
    }
    text
}
