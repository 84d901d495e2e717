//! What `lucid-ops repo restore --salvage` does first: find out what of a damaged backup is whole.

use super::{
    output::{bytes, count},
    pick::Picked,
};
use crate::{exit::Exit, repositories::refused};
use lucid_client::sink_for_stderr;
use lucid_repository::{Loss, Salvaged};
use lucid_schemas::http::ProgressView;
use serde_json::{Value, json};
use std::{
    fmt::Write,
    sync::{Mutex, PoisonError},
};

/// Reads all of it that is to be restored.
pub async fn sieve(
    picked: &Picked,
    only: Option<&[String]>,
    stop: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Salvaged, Exit> {
    let failed = |error| refused(&picked.name, &error);
    let total = picked.manifest.collections.iter().map(|entry| entry.content.raw_bytes).sum::<u64>();
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let sink = Mutex::new(sink_for_stderr());
    let progress = |documents: u64, done: u64| {
        let view = ProgressView {
            phase: "salvage".into(),
            documents: number(documents),
            bytes: number(done),
            total_bytes: number(total),
        };
        sink.lock().unwrap_or_else(PoisonError::into_inner).advance("reading", &view);
    };
    let reader = picked.repository.open_backup(&picked.manifest).await.map_err(failed)?;
    let salvaged = reader.salvage(only, &progress, stop).await;
    sink.lock().unwrap_or_else(PoisonError::into_inner).close();
    salvaged.map_err(failed)
}

/// What is lost, for people.
pub fn as_text(salvaged: &Salvaged) -> String {
    let kept = salvaged.manifest.collections.iter();
    let (documents, raw) = kept
        .fold((0, 0), |(documents, raw), entry| (documents + entry.content.documents, raw + entry.content.raw_bytes));
    let mut text = String::new();
    if salvaged.losses.is_empty() {
        let _ = writeln!(text, "nothing is lost: {} documents ({}) are whole", count(documents), bytes(raw));
        return text;
    }
    let lost: u64 = salvaged.losses.iter().map(|loss| loss.lost).sum();
    let _ = writeln!(text, "LOST {} documents; {} ({}) are whole:", count(lost), count(documents), bytes(raw));
    for Loss { collection, lost, kept, problems } in &salvaged.losses {
        let why = problems.join("; ");
        let _ = writeln!(text, "  '{collection}': {} of {} documents: {why}", count(*lost), count(lost + kept));
    }
    lucid_client::render::lines(&text)
}

/// What is lost, for programs.
pub fn as_json(losses: &[Loss]) -> Value {
    let loss = |loss: &Loss| json!({ "collection": loss.collection, "lost": loss.lost, "kept": loss.kept, "problems": loss.problems });
    losses.iter().map(loss).collect()
}
