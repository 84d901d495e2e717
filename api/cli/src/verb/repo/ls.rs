//! `lucid-ops repo ls`: the collections of a backup.

use super::{
    output::{self, bytes, count, relaxed_raw},
    pick,
};
use crate::{args::BackupHereArgs, exit::Exit};
use bson::RawDocument;
use lucid_client::render::{cut, table::Table};
use lucid_repository::{CollectionEntry, CollectionKind};
use serde_json::{Value, json};

const OPTIONS_SHOWN: usize = 100;

/// Lists the collections, in the order of their names.
pub async fn run(args: &BackupHereArgs) -> Result<(), Exit> {
    let picked = pick::one(&args.repo.repository, &args.backup).await?;
    let mut collections: Vec<_> = picked.manifest.collections.iter().collect();
    collections.sort_by(|a, b| a.name.cmp(&b.name));
    let printed = if args.repo.json {
        let partial = picked.manifest.part().is_some();
        output::json_lines(collections.iter().map(|entry| as_json(entry, partial)))
    } else {
        as_text(&collections) + &picked.note()
    };
    output::text(&printed).await
}

fn as_text(collections: &[&CollectionEntry]) -> String {
    let mut table = Table::new(&["COLLECTION", "KIND", ">DOCUMENTS", ">RAW", "INDEXES", "OPTIONS"]);
    for entry in collections {
        let is_view = entry.kind == CollectionKind::View;
        let number = |text: String| if is_view { String::new() } else { text };
        table.row(&[
            entry.name.clone(),
            kind(entry.kind).into(),
            number(count(entry.content.documents)),
            number(bytes(entry.content.raw_bytes)),
            indexes(entry).join(", "),
            options(&entry.options),
        ]);
    }
    table.text()
}

/// What people call it.
pub const fn kind(kind: CollectionKind) -> &'static str {
    match kind {
        CollectionKind::Collection => "collection",
        CollectionKind::Capped => "capped",
        CollectionKind::Clustered => "clustered",
        CollectionKind::TimeSeries => "time-series",
        CollectionKind::View => "view",
    }
}

fn indexes(entry: &CollectionEntry) -> Vec<&str> {
    entry.indexes.iter().map(|index| index.get_str("name").unwrap_or("?")).collect()
}

fn options(options: &RawDocument) -> String {
    if options.is_empty() {
        return String::new();
    }
    let text = relaxed_raw(options).to_string();
    let bare = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(&text);
    cut(bare, OPTIONS_SHOWN)
}

fn as_json(entry: &CollectionEntry, partial: bool) -> Value {
    json!({
        "name": entry.name, "partial": partial, "kind": kind(entry.kind), "documents": entry.content.documents,
        "raw_bytes": entry.content.raw_bytes, "at_snapshot": entry.at_snapshot,
        "options": relaxed_raw(&entry.options),
        "indexes": entry.indexes.iter().map(|index| relaxed_raw(index)).collect::<Vec<_>>(),
    })
}
