//! Collections, validators, indexes and the view of the engine's database; idempotent, and safe when several do it at once.
//!
//! Done at the start, and again and again: what somebody drops under live nodes is made anew. Invariants: what is there and
//! right isn't touched; where a later program has left definitions of its own, nothing is.

use crate::{
    detached::detached,
    duplicates,
    error::{code, describe, is_passing, store_error},
    registry::{all, upsert},
    send::{Tried, persist},
};
use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use lucid_ports::{Problems, StoreError};
use lucid_schemas::{
    JOB_SCHEMA,
    collections::{
        DEFINITIONS, HOLDS, IndexDefinition, MIGRATIONS, OPS, OPS_EVENTS, SCHEDULES, UNIQUE_KEY, WORKERS, events_view,
        indexes, validators,
    },
};
use mongodb::Database;
use std::{collections::BTreeMap, time::Duration};

const NAMESPACE_EXISTS: i32 = 48;
const NAMESPACE_NOT_FOUND: i32 = 26;
const DUPLICATE_KEY: i32 = 11_000;
const UNAUTHORIZED: i32 = 13;
/// Codes of "an index of that name, or of those keys, is there and differs", of duplicates under a unique one, and of a user who may not.
const INDEX_REFUSED: [i32; 4] = [85, 86, DUPLICATE_KEY, UNAUTHORIZED];
/// For each step; an index on many jobs takes its time.
const PATIENCE: Duration = Duration::from_mins(2);
const BOUND: Duration = Duration::from_mins(30);
/// A worker that wasn't heard of for so long is gone.
const OLDER_WITHIN_MS: i64 = 300_000;
/// The problems' subject; each index has one of its own.
const LATER: &str = "definitions";
/// Subject of what this user may not make.
const RIGHTS: &str = "rights on definitions";
/// Who may make what this user may not.
const WHO_MAY: &str = "this user may not make it so: a worker does, or `lucid-ops bootstrap`";

/// Makes what is missing or differs, and tells among the problems what can't be made. The id of the collection of
/// schedules as it was found: another one than before holds nothing of what was in it.
pub async fn set_up(ops: &Database, problems: &Problems) -> Result<Option<Bson>, StoreError> {
    let (ops, problems) = (ops.clone(), problems.clone());
    detached(BOUND, async move {
        if let Some(later) = later_shape(&ops, "jobs", JOB_SCHEMA).await? {
            problems.set(LATER, format!("the jobs have shape {later}, this program knows shapes up to {JOB_SCHEMA}: {KEPT}"));
            return Err(StoreError::Rejected(format!(
                "the jobs in database '{}' have shape {later}, this program knows shapes up to {JOB_SCHEMA}: upgrade this node",
                ops.name()
            )));
        }
        if let Some(later) = later_shape(&ops, "definitions", DEFINITIONS).await? {
            problems.set(
                LATER,
                format!("the definitions of '{}' have number {later}, this program's {DEFINITIONS}: {KEPT}", ops.name()),
            );
            return Ok(None);
        }
        problems.clear(LATER);
        let found = collections(&ops).await?;
        let mut left = Vec::new();
        let is_mixed = has_older(&ops).await?;
        for definition in validators() {
            let mut validator = definition.validator;
            if is_mixed {
                take_any_key(&mut validator);
            }
            let mut options = doc! { "validator": validator };
            if definition.collection == OPS {
                // Open jobs of older programs keep what a later validator refuses in new ones.
                options.insert("validationLevel", "moderate");
            }
            left.extend(keep(&ops, definition.collection, options, &found).await?);
        }
        let pipeline: Vec<Bson> = events_view().into_iter().map(Bson::Document).collect();
        left.extend(keep(&ops, OPS_EVENTS, doc! { "viewOn": OPS, "pipeline": pipeline }, &found).await?);
        left.extend(keep_indexes(&ops, &problems).await?);
        let id = found.get(SCHEDULES).and_then(|found| found.id.clone());
        if !left.is_empty() {
            let list = left.join(", ");
            problems.set(RIGHTS, format!("'{}' lacks or has otherwise than needed: {list}; {WHO_MAY}", ops.name()));
            return Ok(id);
        }
        problems.clear(RIGHTS);
        for (shape, number) in [("jobs", JOB_SCHEMA), ("definitions", DEFINITIONS)] {
            if !all(&ops, MIGRATIONS, doc! { "_id": shape, "schema": number }).await?.is_empty() {
                continue;
            }
            let made = doc! { "$mergeObjects": [{ "_id": shape }, { "schema": { "$max": ["$schema", number] } }] };
            upsert(&ops, MIGRATIONS, shape, made.into()).await?;
        }
        Ok(id)
    })
    .await
}

