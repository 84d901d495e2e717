//! The small collections beside `ops`: workers, repository names, lists too large for an event.

use crate::{
    detached::{READ_BOUND, detached},
    error::store_error,
    pipeline::literal,
    read::{self, decisive},
    send::{Sent, send},
};
use bson::{Bson, DateTime, Document, doc};
use lucid_ports::{Detail, Reach, StoreError, WorkerCard};
use lucid_schemas::{
    JobId, Kind, RepositoryName,
    collections::{MIGRATIONS, OPS_DETAILS, REPOSITORIES, WORKERS},
};
use mongodb::{Database, options::FindOptions};
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeMap, time::Duration};

const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(15);
/// The `_id` of what tells this cluster from others, and the shape of that document.
const CLUSTER: &str = "cluster";
const CLUSTER_SCHEMA: i32 = 1;

/// Replaces a document by what `expression` makes of it, or makes it.
pub async fn upsert(ops: &Database, collection: &'static str, id: &str, expression: Bson) -> Result<Sent, StoreError> {
    let statement = doc! { "q": { "_id": id }, "u": [{ "$replaceWith": expression }], "upsert": true, "multi": false };
    let ops = ops.clone();
    detached(PATIENCE + GRACE, async move {
        let sent = send(&ops, collection, &statement, PATIENCE).await?;
        if sent.duplicates.is_empty() {
            return Ok(sent);
        }
        // Two made the same document at once; now it is there.
        send(&ops, collection, &statement, PATIENCE).await
    })
    .await
}

pub async fn all(ops: &Database, collection: &str, filter: Document) -> Result<Vec<Document>, StoreError> {
    read::find(ops, collection, filter, FindOptions::builder().sort(doc! { "_id": 1 }).build()).await
}

pub fn parse<T: DeserializeOwned>(document: Document, what: &str) -> Result<T, StoreError> {
    bson::deserialize_from_document(document)
        .map_err(|error| StoreError::Rejected(format!("{what} can't be read: {error}")))
}

pub async fn put_detail(ops: &Database, detail: &Detail) -> Result<(), StoreError> {
    let id = format!("{}/{}", detail.job, detail.name);
    let stored = doc! {
        "_id": &id,
        "job": detail.job.as_str(),
        "name": &detail.name,
        "hash": &detail.hash,
        "data": &detail.data,
    };
    upsert(ops, OPS_DETAILS, &id, literal(stored)).await.map(drop)
}

pub async fn detail(ops: &Database, job: &JobId, name: &str) -> Result<Option<Detail>, StoreError> {
    #[derive(Deserialize)]
    struct Stored {
        hash: String,
        data: Document,
    }
    let filter = doc! { "_id": format!("{job}/{name}") };
    let Some(document) = all(ops, OPS_DETAILS, filter).await?.pop() else {
        return Ok(None);
    };
    let Stored { hash, data } = parse(document, &format!("the list '{name}' of job {job}"))?;
    Ok(Some(Detail { job: job.clone(), name: name.to_owned(), hash, data }))
}

pub async fn announce(ops: &Database, card: &WorkerCard) -> Result<(), StoreError> {
    let repository = |known: &RepositoryName| doc! { "name": &known.name, "id": &known.id };
    let stored = doc! {
        "_id": &card.name,
        "version": &card.version,
        "capacity": card.capacity,
        "running": card.running,
        "kinds": card.reach.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
        "repositories": card.reach.repositories.iter().map(repository).collect::<Vec<_>>(),
        "labels": &card.reach.labels,
        "clock_skew_ms": card.clock_skew_ms,
        "counts": card.counts.iter().map(|(name, count)| (name.clone(), (*count).into())).collect::<Document>(),
        "problems": &card.problems,
    };
    let seen = doc! { "$mergeObjects": [literal(stored), { "seen_at": "$$NOW" }] };
    upsert(ops, WORKERS, &card.name, seen.into()).await.map(drop)
}

pub async fn depart(ops: &Database, name: &str) -> Result<(), StoreError> {
    let workers = decisive(ops, WORKERS);
    let filter = doc! { "_id": name };
    detached(READ_BOUND, async move {
        workers.delete_one(filter).await.map_err(|error| store_error(&error))?;
        Ok(())
    })
    .await
}

