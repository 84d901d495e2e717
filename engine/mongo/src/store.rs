//! [`MongoStore`]: the store's promises, kept by the pipelines of this crate.

use crate::{
    batch::{Batcher, PATIENCE, Written},
    bulk, control,
    detached::{READ_BOUND, detached},
    error::store_error,
    pipeline::{enqueue_statement, renewal_statement, transition_statement},
    query::{self, Search},
    read, registry,
    send::{Modified, modify, raw},
};
use async_trait::async_trait;
use bson::{Bson, DateTime, Document, RawDocumentBuf, doc};
use futures::future::join_all;
use lucid_core::{Transition, slots::Occupied};
use lucid_ports::{
    BoundKey, Detail, Enqueue, JobFilter, ListPage, Outcome, Pause, Reach, Renewal, Store, StoreError, WorkerCard,
};
use lucid_schemas::{
    Fate, Job, JobId, Kind, Progress, RepositoryName, State,
    collections::OPS,
    request::{NEEDS, needs},
};
use mongodb::{
    Database,
    options::{FindOptions, Hint},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::timeout;

/// A renewal that takes longer than this is tried again by the next heartbeat.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);
/// How much longer than its patience a write is waited for, where not even the driver comes back.
const GRACE: Duration = Duration::from_secs(15);
const PAGE_MAX: u32 = 500;

/// The store on MongoDB. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MongoStore {
    ops: Database,
    batcher: Arc<Batcher>,
    /// This cluster's id, once it was read: where the collection that holds it is dropped, it is made known again.
    cluster: Arc<OnceLock<String>>,
}

impl MongoStore {
    pub(crate) fn new(ops: Database, cluster: Arc<OnceLock<String>>) -> Self {
        Self { batcher: Batcher::new(ops.clone()), ops, cluster }
    }

    pub(crate) const fn ops(&self) -> &Database {
        &self.ops
    }

    async fn search(&self, search: Search, limit: u32) -> Result<Vec<RawDocumentBuf>, StoreError> {
        let hint = Hint::Name(search.index.to_owned());
        let options = FindOptions::builder().sort(search.sort).limit(i64::from(limit)).hint(hint).build();
        read::find(&self.ops, OPS, search.filter, options).await
    }

    /// Makes a statement on a job happen; what is asked for goes on when the caller goes away.
    async fn write(&self, id: &JobId, statement: Document, write: Option<&str>) -> Result<Written, StoreError> {
        let writing = self.batcher.write(id.as_str(), statement, write);
        // The batch is a task of its own: a caller that goes away only stops listening.
        timeout(PATIENCE + GRACE, writing).await.unwrap_or_else(|_| {
            tracing::warn!(job = %id, "a write didn't come back: abandoned");
            Err(StoreError::Unavailable("no answer in time".into()))
        })
    }

    /// Makes in bulk what no other index than `_id` can refuse; the rest, and what isn't there then, one by one.
    async fn enqueue_part(&self, enqueues: &[Enqueue]) -> Vec<Result<Job, StoreError>> {
        let plain: Vec<&Enqueue> = enqueues.iter().filter(|enqueue| enqueue.request.unique_key.is_none()).collect();
        let made = bulk::make(&self.ops, &plain).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "not made in bulk: each is asked for alone");
            Vec::new()
        });
        let mut made: BTreeMap<String, Job> =
            made.into_iter().flatten().map(|job| (job.events[0].write.clone(), job)).collect();
        let one = |enqueue: &Enqueue| {
            let (store, enqueue, made) = (self.clone(), enqueue.clone(), made.remove(&enqueue.write));
            async move {
                match made {
                    Some(job) => Ok(job),
                    None => store.enqueue(&enqueue).await,
                }
            }
        };
        join_all(enqueues.iter().map(one)).await
    }

    /// The open job that has a unique key.
    async fn holder_of(&self, key: &str) -> Result<Option<JobId>, StoreError> {
        let found = self.search(query::open_with_key(key), 1).await?;
        Ok(found.first().and_then(|job| job.get_str("_id").ok()?.parse().ok()))
    }
}

