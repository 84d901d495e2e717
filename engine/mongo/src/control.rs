//! What steers the engine from outside a job: pauses, idempotency keys, the end of old jobs.

use crate::{
    batch::PATIENCE,
    detached::{READ_BOUND, detached},
    error::store_error,
    pipeline::literal,
    query,
    read::{self, decisive},
    registry::{all, parse, upsert},
    send::send,
};
use bson::{DateTime, Document, doc};
use lucid_ports::{BoundKey, IDEMPOTENCY_MS, Pause, StoreError};
use lucid_schemas::{
    Fate, JobId, Kind, State,
    collections::{IDEMPOTENCY, OPS, OPS_DETAILS, QUEUES},
};
use mongodb::{
    Database,
    options::{FindOptions, WriteConcern},
};
use serde::Deserialize;

pub async fn pause(ops: &Database, pause: &Pause) -> Result<(), StoreError> {
    let stored = doc! { "_id": pause.kind.as_str(), "by": &pause.by, "reason": &pause.reason };
    let paused = doc! { "$mergeObjects": [literal(stored), { "at": "$$NOW" }] };
    upsert(ops, QUEUES, pause.kind.as_str(), paused.into()).await.map(drop)
}

pub async fn unpause(ops: &Database, kind: Kind) -> Result<bool, StoreError> {
    delete(ops, QUEUES, doc! { "_id": kind.as_str() }).await.map(|deleted| deleted > 0)
}

pub async fn paused(ops: &Database) -> Result<Vec<Pause>, StoreError> {
    #[derive(Deserialize)]
    struct Stored {
        #[serde(rename = "_id")]
        kind: String,
        by: String,
        reason: String,
        at: DateTime,
    }
    let mut pauses = Vec::new();
    for document in all(ops, QUEUES, Document::new()).await? {
        let Stored { kind, by, reason, at } = parse(document, "a pause")?;
        // A later program may know more kinds.
        if let Ok(kind) = kind.parse() {
            pauses.push(Pause { kind, by, reason, at: Some(at) });
        }
    }
    Ok(pauses)
}

pub async fn note_fate(ops: &Database, backup: &JobId, fate: &Fate) -> Result<(), StoreError> {
    let fate = bson::serialize_to_document(fate).map_err(|error| StoreError::Rejected(error.to_string()))?;
    let statement = doc! {
        "q": {
            "_id": backup.as_str(),
            "kind": Kind::Backup.as_str(),
            "state": State::Succeeded.as_str(),
            "fate": { "$exists": false },
        },
        "u": [{ "$set": { "fate": literal(fate) } }],
        "upsert": false,
        "multi": false,
    };
    send(ops, OPS, &statement, PATIENCE).await.map(drop)
}

pub async fn bind_key(ops: &Database, bound: &BoundKey) -> Result<BoundKey, StoreError> {
    let BoundKey { key, fingerprint, job, write } = bound;
    let stored = doc! { "_id": key, "fingerprint": fingerprint, "job": job.as_str(), "write": write };
    let until = doc! { "$add": ["$$NOW", IDEMPOTENCY_MS] };
    let born = doc! { "$mergeObjects": [literal(stored), { "expires_at": until }] };
    // The server deletes what is over within a minute or so; until then it is as good as gone.
    let is_over = doc! { "$lte": ["$expires_at", "$$NOW"] };
    let only_if_absent = doc! { "$cond": [is_over, born, "$$ROOT"] };
    let sent = upsert(ops, IDEMPOTENCY, key, only_if_absent.into()).await?;
    let Some(document) = read::after::<Document>(ops, IDEMPOTENCY, key, sent.seen_from).await? else {
        return Err(StoreError::Unavailable("the idempotency key isn't bound yet".into()));
    };
    read_key(key, document)
}

pub async fn bound_key(ops: &Database, key: &str) -> Result<Option<BoundKey>, StoreError> {
    let filter = doc! { "_id": key, "$expr": { "$gt": ["$expires_at", "$$NOW"] } };
    let found = all(ops, IDEMPOTENCY, filter).await?.pop();
    found.map(|document| read_key(key, document)).transpose()
}

fn read_key(key: &str, document: Document) -> Result<BoundKey, StoreError> {
    #[derive(Deserialize)]
    struct Stored {
        fingerprint: String,
        job: JobId,
        write: String,
    }
    let Stored { fingerprint, job, write } = parse(document, "an idempotency key")?;
    Ok(BoundKey { key: key.to_owned(), fingerprint, job, write })
}

/// Ids of jobs that others wait for.
pub async fn awaited(ops: &Database) -> Result<Vec<String>, StoreError> {
    let waiting = all(ops, OPS, query::waiting(None).filter).await?;
    let awaited = |job: &Document| Some(job.get_document("after").ok()?.get_str("job").ok()?.to_owned());
    Ok(waiting.iter().filter_map(awaited).collect())
}

/// Deletes jobs that have ended, their lists first: a crash in between leaves a job that is deleted later, never a list
/// that nobody knows of.
pub async fn forget(ops: &Database, ids: &[String]) -> Result<u64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    delete(ops, OPS_DETAILS, doc! { "job": { "$in": ids } }).await?;
    delete(ops, OPS, doc! { "_id": { "$in": ids }, "open": false }).await
}

/// Deletes documents of a small collection that match this, `limit` at most: only such as never cease to.
pub async fn forget_some(
    ops: &Database,
    collection: &'static str,
    filter: Document,
    limit: u32,
) -> Result<u64, StoreError> {
    let options = FindOptions::builder().sort(doc! { "_id": 1 }).limit(i64::from(limit)).projection(doc! { "_id": 1 });
    let found: Vec<Document> = read::find(ops, collection, filter, options.build()).await?;
    let ids: Vec<_> = found.into_iter().filter_map(|mut document| document.remove("_id")).collect();
    if ids.is_empty() { Ok(0) } else { delete(ops, collection, doc! { "_id": { "$in": ids } }).await }
}

async fn delete(ops: &Database, collection: &str, filter: Document) -> Result<u64, StoreError> {
    let collection = decisive(ops, collection);
    detached(READ_BOUND, async move {
        let majority = WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build();
        let deleted = collection.delete_many(filter).write_concern(majority).await;
        Ok(deleted.map_err(|error| store_error(&error))?.deleted_count)
    })
    .await
}