/// Whether a worker is about whose program doesn't say yet whose a unique key is; its card tells no problems. Such nodes go on while a
/// cluster is upgraded, and so do their schedules: the rule is set once the last of them is gone.
async fn has_older(ops: &Database) -> Result<bool, StoreError> {
    // One from before the clock was put back says nothing of now.
    let heard = doc! { "$lte": [{ "$abs": { "$subtract": ["$$NOW", "$seen_at"] } }, OLDER_WITHIN_MS] };
    let older = doc! { "problems": { "$exists": false }, "$expr": heard };
    Ok(!all(ops, WORKERS, older).await?.is_empty())
}

/// Takes out of a validator what unique keys have to look like.
fn take_any_key(validator: &mut Document) {
    for (name, value) in validator.iter_mut() {
        match value {
            Bson::Document(inner) => {
                if name == "unique_key" {
                    inner.remove("pattern");
                }
                take_any_key(inner);
            }
            Bson::Array(inner) => inner.iter_mut().filter_map(Bson::as_document_mut).for_each(take_any_key),
            _ => {}
        }
    }
}

const KEPT: &str = "it leaves validators, indexes and views as they are: upgrade this node";

/// The number that a later program has left, where it is beyond what this one knows.
async fn later_shape(ops: &Database, shape: &str, known: i32) -> Result<Option<Bson>, StoreError> {
    let mut found = all(ops, MIGRATIONS, doc! { "_id": shape, "schema": { "$gt": known } }).await?;
    Ok(found.pop().and_then(|mut later| later.remove("schema")))
}

/// A collection that is there.
struct Found {
    options: Document,
    id: Option<Bson>,
}

/// Every collection that is there, by name.
async fn collections(ops: &Database) -> Result<BTreeMap<String, Found>, StoreError> {
    persist(PATIENCE, || async {
        let found = match ops.run_cursor_command(doc! { "listCollections": 1 }).await {
            Ok(cursor) => cursor.try_collect::<Vec<Document>>().await,
            Err(error) => Err(error),
        };
        let named = |found: Document| {
            let options = found.get_document("options").cloned().unwrap_or_default();
            let id = found.get_document("info").ok().and_then(|info| info.get("uuid").cloned());
            Some((found.get_str("name").ok()?.to_owned(), Found { options, id }))
        };
        tried(found).map(|tried| tried.map(|found| found.into_iter().filter_map(named).collect()))
    })
    .await
}

fn tried<T>(answer: Result<T, mongodb::error::Error>) -> Tried<T> {
    match answer {
        Ok(found) => Ok(Ok(found)),
        Err(error) if is_passing(&error) => Ok(Err(describe(&error))),
        Err(error) => Err(store_error(&error)),
    }
}

/// Creates, or changes what exists to the same options; the name of what this user may not make so.
async fn keep(
    ops: &Database,
    name: &str,
    options: Document,
    found: &BTreeMap<String, Found>,
) -> Result<Option<String>, StoreError> {
    let has = |found: &Found| options.iter().all(|(option, value)| found.options.get(option) == Some(value));
    if found.get(name).is_some_and(has) {
        return Ok(None);
    }
    let command = |verb: &str| {
        let mut command = doc! { verb: name };
        command.extend(options.clone());
        command
    };
    let mut made = Err((NAMESPACE_EXISTS, String::new()));
    if !found.contains_key(name) {
        made = run(ops, command("create"), &[NAMESPACE_EXISTS, UNAUTHORIZED]).await?;
    }
    if matches!(made, Err((NAMESPACE_EXISTS, _))) {
        made = run(ops, command("collMod"), &[UNAUTHORIZED]).await?;
    }
    Ok(made.is_err().then(|| name.to_owned()))
}

