//! `lucid-ops repo verify`: proves backups without any job.

use super::{output, pick};
use crate::{
    args::{Level, RepoVerifyArgs},
    exit::{Exit, FAILED},
    repositories::{self, refused},
};
use lucid_client::{Sink, render::lines, sink_for_stderr};
use lucid_repository::{Finding, VerifyLevel, VerifyProgress};
use lucid_schemas::http::ProgressView;
use serde_json::json;
use std::{
    fmt::Write,
    sync::{Mutex, PoisonError},
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
    let picked = pick::one(&args.repo.repository, backup).await?;
    let failed = |error| refused(&picked.name, &error);
    let reader = picked.repository.open_backup(&picked.manifest).await.map_err(failed)?;
    let shown = Shown::new(format!("verifying {}", picked.manifest.job));
    let findings = reader.verify(deepness(args.level), &|progress| shown.show(progress), &|| false).await;
    shown.close();
    let findings = findings.map_err(failed)?;
    output::text(&report(args, &picked.name, Some(&picked.manifest.job), &findings)).await?;
    Ok(!findings.is_empty())
}

/// Whether anything is wrong with any backup.
async fn all(args: &RepoVerifyArgs) -> Result<bool, Exit> {
    let mut wrong = false;
    for (name, repository) in repositories::open(&repositories::read(&args.repo.repository)?).await? {
        let shown = Shown::new(format!("verifying '{name}'"));
        let found = repository.verify_all(deepness(args.level), &|progress| shown.show(progress), &|| false).await;
        shown.close();
        let found = found.map_err(|error| refused(&name, &error))?;
        let mut text = String::new();
        for backup in &found.backups {
            text += &report(args, &name, Some(&backup.job), &backup.findings);
            wrong |= !backup.findings.is_empty();
        }
        if !found.repository.is_empty() {
            text += &report(args, &name, None, &found.repository);
            wrong = true;
        }
        if found.backups.is_empty() && !args.repo.json {
            let _ = writeln!(text, "no backups in '{name}'");
        }
        output::text(&text).await?;
    }
    Ok(wrong)
}

const fn deepness(level: Level) -> VerifyLevel {
    match level {
        Level::Structure => VerifyLevel::Structure,
        Level::Data => VerifyLevel::Data,
    }
}

/// How far it is, on standard error.
struct Shown {
    what: String,
    sink: Mutex<Box<dyn Sink + Send>>,
}

impl Shown {
    fn new(what: String) -> Self {
        Self { what, sink: Mutex::new(sink_for_stderr()) }
    }

    fn show(&self, progress: VerifyProgress) {
        let bytes = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let view = ProgressView {
            phase: "reading packs".into(),
            documents: 0,
            bytes: bytes(progress.bytes_done),
            total_bytes: bytes(progress.bytes_total),
        };
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).advance(&self.what, &view);
    }

    fn close(&self) {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner).close();
    }
}

/// What was found of a backup, or of what hurts no single one.
fn report(args: &RepoVerifyArgs, name: &str, job: Option<&str>, findings: &[Finding]) -> String {
    let level = match args.level {
        Level::Structure => "structure",
        Level::Data => "data",
    };
    if args.repo.json {
        return format!("{}\n", json!({ "repository": name, "job": job, "level": level, "findings": findings }));
    }
    let mut text = match (job, findings) {
        (Some(job), []) => format!("{job} is whole ({level})\n"),
        (Some(job), _) => format!("{job} isn't as it should be:\n"),
        (None, _) => format!("repository '{name}' needs care:\n"),
    };
    for Finding { object, collection, problem, lost_documents, needed } in findings {
        let collection = collection.as_ref().map_or_else(String::new, |name| format!(" (collection '{name}')"));
        let lost = lost_documents.filter(|lost| *lost > 0);
        let lost = lost.map_or_else(String::new, |lost| format!(", {} documents lost", output::count(lost)));
        let needed = if *needed { "" } else { "; no document is lost by that" };
        let _ = writeln!(text, "  {object}{collection}: {problem}{lost}{needed}");
    }
    lines(&text)
}