#[async_trait]
impl Store for MongoStore {
    async fn enqueue(&self, enqueue: &Enqueue) -> Result<Job, StoreError> {
        let id = &enqueue.request.id;
        let (document, duplicate) = match self.write(id, enqueue_statement(enqueue)?, None).await? {
            Written::Found { document, duplicate, .. } => (document, duplicate),
            // Said of compare-and-sets only.
            Written::Made { .. } => (None, false),
        };
        match document.as_deref().map(read::job).transpose()? {
            Some(job) if job.events.first().is_some_and(|first| first.write == enqueue.write) => Ok(job),
            Some(_) => Err(StoreError::Rejected(format!("the job id {id} is taken"))),
            None => match &enqueue.request.unique_key {
                Some(key) if duplicate => match self.holder_of(key).await? {
                    Some(open) => Err(StoreError::NotUnique { key: key.clone(), open }),
                    None => Err(StoreError::Unavailable("the job with the same unique key has just ended".into())),
                },
                _ => Err(StoreError::Rejected(format!("the job {id} wasn't stored"))),
            },
        }
    }

    async fn enqueue_many(&self, enqueues: &[Enqueue]) -> Vec<Result<Job, StoreError>> {
        let mut answers = Vec::with_capacity(enqueues.len());
        for part in enqueues.chunks(bulk::JOBS_MAX) {
            answers.extend(self.enqueue_part(part).await);
        }
        answers
    }

    async fn load(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        let options = FindOptions::builder().limit(1).build();
        let found: Vec<RawDocumentBuf> = read::find(&self.ops, OPS, doc! { "_id": id.as_str() }, options).await?;
        found.first().map(|job| read::job(job)).transpose()
    }

    async fn ids_with_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<JobId>, StoreError> {
        read::ids_with_prefix(&self.ops, prefix, limit).await
    }

    async fn apply(&self, transition: &Transition) -> Result<Outcome, StoreError> {
        let statement = transition_statement(transition)?;
        let (document, matched) = match self.write(transition.id(), statement, Some(&transition.write)).await? {
            Written::Made { at } => return Ok(Outcome::Won(Box::new(transition.made_at(at)))),
            // Refused by a unique index: another job has one of the slots, and nothing was changed.
            Written::Found { document, matched, .. } => (document, matched),
        };
        match Outcome::of(transition, document.as_deref().map(read::job).transpose()?) {
            Outcome::Lost(_) if matched => Err(StoreError::Unavailable(format!(
                "the transition of job {} was made, but can't be read back",
                transition.id()
            ))),
            outcome => Ok(outcome),
        }
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
        let ops = self.ops.clone();
        let renewed =
            detached(RENEWAL_PATIENCE + GRACE, async move { modify(&ops, OPS, &statement, RENEWAL_PATIENCE).await });
        // A renewal that is repeated matches again, so the last try tells.
        Ok(match renewed.await? {
            Modified::Done(document) => Renewal::Renewed { state: read::job(&raw(&document)?)?.head.state },
            Modified::Nothing { .. } => Renewal::Lost,
        })
    }

