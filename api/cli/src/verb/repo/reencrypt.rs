//! `lucid-ops repo reencrypt`: seals anew what older master keys have sealed, without any job.

use super::output;
use crate::{
    args::RepoArgs,
    exit::{Exit, FAILED},
    repositories::{self, refused},
};
use lucid_client::{render::lines, render::units, sink_for_stderr};
use lucid_repository::ReencryptReport;
use lucid_schemas::http::ProgressView;
use serde_json::json;
use std::{
    fmt::Write,
    sync::{Mutex, PoisonError},
};

/// Goes through each repository; fails where a backup had to stay as it is.
pub async fn run(args: &RepoArgs) -> Result<(), Exit> {
    let mut is_whole = true;
    for (name, repository) in repositories::open(&repositories::read(&args.repository)?).await? {
        let sink = Mutex::new(sink_for_stderr());
        let shown = |done: u64, total: u64, documents: u64, bytes: u64| {
            let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
            let phase = format!("backup {} of {total}", done + 1);
            let view = ProgressView { phase, documents: number(documents), bytes: number(bytes), total_bytes: 0 };
            sink.lock().unwrap_or_else(PoisonError::into_inner).advance(&format!("sealing '{name}' anew"), &view);
        };
        let report = repository.reencrypt(&shown, &|| false).await;
        sink.lock().unwrap_or_else(PoisonError::into_inner).close();
        let report = report.map_err(|error| refused(&name, &error))?;
        is_whole &= report.backups.iter().all(|backup| backup.left.is_none());
        output::text(&told(args, &name, &report)).await?;
    }
    if is_whole { Ok(()) } else { Err(Exit::new(FAILED, "")) }
}

fn told(args: &RepoArgs, name: &str, report: &ReencryptReport) -> String {
    if args.json {
        return format!(
            "{}\n",
            json!({ "repository": name, "backups": report.backups, "needs_older": report.needs_older })
        );
    }
    let mut text = String::new();
    for backup in &report.backups {
        let stored = units::bytes(i64::try_from(backup.stored_bytes).unwrap_or(i64::MAX));
        let of = if backup.partial { " (of a part of its database)" } else { "" };
        let _ = match &backup.left {
            None => writeln!(text, "{}{of}: sealed anew, {stored} newly stored", backup.job),
            Some(why) => writeln!(text, "{}{of}: stays as it is: {why}", backup.job),
        };
    }
    let next = match &report.needs_older {
        None => {
            "the older master keys of this repository aren't needed any more: `lucid-ops repo key retire` gives them up"
                .into()
        }
        Some(why) => format!("an older master key is needed still: {why}"),
    };
    let _ = writeln!(text, "'{name}': {next}. What only the old copies needed goes with the next two prunes");
    lines(&text)
}
