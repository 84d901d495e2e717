//! `lucid-ops repo diff`: what differs between two backups.

use super::{
    output::{self, Failed, count},
    pick::Holdings,
};
use crate::{args::DiffArgs, exit::Exit, repositories::refused};
use bson::{Bson, RawBson, RawDocument};
use lucid_client::render::{clean, table::Table};
use lucid_repository::{Change, CollectionDiff, RepositoryError, ToldDocument};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Compares, and prints what differs.
pub async fn run(args: &DiffArgs) -> Result<(), Exit> {
    let holdings = Holdings::open(&args.repo.repository).await?;
    let (older, newer) = (holdings.pick(&args.older).await?, holdings.pick(&args.newer).await?);
    if older.name != newer.name {
        return Err(Exit::usage(format!(
            "{} is in '{}' and {} in '{}': only backups of one repository can be compared",
            older.manifest.job, older.name, newer.manifest.job, newer.name
        )));
    }
    output::to_stdout(async |out| {
        // An output that fails ends the comparison, too.
        let mut broken = None;
        let mut tell = |collection: &str, change: Change, document: &[u8]| {
            let line = if args.repo.json {
                json_line(collection, change, document)
            } else {
                line(collection, change, document)
            };
            out.write_all(line.as_bytes()).map_err(|error| {
                broken = Some(error);
                RepositoryError::Stopped
            })
        };
        let told: Option<&mut ToldDocument<'_>> = if args.documents { Some(&mut tell) } else { None };
        let diff = older.repository.diff(&older.manifest, &newer.manifest, told).await;
        if let Some(error) = broken {
            return Err(Failed::Output(error));
        }
        let diff = diff.map_err(|error| Failed::Otherwise(refused(&older.name, &error)))?;
        let text = if args.repo.json { output::json_lines(diff.iter().map(|one| json!(one))) } else { as_text(&diff) };
        Ok(out.write_all(text.as_bytes())?)
    })
    .await
}

const fn sign(change: Change) -> char {
    match change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Changed => '~',
    }
}

fn id(document: &[u8]) -> Value {
    let id = RawDocument::from_bytes(document).ok().and_then(|document| document.get("_id").ok().flatten());
    let id = id.map(RawBson::from).and_then(|id| Bson::try_from(id).ok());
    id.map_or(Value::Null, Bson::into_canonical_extjson)
}

fn line(collection: &str, change: Change, document: &[u8]) -> String {
    format!("{} {} {}\n", sign(change), clean(collection), id(document))
}

fn json_line(collection: &str, change: Change, document: &[u8]) -> String {
    format!("{}\n", json!({ "collection": collection, "change": change, "_id": id(document) }))
}

fn as_text(diff: &[CollectionDiff]) -> String {
    let mut table = Table::new(&["COLLECTION", ">ADDED", ">REMOVED", ">CHANGED", ""]);
    let different: Vec<_> = diff.iter().filter(|one| !one.is_same()).collect();
    for one in &different {
        table.row(&[one.name.clone(), count(one.added), count(one.removed), count(one.changed), remarks(one)]);
    }
    let same = diff.len() - different.len();
    let mut text = if different.is_empty() { String::new() } else { table.text() };
    let _ = match (different.is_empty(), same) {
        (true, same) => writeln!(text, "no difference in {} collections and views", count(same as u64)),
        (false, 0) => Ok(()),
        (false, same) => writeln!(text, "no difference in {} others", count(same as u64)),
    };
    text
}

fn remarks(one: &CollectionDiff) -> String {
    let mut remarks = Vec::new();
    match one.collection {
        Some(Change::Added) => remarks.push("new".to_owned()),
        Some(Change::Removed) => remarks.push("gone".to_owned()),
        Some(Change::Changed) => remarks.push("of another kind".to_owned()),
        None => {}
    }
    if one.reordered {
        remarks.push("in another order".into());
    }
    if !one.options.is_empty() {
        remarks.push(format!("options: {}", one.options.join(", ")));
    }
    if !one.indexes.is_empty() {
        let names: Vec<String> =
            one.indexes.iter().map(|index| format!("{}{}", sign(index.change), index.name)).collect();
        remarks.push(format!("indexes: {}", names.join(", ")));
    }
    remarks.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn a_document_is_told_by_its_id() {
        let document = doc! { "x": 1, "_id": { "a": 7_i64 } }.to_vec().expect("BSON");
        assert_eq!(line("users", Change::Removed, &document), "- users {\"a\":{\"$numberLong\":\"7\"}}\n");
        let without = doc! { "x": 1 };
        assert_eq!(line("a\nb", Change::Added, &without.to_vec().expect("BSON")), "+ a\u{fffd}b null\n");
    }
}
