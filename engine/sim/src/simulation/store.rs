//! The store as one process sees it: the twin behind a network on which everything may go wrong.
//!
//! Each method is one line: faults, the twin's own, faults. Where a mutant takes a safeguard away, it is done in
//! [`super::bent`].

use super::{
    bent,
    stage::{Process, Stage},
};
use async_trait::async_trait;
use bson::DateTime;
use lucid_core::{Transition, slots::Occupied};
use lucid_ports::{
    BoundKey, Detail, Enqueue, JobFilter, ListPage, Outcome, Pause, Reach, Renewal, Store, StoreError, WorkerCard,
};
use lucid_schemas::{Fate, Job, JobId, Kind, Progress, RepositoryName, State};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::sleep;

/// The store of one process.
pub struct SimStore {
    pub stage: Arc<Stage>,
    pub process: Arc<Process>,
    /// What it was shown before: a stale answer.
    shown: Mutex<Vec<Job>>,
}

impl SimStore {
    /// The store as `process` sees it.
    pub fn new(stage: Arc<Stage>, process: Arc<Process>) -> Self {
        Self { stage, process, shown: Mutex::default() }
    }

    /// The way there, what the store does at once, and the way back.
    pub(super) async fn pass<T: Send>(
        &self,
        call: &'static str,
        effect: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let faults = self.stage.faults();
        self.process.calls().await;
        self.travel().await;
        if self.process.is_cut_off() || self.stage.one_in(faults.refused) {
            self.stage.ledger().count("refused");
            return Err(StoreError::Unavailable(format!("{call} was not sent")));
        }
        self.stage.tick(&self.process);
        let answer = effect.await;
        self.process.hears().await;
        if self.stage.one_in(faults.answer_lost) {
            self.stage.ledger().count("answer lost");
            return Err(StoreError::Unavailable(format!("the answer to {call} was lost")));
        }
        self.travel().await;
        answer
    }

    async fn travel(&self) {
        let faults = self.stage.faults();
        let most = if self.stage.one_in(faults.slow) {
            self.stage.ledger().count("slow");
            faults.slow_ms
        } else {
            faults.delay_ms
        };
        let delay_ms = self.stage.up_to_ms(most);
        if delay_ms > 0 {
            sleep(Duration::from_millis(delay_ms)).await;
        }
        self.process.lives().await;
    }

    /// Makes the transition true in the twin, and holds the result against the book.
    async fn transit(&self, transition: &Transition) -> Result<Outcome, StoreError> {
        let lease_end = self.stage.lease_end(transition.id());
        let is_new = !self.is_stored(transition);
        let outcome = bent::apply(self, transition).await?;
        if let Outcome::Won(job) = &outcome
            && is_new
            && self.is_in_twin(transition)
        {
            let prompt = self.stage.plan.prompt;
            self.stage.ledger().written(job, lease_end, self.stage.twin.now(), prompt);
        }
        let events: Vec<_> = transition.events.iter().map(|event| event.body.name()).collect();
        let won = if matches!(outcome, Outcome::Won(_)) { "" } else { " lost" };
        let what = format!("{} v{} e{} {events:?}{won}", transition.id(), transition.version(), transition.epoch());
        self.stage.note(&self.process.name, &what);
        Ok(outcome)
    }

    /// Whether the write was made before, and its answer was lost.
    fn is_stored(&self, transition: &Transition) -> bool {
        let ledger = self.stage.ledger();
        ledger.latest(transition.id()).is_some_and(|job| job.events.iter().any(|event| event.write == transition.write))
    }

    /// Whether the store has it now: a mutant says so of what it has forgotten.
    fn is_in_twin(&self, transition: &Transition) -> bool {
        let version = self.stage.twin.document(transition.id()).and_then(|document| document.get_i64("version").ok());
        version.is_some_and(|version| version >= transition.head.version)
    }

    /// Now and then, what was shown the time before.
    fn shown(&self, jobs: Vec<Job>) -> Vec<Job> {
        let stale = self.stage.one_in(self.stage.faults().stale);
        let mut shown = self.shown.lock().expect("nobody panics while holding it");
        let before = std::mem::replace(&mut *shown, jobs.clone());
        if stale {
            self.stage.ledger().count("stale");
            return before;
        }
        jobs
    }
}

#[async_trait]
impl Store for SimStore {
    async fn enqueue(&self, enqueue: &Enqueue) -> Result<Job, StoreError> {
        self.pass("enqueue", async {
            let job = bent::enqueue(self, enqueue).await?;
            self.stage.note(&self.process.name, &format!("{} enqueued", job.id()));
            self.stage.ledger().born(&job);
            if job.request.requested_by.starts_with("schedule:") {
                self.stage.ledger().scheduled(&job);
            }
            Ok(job)
        })
        .await
    }

    async fn load(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.pass("load", async {
            if self.stage.one_in(self.stage.faults().stale) {
                let back = self.stage.below(3);
                self.stage.ledger().count("stale");
                return Ok(self.stage.ledger().earlier(id, back));
            }
            self.stage.twin.load(id).await
        })
        .await
    }

