//! `lucid-ops repo list`: the backups that a repository holds.

use super::{
    output::{self, bytes, count, rfc3339, time},
    pick::Holdings,
};
use crate::{args::RepoArgs, exit::Exit};
use lucid_client::render::{part_of, table::Table};
use lucid_repository::{CollectionKind, Domain, Manifest, ManifestEntry};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write};

/// Lists; fails where a manifest is damaged.
pub async fn run(args: &RepoArgs) -> Result<(), Exit> {
    let holdings = Holdings::open(&args.repository).await?;
    let entries = holdings.entries();
    let printed = if args.json {
        output::json_lines(entries.iter().map(|(name, entry)| as_json(name, entry)))
    } else {
        as_text(&holdings)
    };
    output::text(&printed).await?;
    match entries.iter().filter(|(_, entry)| entry.manifest.is_err()).count() {
        0 => Ok(()),
        damaged => Err(Exit::failed(format!("{damaged} manifests are damaged"))),
    }
}

fn as_text(holdings: &Holdings) -> String {
    let several = holdings.repositories().len() > 1;
    let mut text = String::new();
    for name in holdings.repositories().keys() {
        let entries: Vec<_> = holdings.entries().iter().filter(|(of, _)| of == name).map(|(_, entry)| entry).collect();
        if entries.is_empty() {
            let _ = writeln!(text, "no backups in '{name}'");
            continue;
        }
        if several {
            let _ = writeln!(text, "repository '{name}':");
        }
        text += &table(&entries);
    }
    text
}

fn table(entries: &[&ManifestEntry]) -> String {
    let headers = ["BEGAN (UTC)", "JOB", "DATABASE", ">COLLECTIONS", ">DOCUMENTS", ">RAW", "SERVER", ""];
    let mut table = Table::new(&headers);
    let clusters: BTreeSet<_> =
        entries.iter().filter_map(|entry| entry.manifest.as_ref().ok()?.cluster.as_deref()).collect();
    let mut sorted: Vec<_> = entries.to_vec();
    // Damaged ones, whose time nobody knows, come first, where they are seen.
    sorted.sort_by_key(|entry| entry.manifest.as_ref().ok().map(|manifest| manifest.started_at));
    for entry in sorted {
        let mut cells = vec![String::new(); headers.len()];
        cells[1].clone_from(&entry.job);
        match &entry.manifest {
            Ok(manifest) => {
                let Sums { collections, documents, raw_bytes, .. } = Sums::of(manifest);
                cells[0] = time(manifest.started_at);
                cells[2] = part_of(&manifest.database, manifest.part());
                cells[3] = count(collections);
                cells[4] = count(documents);
                cells[5] = bytes(raw_bytes);
                cells[6].clone_from(&manifest.server_version);
                cells[7] = remarks(manifest, clusters.len() > 1);
            }
            Err(damage) => cells[7] = format!("DAMAGED: {damage}"),
        }
        table.row(&cells);
    }
    table.text()
}

/// What is worth a word.
fn remarks(manifest: &Manifest, several_clusters: bool) -> String {
    let mut remarks = Vec::new();
    if manifest.domain == Domain::Plain {
        remarks.push("not encrypted".to_owned());
    }
    if !manifest.consistent {
        remarks.push("not one instant".to_owned());
    }
    if let Some(cluster) = manifest.cluster.as_ref().filter(|_| several_clusters) {
        remarks.push(format!("of cluster {cluster}"));
    }
    remarks.join(", ")
}

/// What a backup holds.
pub struct Sums {
    /// Collections of any kind but views.
    pub collections: u64,
    /// Views.
    pub views: u64,
    /// Documents.
    pub documents: u64,
    /// Their BSON bytes.
    pub raw_bytes: u64,
}

impl Sums {
    /// Adds up.
    pub fn of(manifest: &Manifest) -> Self {
        let sum = |of: fn(&lucid_repository::CollectionEntry) -> u64| manifest.collections.iter().map(of).sum();
        Self {
            collections: sum(|entry| u64::from(entry.kind != CollectionKind::View)),
            views: sum(|entry| u64::from(entry.kind == CollectionKind::View)),
            documents: sum(|entry| entry.content.documents),
            raw_bytes: sum(|entry| entry.content.raw_bytes),
        }
    }
}

fn as_json(name: &str, entry: &ManifestEntry) -> Value {
    match &entry.manifest {
        Ok(manifest) => {
            let Sums { collections, views, documents, raw_bytes } = Sums::of(manifest);
            json!({
                "repository": name, "key": entry.key, "job": manifest.job, "epoch": manifest.epoch,
                "database": manifest.database, "collections": collections, "views": views, "documents": documents,
                "raw_bytes": raw_bytes, "started_at": rfc3339(manifest.started_at),
                "finished_at": rfc3339(manifest.finished_at), "server_version": manifest.server_version,
                "fcv": manifest.fcv, "member": manifest.member,
                "encrypted": manifest.domain == Domain::Sealed, "consistent": manifest.consistent,
                "cluster": manifest.cluster, "partial": manifest.selected.is_some(), "selected": manifest.selected,
            })
        }
        Err(damage) => json!({
            "repository": name, "key": entry.key, "job": entry.job, "epoch": entry.epoch,
            "damage": damage.to_string(),
        }),
    }
}
