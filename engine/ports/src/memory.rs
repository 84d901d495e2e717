//! The twin: the store and the feed in memory, for tests and simulation.
//!
//! It holds the very documents that MongoDB would (same fields, same order), so that the conformance suite can compare
//! the two byte for byte, and judges guards by a clock of its own that tests can move.

mod alerts;
mod document;
mod history;
mod query;
mod schedules;
mod silences;
mod tokens;

use crate::{
    Birth, BoundKey, Detail, Enqueue, Feed, IDEMPOTENCY_MS, JobFilter, ListPage, Outcome, Pause, Reach, Recent,
    Renewal, Store, StoreError, Wake, WorkerCard,
};
use async_trait::async_trait;
use bson::{DateTime, Document, RawDocumentBuf};
use lucid_core::{Transition, slots::Occupied};
use lucid_schemas::{Fate, Job, JobId, Kind, Progress, RepositoryName, Schedule, State, request::needs, silence};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::broadcast;

/// How many wake-ups a listener may lag behind before it is told to reconcile.
const BUFFERED: usize = 4_096;

/// A store and its feed, in memory.
#[derive(Debug)]
pub struct MemoryStore {
    held: Mutex<Held>,
    wakes: broadcast::Sender<Wake>,
    recent: Recent,
}

/// All that is held; every call works on it as a whole, which makes each write atomic.
#[derive(Debug, Default)]
struct Held {
    clock: Clock,
    jobs: BTreeMap<String, Document>,
    alerts: BTreeMap<String, Document>,
    details: BTreeMap<(JobId, String), Detail>,
    workers: BTreeMap<String, WorkerCard>,
    pauses: BTreeMap<Kind, Pause>,
    keys: BTreeMap<String, (BoundKey, DateTime)>,
    repositories: BTreeMap<String, String>,
    cluster: Option<String>,
    log: history::Log,
    schedules: BTreeMap<String, Schedule>,
    silences: BTreeMap<silence::SilenceId, silence::Silence>,
    tokens: tokens::Held,
}

/// The clock that stands for the primary's: the real one until it is set.
#[derive(Debug, Default)]
struct Clock {
    stands_at: Option<DateTime>,
    shift_ms: i64,
}

impl Clock {
    fn now(&self) -> DateTime {
        let base = self.stands_at.unwrap_or_else(DateTime::now);
        DateTime::from_millis(base.timestamp_millis().saturating_add(self.shift_ms))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        let (wakes, _) = broadcast::channel(BUFFERED);
        Self { held: Mutex::default(), wakes, recent: history::recent() }
    }
}

impl MemoryStore {
    /// An empty store on the real clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose clock stands at `now` until it is moved.
    pub fn at(now: DateTime) -> Self {
        let store = Self::default();
        store.set_now(now);
        store
    }

    /// What the store's clock shows.
    pub fn now(&self) -> DateTime {
        self.held().clock.now()
    }

    /// Stops the store's clock at `now`: forwards or backwards.
    pub fn set_now(&self, now: DateTime) {
        self.held().clock = Clock { stands_at: Some(now), shift_ms: 0 };
    }

    /// Moves the store's clock on, whether it runs or stands.
    pub fn advance(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let clock = &mut self.held().clock;
        clock.shift_ms = clock.shift_ms.saturating_add(by_ms);
    }

    /// Tells listeners that they may have missed something, as after a break of a change stream.
    pub fn gap(&self) {
        self.tell(Wake::Gap);
    }

    /// The stored document of a job.
    pub fn document(&self, id: &JobId) -> Option<Document> {
        self.stored(id.as_str())
    }

    /// The stored document of a job, or of an alert.
    pub fn stored(&self, id: &str) -> Option<Document> {
        let held = self.held();
        held.jobs.get(id).or_else(|| held.alerts.get(id)).cloned()
    }

    /// Every schedule.
    pub fn schedules(&self) -> Vec<Schedule> {
        self.held().schedules.values().cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A panic elsewhere leaves whole documents behind: each is replaced in one step.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, wake: Wake) {
        // Nobody listening is no error.
        let _ = self.wakes.send(wake);
    }
}

fn read(document: &Document) -> Result<Job, StoreError> {
    Job::from_document(document).map_err(|error| StoreError::Unreadable(Arc::new(error)))
}

impl Held {
    fn load(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.jobs.get(id.as_str()).map(read).transpose()
    }

    fn all(&self) -> Result<Vec<Job>, StoreError> {
        self.jobs.values().map(read).collect()
    }
}

