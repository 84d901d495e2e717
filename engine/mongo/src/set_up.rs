//! Collections, validators, indexes and the view of the engine's database; idempotent, and safe when several start at once.

use crate::{
    detached::detached,
    error::{code, describe, is_passing, store_error},
    registry::{all, upsert},
    send::persist,
};
use bson::{Bson, Document, doc};
use lucid_ports::StoreError;
use lucid_schemas::{
    JOB_SCHEMA,
    collections::{MIGRATIONS, OPS, OPS_EVENTS, events_view, indexes, validators},
};
use mongodb::Database;
use std::time::Duration;

const NAMESPACE_EXISTS: i32 = 48;
/// Codes of "an index of that name, or of those keys, is there and differs".
const INDEX_DIFFERS: [i32; 2] = [85, 86];
/// For each step; an index on many jobs takes its time.
const PATIENCE: Duration = Duration::from_mins(2);
const BOUND: Duration = Duration::from_mins(30);

pub async fn set_up(ops: &Database) -> Result<(), StoreError> {
    let ops = ops.clone();
    detached(BOUND, async move {
        refuse_later_shape(&ops).await?;
        for definition in validators() {
            create(&ops, definition.collection, doc! { "validator": definition.validator }).await?;
        }
        let pipeline: Vec<Bson> = events_view().into_iter().map(Bson::Document).collect();
        create(&ops, OPS_EVENTS, doc! { "viewOn": OPS, "pipeline": pipeline }).await?;
        for definition in indexes() {
            let make = doc! { "createIndexes": definition.collection, "indexes": [&definition.index] };
            if let Err(refused) = run(&ops, make, &INDEX_DIFFERS).await? {
                let name = definition.index.get_str("name").unwrap_or("?");
                return Err(StoreError::Rejected(format!(
                    "the index '{name}' of {} differs from what this program needs: drop it and start again ({refused})",
                    definition.collection
                )));
            }
        }
        let shape = doc! { "$mergeObjects": [{ "_id": "jobs" }, { "schema": { "$max": ["$schema", JOB_SCHEMA] } }] };
        upsert(&ops, MIGRATIONS, "jobs", shape.into()).await.map(drop)
    })
    .await
}

/// A database that a later program has set up keeps its validators and indexes: this one would put its own back.
async fn refuse_later_shape(ops: &Database) -> Result<(), StoreError> {
    let found = all(ops, MIGRATIONS, doc! { "_id": "jobs", "schema": { "$gt": JOB_SCHEMA } }).await?;
    match found.first().map(|later| later.get("schema").map_or_else(String::new, ToString::to_string)) {
        None => Ok(()),
        Some(later) => Err(StoreError::Rejected(format!(
            "the jobs in database '{}' have shape {later}, this program knows shapes up to {JOB_SCHEMA}: upgrade this node",
            ops.name()
        ))),
    }
}

/// Creates, or changes what exists to the same options.
async fn create(ops: &Database, name: &str, options: Document) -> Result<(), StoreError> {
    let command = |verb: &str| {
        let mut command = doc! { verb: name };
        command.extend(options.clone());
        command
    };
    if run(ops, command("create"), &[NAMESPACE_EXISTS]).await?.is_err() {
        run(ops, command("collMod"), &[]).await?.map_err(StoreError::Rejected)?;
    }
    Ok(())
}

/// Runs a command until it is known what came of it; the inner error is a refusal with one of these codes.
async fn run(ops: &Database, mut command: Document, expected: &[i32]) -> Result<Result<(), String>, StoreError> {
    command.insert("writeConcern", doc! { "w": "majority" });
    persist(PATIENCE, || {
        let answered = ops.run_command(command.clone());
        async {
            match answered.await {
                Ok(answer) if answer.contains_key("writeConcernError") => Ok(Err("not on a majority yet".into())),
                Ok(_) => Ok(Ok(Ok(()))),
                Err(error) if is_passing(&error) => Ok(Err(describe(&error))),
                Err(error) if code(&error).is_some_and(|code| expected.contains(&code)) => {
                    Ok(Ok(Err(describe(&error))))
                }
                Err(error) => Err(store_error(&error)),
            }
        }
    })
    .await
}
