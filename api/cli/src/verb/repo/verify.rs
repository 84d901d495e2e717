//! `lucid-ops repo verify`: proves backups without any job.

use super::{
    output,
    pick::{Holdings, Picked},
};
use crate::{
    args::{Level, RepoVerifyArgs},
    exit::{Exit, FAILED},
    repositories::refused,
};
use lucid_client::{Sink, sink_for_stderr};
use lucid_repository::{Finding, VerifyLevel, VerifyProgress};
use lucid_schemas::http::ProgressView;
use serde_json::json;
use std::{fmt::Write, sync::Mutex, sync::PoisonError};

/// Verifies; fails where anything is wrong.
pub async fn run(args: &RepoVerifyArgs) -> Result<(), Exit> {
    let holdings = Holdings::open(&args.repo.repository).await?;
    let mut wrong = 0;
    let wanted = if let Some(backup) = &args.backup {
        vec![backup.as_str()]
    } else {
        let mut jobs: Vec<_> = holdings.entries().iter().map(|(_, entry)| entry.job.as_str()).collect();
        jobs.dedup();
        jobs
    };
    for wanted in wanted {
        let picked = match holdings.pick(wanted).await {
            Ok(picked) => picked,
            // One that is damaged must not keep the others from being looked at.
            Err(exit) if args.all => {
                exit.tell();
                wrong += 1;
                continue;
            }
            Err(exit) => return Err(exit),
        };
        let findings = examine(&picked, args.level).await?;
        wrong += findings.len();
        output::text(&report(&picked, args, &findings)).await?;
    }
    if wrong == 0 { Ok(()) } else { Err(Exit::new(FAILED, "")) }
}

async fn examine(picked: &Picked, level: Level) -> Result<Vec<Finding>, Exit> {
    let failed = |error| refused(&picked.name, &error);
    let reader = picked.repository.open_backup(&picked.manifest).await.map_err(failed)?;
    let sink = Mutex::new(sink_for_stderr());
    let what = format!("verifying {}", picked.manifest.job);
    let findings = reader.verify(deepness(level), &|progress| show(&sink, &what, progress), &|| false).await;
    sink.lock().unwrap_or_else(PoisonError::into_inner).close();
    findings.map_err(failed)
}

const fn deepness(level: Level) -> VerifyLevel {
    match level {
        Level::Structure => VerifyLevel::Structure,
        Level::Data => VerifyLevel::Data,
    }
}

fn show(sink: &Mutex<Box<dyn Sink + Send>>, what: &str, progress: VerifyProgress) {
    let bytes = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let view = ProgressView {
        phase: format!("{} of {} packs", progress.packs_done, progress.packs_total),
        documents: 0,
        bytes: bytes(progress.bytes_done),
        total_bytes: bytes(progress.bytes_total),
    };
    sink.lock().unwrap_or_else(PoisonError::into_inner).advance(what, &view);
}

fn report(picked: &Picked, args: &RepoVerifyArgs, findings: &[Finding]) -> String {
    let job = &picked.manifest.job;
    let level = match args.level {
        Level::Structure => "structure",
        Level::Data => "data",
    };
    if args.repo.json {
        let found = json!({ "repository": picked.name, "job": job, "level": level, "findings": findings });
        return format!("{found}\n");
    }
    if findings.is_empty() {
        return format!("{job} is whole ({level})\n");
    }
    let mut text = format!("{job} is damaged:\n");
    for Finding { object, collection, problem, lost_documents, needed } in findings {
        let collection = collection.as_ref().map_or_else(String::new, |name| format!(" (collection '{name}')"));
        let lost = lost_documents.filter(|lost| *lost > 0);
        let lost = lost.map_or_else(String::new, |lost| format!(", {} documents lost", output::count(lost)));
        let needed = if *needed { "" } else { "; nothing of this backup is lost by that" };
        let _ = writeln!(text, "  {object}{collection}: {problem}{lost}{needed}");
    }
    lucid_client::render::lines(&text)
}
