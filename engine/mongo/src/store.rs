//! [`MongoStore`]: the store's promises, kept by the pipelines of this crate.

use crate::{
    detached::detached,
    error::store_error,
    pipeline::{enqueue_statement, renewal_statement, transition_statement},
    query, registry,
    send::{Sent, send},
};
use async_trait::async_trait;
use bson::{Bson, DateTime, Document, doc};
use futures::TryStreamExt;
use lucid_core::Transition;
use lucid_ports::{Detail, Enqueue, JobFilter, ListPage, Outcome, Reach, Renewal, Store, StoreError, WorkerCard};
use lucid_schemas::{Job, JobId, Progress, RepositoryName, State, collections::OPS};
use mongodb::{
    Collection, Database,
    options::{CollectionOptions, ReadConcern, ReadPreference, SelectionCriteria},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Longer than an election.
const PATIENCE: Duration = Duration::from_secs(30);
/// A renewal that takes longer than this is tried again by the next heartbeat.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);
const PAGE_MAX: u32 = 500;

/// The store on MongoDB. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MongoStore {
    ops: Database,
}

impl MongoStore {
    pub(crate) const fn new(ops: Database) -> Self {
        Self { ops }
    }

    fn jobs(&self) -> Collection<Document> {
        decisive(&self.ops, OPS)
    }

    async fn find(&self, filter: Document, sort: Document, limit: u32) -> Result<Vec<Job>, StoreError> {
        let jobs = self.jobs();
        detached(async move {
            let found = jobs.find(filter).sort(sort).limit(i64::from(limit)).await;
            let documents: Vec<Document> = found
                .map_err(|error| store_error(&error))?
                .try_collect()
                .await
                .map_err(|error| store_error(&error))?;
            documents.iter().map(read_job).collect()
        })
        .await
    }

    async fn soonest(&self, matching: Document, field: &'static str) -> Result<Option<i64>, StoreError> {
        let jobs = self.jobs();
        detached(async move {
            let mut found = jobs
                .aggregate(query::soonest(matching, field))
                .await
                .map_err(|error| store_error(&error))?;
            let first = found.try_next().await.map_err(|error| store_error(&error))?;
            Ok(first.and_then(|first| first.get_i64("in_ms").ok()))
        })
        .await
    }

    async fn write(&self, statement: Document, patience: Duration) -> Result<Sent, StoreError> {
        let ops = self.ops.clone();
        detached(async move { send(&ops, OPS, statement, patience).await }).await
    }

    /// The open job that has a unique key.
    async fn holder_of(&self, key: &str) -> Result<Option<Job>, StoreError> {
        let filter = doc! { "open": true, "unique_key": key };
        Ok(self.find(filter, doc! { "_id": 1 }, 1).await?.pop())
    }
}

/// Reads that decide are made on the primary, of what a majority has.
pub fn decisive(ops: &Database, name: &str) -> Collection<Document> {
    let options = CollectionOptions::builder()
        .read_concern(ReadConcern::majority())
        .selection_criteria(SelectionCriteria::ReadPreference(ReadPreference::Primary))
        .build();
    ops.collection_with_options(name, options)
}

fn read_job(document: &Document) -> Result<Job, StoreError> {
    Job::from_document(document).map_err(|error| StoreError::Unreadable(Arc::new(error)))
}

#[async_trait]
impl Store for MongoStore {
    async fn enqueue(&self, enqueue: &Enqueue) -> Result<Job, StoreError> {
        let sent = self.write(enqueue_statement(enqueue)?, PATIENCE).await?;
        let stored = self.load(&enqueue.request.id).await?;
        match stored {
            Some(job) if job.events.first().is_some_and(|first| first.write == enqueue.write) => Ok(job),
            Some(_) => Err(StoreError::Rejected(format!(
                "the job id {} is taken",
                enqueue.request.id
            ))),
            None if sent == Sent::Duplicate => {
                let key = enqueue.request.unique_key.clone().unwrap_or_default();
                match self.holder_of(&key).await? {
                    Some(job) => Err(StoreError::NotUnique {
                        key,
                        open: job.id().clone(),
                    }),
                    None => Err(StoreError::Unavailable(
                        "the job with the same unique key has just ended".into(),
                    )),
                }
            }
            None => Err(StoreError::Rejected(format!(
                "the job {} wasn't stored",
                enqueue.request.id
            ))),
        }
    }

    async fn load(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        Ok(self
            .find(doc! { "_id": id.as_str() }, doc! { "_id": 1 }, 1)
            .await?
            .pop())
    }

    async fn ids_with_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<JobId>, StoreError> {
        let jobs = self.jobs();
        // Ids hold no character above '{'.
        let filter = doc! { "_id": { "$gte": prefix, "$lt": format!("{prefix}{{") } };
        detached(async move {
            let found = jobs
                .find(filter)
                .projection(doc! { "_id": 1 })
                .sort(doc! { "_id": 1 })
                .limit(i64::from(limit));
            let documents: Vec<Document> = found
                .await
                .map_err(|error| store_error(&error))?
                .try_collect()
                .await
                .map_err(|error| store_error(&error))?;
            Ok(documents
                .iter()
                .filter_map(|document| document.get_str("_id").ok()?.parse().ok())
                .collect())
        })
        .await
    }