impl Feed for MemoryStore {
    fn subscribe(&self) -> broadcast::Receiver<Wake> {
        self.wakes.subscribe()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn enqueue(&self, enqueue: &Enqueue) -> Result<Job, StoreError> {
        let mut held = self.held();
        let id = &enqueue.request.id;
        if let Some(job) = held.load(id)? {
            return if job.events.first().is_some_and(|first| first.write == enqueue.write) {
                Ok(job)
            } else {
                Err(StoreError::Rejected(format!("the job id {id} is taken")))
            };
        }
        if let Some(key) = &enqueue.request.unique_key
            && let Some(open) = query::holder_of(held.all()?, key)
        {
            let key = key.clone();
            return Err(StoreError::NotUnique { key, open });
        }
        let born = document::born(enqueue, held.clock.now())?;
        let job = read(&born)?;
        let birth = RawDocumentBuf::try_from(&born).ok().map(Birth::new);
        held.jobs.insert(id.to_string(), born);
        // Under the lock, so that wake-ups come in the order of the writes.
        self.tell(Wake::Changed { id: id.clone(), state: Some(job.head.state), born: birth });
        held.log.add(&self.recent, &job);
        Ok(job)
    }

    async fn load(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.held().load(id)
    }

    async fn ids_with_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<JobId>, StoreError> {
        let held = self.held();
        let ids = held.jobs.keys().filter(|id| id.starts_with(prefix));
        Ok(ids.filter_map(|id| id.parse().ok()).take(limit as usize).collect())
    }

    async fn apply(&self, transition: &Transition) -> Result<Outcome, StoreError> {
        let mut held = self.held();
        let now = held.clock.now();
        let free = transition.head.holds.is_empty() || {
            let occupied = query::occupied(&held.all()?);
            let others = |slot: &String| occupied.get(slot).is_some_and(|job| job != transition.id());
            !transition.head.holds.iter().any(others)
        };
        if let Some(stored) = held.jobs.get_mut(transition.id().as_str())
            && document::holds(stored, transition, now)
            && free
        {
            let mut next = stored.clone();
            document::apply(&mut next, transition, now)?;
            let job = read(&next)?;
            *stored = next;
            let state = Some(transition.head.state);
            self.tell(Wake::Changed { id: transition.id().clone(), state, born: None });
            held.log.add(&self.recent, &job);
        }
        Ok(Outcome::of(transition, held.load(transition.id())?))
    }

    async fn renew(
        &self,
        id: &JobId,
        epoch: i64,
        write: &str,
        lease_ms: i64,
        progress: Option<&Progress>,
    ) -> Result<Renewal, StoreError> {
        let mut held = self.held();
        let now = held.clock.now();
        let Some(stored) = held.jobs.get_mut(id.as_str()) else {
            return Ok(Renewal::Lost);
        };
        if !document::may_renew(stored, epoch, write, now) {
            return Ok(Renewal::Lost);
        }
        document::renew(stored, lease_ms, progress, now)?;
        let state = read(stored)?.head.state;
        Ok(Renewal::Renewed { state })
    }

    async fn claimable(&self, reach: &Reach, limit: u32) -> Result<Vec<Job>, StoreError> {
        let held = self.held();
        Ok(query::claimable(held.all()?, reach, held.clock.now(), limit))
    }

    async fn next_due_in(&self, reach: &Reach) -> Result<Option<Duration>, StoreError> {
        let held = self.held();
        Ok(query::next_due_in(&held.all()?, reach, held.clock.now()))
    }

    async fn occupied(&self) -> Result<Occupied, StoreError> {
        Ok(query::occupied(&self.held().all()?))
    }

    async fn waiting(&self, on: Option<&JobId>, limit: u32) -> Result<Vec<Job>, StoreError> {
        Ok(query::waiting(self.held().all()?, on, limit))
    }

    async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        let mut held = self.held();
        let at = Some(held.clock.now());
        held.pauses.insert(pause.kind, Pause { at, ..pause.clone() });
        Ok(())
    }

    async fn unpause(&self, kind: Kind) -> Result<bool, StoreError> {
        Ok(self.held().pauses.remove(&kind).is_some())
    }

    async fn paused(&self) -> Result<Vec<Pause>, StoreError> {
        Ok(self.held().pauses.values().cloned().collect())
    }

    async fn bind_key(&self, bound: &BoundKey) -> Result<BoundKey, StoreError> {
        let mut held = self.held();
        let now = held.clock.now();
        held.keys.retain(|_, (_, until)| *until > now);
        let until = DateTime::from_millis(now.timestamp_millis().saturating_add(IDEMPOTENCY_MS));
        Ok(held.keys.entry(bound.key.clone()).or_insert_with(|| (bound.clone(), until)).0.clone())
    }

