//! Lets jobs go on that wait for another one, once that has ended, or cancels them.
//!
//! Every worker has one. Who is late finds the job settled; where all were down, the next start looks at everything.

use crate::{
    backoff::spread,
    options::WorkerOptions,
    step::{StepError, step},
};
use bson::doc;
use lucid_core::Command;
use lucid_ports::{Store, StoreError, Wake};
use lucid_schemas::{Job, JobId, State};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// So many waiting jobs are looked at in one go.
const BATCH: u32 = 1_000;
/// Between two looks at everything, where no wake-up says that there is something.
const POLL_MS: u64 = 60_000;

/// Until the next look at everything after one that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What a settler knows.
pub struct Settler {
    pub store: Arc<dyn Store>,
    pub wakes: broadcast::Receiver<Wake>,
    pub options: Arc<WorkerOptions>,
    pub stop: CancellationToken,
    /// Whether a job may be waiting at all; most of the time none is, and then an end of a job costs nothing here.
    any: bool,
    looks: u64,
    next_look: Instant,
}

impl Settler {
    pub fn new(
        store: Arc<dyn Store>,
        wakes: broadcast::Receiver<Wake>,
        options: Arc<WorkerOptions>,
        stop: CancellationToken,
    ) -> Self {
        Self { store, wakes, options, stop, any: true, looks: 0, next_look: Instant::now() }
    }

    /// Settles until it is stopped.
    pub async fn run(mut self) {
        loop {
            if Instant::now() >= self.next_look {
                let looked = self.look_at_all().await;
                self.again_where_failed(looked);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                wake = self.wakes.recv() => self.wake(wake).await,
                () = sleep_until(self.next_look) => {}
            }
        }
    }

    async fn wake(&mut self, wake: Result<Wake, broadcast::error::RecvError>) {
        let looked = match wake {
            Ok(Wake::Changed { id, state: Some(State::Waiting), .. }) => {
                self.any = true;
                self.look_at(&id).await
            }
            Ok(Wake::Changed { id, state, .. }) if self.any && state.is_none_or(State::is_terminal) => {
                self.look_at_those_after(&id).await
            }
            Ok(Wake::Changed { .. }) => Ok(()),
            Ok(Wake::Gap) | Err(broadcast::error::RecvError::Lagged(_)) => {
                self.next_look = Instant::now();
                Ok(())
            }
            Err(broadcast::error::RecvError::Closed) => {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => {}
                    () = sleep_until(self.next_look) => {}
                }
                Ok(())
            }
        };
        self.again_where_failed(looked);
    }

    fn again_where_failed(&mut self, looked: Result<(), StoreError>) {
        match looked {
            Ok(()) => {}
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "not settled: looked at again soon");
                self.next_look = self.next_look.min(Instant::now() + AFTER_FAILURE);
            }
            Err(error) => tracing::warn!(%error, "not settled"),
        }
    }

    async fn look_at_all(&mut self) -> Result<(), StoreError> {
        self.looks += 1;
        let wait_ms = POLL_MS - spread(&format!("{}/{}", self.options.name, self.looks)) % (POLL_MS / 5);
        self.next_look = Instant::now() + Duration::from_millis(wait_ms);
        let waiting = self.store.waiting(None, BATCH).await?;
        self.any = !waiting.is_empty();
        for job in waiting {
            match self.settle(job).await {
                Ok(()) => {}
                Err(error) if error.is_retryable() => return Err(error),
                // What is wrong with one job, or with what it waits for, must not hold up the others.
                Err(error) => tracing::warn!(%error, "not settled"),
            }
        }
        Ok(())
    }

    async fn look_at(&self, id: &JobId) -> Result<(), StoreError> {
        match self.store.load(id).await? {
            Some(job) => self.settle(job).await,
            None => Ok(()),
        }
    }

    async fn look_at_those_after(&self, ended: &JobId) -> Result<(), StoreError> {
        for job in self.store.waiting(Some(ended), BATCH).await? {
            self.settle(job).await?;
        }
        Ok(())
    }

    /// Settles one job in a task of its own: whatever is wrong with it costs the others nothing.
    async fn settle(&self, job: Job) -> Result<(), StoreError> {
        let (id, subject) = (job.id().clone(), format!("waiting job {}", job.id()));
        let settling = tokio::spawn(settle(Arc::clone(&self.store), Arc::clone(&self.options), job));
        match settling.await {
            Ok(settled) => {
                self.options.problems.clear(&subject);
                settled
            }
            Err(broken) => {
                tracing::error!(job = %id, %broken, "passed over: settling it broke off");
                let advice = "look at its document, which a hand may have changed, or cancel it";
                self.options.problems.set(&subject, format!("{id} can't be settled, and waits: {advice}"));
                Ok(())
            }
        }
    }
}

async fn settle(store: Arc<dyn Store>, options: Arc<WorkerOptions>, job: Job) -> Result<(), StoreError> {
    let Some(after) = job.request.after.clone().filter(|_| job.head.state == State::Waiting) else {
        return Ok(());
    };
    let found = store.load(&after.job).await?;
    let dependency = found.as_ref().map(|found| found.head.state);
    if dependency.is_some_and(|state| !state.is_terminal()) {
        return Ok(());
    }
    let manifest = found.and_then(|found| found.head.result?.get("manifest").cloned());
    let result = manifest.map(|manifest| doc! { "manifest": manifest });
    let id = job.id().clone();
    match step(&store, job, &Command::Settle { dependency, result }, &options.name, Instant::now()).await {
        Ok(settled) => tracing::info!(job = %id, after = %after.job, state = %settled.head.state, "settled"),
        Err(StepError::Store(error)) if error.is_retryable() => return Err(error),
        // Another worker's settler was faster, or it is gone.
        Err(error) => tracing::debug!(job = %id, %error, "not settled"),
    }
    Ok(())
}
