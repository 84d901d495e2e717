//! `lucid-ops repo diff`: what differs between two backups.

use super::{
    output::{self, Failed, count},
    pick::Holdings,
};
use crate::{args::DiffArgs, exit::Exit, repositories::refused};
use bson::{Bson, RawBson, RawDocument};
use lucid_client::render::{clean, table::Table};
use lucid_repository::{Change, CollectionDiff, Manifest, RepositoryError, ToldDocument};
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
    let pair = Pair { older: &older.manifest, newer: &newer.manifest };
    output::to_stdout(async |out| {
        // An output that fails ends the comparison, too.
        let mut broken = None;
        let mut tell = |collection: &str, change: Change, document: &[u8]| {
            let line = if args.repo.json {
                pair.json_line(collection, change, document)
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
        let text = if args.repo.json {
            output::json_lines(diff.iter().map(|one| pair.as_json(one)))
        } else {
            pair.as_text(&diff) + &older.note() + &newer.note()
        };
        Ok(out.write_all(text.as_bytes())?)
    })
    .await
}

/// The two backups.
struct Pair<'a> {
    older: &'a Manifest,
    newer: &'a Manifest,
}

impl Pair<'_> {
    /// Whether one of them isn't of a whole database: what it lacks then says nothing about that.
    fn is_partial(&self) -> bool {
        self.older.part().is_some() || self.newer.part().is_some()
    }

    /// Which of them doesn't have a collection because it wasn't asked for.
    fn not_asked_for(&self, name: &str) -> Option<&'static str> {
        let lacks = |manifest: &Manifest| {
            manifest.selected.as_ref().is_some_and(|names| !names.iter().any(|selected| selected == name))
        };
        match (lacks(self.older), lacks(self.newer)) {
            (true, _) => Some("older"),
            (false, true) => Some("newer"),
            (false, false) => None,
        }
    }

    fn json_line(&self, collection: &str, change: Change, document: &[u8]) -> String {
        let mut told = json!({ "collection": collection, "change": change, "_id": id(document) });
        self.mark(&mut told, collection);
        format!("{told}\n")
    }

    fn as_json(&self, one: &CollectionDiff) -> Value {
        let mut told = json!(one);
        self.mark(&mut told, &one.name);
        told
    }

    fn mark(&self, told: &mut Value, collection: &str) {
        told["partial"] = self.is_partial().into();
        if let Some(which) = self.not_asked_for(collection) {
            told["not_asked_for"] = which.into();
        }
    }

    fn as_text(&self, diff: &[CollectionDiff]) -> String {
        let mut table = Table::new(&["COLLECTION", ">ADDED", ">REMOVED", ">CHANGED", ""]);
        let different: Vec<_> = diff.iter().filter(|one| !one.is_same()).collect();
        for one in &different {
            let remarks = remarks(one, self.not_asked_for(&one.name));
            table.row(&[one.name.clone(), count(one.added), count(one.removed), count(one.changed), remarks]);
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

fn remarks(one: &CollectionDiff, not_asked_for: Option<&str>) -> String {
    let mut remarks = Vec::new();
    match (one.collection, not_asked_for) {
        (Some(_), Some(which)) => remarks.push(format!("not asked for in the {which} backup")),
        (Some(Change::Added), None) => remarks.push("new".to_owned()),
        (Some(Change::Removed), None) => remarks.push("gone".to_owned()),
        (Some(Change::Changed), None) => remarks.push("of another kind".to_owned()),
        (None, _) => {}
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