    async fn bound_key(&self, key: &str) -> Result<Option<BoundKey>, StoreError> {
        let held = self.held();
        let now = held.clock.now();
        Ok(held.keys.get(key).filter(|(_, until)| *until > now).map(|(bound, _)| bound.clone()))
    }

    async fn needed(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let held = self.held();
        let open = held.jobs.iter().filter(|(_, document)| document.get_bool("open").unwrap_or(false));
        let pairs = open.flat_map(|(id, document)| needs(document).into_iter().map(|backup| (backup, id.clone())));
        Ok(pairs.collect())
    }

    async fn forget(&self, kind: Kind, state: State, older_ms: i64, limit: u32) -> Result<u64, StoreError> {
        let mut held = self.held();
        let gone = query::forgettable(&held.all()?, (kind, state), held.clock.now(), older_ms, limit);
        for id in &gone {
            held.details.retain(|(job, _), _| job != id);
            held.jobs.remove(id.as_str());
        }
        Ok(gone.len() as u64)
    }

    async fn note_fate(&self, backup: &JobId, fate: &Fate) -> Result<(), StoreError> {
        let mut held = self.held();
        let Some(stored) = held.jobs.get_mut(backup.as_str()) else { return Ok(()) };
        document::note_fate(stored, fate)
    }

    async fn manifests(&self, repository: &str, cluster: &str) -> Result<BTreeSet<String>, StoreError> {
        let held = self.held();
        Ok(held.jobs.values().filter_map(|stored| document::manifest(stored, repository, cluster)).collect())
    }

    async fn expired(&self, limit: u32) -> Result<Vec<Job>, StoreError> {
        let held = self.held();
        Ok(query::expired(held.all()?, held.clock.now(), limit))
    }

    async fn list(&self, filter: &JobFilter) -> Result<ListPage, StoreError> {
        Ok(query::list(self.held().all()?, filter))
    }

    async fn open_jobs(&self) -> Result<BTreeMap<State, i64>, StoreError> {
        let mut counts = BTreeMap::new();
        for job in self.held().all()? {
            if !job.head.state.is_terminal() {
                *counts.entry(job.head.state).or_default() += 1;
            }
        }
        Ok(counts)
    }

    async fn put_detail(&self, detail: &Detail) -> Result<(), StoreError> {
        let key = (detail.job.clone(), detail.name.clone());
        self.held().details.insert(key, detail.clone());
        Ok(())
    }

    async fn detail(&self, job: &JobId, name: &str) -> Result<Option<Detail>, StoreError> {
        let key = (job.clone(), name.to_owned());
        Ok(self.held().details.get(&key).cloned())
    }

    async fn announce(&self, card: &WorkerCard) -> Result<(), StoreError> {
        let mut held = self.held();
        let seen_at = Some(held.clock.now());
        let card = WorkerCard { seen_at, ..card.clone() };
        held.workers.insert(card.name.clone(), card);
        Ok(())
    }

    async fn depart(&self, name: &str) -> Result<(), StoreError> {
        self.held().workers.remove(name);
        Ok(())
    }

    async fn workers(&self, within: Duration) -> Result<Vec<WorkerCard>, StoreError> {
        let held = self.held();
        let within_ms = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
        let now_ms = held.clock.now().timestamp_millis();
        let around = now_ms.saturating_sub(within_ms)..=now_ms.saturating_add(within_ms);
        let heard =
            |card: &&WorkerCard| card.seen_at.is_some_and(|seen_at| around.contains(&seen_at.timestamp_millis()));
        Ok(held.workers.values().filter(heard).cloned().collect())
    }

    async fn bind_repository(&self, repository: &RepositoryName) -> Result<(), StoreError> {
        let RepositoryName { name, id } = repository.clone();
        let mut held = self.held();
        let bound = held.repositories.entry(name.clone()).or_insert_with(|| id.clone());
        if *bound == id {
            return Ok(());
        }
        Err(StoreError::OtherRepository { name, bound: bound.clone(), found: id })
    }

    async fn cluster(&self) -> Result<String, StoreError> {
        Ok(self.held().cluster.get_or_insert_with(|| bson::Uuid::new().to_string()).clone())
    }

    async fn repositories(&self) -> Result<Vec<RepositoryName>, StoreError> {
        let bound = self.held().repositories.clone();
        Ok(bound.into_iter().map(|(name, id)| RepositoryName { name, id }).collect())
    }

    async fn clock(&self) -> Result<DateTime, StoreError> {
        Ok(self.held().clock.now())
    }

    async fn ping(&self) -> Result<String, StoreError> {
        Ok(format!("in memory, {} jobs", self.held().jobs.len()))
    }
}

#[cfg(test)]
mod tests;
