//! What a restore will do to its target, and why it can't. Pure; also what a dry run answers.

use crate::{
    bounded::names_that_fit,
    database::{Catalog, Entry},
};
use bson::{Document, Uuid, doc};
use lucid_repository::{CollectionEntry, CollectionKind};
use lucid_schemas::{Code, names::check_collection};

/// `system.buckets.` before the name of what stores a time-series collection.
const BUCKETS_PREFIX_BYTES: usize = 15;
const NAMESPACE_BYTES_MAX: usize = 255;

/// What will be done about one collection or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its name.
    pub name: String,
    /// What it is, in the backup.
    pub kind: CollectionKind,
    /// Whether something under this name is replaced.
    pub replaces: bool,
    /// Identity of what is replaced; views have none.
    pub target: Option<Uuid>,
}

/// Something that keeps the restore from being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// A stable word for programs.
    pub code: Code,
    /// What it is and what to do about it.
    pub message: String,
}

/// What a restore will do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    /// In the order of doing.
    pub steps: Vec<Step>,
    /// What is in the target and stays as it is.
    pub kept: Vec<String>,
    /// Why it can't be done; empty where it can.
    pub problems: Vec<Problem>,
    /// Bytes of documents to be stored.
    pub raw_bytes: u64,
    /// What goes without its expiry, as the server refuses it there.
    pub expiry_left_off: Vec<String>,
}

/// Compares a backup with its target.
pub(crate) fn plan(database: &str, entries: &[CollectionEntry], target: &Catalog, replace: bool) -> Plan {
    let mut plan = Plan::default();
    for entry in entries {
        let existing = target.entries.get(&entry.name);
        plan.problems.extend(problems(database, entry, existing, replace));
        plan.raw_bytes += entry.content.raw_bytes;
        plan.steps.push(Step {
            name: entry.name.clone(),
            kind: entry.kind,
            replaces: existing.is_some(),
            target: existing.and_then(|existing| existing.uuid),
        });
    }
    let restored = |name: &String| entries.iter().any(|entry| entry.name == *name);
    plan.kept = target.entries.keys().filter(|name| !restored(name)).cloned().collect();
    plan
}

fn problems(database: &str, entry: &CollectionEntry, existing: Option<&Entry>, replace: bool) -> Option<Problem> {
    let name = &entry.name;
    let problem = |code, message| Some(Problem { code, message });
    if let Err(why) = check_name(database, entry) {
        return problem(Code::BadName, format!("'{name}' in database '{database}' {why}"));
    }
    let existing = existing?;
    if !replace {
        return problem(
            Code::TargetExists,
            format!("'{name}' exists in database '{database}': ask for it to be replaced, or restore into another one"),
        );
    }
    let (kind, found) = (family(entry.kind), family(existing.kind));
    if kind != found {
        return problem(
            Code::KindInTheWay,
            format!(
                "'{name}' is {found} in the target and {kind} in the backup: drop or rename it, then restore again"
            ),
        );
    }
    let option = |options: &bson::RawDocument, name| Document::try_from(options).ok()?.remove(name);
    let differs = |name| option(&entry.options, name) != option(&existing.options, name);
    match entry.kind {
        CollectionKind::TimeSeries if differs("timeseries") => problem(
            Code::KindInTheWay,
            format!(
                "time-series collection '{name}' has other time-series options in the target: drop it, then restore again"
            ),
        ),
        CollectionKind::View if differs("collation") => problem(
            Code::KindInTheWay,
            format!("view '{name}' has another collation in the target: drop it, then restore again"),
        ),
        _ => None,
    }
}

fn check_name(database: &str, entry: &CollectionEntry) -> Result<(), String> {
    check_collection(database, &entry.name)?;
    let bytes = database.len() + 1 + BUCKETS_PREFIX_BYTES + entry.name.len();
    if entry.kind == CollectionKind::TimeSeries && bytes > NAMESPACE_BYTES_MAX {
        return Err(format!(
            "makes a namespace of {bytes} bytes for its buckets; the server takes {NAMESPACE_BYTES_MAX}"
        ));
    }
    Ok(())
}

/// What can be swapped for each other.
const fn family(kind: CollectionKind) -> &'static str {
    match kind {
        CollectionKind::Collection | CollectionKind::Capped | CollectionKind::Clustered => "a collection",
        CollectionKind::TimeSeries => "a time-series collection",
        CollectionKind::View => "a view",
    }
}

