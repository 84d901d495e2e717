//! What the checks share: a bench with a store on it, and the jobs that are put there.

use crate::{
    Alerts, Archive, Enqueue, Feed, History, Outcome, Reach, ScheduleStore, Silences, Store, Tokens,
    memory::MemoryStore,
};
use bson::{DateTime, Document};
use futures::future::BoxFuture;
use lucid_core::{Command, Transition, invariant, transition};
use lucid_schemas::{
    BackupSpec, CopySpec, Job, JobId, Keep, Kind, ManifestName, MonitorSpec, NotifySpec, PruneSpec, ReencryptSpec,
    RepositoryName, Request, RestoreSpec, Spec, VerifyLevel, VerifySpec,
};
use std::sync::Arc;

/// Five minutes, and five minutes ago: further than any test runs, and a lease may last as long twice.
pub(super) const LONG_MS: i64 = 300_000;
pub(super) const OVER_MS: i64 = -LONG_MS;

/// Reads the stored document of a job, or of an alert, as it is, by its id.
pub type DocumentReader = dyn Fn(String) -> BoxFuture<'static, Option<Document>> + Send + Sync;

/// An empty store and its feed, to be checked.
#[derive(Clone)]
pub struct Bench {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its schedules.
    pub schedules: Arc<dyn ScheduleStore>,
    /// Its alerts.
    pub alerts: Arc<dyn Alerts>,
    /// Its silences.
    pub silences: Arc<dyn Silences>,
    /// Its tokens.
    pub tokens: Arc<dyn Tokens>,
    /// Its feed.
    pub feed: Arc<dyn Feed>,
    /// Its history, which holds 16 recent changes.
    pub history: Arc<dyn History>,
    /// All its jobs.
    pub archive: Arc<dyn Archive>,
    /// The way to its raw documents.
    pub documents: Arc<DocumentReader>,
}

impl Bench {
    /// The twin in memory.
    pub fn twin() -> Self {
        let twin = Arc::new(MemoryStore::new());
        let read = Arc::clone(&twin);
        Self {
            store: twin.clone(),
            schedules: twin.clone(),
            alerts: twin.clone(),
            silences: twin.clone(),
            tokens: twin.clone(),
            feed: twin.clone(),
            history: twin.clone(),
            archive: twin,
            documents: Arc::new(move |id| {
                let document = read.stored(&id);
                Box::pin(async move { document })
            }),
        }
    }

    pub(super) async fn document(&self, id: &JobId) -> Document {
        (self.documents)(id.to_string()).await.expect("the job's document is there")
    }

    /// The job, which breaks no invariant.
    pub(super) async fn job(&self, id: &JobId) -> Job {
        let job = self.store.load(id).await.expect("loaded").expect("the job is there");
        assert_eq!(invariant::violations(&job), [], "job {id}");
        job
    }

    pub(super) async fn put(&self, enqueue: &Enqueue) -> Job {
        let job = self.store.enqueue(enqueue).await.expect("enqueued");
        assert_eq!(self.job(job.id()).await, job, "what enqueue answers is what is stored");
        job
    }

    /// A queued backup.
    pub(super) async fn queued(&self) -> Job {
        self.put(&enqueue(request(Kind::Backup))).await
    }

    /// A running backup of the worker `w`.
    pub(super) async fn running(&self, lease_ms: i64) -> Job {
        let job = self.queued().await;
        self.make(&job, &claim("w", lease_ms), "w").await
    }

    /// Makes a command true and returns the job after it; it must win, and what it answers must be what is stored.
    pub(super) async fn make(&self, job: &Job, command: &Command, by: &str) -> Job {
        let next = prepared(job, command, by);
        match self.store.apply(&next).await.expect("applied") {
            Outcome::Won(won) => {
                assert_eq!(self.job(job.id()).await, *won, "after '{}'", command.name());
                *won
            }
            Outcome::Lost(current) => panic!("'{}' lost; the job is {current:?}", command.name()),
        }
    }

    /// Tries a transition that must lose and change nothing.
    pub(super) async fn loses(&self, next: &Transition, why: &str) {
        let before = self.document(next.id()).await;
        let job = self.store.load(next.id()).await.expect("loaded");
        let outcome = self.store.apply(next).await.expect("applied");
        assert_eq!(outcome, Outcome::Lost(job.map(Box::new)), "{why}");
        assert_eq!(bytes(&self.document(next.id()).await), bytes(&before), "{why}: nothing is changed");
    }
}

/// A command made ready, under a write name of its own.
pub(super) fn prepared(job: &Job, command: &Command, by: &str) -> Transition {
    transition(job, command, by, &name("write")).expect("the law allows it")
}

pub(super) fn claim(worker: &str, lease_ms: i64) -> Command {
    Command::Claim { worker: worker.into(), lease_ms, slots: Vec::new() }
}

/// A name that nobody else has.
pub(super) fn name(what: &str) -> String {
    format!("{what}-{}", uuid::Uuid::new_v4())
}

pub(super) fn id(kind: Kind) -> JobId {
    JobId::compose(kind, DateTime::now(), uuid::Uuid::new_v4().as_u64_pair().0)
}

pub(super) fn repository(name: &str) -> RepositoryName {
    RepositoryName { name: name.into(), id: format!("id-of-{name}") }
}

/// What a worker reaches that can run every job of [`request`].
pub(super) fn reach() -> Reach {
    Reach { kinds: Kind::ALL.to_vec(), repositories: vec![repository("main")], ..Reach::default() }
}

pub(super) fn request(kind: Kind) -> Request {
    let manifest = ManifestName { key: "manifests/1".into(), hash: "abc".into() };
    let spec = match kind {
        Kind::Backup => Spec::Backup(BackupSpec {
            database: "lucid".into(),
            collections: Some(vec!["users".into(), "orders.2024".into()]),
            compression: true,
            encryption: true,
            require_consistent: false,
        }),
        Kind::Restore => Spec::Restore(RestoreSpec {
            backup: id(Kind::Backup),
            manifest,
            database: "copy".into(),
            collections: None,
            replace: true,
            dry_run: false,
        }),
        Kind::Verify => Spec::Verify(VerifySpec::whole(id(Kind::Backup), Some(manifest), VerifyLevel::Data)),
        Kind::Prune => Spec::Prune(PruneSpec::keeping(Keep { days: 30, ..Keep::default() })),
        Kind::Copy => {
            Spec::Copy(CopySpec { backup: Some(id(Kind::Backup)), manifest: Some(manifest), to: repository("main") })
        }
        Kind::Reencrypt => Spec::Reencrypt(ReencryptSpec {}),
        Kind::Monitor => Spec::Monitor(MonitorSpec::sample()),
        Kind::Notify => Spec::Notify(NotifySpec::sample()),
    };
    // Without concurrency keys: what is about those adds them.
    Request { keys: Vec::new(), ..Request::new(id(kind), spec, "api:pi-1", Some(repository("main"))) }
}

pub(super) fn enqueue(request: Request) -> Enqueue {
    Enqueue { request, delay_ms: 0, run_at: None, write: name("enqueue") }
}

/// BSON bytes: unlike `==` on documents, they tell the order of fields and the types of numbers.
pub(super) fn bytes(document: &Document) -> Vec<u8> {
    let mut bytes = Vec::new();
    document.to_writer(&mut bytes).expect("a document has bytes");
    bytes
}