    async fn apply(&self, transition: &Transition) -> Result<Outcome, StoreError> {
        let outcome = self.pass("apply", self.transit(transition)).await?;
        if matches!(outcome, Outcome::Won(_)) {
            self.stage.ledger().acknowledged(transition);
        }
        Ok(outcome)
    }

    async fn renew(
        &self,
        id: &JobId,
        epoch: i64,
        write: &str,
        lease_ms: i64,
        progress: Option<&Progress>,
    ) -> Result<Renewal, StoreError> {
        let renewal = self.pass("renew", async {
            let renewal = bent::renew(self, id, epoch, write, lease_ms, progress).await?;
            self.stage.note(&self.process.name, &format!("{id} e{epoch} {renewal:?}"));
            Ok(renewal)
        });
        bent::heard(self, renewal.await)
    }

    async fn claimable(&self, reach: &Reach, limit: u32) -> Result<Vec<Job>, StoreError> {
        self.pass("claimable", async { Ok(self.shown(bent::claimable(self, reach, limit).await?)) }).await
    }

    async fn next_due_in(&self, reach: &Reach) -> Result<Option<Duration>, StoreError> {
        self.pass("next_due_in", self.stage.twin.next_due_in(reach)).await
    }

    async fn expired(&self, limit: u32) -> Result<Vec<Job>, StoreError> {
        self.pass("expired", self.stage.twin.expired(limit)).await
    }

    async fn ids_with_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<JobId>, StoreError> {
        self.pass("ids_with_prefix", self.stage.twin.ids_with_prefix(prefix, limit)).await
    }

    async fn list(&self, filter: &JobFilter) -> Result<ListPage, StoreError> {
        self.pass("list", self.stage.twin.list(filter)).await
    }

    async fn needed(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.pass("needed", self.stage.twin.needed()).await
    }

    async fn open_jobs(&self) -> Result<BTreeMap<State, i64>, StoreError> {
        self.pass("open_jobs", self.stage.twin.open_jobs()).await
    }

    async fn note_fate(&self, backup: &JobId, fate: &Fate) -> Result<(), StoreError> {
        self.pass("note_fate", self.stage.twin.note_fate(backup, fate)).await
    }

    async fn manifests(&self, repository: &str, cluster: &str) -> Result<BTreeSet<String>, StoreError> {
        self.pass("manifests", self.stage.twin.manifests(repository, cluster)).await
    }

    async fn put_detail(&self, detail: &Detail) -> Result<(), StoreError> {
        self.pass("put_detail", self.stage.twin.put_detail(detail)).await
    }

    async fn detail(&self, job: &JobId, name: &str) -> Result<Option<Detail>, StoreError> {
        self.pass("detail", self.stage.twin.detail(job, name)).await
    }

    async fn announce(&self, card: &WorkerCard) -> Result<(), StoreError> {
        self.pass("announce", self.stage.twin.announce(card)).await
    }

    async fn depart(&self, name: &str) -> Result<(), StoreError> {
        self.pass("depart", self.stage.twin.depart(name)).await
    }

    async fn workers(&self, within: Duration) -> Result<Vec<WorkerCard>, StoreError> {
        self.pass("workers", self.stage.twin.workers(within)).await
    }

    async fn bind_repository(&self, repository: &RepositoryName) -> Result<(), StoreError> {
        self.pass("bind_repository", self.stage.twin.bind_repository(repository)).await
    }

    async fn cluster(&self) -> Result<String, StoreError> {
        self.pass("cluster", self.stage.twin.cluster()).await
    }

    async fn repositories(&self) -> Result<Vec<RepositoryName>, StoreError> {
        self.pass("repositories", self.stage.twin.repositories()).await
    }

    async fn occupied(&self) -> Result<Occupied, StoreError> {
        self.pass("occupied", self.stage.twin.occupied()).await
    }

    async fn waiting(&self, on: Option<&JobId>, limit: u32) -> Result<Vec<Job>, StoreError> {
        self.pass("waiting", self.stage.twin.waiting(on, limit)).await
    }

    async fn pause(&self, pause: &Pause) -> Result<(), StoreError> {
        self.pass("pause", self.stage.twin.pause(pause)).await
    }

    async fn unpause(&self, kind: Kind) -> Result<bool, StoreError> {
        self.pass("unpause", self.stage.twin.unpause(kind)).await
    }

    async fn paused(&self) -> Result<Vec<Pause>, StoreError> {
        self.pass("paused", self.stage.twin.paused()).await
    }

    async fn bind_key(&self, bound: &BoundKey) -> Result<BoundKey, StoreError> {
        self.pass("bind_key", self.stage.twin.bind_key(bound)).await
    }

    async fn bound_key(&self, key: &str) -> Result<Option<BoundKey>, StoreError> {
        self.pass("bound_key", self.stage.twin.bound_key(key)).await
    }

    async fn forget(&self, kind: Kind, state: State, older_ms: i64, limit: u32) -> Result<u64, StoreError> {
        self.pass("forget", self.stage.twin.forget(kind, state, older_ms, limit)).await
    }

    async fn clock(&self) -> Result<DateTime, StoreError> {
        self.pass("clock", self.stage.twin.clock()).await
    }

    async fn ping(&self) -> Result<String, StoreError> {
        self.pass("ping", self.stage.twin.ping()).await
    }
}
