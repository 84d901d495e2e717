//! How documents are read where the answer decides something: on the primary, of what a majority has.

use crate::{
    detached::{READ_BOUND, detached},
    error::{describe, is_passing, store_error},
    send::{Tried, persist},
};
use bson::{Document, Timestamp, doc};
use futures::TryStreamExt;
use lucid_ports::StoreError;
use lucid_schemas::{Job, collections::OPS};
use mongodb::{
    Client, Collection, Database,
    options::{CollectionOptions, FindOptions, ReadConcern, ReadPreference, SelectionCriteria},
};
use std::{sync::Arc, time::Duration};

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

async fn find_after(
    client: &Client,
    collection: &Collection<Document>,
    filter: &Document,
    seen_from: Option<Timestamp>,
) -> Tried<Option<Document>> {
    let session = client.start_session().causal_consistency(true).await;
    let mut session = session.map_err(|error| store_error(&error))?;
    if let Some(seen_from) = seen_from {
        session.advance_operation_time(seen_from);
    }
    let found = collection.find_one(filter.clone()).max_time(SERVER_BOUND);
    match found.session(&mut session).await {
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

/// What a pipeline over the jobs gives.
pub async fn aggregate(ops: &Database, pipeline: Vec<Document>) -> Result<Vec<Document>, StoreError> {
    let jobs = decisive(ops, OPS);
    detached(READ_BOUND, async move {
        let found = jobs.aggregate(pipeline).max_time(SERVER_BOUND).await;
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
