//! The small collections beside `ops`: workers, repository names, lists too large for an event.

use crate::{
    detached::detached,
    error::store_error,
    send::{Sent, send},
    store::decisive,
};
use bson::{DateTime, Document, doc};
use futures::TryStreamExt;
use lucid_ports::{Detail, Reach, StoreError, WorkerCard};
use lucid_schemas::{
    JobId, Kind, RepositoryName,
    collections::{OPS_DETAILS, REPOSITORIES, WORKERS},
};
use mongodb::Database;
use serde::Deserialize;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

async fn upsert(
    ops: Database,
    collection: &'static str,
    id: String,
    pipeline: Vec<Document>,
) -> Result<(), StoreError> {
    let statement = doc! { "q": { "_id": id }, "u": pipeline, "upsert": true, "multi": false };
    detached(async move {
        match send(&ops, collection, statement, PATIENCE).await? {
            Sent::Matched | Sent::Unmatched => Ok(()),
            Sent::Duplicate => Err(StoreError::Unavailable("two upserts of one document crossed".into())),
        }
    })
    .await
}

async fn all(ops: &Database, collection: &str, filter: Document) -> Result<Vec<Document>, StoreError> {
    let collection = decisive(ops, collection);
    detached(async move {
        let found = collection
            .find(filter)
            .sort(doc! { "_id": 1 })
            .await
            .map_err(|error| store_error(&error))?;
        found.try_collect().await.map_err(|error| store_error(&error))
    })
    .await
}

fn unreadable(what: &str, error: &bson::error::Error) -> StoreError {
    StoreError::Rejected(format!("{what} can't be read: {error}"))
}

fn detail_id(job: &JobId, name: &str) -> String {
    format!("{job}/{name}")
}

pub async fn put_detail(ops: Database, detail: Detail) -> Result<(), StoreError> {
    let id = detail_id(&detail.job, &detail.name);
    let stored = doc! {
        "_id": &id,
        "job": detail.job.as_str(),
        "name": detail.name,
        "hash": detail.hash,
        "data": detail.data,
    };
    upsert(
        ops,
        OPS_DETAILS,
        id,
        vec![doc! { "$replaceWith": { "$literal": stored } }],
    )
    .await
}

pub async fn detail(ops: &Database, job: &JobId, name: &str) -> Result<Option<Detail>, StoreError> {
    #[derive(Deserialize)]
    struct Stored {
        hash: String,
        data: Document,
    }
    let found = all(ops, OPS_DETAILS, doc! { "_id": detail_id(job, name) }).await?.pop();
    found
        .map(|document| {
            let stored: Stored = bson::deserialize_from_document(document)
                .map_err(|error| unreadable(&format!("the list '{name}' of job {job}"), &error))?;
            Ok(Detail {
                job: job.clone(),
                name: name.to_owned(),
                hash: stored.hash,
                data: stored.data,
            })
        })
        .transpose()
}

pub async fn announce(ops: Database, card: WorkerCard) -> Result<(), StoreError> {
    let repositories = bson::serialize_to_bson(&card.reach.repositories)
        .map_err(|error| unreadable("the worker's repositories", &error))?;
    let kinds: Vec<&str> = card.reach.kinds.iter().map(|kind| kind.as_str()).collect();
    let stored = doc! {
        "_id": &card.name,
        "version": card.version,
        "capacity": card.capacity,
        "running": card.running,
        "kinds": kinds,
        "repositories": repositories,
        "labels": card.reach.labels,
    };
    let seen = doc! { "$mergeObjects": [{ "$literal": stored }, { "seen_at": "$$NOW" }] };
    upsert(ops, WORKERS, card.name, vec![doc! { "$replaceWith": seen }]).await
}

pub async fn depart(ops: &Database, name: &str) -> Result<(), StoreError> {
    let workers = decisive(ops, WORKERS);
    let filter = doc! { "_id": name };
    detached(async move {
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
        #[serde(default)]
        kinds: Vec<String>,
        #[serde(default)]
        repositories: Vec<RepositoryName>,
        #[serde(default)]
        labels: Vec<String>,
        seen_at: DateTime,
    }
    let within_ms = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
    let filter = doc! { "$expr": { "$gte": ["$seen_at", { "$subtract": ["$$NOW", within_ms] }] } };
    let mut cards = Vec::new();
    for document in all(ops, WORKERS, filter).await? {
        let stored: Stored =
            bson::deserialize_from_document(document).map_err(|error| unreadable("a worker's card", &error))?;
        cards.push(WorkerCard {
            name: stored.name,
            version: stored.version,
            capacity: stored.capacity,
            running: stored.running,
            reach: Reach {
                // A newer worker may run kinds that this program doesn't know.
                kinds: stored
                    .kinds
                    .iter()
                    .filter_map(|kind| kind.parse::<Kind>().ok())
                    .collect(),
                repositories: stored.repositories,
                labels: stored.labels,
            },
            seen_at: Some(stored.seen_at),
        });
    }
    Ok(cards)
}

pub async fn bind(ops: Database, repository: RepositoryName) -> Result<(), StoreError> {
    let RepositoryName { name, id } = repository;
    let born = doc! { "_id": &name, "id": &id };
    let only_if_absent = doc! { "$cond": [
        { "$eq": [{ "$type": "$id" }, "missing"] },
        { "$mergeObjects": [{ "$literal": born }, { "bound_at": "$$NOW" }] },
        "$$ROOT",
    ] };
    upsert(
        ops.clone(),
        REPOSITORIES,
        name.clone(),
        vec![doc! { "$replaceWith": only_if_absent }],
    )
    .await?;
    let bound = repositories(&ops).await?.into_iter().find(|other| other.name == name);
    match bound {
        Some(other) if other.id == id => Ok(()),
        Some(other) => Err(StoreError::OtherRepository {
            name,
            bound: other.id,
            found: id,
        }),
        None => Err(StoreError::Unavailable(format!("the name '{name}' isn't bound yet"))),
    }
}

pub async fn repositories(ops: &Database) -> Result<Vec<RepositoryName>, StoreError> {
    #[derive(Deserialize)]
    struct Stored {
        #[serde(rename = "_id")]
        name: String,
        id: String,
    }
    all(ops, REPOSITORIES, Document::new())
        .await?
        .into_iter()
        .map(|document| {
            let stored: Stored =
                bson::deserialize_from_document(document).map_err(|error| unreadable("a repository's name", &error))?;
            Ok(RepositoryName {
                name: stored.name,
                id: stored.id,
            })
        })
        .collect()
}