    async fn claimable(&self, reach: &Reach, limit: u32) -> Result<Vec<Job>, StoreError> {
        // Lost ones first: somebody has been waiting for them longer.
        let lost = self.search(query::lost(reach), limit).await?;
        let mut found = read::readable_jobs(&lost);
        found.retain(lucid_core::may_claim);
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(limit));
        found.extend(read::readable_jobs(&self.search(query::due(reach), left).await?));
        Ok(found)
    }

    async fn next_due_in(&self, reach: &Reach) -> Result<Option<Duration>, StoreError> {
        let mut soonest_ms: Option<i64> = None;
        for (pipeline, index) in query::next_moments(reach) {
            let found = read::aggregate(&self.ops, pipeline, Some(index)).await?;
            let in_ms = found.first().and_then(|first| first.get_i64("in_ms").ok());
            soonest_ms = soonest_ms.into_iter().chain(in_ms).min();
        }
        Ok(soonest_ms.map(|in_ms| Duration::from_millis(u64::try_from(in_ms).unwrap_or(0))))
    }

    async fn occupied(&self) -> Result<Occupied, StoreError> {
        let Search { filter, index, .. } = query::occupied();
        let hint = Hint::Name(index.to_owned());
        let options = FindOptions::builder().projection(doc! { "holds": 1 }).hint(hint).build();
        let found: Vec<Document> = read::find(&self.ops, OPS, filter, options).await?;
        let slots = |job: &Document| {
            let id: JobId = job.get_str("_id").ok()?.parse().ok()?;
            let holds = job.get_array("holds").ok()?.iter().filter_map(Bson::as_str);
            Some(holds.map(|slot| (slot.to_owned(), id.clone())).collect::<Vec<_>>())
        };
        Ok(found.iter().filter_map(slots).flatten().collect())
    }

    async fn waiting(&self, on: Option<&JobId>, limit: u32) -> Result<Vec<Job>, StoreError> {
        let found = self.search(query::waiting(on), limit).await?;
        Ok(read::readable_jobs(&found))
    }

    async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        control::pause(&self.ops, pause).await
    }

    async fn unpause(&self, kind: Kind) -> Result<bool, StoreError> {
        control::unpause(&self.ops, kind).await
    }

    async fn paused(&self) -> Result<Vec<Pause>, StoreError> {
        control::paused(&self.ops).await
    }

    async fn bind_key(&self, bound: &BoundKey) -> Result<BoundKey, StoreError> {
        control::bind_key(&self.ops, bound).await
    }

    async fn bound_key(&self, key: &str) -> Result<Option<BoundKey>, StoreError> {
        control::bound_key(&self.ops, key).await
    }

    async fn needed(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let mut needed = BTreeMap::new();
        for Search { filter, index, .. } in [query::needed(), query::needed_of_before()] {
            let fields = doc! { NEEDS: 1, "spec.backup": 1 };
            let options = FindOptions::builder().projection(fields).hint(Hint::Name(index.to_owned())).build();
            let found: Vec<Document> = read::find(&self.ops, OPS, filter, options).await?;
            for job in &found {
                let id = job
                    .get("_id")
                    .map_or_else(String::new, |id| id.as_str().map_or_else(|| id.to_string(), Into::into));
                needed.extend(needs(job).into_iter().map(|backup| (backup, id.clone())));
            }
        }
        Ok(needed)
    }

    async fn forget(&self, kind: Kind, state: State, older_ms: i64, limit: u32) -> Result<u64, StoreError> {
        let mut matching = query::forgettable(kind, state, older_ms);
        matching.filter.insert("_id", doc! { "$nin": control::awaited(&self.ops).await? });
        let found = self.search(matching, limit).await?;
        let ids: Vec<String> = found.iter().filter_map(|job| job.get_str("_id").ok().map(Into::into)).collect();
        control::forget(&self.ops, &ids).await
    }

    async fn note_fate(&self, backup: &JobId, fate: &Fate) -> Result<(), StoreError> {
        control::note_fate(&self.ops, backup, fate).await
    }

    async fn manifests(&self, repository: &str, cluster: &str) -> Result<BTreeSet<String>, StoreError> {
        let Search { filter, index, .. } = query::made(repository, cluster);
        let fields = doc! { "_id": 0, "result.manifest.key": 1 };
        let options = FindOptions::builder().projection(fields).hint(Hint::Name(index.to_owned())).build();
        let found: Vec<Document> = read::find(&self.ops, OPS, filter, options).await?;
        let key = |job: &Document| {
            Some(job.get_document("result").ok()?.get_document("manifest").ok()?.get_str("key").ok()?.to_owned())
        };
        Ok(found.iter().filter_map(key).collect())
    }

    async fn expired(&self, limit: u32) -> Result<Vec<Job>, StoreError> {
        let mut found = read::readable_jobs(&self.search(query::expired(), limit).await?);
        found.retain(query::may_expire);
        Ok(found)
    }

    async fn list(&self, filter: &JobFilter) -> Result<ListPage, StoreError> {
        let mut matching = query::listed(filter);
        if let Some(after) = &filter.after {
            let (at, id) = (after.created_at, after.id.as_str());
            matching.insert(
                "$or",
                vec![doc! { "created_at": { "$lt": at } }, doc! { "created_at": at, "_id": { "$lt": id } }],
            );
        }
        let limit = filter.limit.min(PAGE_MAX);
        if limit == 0 {
            return Ok(ListPage::default());
        }
        let options = FindOptions::builder().sort(query::newest_first()).limit(i64::from(limit + 1)).build();
        let mut found: Vec<RawDocumentBuf> = read::find(&self.ops, OPS, matching, options).await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let jobs = read::readable_jobs(&found);
        Ok(ListPage { jobs, more })
    }

    async fn open_jobs(&self) -> Result<BTreeMap<State, i64>, StoreError> {
        let groups = read::aggregate(&self.ops, query::count_open(), None).await?;
        let count = |group: &Document| {
            let state: State = group.get_str("_id").ok()?.parse().ok()?;
            Some((state, group.get("jobs").and_then(Bson::as_i64).unwrap_or(0)))
        };
        Ok(groups.iter().filter_map(count).collect())
    }

    async fn put_detail(&self, detail: &Detail) -> Result<(), StoreError> {
        registry::put_detail(&self.ops, detail).await
    }

    async fn detail(&self, job: &JobId, name: &str) -> Result<Option<Detail>, StoreError> {
        registry::detail(&self.ops, job, name).await
    }

    async fn announce(&self, card: &WorkerCard) -> Result<(), StoreError> {
        registry::announce(&self.ops, card).await
    }

    async fn depart(&self, name: &str) -> Result<(), StoreError> {
        registry::depart(&self.ops, name).await
    }

    async fn workers(&self, within: Duration) -> Result<Vec<WorkerCard>, StoreError> {
        registry::workers(&self.ops, within).await
    }

    async fn bind_repository(&self, repository: &RepositoryName) -> Result<(), StoreError> {
        registry::bind(&self.ops, repository).await
    }

    async fn cluster(&self) -> Result<String, StoreError> {
        let id = registry::cluster(&self.ops, self.cluster.get()).await?;
        Ok(self.cluster.get_or_init(|| id.clone()).clone())
    }

    async fn repositories(&self) -> Result<Vec<RepositoryName>, StoreError> {
        registry::repositories(&self.ops).await
    }

    async fn clock(&self) -> Result<DateTime, StoreError> {
        let ops = self.ops.clone();
        detached(READ_BOUND, async move {
            let hello = ops.run_command(doc! { "hello": 1 }).await.map_err(|error| store_error(&error))?;
            let now = hello.get_datetime("localTime").copied();
            now.map_err(|_| StoreError::Unavailable("the primary doesn't tell its time".into()))
        })
        .await
    }

    async fn ping(&self) -> Result<String, StoreError> {
        let ops = self.ops.clone();
        detached(READ_BOUND, async move {
            let hello = ops.run_command(doc! { "hello": 1 }).await;
            let hello = hello.map_err(|error| store_error(&error))?;
            let word = |field| hello.get_str(field).unwrap_or("unknown").to_owned();
            Ok(format!("replica set {}, primary {}", word("setName"), word("primary")))
        })
        .await
    }
}
