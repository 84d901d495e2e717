//! How documents are read where the answer decides something: on the primary, of what a majority has.

use crate::{
    detached::{READ_BOUND, detached},
    error::{code, describe, is_passing, store_error},
    send::{Tried, persist},
};
use bson::{Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use futures::TryStreamExt;
use lucid_ports::StoreError;
use lucid_schemas::{Job, Kind, collections::OPS};
use mongodb::{
    Client, ClientSession, Collection, Database,
    options::{AggregateOptions, CollectionOptions, FindOptions, Hint, ReadConcern, ReadPreference, SelectionCriteria},
};
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long the server works on a read at most.
const SERVER_BOUND: Duration = Duration::from_secs(10);

/// A form in which documents are read.
pub trait Stored: DeserializeOwned + Send + Sync + Unpin + 'static {}
impl Stored for Document {}
impl Stored for RawDocumentBuf {}

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
pub async fn after<T: Stored>(
    ops: &Database,
    collection: &str,
    id: &str,
    seen_from: Option<Timestamp>,
) -> Result<Option<T>, StoreError> {
    let (client, filter) = (ops.client().clone(), doc! { "_id": id });
    let collection = decisive(ops, collection).clone_with_type::<T>();
    detached(
        READ_BOUND,
        async move { persist(SERVER_BOUND, || find_after(&client, &collection, &filter, seen_from)).await },
    )
    .await
}

/// The same for many jobs, by their ids; what doesn't exist is missing.
pub async fn jobs_after(
    ops: &Database,
    ids: Vec<String>,
    seen_from: Option<Timestamp>,
) -> Result<HashMap<String, RawDocumentBuf>, StoreError> {
    let (client, jobs) = (ops.client().clone(), decisive(ops, OPS).clone_with_type::<RawDocumentBuf>());
    let filter = doc! { "_id": { "$in": ids } };
    let found = detached(READ_BOUND, async move {
        persist(SERVER_BOUND, || find_all_after(&client, &jobs, &filter, seen_from)).await
    });
    let id = |job: &RawDocument| Some(job.get_str("_id").ok()?.to_owned());
    Ok(found.await?.into_iter().filter_map(|job| Some((id(&job)?, job))).collect())
}

async fn find_after<T: Stored>(
    client: &Client,
    collection: &Collection<T>,
    filter: &Document,
    seen_from: Option<Timestamp>,
) -> Tried<Option<T>> {
    let mut session = session_from(client, seen_from).await?;
    let found = collection.find_one(filter.clone()).max_time(SERVER_BOUND);
    tried(found.session(&mut session).await)
}

async fn find_all_after(
    client: &Client,
    jobs: &Collection<RawDocumentBuf>,
    filter: &Document,
    seen_from: Option<Timestamp>,
) -> Tried<Vec<RawDocumentBuf>> {
    let mut session = session_from(client, seen_from).await?;
    let cursor = jobs.find(filter.clone()).max_time(SERVER_BOUND).session(&mut session).await;
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
pub async fn find<T: Stored>(
    ops: &Database,
    collection: &str,
    filter: Document,
    mut options: FindOptions,
) -> Result<Vec<T>, StoreError> {
    // The server takes 0 for "without limit".
    if options.limit == Some(0) {
        return Ok(Vec::new());
    }
    options.max_time = Some(SERVER_BOUND);
    let collection = decisive(ops, collection).clone_with_type::<T>();
    detached(READ_BOUND, async move {
        let mut found = collection.find(filter.clone()).with_options(options.clone()).await;
        if found.as_ref().is_err_and(|error| lacks_index(error, options.hint.as_ref())) {
            options.hint = None;
            found = collection.find(filter).with_options(options).await;
        }
        let found = found.map_err(|error| store_error(&error))?;
        found.try_collect().await.map_err(|error| store_error(&error))
    })
    .await
}

/// The ids in `ops` that begin so and are such as `T` knows, in order.
pub async fn ids_with_prefix<T: FromStr>(ops: &Database, prefix: &str, limit: u32) -> Result<Vec<T>, StoreError> {
    // Ids hold no character above '{'.
    let filter = doc! { "_id": { "$gte": prefix, "$lt": format!("{prefix}{{") } };
    let (id, limit) = (doc! { "_id": 1 }, i64::from(limit));
    let options = FindOptions::builder().projection(id.clone()).sort(id).limit(limit).build();
    let found: Vec<Document> = find(ops, OPS, filter, options).await?;
    Ok(found.iter().filter_map(|document| document.get_str("_id").ok()?.parse().ok()).collect())
}

/// The primary's clock first, then what a pipeline gives of a small collection, all with the same `now`: `$$NOW` is one value for
/// the whole command.
pub async fn look(ops: &Database, collection: &str, pipeline: Vec<Document>) -> Result<Vec<Document>, StoreError> {
    let pipeline = vec![
        doc! { "$documents": [{}] },
        doc! { "$unionWith": { "coll": collection, "pipeline": pipeline } },
        doc! { "$set": { "now": "$$NOW" } },
    ];
    let options = AggregateOptions::builder()
        .read_concern(ReadConcern::majority())
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .max_time(SERVER_BOUND)
        .build();
    let ops = ops.clone();
    detached(READ_BOUND, async move {
        let seen = ops.aggregate(pipeline).with_options(options).await.map_err(|error| store_error(&error))?;
        seen.try_collect().await.map_err(|error| store_error(&error))
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
    let mut options = AggregateOptions::builder().max_time(SERVER_BOUND).hint(hint).build();
    detached(READ_BOUND, async move {
        let mut found = jobs.aggregate(pipeline.clone()).with_options(options.clone()).await;
        if found.as_ref().is_err_and(|error| lacks_index(error, options.hint.as_ref())) {
            options.hint = None;
            found = jobs.aggregate(pipeline).with_options(options).await;
        }
        let found = found.map_err(|error| store_error(&error))?;
        found.try_collect().await.map_err(|error| store_error(&error))
    })
    .await
}

/// Whether the index that was named isn't there: somebody has dropped it. The search goes on without it, slower.
fn lacks_index(error: &mongodb::error::Error, hint: Option<&Hint>) -> bool {
    const BAD_VALUE: i32 = 2;
    let Some(Hint::Name(index)) = hint else {
        return false;
    };
    let lacks = code(error) == Some(BAD_VALUE) && describe(error).contains("hint provided");
    if lacks && is_news(index) {
        tracing::error!(index, "an index of {OPS} is missing, jobs are found slowly: it is made anew in a moment");
    }
    lacks
}

/// Whether nobody was told within a minute that this index is missing: every search finds it out anew.
fn is_news(index: &str) -> bool {
    static TOLD: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());
    const EACH: Duration = Duration::from_mins(1);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let is_news = told.get(index).is_none_or(|at| at.elapsed() >= EACH);
    if is_news {
        told.insert(index.to_owned(), Instant::now());
    }
    is_news
}

/// Reads a stored job.
pub fn job(document: &RawDocument) -> Result<Job, StoreError> {
    Job::from_raw(document).map_err(|error| StoreError::Unreadable(Arc::new(error)))
}

/// Whether the document is of a kind that this program knows; what a later one, or a hand, has put beside is none of its business.
fn is_known(document: &RawDocument) -> bool {
    document.get_str("kind").is_ok_and(|kind| kind.parse::<Kind>().is_ok())
}

/// The jobs among these that this program can read: one that a later program wrote must not hide the others.
pub fn readable_jobs(documents: &[RawDocumentBuf]) -> Vec<Job> {
    let read = |document: &RawDocumentBuf| match Job::from_raw(document) {
        Ok(job) => Some(job),
        Err(error) => {
            tracing::warn!(%error, "passed over");
            None
        }
    };
    documents.iter().filter(|document| is_known(document)).filter_map(read).collect()
}
