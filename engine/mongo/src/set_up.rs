//! Collections, validators, indexes and the view of the engine's database; idempotent, and safe when several start at once.

use crate::{
    detached::detached,
    error::{code, store_error},
};
use bson::{Bson, Document, doc};
use lucid_ports::StoreError;
use lucid_schemas::collections::{OPS, OPS_EVENTS, events_view, indexes, validators};
use mongodb::Database;

const NAMESPACE_EXISTS: i32 = 48;

pub async fn set_up(ops: &Database) -> Result<(), StoreError> {
    let ops = ops.clone();
    detached(async move {
        for definition in validators() {
            create(&ops, definition.collection, doc! { "validator": definition.validator }).await?;
        }
        let pipeline: Vec<Bson> = events_view().into_iter().map(Bson::Document).collect();
        create(&ops, OPS_EVENTS, doc! { "viewOn": OPS, "pipeline": pipeline }).await?;
        for definition in indexes() {
            run(
                &ops,
                doc! { "createIndexes": definition.collection, "indexes": [definition.index] },
            )
            .await?;
        }
        Ok(())
    })
    .await
}

/// Creates, or changes what exists to the same options.
async fn create(ops: &Database, name: &str, options: Document) -> Result<(), StoreError> {
    let mut make = doc! { "create": name };
    make.extend(options.clone());
    match ops.run_command(make).await {
        Ok(_) => Ok(()),
        Err(error) if code(&error) == Some(NAMESPACE_EXISTS) => {
            let mut change = doc! { "collMod": name };
            change.extend(options);
            run(ops, change).await
        }
        Err(error) => Err(store_error(&error)),
    }
}

async fn run(ops: &Database, command: Document) -> Result<(), StoreError> {
    ops.run_command(command).await.map_err(|error| store_error(&error))?;
    Ok(())
}
