//! `lucid-ops repo stats`: what repositories hold, and what they take on disk.

use super::output::{self, bytes, count, rfc3339, time};
use crate::{
    args::RepoArgs,
    exit::Exit,
    repositories::{self, refused},
};
use lucid_client::render::{part_of, table::Table};
use lucid_repository::{Objects, RepositoryStats};
use serde_json::{Value, json};
use std::fmt::Write;

/// Tells of each repository.
pub async fn run(args: &RepoArgs) -> Result<(), Exit> {
    for (name, repository) in repositories::open(&repositories::read(&args.repository)?).await? {
        let stats = repository.stats().await.map_err(|error| refused(&name, &error))?;
        let owner = match repository.owner().await {
            Err(error) if error.damage().is_some() => Some(format!("nobody knows: {error}")),
            told => told.map_err(|error| refused(&name, &error))?.map(|owner| owner.cluster),
        };
        let text = if args.json {
            format!("{}\n", as_json(&name, &stats, owner.as_deref()))
        } else {
            as_text(&name, &stats, owner.as_deref())
        };
        output::text(&text).await?;
    }
    Ok(())
}

fn as_text(name: &str, stats: &RepositoryStats, owner: Option<&str>) -> String {
    let mut text = format!(
        "repository '{name}': {} backups of {} of documents on {} of disk{}\n\n",
        count(stats.backups.len() as u64),
        bytes(stats.raw_bytes()),
        bytes(stats.stored_bytes()),
        ratio(stats.raw_bytes(), stats.stored_bytes())
            .map_or_else(String::new, |ratio| format!(", {ratio} times less")),
    );
    let mut objects = Table::new(&["OBJECTS", ">NUMBER", ">ON DISK", ">DOCUMENTS"]);
    let mut row = |what: &str, number: u64, stored: u64, raw: Option<u64>| {
        objects.row(&[what.into(), count(number), bytes(stored), raw.map_or_else(String::new, bytes)]);
    };
    let (full, delta) = (stats.full_chunks, stats.delta_chunks);
    row("packs", stats.packs.number, stats.packs.bytes, Some(full.raw_bytes + delta.raw_bytes));
    row("  chunks in full", full.number, full.stored_bytes, Some(full.raw_bytes));
    row("  chunks as differences", delta.number, delta.stored_bytes, Some(delta.raw_bytes));
    for (what, Objects { number, bytes }) in
        [("index objects", stats.index_objects), ("chunk lists", stats.chunk_lists), ("manifests", stats.manifests)]
    {
        row(what, number, bytes, None);
    }
    text += &objects.text();
    text += &asides(stats, owner);
    if !stats.backups.is_empty() {
        let mut backups = Table::new(&["BEGAN (UTC)", "JOB", "DATABASE", ">DOCUMENTS", ">RAW", ">ADDED ON DISK"]);
        for backup in &stats.backups {
            backups.row(&[
                time(backup.started_at),
                backup.job.clone(),
                part_of(&backup.database, backup.selected.as_ref().map(|names| names.len() as u64)),
                count(backup.documents),
                bytes(backup.raw_bytes),
                bytes(backup.new_bytes),
            ]);
        }
        let _ = write!(text, "\n{}", backups.text());
    }
    text
}

/// What isn't as one may expect, and who prunes.
fn asides(stats: &RepositoryStats, owner: Option<&str>) -> String {
    let mut text = String::new();
    if stats.unlisted_packs.number > 0 {
        let Objects { number, bytes: size } = stats.unlisted_packs;
        let _ = writeln!(
            text,
            "{} packs ({}) are in no index: a backup is running, or was broken off",
            count(number),
            bytes(size)
        );
    }
    if stats.outdated_packs.number > 0 {
        let Objects { number, bytes: size } = stats.outdated_packs;
        let _ = writeln!(
            text,
            "{} packs ({}) are sealed with an older master key: the next two prunes free what no backup needs of them \
             (`lucid-ops reencrypt` seals backups anew that still do)",
            count(number),
            bytes(size)
        );
    }
    if stats.damaged_manifests > 0 {
        let _ = writeln!(text, "{} manifests are damaged and not counted as backups", count(stats.damaged_manifests));
    }
    if let Some(owner) = owner {
        let _ = writeln!(text, "pruned by cluster {owner}");
    }
    text
}

/// With one digit after the point; none of nothing.
fn ratio(raw: u64, stored: u64) -> Option<String> {
    let tenths = raw.saturating_mul(10).checked_div(stored)?;
    (tenths > 10).then(|| format!("{}.{}", count(tenths / 10), tenths % 10))
}

fn as_json(name: &str, stats: &RepositoryStats, owner: Option<&str>) -> Value {
    let backups: Vec<Value> = stats
        .backups
        .iter()
        .map(|backup| {
            json!({
                "key": backup.key, "job": backup.job, "database": backup.database,
                "partial": backup.selected.is_some(), "selected": backup.selected,
                "started_at": rfc3339(backup.started_at), "documents": backup.documents, "raw_bytes": backup.raw_bytes,
                "new_bytes": backup.new_bytes,
            })
        })
        .collect();
    json!({
        "repository": name, "raw_bytes": stats.raw_bytes(), "stored_bytes": stats.stored_bytes(), "packs": stats.packs,
        "unlisted_packs": stats.unlisted_packs, "outdated_packs": stats.outdated_packs, "full_chunks": stats.full_chunks, "delta_chunks": stats.delta_chunks,
        "index_objects": stats.index_objects, "chunk_lists": stats.chunk_lists, "manifests": stats.manifests,
        "damaged_manifests": stats.damaged_manifests, "pruned_by": owner, "backups": backups,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_told_where_there_is_one() {
        assert_eq!(ratio(12_340, 1_000).as_deref(), Some("12.3"));
        assert_eq!((ratio(5, 0), ratio(1_000, 1_000)), (None, None));
    }
}
