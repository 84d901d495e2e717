//! How documents are read where the answer decides something: on the primary, of what a majority has.

use crate::{
    detached::{READ_BOUND, detached},
    error::{describe, is_passing, store_error},
    send::{Tried, persist},
};
use bson::{DateTime, Document, Timestamp, doc};
use futures::TryStreamExt;
use lucid_ports::StoreError;
use lucid_schemas::{Job, collections::OPS};
use mongodb::{
    Client, ClientSession, Collection, Database,
    options::{AggregateOptions, CollectionOptions, FindOptions, Hint, ReadConcern, ReadPreference, SelectionCriteria},
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How long the server works on a read at most.
const SERVER_BOUND: Duration = Duration::from_secs(10);

/// A collection, read on the primary, of what a majority has.
pub fn decisive(ops: &Database, name: &str) -> Collection<Document> {
    let options = CollectionOptions::builder()
        .read_concern(ReadConcern::majority())
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .build();
    ops.collection_with_options(name, options)
}

/// A document as it is after a write that was answered with `seen_from`. Without that time, a primary that was elected
/// since might answer from before the write.
pub async fn after(
    ops: &Database,
    collection: &str,
    id: &str,
    seen_from: Option<Timestamp>,
) -> Result<Option<Document>, StoreError> {
    let (client, collection, filter) = (ops.client().clone(), decisive(ops, collection), doc! { "_id": id });
    detached(
        READ_BOUND,
        async move { persist(SERVER_BOUND, || find_after(&client, &collection, &filter, seen_from)).await },
    )
    .await
}

/// The same for many documents, by their ids; what doesn't exist is missing.
pub async fn all_after(
    ops: &Database,
    collection: &str,
    ids: Vec<String>,
    seen_from: Option<Timestamp>,
) -> Result<HashMap<String, Document>, StoreError> {
    let documents = many_after(ops, collection, ids, None, seen_from).await?;
    Ok(documents.into_iter().map(|document| (id_of(&document), document)).collect())
}

async fn many_after(
    ops: &Database,
    collection: &str,
    ids: Vec<String>,
    projection: Option<Document>,
    seen_from: Option<Timestamp>,
) -> Result<Vec<Document>, StoreError> {
    let (client, collection) = (ops.client().clone(), decisive(ops, collection));
    let filter = doc! { "_id": { "$in": ids } };
    let options = FindOptions::builder().projection(projection).max_time(SERVER_BOUND).build();
    detached(READ_BOUND, async move {
        persist(SERVER_BOUND, || find_all_after(&client, &collection, &filter, &options, seen_from)).await
    })
    .await
}

/// How a job was born, without what came later.
#[derive(Debug, PartialEq, Eq)]
pub struct Born {
    pub write: String,
    pub at: DateTime,
}

/// The births of jobs by their ids, after a write; of a job that isn't there none.
pub async fn births_after(
    ops: &Database,
    ids: Vec<String>,
    seen_from: Option<Timestamp>,
) -> Result<HashMap<String, Born>, StoreError> {
    let birth_only = doc! { "created_at": 1, "events": { "$slice": 1 } };
    let documents = many_after(ops, OPS, ids, Some(birth_only), seen_from).await?;
    let born = |document: Document| {
        let write = document.get_array("events").ok()?.first()?.as_document()?.get_str("write").ok()?.to_owned();
        Some((id_of(&document), Born { write, at: *document.get_datetime("created_at").ok()? }))
    };
    Ok(documents.into_iter().filter_map(born).collect())
}

fn id_of(document: &Document) -> String {
    document.get_str("_id").unwrap_or_default().to_owned()
}

async fn find_after(
    client: &Client,
    collection: &Collection<Document>,
    filter: &Document,
    seen_from: Option<Timestamp>,
) -> Tried<Option<Document>> {
    let mut session = session_from(client, seen_from).await?;
    let found = collection.find_one(filter.clone()).max_time(SERVER_BOUND);
    tried(found.session(&mut session).await)
}

async fn find_all_after(
    client: &Client,
    collection: &Collection<Document>,
    filter: &Document,
    options: &FindOptions,
    seen_from: Option<Timestamp>,
) -> Tried<Vec<Document>> {
    let mut session = session_from(client, seen_from).await?;
    let cursor = collection.find(filter.clone()).with_options(options.clone()).session(&mut session).await;
    tried(match cursor {
        Ok(mut cursor) => cursor.stream(&mut session).try_collect().await,
        Err(error) => Err(error),
    })
}

async fn session_from(client: &Client, seen_from: Option<Timestamp>) -> Result<ClientSession, StoreError> {
    let session = client.start_session().causal_consistency(true).await;
    let mut session = session.map_err(|error| store_error(&error))?;
    if let Some(seen_from) = seen_from {
        session.advance_operation_time(seen_from);
    }
    Ok(session)
}

fn tried<T>(answer: Result<T, mongodb::error::Error>) -> Tried<T> {
    match answer {
        Ok(found) => Ok(Ok(found)),
        Err(error) if is_passing(&error) => Ok(Err(describe(&error))),
        Err(error) => Err(store_error(&error)),
    }
}

/// Every document that matches, by these options; none where the limit is 0.
pub async fn find(
    ops: &Database,
    collection: &str,
    filter: Document,
    mut options: FindOptions,
) -> Result<Vec<Document>, StoreError> {
    // The server takes 0 for "without limit".
    if options.limit == Some(0) {
        return Ok(Vec::new());
    }
    options.max_time = Some(SERVER_BOUND);
    let collection = decisive(ops, collection);
    detached(READ_BOUND, async move {
        let found = collection.find(filter).with_options(options).await;
        let found = found.map_err(|error| store_error(&error))?;
        found.try_collect().await.map_err(|error| store_error(&error))
    })
    .await
}

/// What a pipeline over the jobs gives, by this index where one is named.
pub async fn aggregate(
    ops: &Database,
    pipeline: Vec<Document>,
    index: Option<&str>,
) -> Result<Vec<Document>, StoreError> {
    let jobs = decisive(ops, OPS);
    let hint = index.map(|name| Hint::Name(name.to_owned()));
    let options = AggregateOptions::builder().max_time(SERVER_BOUND).hint(hint).build();
    detached(READ_BOUND, async move {
        let found = jobs.aggregate(pipeline).with_options(options).await;
        let found = found.map_err(|error| store_error(&error))?;
        found.try_collect().await.map_err(|error| store_error(&error))
    })
    .await
}

/// Reads a stored job.
pub fn job(document: &Document) -> Result<Job, StoreError> {
    Job::from_document(document).map_err(|error| StoreError::Unreadable(Arc::new(error)))
}

/// The jobs among these that this program can read: one that a later program wrote must not hide the others.
pub fn readable_jobs(documents: &[Document]) -> Vec<Job> {
    let read = |document| match Job::from_document(document) {
        Ok(job) => Some(job),
        Err(error) => {
            tracing::warn!(%error, "passed over");
            None
        }
    };
    documents.iter().filter_map(read).collect()
}