impl Plan {
    /// For people and programs; lists are cut off where they grow long.
    pub fn to_document(&self) -> Document {
        let names = |replaces: bool| -> Vec<&str> {
            let steps = self.steps.iter().filter(|step| step.replaces == replaces);
            names_that_fit(steps.map(|step| step.name.as_str()))
        };
        let merged = self.steps.iter().any(|step| step.replaces && step.kind == CollectionKind::TimeSeries);
        doc! {
            "created": names(false),
            "replaced": names(true),
            "kept": names_that_fit(self.kept.iter().map(String::as_str)),
            "problems": names_that_fit(self.problems.iter().map(|problem| problem.message.as_str())),
            "expiry_left_off": names_that_fit(self.expiry_left_off.iter().map(String::as_str)),
            "raw_bytes": i64::try_from(self.raw_bytes).unwrap_or(i64::MAX),
            "notes": notes(merged),
        }
    }
}

fn notes(merged_time_series: bool) -> Vec<&'static str> {
    let mut notes = vec!["collections are swapped one by one: for a moment, readers see old ones beside new ones"];
    if merged_time_series {
        notes.push("time-series collections can't be swapped: their buckets are replaced in place, group by group");
        notes.push(
            "a bucket that is written to meanwhile stays as it is, with all that is in it, and the result says how many: stop the writers to \
             get exactly what the backup has",
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{RawDocumentBuf, Timestamp};
    use lucid_repository::{CollectionContent, ContentOrder, ReadOrder};
    use std::collections::BTreeMap;

    fn raw(document: &Document) -> RawDocumentBuf {
        RawDocumentBuf::try_from(document).expect("BSON")
    }

    fn backed_up(name: &str, kind: CollectionKind, options: &Document) -> CollectionEntry {
        CollectionEntry {
            name: name.into(),
            kind,
            options: raw(options),
            uuid: None,
            indexes: Vec::new(),
            read_at: None,
            at_snapshot: true,
            read_order: ReadOrder::Natural,
            content_order: ContentOrder::Any,
            content: CollectionContent {
                documents: 1,
                raw_bytes: 10,
                content_hash: String::new(),
                chunk_lists: Vec::new(),
            },
            stored: None,
        }
    }

    fn target(entries: &[(&str, CollectionKind, Document)]) -> Catalog {
        let entry = |(name, kind, options): &(&str, CollectionKind, Document)| Entry {
            name: (*name).into(),
            kind: *kind,
            options: raw(options),
            uuid: Some(Uuid::from_bytes([1; 16])),
            indexes: Vec::new(),
        };
        Catalog {
            at: Timestamp { time: 1, increment: 1 },
            entries: entries.iter().map(|item| (item.0.to_owned(), entry(item))).collect(),
            staging: BTreeMap::new(),
            left_out: Vec::new(),
        }
    }

    #[test]
    fn nothing_that_exists_is_replaced_unasked_and_the_rest_is_kept() {
        let backup = [backed_up("a", CollectionKind::Collection, &doc! {})];
        let there = target(&[
            ("a", CollectionKind::Capped, doc! { "capped": true }),
            ("b", CollectionKind::Collection, doc! {}),
        ]);
        let refused = plan("db", &backup, &there, false);
        assert_eq!(refused.problems[0].code, Code::TargetExists);
        let agreed = plan("db", &backup, &there, true);
        assert!(agreed.problems.is_empty());
        assert_eq!(agreed.kept, ["b"]);
        assert_eq!(agreed.steps[0].target, Some(Uuid::from_bytes([1; 16])));
    }

    #[test]
    fn what_cannot_be_swapped_safely_is_refused() {
        let cases = [
            (CollectionKind::View, doc! {}, CollectionKind::Collection, doc! {}),
            (CollectionKind::Collection, doc! {}, CollectionKind::TimeSeries, doc! {}),
            (
                CollectionKind::TimeSeries,
                doc! { "timeseries": { "timeField": "t" } },
                CollectionKind::TimeSeries,
                doc! { "timeseries": { "timeField": "u" } },
            ),
            (CollectionKind::View, doc! { "collation": { "locale": "de" } }, CollectionKind::View, doc! {}),
        ];
        for (kind, options, found, found_options) in cases {
            let backup = [backed_up("a", kind, &options)];
            let plan = plan("db", &backup, &target(&[("a", found, found_options)]), true);
            assert_eq!(plan.problems[0].code, Code::KindInTheWay, "{kind:?} onto {found:?}");
        }
    }

    #[test]
    fn names_that_grow_too_long_are_refused() {
        let name = "n".repeat(245);
        let backup = [backed_up(&name, CollectionKind::TimeSeries, &doc! {})];
        assert_eq!(plan("db", &backup, &target(&[]), false).problems[0].code, Code::BadName);
        let backup = [backed_up(&name, CollectionKind::Collection, &doc! {})];
        assert!(plan("db", &backup, &target(&[]), false).problems.is_empty());
    }
}
