//! The handler's view of its claim.

use crate::{
    moment::Moment,
    options::WorkerOptions,
    step::{StepError, step},
};
use async_trait::async_trait;
use bson::Document;
use lucid_core::Command;
use lucid_ports::{ContextError, Detail, JobContext, Store};
use lucid_schemas::{EventBody, Job, JobId, Progress};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// Why work has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody asked for the job's end.
    Canceled,
    /// The lease is over, or the job is another worker's.
    Lost,
    /// The worker itself was asked to stop.
    Shutdown,
    /// The attempt took longer than its request allows.
    TimedOut,
}

/// One claim: what handler, heartbeat and attempt share.
pub struct Claim {
    pub store: Arc<dyn Store>,
    pub options: Arc<WorkerOptions>,
    pub id: JobId,
    pub epoch: i64,
    /// The write that claimed: the lease's token.
    pub token: String,
    /// Wakes the heartbeat before its time.
    pub poke: Notify,
    job: Mutex<Job>,
    progress: Mutex<Option<Progress>>,
    work_until: Mutex<Moment>,
    stop: CancellationToken,
    stop_reason: Mutex<Option<StopReason>>,
    /// One transition at a time, so that a claim never races itself.
    transitions: tokio::sync::Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere doesn't make these plain values wrong.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Claim {
    /// The claim that `job`'s last event made; `claimed_from` is a moment before it was sent; `stop` fires with the worker's.
    pub fn new(
        store: Arc<dyn Store>,
        options: Arc<WorkerOptions>,
        job: Job,
        claimed_from: Moment,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let token = job.lease.as_ref().map(|lease| lease.token.clone()).unwrap_or_default();
        Arc::new(Self {
            id: job.id().clone(),
            epoch: job.head.epoch,
            token,
            poke: Notify::new(),
            progress: Mutex::new(None),
            work_until: Mutex::new(claimed_from.after(options.working_lease())),
            stop,
            stop_reason: Mutex::new(None),
            transitions: tokio::sync::Mutex::new(()),
            job: Mutex::new(job),
            store,
            options,
        })
    }

    /// Tells the handler to stop; the first reason counts, except that a lost claim outranks all.
    pub fn stop_because(&self, reason: StopReason) {
        let mut current = lock(&self.stop_reason);
        if current.is_none() || reason == StopReason::Lost {
            *current = Some(reason);
        }
        drop(current);
        self.stop.cancel();
    }

    /// Why work has to stop; a stop that nobody gave a reason for came down from the worker's own.
    pub fn stop_reason(&self) -> Option<StopReason> {
        let told = *lock(&self.stop_reason);
        told.or_else(|| self.stop.is_cancelled().then_some(StopReason::Shutdown))
    }

    /// The lease was renewed by a call sent at `sent`.
    pub fn renewed(&self, sent: Moment) {
        *lock(&self.work_until) = sent.after(self.options.working_lease());
    }

    /// For timers; whether it has come, [`JobContext::lease_left`] knows better.
    pub fn work_until(&self) -> Instant {
        lock(&self.work_until).timers()
    }

    pub fn take_progress(&self) -> Option<Progress> {
        lock(&self.progress).take()
    }

    pub fn see(&self, job: Job) {
        *lock(&self.job) = job;
    }

    /// Makes one command of this claim true.
    pub async fn step(&self, command: &Command, deadline: Instant) -> Result<Job, StepError> {
        let _one_at_a_time = self.transitions.lock().await;
        let outcome = step(&self.store, self.job(), command, &self.options.name, deadline).await;
        match &outcome {
            Ok(job) => self.see(job.clone()),
            // Another epoch's job is seen only by what cleans up after being fenced.
            Err(StepError::Refused { job, .. }) if job.head.epoch == self.epoch => self.see((**job).clone()),
            Err(_) => {}
        }
        outcome
    }

    async fn step_of_handler(&self, command: &Command) -> Result<(), ContextError> {
        if self.stop.is_cancelled() {
            return Err(ContextError::Stop("it was told to stop".into()));
        }
        match self.step(command, self.work_until()).await {
            Ok(_) => Ok(()),
            Err(StepError::Store(error)) => Err(ContextError::Store(error.to_string())),
            Err(error) => {
                // The heartbeat finds out whether it is a cancel or another worker.
                self.poke.notify_one();
                Err(ContextError::Stop(error.to_string()))
            }
        }
    }
}

#[async_trait]
impl JobContext for Claim {
    fn job(&self) -> Job {
        lock(&self.job).clone()
    }

    fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    fn lease_left(&self) -> Duration {
        lock(&self.work_until).left(Moment::now())
    }

    fn report(&self, progress: Progress) {
        *lock(&self.progress) = Some(progress);
    }

    async fn record(&self, fact: EventBody) -> Result<(), ContextError> {
        let epoch = self.epoch;
        self.step_of_handler(&Command::Record { epoch, fact }).await
    }

    async fn commit(&self, fact: EventBody) -> Result<(), ContextError> {
        let epoch = self.epoch;
        self.step_of_handler(&Command::Commit { epoch, fact }).await
    }

    async fn put_detail(&self, name: &str, data: Document) -> Result<String, ContextError> {
        let hash = document_hash(&data)?;
        let detail = Detail { job: self.id.clone(), name: name.to_owned(), hash: hash.clone(), data };
        self.store.put_detail(&detail).await.map_err(|error| ContextError::Store(error.to_string()))?;
        Ok(hash)
    }

    async fn detail(&self, name: &str) -> Result<Option<Detail>, ContextError> {
        let found = self.store.detail(&self.id, name).await;
        let found = found.map_err(|error| ContextError::Store(error.to_string()))?;
        if let Some(detail) = &found
            && document_hash(&detail.data)? != detail.hash
        {
            return Err(ContextError::Store(format!(
                "the list '{name}' of job {} was changed since it was kept",
                self.id
            )));
        }
        Ok(found)
    }
}

fn document_hash(data: &Document) -> Result<String, ContextError> {
    let mut bytes = Vec::new();
    data.to_writer(&mut bytes).map_err(|error| ContextError::Store(format!("a list has no BSON form: {error}")))?;
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(&bytes) {
        let _ = write!(hash, "{byte:02x}");
    }
    Ok(hash)
}
