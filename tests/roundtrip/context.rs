//! A claim without an engine: a job context that keeps its job in memory, with hooks where a worker may be stopped.

use async_trait::async_trait;
use bson::{DateTime, Document};
use lucid_ports::{ContextError, Detail, JobContext};
use lucid_schemas::{Event, EventBody, Head, Job, Progress, RepositoryName, Request, Spec, Stamp, State};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// The job and its lists, as a store would keep them for all its claims.
pub struct Stored {
    job: Mutex<Job>,
    details: Mutex<BTreeMap<String, Detail>>,
}

type Hook = Box<dyn Fn(usize) + Send + Sync>;
type Named = Box<dyn Fn(&str) + Send + Sync>;

/// One claim. Every look at the lease and every report is a point where a test may step in.
pub struct Claim {
    stored: Arc<Stored>,
    epoch: i64,
    stop: CancellationToken,
    looks: AtomicUsize,
    /// The lease is over from this look on.
    pub lease_looks: usize,
    /// Called at each look at the lease with its number, from 0.
    pub at_look: Hook,
    /// Called at each report of progress, with the documents so far.
    pub at_report: Hook,
    /// Called after a fact was recorded.
    pub at_record: Hook,
    /// Called at each report of progress, with the phase.
    pub at_phase: Named,
    /// Called before a list is kept, with its name.
    pub at_put: Named,
}

impl Stored {
    /// A new job, not yet claimed.
    pub fn new(id: &str, spec: Spec, repository: RepositoryName) -> Arc<Self> {
        let at = Stamp::At(DateTime::now());
        let id = id.parse().expect("an id");
        let request = Request { max_attempts: 3, ..Request::new(id, spec, "test", Some(repository)) };
        let head = Head { state: State::Running, version: 0, ..Head::born(at) };
        let job = Job { request, head, lease: None, progress: None, events: Vec::new(), fate: None };
        Arc::new(Self { job: Mutex::new(job), details: Mutex::default() })
    }

    /// Claims the job, for the first time or over from whoever has it.
    pub fn claim(self: &Arc<Self>) -> Claim {
        let epoch = {
            let mut job = self.job.lock().expect("unpoisoned");
            job.head.epoch += 1;
            job.head.attempt += 1;
            job.head.epoch
        };
        self.append(EventBody::Claimed { epoch, attempt: 1, takeover: epoch > 1, slots: Vec::new() });
        Claim {
            stored: Arc::clone(self),
            epoch,
            stop: CancellationToken::new(),
            looks: AtomicUsize::new(0),
            lease_looks: usize::MAX,
            at_look: Box::new(|_| ()),
            at_report: Box::new(|_| ()),
            at_record: Box::new(|_| ()),
            at_phase: Box::new(|_| ()),
            at_put: Box::new(|_| ()),
        }
    }

    /// Lets a blocked job go on, as a person does.
    pub fn resume(&self) {
        self.append(EventBody::Resumed {});
    }

    /// Ends the job.
    pub fn end(&self, state: State, result: Option<Document>) {
        let mut job = self.job.lock().expect("unpoisoned");
        job.head.state = state;
        job.head.result = result;
    }

    /// The job as it is.
    pub fn job(&self) -> Job {
        self.job.lock().expect("unpoisoned").clone()
    }

    fn append(&self, body: EventBody) {
        let mut job = self.job.lock().expect("unpoisoned");
        let seq = i64::try_from(job.events.len()).expect("few") + 1;
        job.head.version = seq;
        job.events.push(Event { seq, at: Stamp::At(DateTime::now()), by: "test".into(), write: String::new(), body });
    }
}

impl Claim {
    /// The token that asks the handler to stop, for hooks.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    fn fence(&self) -> Result<(), ContextError> {
        let job = self.stored.job();
        if job.head.epoch == self.epoch && !self.stop.is_cancelled() {
            return Ok(());
        }
        Err(ContextError::Stop("fenced".into()))
    }
}

#[async_trait]
impl JobContext for Claim {
    fn job(&self) -> Job {
        self.stored.job()
    }

    fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    fn lease_left(&self) -> Duration {
        let look = self.looks.fetch_add(1, Ordering::SeqCst);
        if look >= self.lease_looks {
            return Duration::ZERO;
        }
        let held = Duration::from_secs(20);
        (self.at_look)(look);
        held
    }

    fn report(&self, progress: Progress) {
        (self.at_phase)(&progress.phase);
        (self.at_report)(usize::try_from(progress.documents).unwrap_or_default());
    }

    async fn record(&self, fact: EventBody) -> Result<(), ContextError> {
        self.fence()?;
        self.stored.append(fact);
        (self.at_record)(0);
        Ok(())
    }

    async fn commit(&self, fact: EventBody) -> Result<(), ContextError> {
        self.fence()?;
        self.stored.append(fact);
        self.stored.job.lock().expect("unpoisoned").head.state = State::Committing;
        Ok(())
    }

    async fn put_detail(&self, name: &str, data: Document) -> Result<String, ContextError> {
        (self.at_put)(name);
        let hash = format!("hash of {name}, {} bytes", data.to_vec().expect("BSON").len());
        let job = self.stored.job().request.id;
        let detail = Detail { job, name: name.into(), hash: hash.clone(), data };
        self.stored.details.lock().expect("unpoisoned").insert(name.into(), detail);
        Ok(hash)
    }

    async fn detail(&self, name: &str) -> Result<Option<Detail>, ContextError> {
        Ok(self.stored.details.lock().expect("unpoisoned").get(name).cloned())
    }
}