pub async fn workers(ops: &Database, within: Duration) -> Result<Vec<WorkerCard>, StoreError> {
    #[derive(Deserialize)]
    struct Stored {
        #[serde(rename = "_id")]
        name: String,
        version: String,
        capacity: i32,
        running: i32,
        kinds: Vec<String>,
        repositories: Vec<RepositoryName>,
        labels: Vec<String>,
        #[serde(default)]
        clock_skew_ms: Option<i64>,
        #[serde(default)]
        counts: BTreeMap<String, i64>,
        #[serde(default)]
        problems: Vec<String>,
        seen_at: DateTime,
    }
    let within_ms = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
    // One from before the clock was put back says nothing of now.
    let heard = doc! { "$gte": ["$seen_at", { "$subtract": ["$$NOW", within_ms] }] };
    let filter = doc! { "$expr": { "$and": [heard, { "$lte": ["$seen_at", { "$add": ["$$NOW", within_ms] }] }] } };
    let mut cards = Vec::new();
    for document in all(ops, WORKERS, filter).await? {
        let stored: Stored = parse(document, "a worker's card")?;
        // A newer worker may run kinds that this program doesn't know.
        let kinds = stored.kinds.iter().filter_map(|kind| kind.parse::<Kind>().ok());
        cards.push(WorkerCard {
            name: stored.name,
            version: stored.version,
            capacity: stored.capacity,
            running: stored.running,
            clock_skew_ms: stored.clock_skew_ms,
            counts: stored.counts,
            problems: stored.problems,
            reach: Reach {
                kinds: kinds.collect(),
                repositories: stored.repositories,
                labels: stored.labels,
                ..Reach::default()
            },
            seen_at: Some(stored.seen_at),
        });
    }
    Ok(cards)
}

#[derive(Deserialize)]
struct Bound {
    #[serde(rename = "_id")]
    name: String,
    id: String,
}

pub async fn bind(ops: &Database, repository: &RepositoryName) -> Result<(), StoreError> {
    let RepositoryName { name, id } = repository;
    let born = doc! { "$mergeObjects": [literal(doc! { "_id": name, "id": id }), { "bound_at": "$$NOW" }] };
    let bound: Bound = parse(first(ops, REPOSITORIES, name, born).await?, "a repository's name")?;
    if bound.id == *id {
        return Ok(());
    }
    Err(StoreError::OtherRepository { name: name.clone(), bound: bound.id, found: id.clone() })
}

pub async fn cluster(ops: &Database, known: Option<&String>) -> Result<String, StoreError> {
    let id = known.cloned().unwrap_or_else(|| bson::Uuid::new().to_string());
    let made = doc! { "_id": CLUSTER, "schema": CLUSTER_SCHEMA, "id": id };
    let Bound { id, .. } = parse(first(ops, MIGRATIONS, CLUSTER, literal(made)).await?, "the cluster's id")?;
    Ok(id)
}

/// The document with this `_id` that was the first to be made: this one, or another that stays as it is.
async fn first(
    ops: &Database,
    collection: &'static str,
    id: &str,
    born: impl Into<Bson>,
) -> Result<Document, StoreError> {
    // Most of the time it is there, and then nobody need have the right to write it.
    let made = doc! { "_id": id, "id": { "$exists": true } };
    if let Some(found) = all(ops, collection, made).await?.pop() {
        return Ok(found);
    }
    let only_if_absent = doc! { "$cond": [{ "$eq": [{ "$type": "$id" }, "missing"] }, born.into(), "$$ROOT"] };
    let sent = upsert(ops, collection, id, only_if_absent.into()).await?;
    let found = read::after(ops, collection, id, sent.seen_from).await?;
    found.ok_or_else(|| StoreError::Unavailable(format!("{collection} doesn't show '{id}' yet")))
}

pub async fn repositories(ops: &Database) -> Result<Vec<RepositoryName>, StoreError> {
    let bound = all(ops, REPOSITORIES, Document::new()).await?;
    let read = |document| parse(document, "a repository's name").map(|Bound { name, id }| RepositoryName { name, id });
    bound.into_iter().map(read).collect()
}