/// Makes every index that is missing. One that can't be made keeps nothing from going on, and is told with what it would guard; the names
/// of those that this user may not make.
async fn keep_indexes(ops: &Database, problems: &Problems) -> Result<Vec<String>, StoreError> {
    let mut left = Vec::new();
    let mut there: BTreeMap<&str, Vec<Document>> = BTreeMap::new();
    for definition in indexes() {
        if !there.contains_key(definition.collection) {
            there.insert(definition.collection, listed(ops, definition.collection).await?);
        }
        let name = definition.index.get_str("name").unwrap_or("?");
        let subject = format!("index {name}");
        let is_same = |found: &Document| definition.index.iter().all(|(field, value)| found.get(field) == Some(value));
        if there.get(definition.collection).is_some_and(|found| found.iter().any(is_same)) {
            problems.clear(&subject);
            continue;
        }
        let guards = guards(name);
        problems.set(
            &subject,
            format!("the index '{name}' of {} is missing{guards}: it is being made", definition.collection),
        );
        let make = doc! { "createIndexes": definition.collection, "indexes": [&definition.index] };
        match run(ops, make, &INDEX_REFUSED).await? {
            Ok(()) => drop(problems.clear(&subject)),
            Err((DUPLICATE_KEY, _)) => {
                let sentence =
                    format!("the index '{name}' can't be made{guards}: {}", duplicates::named(ops, name).await?);
                tracing::error!(index = name, "{sentence}");
                problems.set(&subject, sentence);
            }
            Err((UNAUTHORIZED, _)) => {
                problems.set(
                    &subject,
                    format!("the index '{name}' of {} is missing{guards}: {WHO_MAY}", definition.collection),
                );
                left.push(name.to_owned());
            }
            Err((_, reason)) => problems.set(&subject, differs(&definition, &reason)),
        }
    }
    Ok(left)
}

fn differs(definition: &IndexDefinition, reason: &str) -> String {
    let name = definition.index.get_str("name").unwrap_or("?");
    format!(
        "the index '{name}' of {} differs from what this program needs{}: drop it, it is made anew soon ({reason})",
        definition.collection,
        guards(name)
    )
}

/// What isn't kept from happening while an index is missing.
fn guards(name: &str) -> &'static str {
    match name {
        UNIQUE_KEY => ", so unique keys and the overlap of schedules aren't guarded",
        HOLDS => ", so jobs that exclude one another may run at once",
        _ => "",
    }
}

async fn listed(ops: &Database, collection: &str) -> Result<Vec<Document>, StoreError> {
    persist(PATIENCE, || async {
        let found = match ops.run_cursor_command(doc! { "listIndexes": collection }).await {
            Ok(cursor) => cursor.try_collect::<Vec<Document>>().await,
            Err(error) => Err(error),
        };
        match found {
            Err(error) if code(&error) == Some(NAMESPACE_NOT_FOUND) => Ok(Ok(Vec::new())),
            found => tried(found),
        }
    })
    .await
}

/// Runs a command until it is known what came of it; the inner error is a refusal with one of these codes.
async fn run(ops: &Database, mut command: Document, expected: &[i32]) -> Result<Result<(), (i32, String)>, StoreError> {
    command.insert("writeConcern", doc! { "w": "majority" });
    persist(PATIENCE, || {
        let answered = ops.run_command(command.clone());
        async {
            match answered.await {
                Ok(answer) if answer.contains_key("writeConcernError") => Ok(Err("not on a majority yet".into())),
                Ok(_) => Ok(Ok(Ok(()))),
                Err(error) if is_passing(&error) => Ok(Err(describe(&error))),
                Err(error) => match code(&error) {
                    Some(code) if expected.contains(&code) => Ok(Ok(Err((code, describe(&error))))),
                    _ => Err(store_error(&error)),
                },
            }
        }
    })
    .await
}