    async fn apply(&self, transition: &Transition) -> Result<Outcome, StoreError> {
        let sent = self.write(transition_statement(transition)?, PATIENCE).await?;
        if sent == Sent::Duplicate {
            return Err(StoreError::Rejected("a unique index refuses the transition".into()));
        }
        let Some(job) = self.load(&transition.id).await? else {
            return Ok(Outcome::Lost(None));
        };
        // An earlier try whose answer was lost is told by its name.
        let mine = job.events.iter().any(|event| event.write == transition.write);
        Ok(if mine {
            Outcome::Won(Box::new(job))
        } else {
            Outcome::Lost(Some(Box::new(job)))
        })
    }

    async fn renew(
        &self,
        id: &JobId,
        epoch: i64,
        write: &str,
        lease_ms: i64,
        progress: Option<&Progress>,
    ) -> Result<Renewal, StoreError> {
        let statement = renewal_statement(id.as_str(), epoch, write, lease_ms, progress)?;
        match self.write(statement, RENEWAL_PATIENCE).await? {
            Sent::Matched => {}
            Sent::Unmatched | Sent::Duplicate => return Ok(Renewal::Lost),
        }
        match self.load(id).await? {
            Some(job) => Ok(Renewal::Renewed { state: job.head.state }),
            None => Ok(Renewal::Lost),
        }
    }

    async fn claimable(&self, reach: &Reach, limit: u32) -> Result<Vec<Job>, StoreError> {
        // Lost ones first: somebody has been waiting for them longer.
        let mut jobs = self
            .find(query::lost(reach), doc! { "lease.expires_at": 1 }, limit)
            .await?;
        let left = limit.saturating_sub(u32::try_from(jobs.len()).unwrap_or(limit));
        if left > 0 {
            jobs.extend(
                self.find(query::due(reach), doc! { "priority": -1, "run_at": 1 }, left)
                    .await?,
            );
        }
        Ok(jobs)
    }

    async fn next_due_in(&self, reach: &Reach) -> Result<Option<Duration>, StoreError> {
        let run_at = self.soonest(query::queued(reach), "run_at").await?;
        let retry_at = self.soonest(query::held(reach), "run_at").await?;
        let lease_end = self.soonest(query::held(reach), "lease.expires_at").await?;
        let soonest_ms = [run_at, retry_at, lease_end].into_iter().flatten().min();
        Ok(soonest_ms.map(|in_ms| Duration::from_millis(u64::try_from(in_ms).unwrap_or(0))))
    }

    async fn expired(&self, limit: u32) -> Result<Vec<Job>, StoreError> {
        self.find(query::expired(), doc! { "lease.expires_at": 1 }, limit).await
    }

    async fn list(&self, filter: &JobFilter) -> Result<ListPage, StoreError> {
        let mut matching = query::listed(filter);
        if let Some(after) = &filter.after {
            let Some(last) = self.load(after).await? else {
                return Ok(ListPage::default());
            };
            let at: DateTime = last.head.created_at.stored().unwrap_or(DateTime::MAX);
            matching.insert(
                "$or",
                vec![
                    doc! { "created_at": { "$lt": at } },
                    doc! { "created_at": at, "_id": { "$lt": after.as_str() } },
                ],
            );
        }
        let limit = filter.limit.min(PAGE_MAX);
        if limit == 0 {
            return Ok(ListPage::default());
        }
        let mut jobs = self
            .find(matching, doc! { "created_at": -1, "_id": -1 }, limit + 1)
            .await?;
        let more = jobs.len() > limit as usize;
        jobs.truncate(limit as usize);
        Ok(ListPage { jobs, more })
    }

    async fn open_jobs(&self) -> Result<BTreeMap<State, i64>, StoreError> {
        let jobs = self.jobs();
        detached(async move {
            let pipeline = [
                doc! { "$match": { "open": true, "state": { "$exists": true } } },
                doc! { "$group": { "_id": "$state", "jobs": { "$sum": 1_i64 } } },
            ];
            let found = jobs.aggregate(pipeline).await.map_err(|error| store_error(&error))?;
            let groups: Vec<Document> = found.try_collect().await.map_err(|error| store_error(&error))?;
            let count = |group: &Document| {
                let state: State = group.get_str("_id").ok()?.parse().ok()?;
                Some((state, group.get("jobs").and_then(Bson::as_i64).unwrap_or(0)))
            };
            Ok(groups.iter().filter_map(count).collect())
        })
        .await
    }

    async fn put_detail(&self, detail: &Detail) -> Result<(), StoreError> {
        registry::put_detail(self.ops.clone(), detail.clone()).await
    }

    async fn detail(&self, job: &JobId, name: &str) -> Result<Option<Detail>, StoreError> {
        registry::detail(&self.ops, job, name).await
    }

    async fn announce(&self, card: &WorkerCard) -> Result<(), StoreError> {
        registry::announce(self.ops.clone(), card.clone()).await
    }

    async fn depart(&self, name: &str) -> Result<(), StoreError> {
        registry::depart(&self.ops, name).await
    }

    async fn workers(&self, within: Duration) -> Result<Vec<WorkerCard>, StoreError> {
        registry::workers(&self.ops, within).await
    }

    async fn bind_repository(&self, repository: &RepositoryName) -> Result<(), StoreError> {
        registry::bind(self.ops.clone(), repository.clone()).await
    }

    async fn repositories(&self) -> Result<Vec<RepositoryName>, StoreError> {
        registry::repositories(&self.ops).await
    }

    async fn ping(&self) -> Result<String, StoreError> {
        let database = self.ops.clone();
        detached(async move {
            let hello = database
                .run_command(doc! { "hello": 1 })
                .await
                .map_err(|error| store_error(&error))?;
            let word = |field| hello.get_str(field).unwrap_or("unknown").to_owned();
            Ok(format!("replica set {}, primary {}", word("setName"), word("primary")))
        })
        .await
    }
}
