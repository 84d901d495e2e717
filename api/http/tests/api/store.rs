//! The twin, with faults on demand.

use async_trait::async_trait;
use bson::{DateTime, Document};
use lucid_core::{
    Command, Transition,
    slots::{Occupied, SlotPlan, plan},
    transition,
};
use lucid_ports::{
    Archive, BoundKey, Catalog, Detail, Enqueue, JobFilter, ListPage, Outcome, Pause, Reach, Renewal, ScheduleStore,
    Store, StoreError, WorkerCard,
    memory::MemoryStore,
    schedules::{Advance, Edit, Edited, Look, NewSchedule},
};
use lucid_schemas::{Fate, Job, JobId, Kind, Progress, RepositoryName, Schedule, State};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// A store that can be away, and in which others can be faster.
#[derive(Default)]
pub struct TestStore {
    pub twin: Arc<MemoryStore>,
    pub away: AtomicBool,
    /// What somebody else does to the job just before the next writes.
    pub others: Mutex<Vec<Command>>,
}

impl TestStore {
    fn reached(&self) -> Result<&MemoryStore, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            Err(StoreError::Unavailable("no primary".into()))
        } else {
            Ok(&self.twin)
        }
    }

    /// Makes a command of somebody else true.
    pub async fn act(&self, id: &JobId, command: &Command) -> Job {
        let job = self.twin.load(id).await.expect("read").expect("the job");
        let mut command = command.clone();
        if let Command::Claim { slots, .. } = &mut command
            && job.head.state == State::Queued
        {
            let occupied = self.twin.occupied().await.expect("read");
            let SlotPlan::Take(free) = plan(&job, &occupied) else { panic!("no slots for {id}") };
            *slots = free;
        }
        let next = transition(&job, &command, "worker:w", &uuid()).expect("a legal command");
        match self.twin.apply(&next).await.expect("applied") {
            Outcome::Won(job) => *job,
            Outcome::Lost(_) => panic!("{command:?} was lost"),
        }
    }
}

fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[async_trait]
impl Store for TestStore {
    async fn enqueue(&self, enqueue: &Enqueue) -> Result<Job, StoreError> {
        self.reached()?.enqueue(enqueue).await
    }
    async fn load(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.reached()?.load(id).await
    }
    async fn occupied(&self) -> Result<Occupied, StoreError> {
        self.reached()?.occupied().await
    }
    async fn waiting(&self, on: Option<&JobId>, limit: u32) -> Result<Vec<Job>, StoreError> {
        self.reached()?.waiting(on, limit).await
    }
    async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        self.reached()?.pause(pause).await
    }
    async fn unpause(&self, kind: Kind) -> Result<bool, StoreError> {
        self.reached()?.unpause(kind).await
    }
    async fn paused(&self) -> Result<Vec<Pause>, StoreError> {
        self.reached()?.paused().await
    }
    async fn bind_key(&self, bound: &BoundKey) -> Result<BoundKey, StoreError> {
        self.reached()?.bind_key(bound).await
    }
    async fn bound_key(&self, key: &str) -> Result<Option<BoundKey>, StoreError> {
        self.reached()?.bound_key(key).await
    }
    async fn forget(&self, kind: Kind, state: State, older_ms: i64, limit: u32) -> Result<u64, StoreError> {
        self.reached()?.forget(kind, state, older_ms, limit).await
    }
    async fn clock(&self) -> Result<DateTime, StoreError> {
        self.reached()?.clock().await
    }
    async fn ids_with_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<JobId>, StoreError> {
        self.reached()?.ids_with_prefix(prefix, limit).await
    }
    async fn apply(&self, transition: &Transition) -> Result<Outcome, StoreError> {
        let faster = self.others.lock().expect("unpoisoned").pop();
        if let Some(command) = faster {
            self.act(transition.id(), &command).await;
        }
        self.reached()?.apply(transition).await
    }
    async fn renew(
        &self,
        id: &JobId,
        epoch: i64,
        write: &str,
        lease_ms: i64,
        progress: Option<&Progress>,
    ) -> Result<Renewal, StoreError> {
        self.reached()?.renew(id, epoch, write, lease_ms, progress).await
    }
    async fn claimable(&self, reach: &Reach, limit: u32) -> Result<Vec<Job>, StoreError> {
        self.reached()?.claimable(reach, limit).await
    }
    async fn next_due_in(&self, reach: &Reach) -> Result<Option<Duration>, StoreError> {
        self.reached()?.next_due_in(reach).await
    }
    async fn expired(&self, limit: u32) -> Result<Vec<Job>, StoreError> {
        self.reached()?.expired(limit).await
    }
    async fn list(&self, filter: &JobFilter) -> Result<ListPage, StoreError> {
        self.reached()?.list(filter).await
    }
    async fn needed(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.reached()?.needed().await
    }
    async fn open_jobs(&self) -> Result<BTreeMap<State, i64>, StoreError> {
        self.reached()?.open_jobs().await
    }
    async fn note_fate(&self, backup: &JobId, fate: &Fate) -> Result<(), StoreError> {
        self.reached()?.note_fate(backup, fate).await
    }
    async fn manifests(&self, repository: &str, cluster: &str) -> Result<BTreeSet<String>, StoreError> {
        self.reached()?.manifests(repository, cluster).await
    }
    async fn put_detail(&self, detail: &Detail) -> Result<(), StoreError> {
        self.reached()?.put_detail(detail).await
    }
    async fn detail(&self, job: &JobId, name: &str) -> Result<Option<Detail>, StoreError> {
        self.reached()?.detail(job, name).await
    }
    async fn announce(&self, card: &WorkerCard) -> Result<(), StoreError> {
        self.reached()?.announce(card).await
    }
    async fn depart(&self, name: &str) -> Result<(), StoreError> {
        self.reached()?.depart(name).await
    }
    async fn workers(&self, within: Duration) -> Result<Vec<WorkerCard>, StoreError> {
        self.reached()?.workers(within).await
    }
    async fn bind_repository(&self, repository: &RepositoryName) -> Result<(), StoreError> {
        self.reached()?.bind_repository(repository).await
    }
    async fn cluster(&self) -> Result<String, StoreError> {
        self.reached()?.cluster().await
    }
    async fn repositories(&self) -> Result<Vec<RepositoryName>, StoreError> {
        self.reached()?.repositories().await
    }
    async fn ping(&self) -> Result<String, StoreError> {
        self.reached()?.ping().await
    }
}

#[async_trait]
impl Archive for TestStore {
    async fn page(&self, after: Option<&str>, limit: u32) -> Result<Vec<Document>, StoreError> {
        self.reached()?.page(after, limit).await
    }
}

#[async_trait]
impl ScheduleStore for TestStore {
    async fn look(&self) -> Result<Look, StoreError> {
        self.reached()?.look().await
    }
    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        self.reached()?.schedule(name).await
    }
    async fn create_schedule(&self, new: &NewSchedule) -> Result<Option<Schedule>, StoreError> {
        self.reached()?.create_schedule(new).await
    }
    async fn edit_schedule(&self, edit: &Edit) -> Result<Edited, StoreError> {
        self.reached()?.edit_schedule(edit).await
    }
    async fn advance_schedule(&self, advance: &Advance) -> Result<Option<Schedule>, StoreError> {
        self.reached()?.advance_schedule(advance).await
    }
    async fn remove_schedule(&self, name: &str, version: Option<i64>) -> Result<bool, StoreError> {
        self.reached()?.remove_schedule(name, version).await
    }
}

/// Databases with their collections.
#[derive(Default)]
pub struct TestCatalog(pub BTreeMap<&'static str, Vec<&'static str>>);

#[async_trait]
impl Catalog for TestCatalog {
    async fn collections(&self, database: &str) -> Result<Vec<String>, StoreError> {
        let names = self.0.get(database).into_iter().flatten();
        Ok(names.map(|&name| name.to_owned()).collect())
    }
}

/// What a backup's worker says when it is done.
pub fn backup_result() -> Document {
    bson::doc! {
        "manifest": { "key": "manifests/x", "hash": "ff" },
        "collections": 2, "views": 1, "collection_names": ["sessions", "authentication", "recent"],
        "documents": 120_000_i64, "raw_bytes": 34_000_000_i64, "consistent": true,
        "snapshot_time": bson::Timestamp { time: 5, increment: 6 },
    }
}
