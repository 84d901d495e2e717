//! Jobs that somebody watches: one task reads a job, however many watch it.
//!
//! The job document is the truth. The task listens first, then reads; it reads again when the history tells of the job,
//! when that may have missed something, and at the latest after a while.

use crate::ApiState;
use lucid_ports::{News, Store};
use lucid_schemas::{Job, JobId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{
        broadcast::{Receiver, error::RecvError},
        watch,
    },
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// How often the progress of a held job is read.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How often another job is read although nothing tells of it.
const SAFETY_EVERY: Duration = Duration::from_secs(10);
/// When to read again where the answer is older than what the history tells, or where there was none.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A job as it was read last; `None` where it isn't there any more.
pub(super) type Seen = Option<Arc<Job>>;

/// The jobs that are watched.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched(Arc<Mutex<HashMap<JobId, watch::Sender<Seen>>>>);

impl Watched {
    /// What is seen of a job from now on; it may have been read already.
    pub(super) fn watch(&self, state: &ApiState, job: Job) -> watch::Receiver<Seen> {
        let mut jobs = self.jobs();
        let id = job.id().clone();
        if let Some(watcher) = jobs.get(&id) {
            return watcher.subscribe();
        }
        let (tell, seen) = watch::channel(Some(Arc::new(job)));
        jobs.insert(id.clone(), tell.clone());
        let watcher = Watcher {
            id,
            store: Arc::clone(&state.store),
            news: Some(state.history.recent().listen()),
            expected: 0,
            tell,
            all: self.clone(),
            stop: state.streams.stop().clone(),
        };
        tokio::spawn(watcher.run());
        seen
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, watch::Sender<Seen>>> {
        // Each change of the map is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watcher {
    id: JobId,
    store: Arc<dyn Store>,
    /// `None` once it has ended.
    news: Option<Receiver<News>>,
    /// The version that the history tells of.
    expected: i64,
    tell: watch::Sender<Seen>,
    all: Watched,
    stop: CancellationToken,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let next = Instant::now() + self.look().await;
            let is_over = self.tell.borrow().as_ref().is_none_or(|job| job.head.state.is_terminal());
            if is_over || self.stop.is_cancelled() {
                self.all.jobs().remove(&self.id);
                return;
            }
            if !self.wait(next).await {
                // Somebody may have come just now.
                let mut jobs = self.all.jobs();
                if self.stop.is_cancelled() || self.tell.receiver_count() == 0 {
                    jobs.remove(&self.id);
                    return;
                }
            }
        }
    }

    /// Reads the job, tells what is new, and says when to look again.
    async fn look(&self) -> Duration {
        let job = match self.store.load(&self.id).await {
            Ok(job) => job,
            Err(error) => {
                tracing::warn!(job = %self.id, %error, "a watched job can't be read for the moment");
                return PROGRESS_EVERY;
            }
        };
        let Some(job) = job else {
            self.tell.send_replace(None);
            return SAFETY_EVERY;
        };
        let next = if job.head.version < self.expected {
            AGAIN_AFTER
        } else if job.lease.is_some() {
            PROGRESS_EVERY
        } else {
            SAFETY_EVERY
        };
        self.tell.send_if_modified(|seen| {
            let is_new = seen.as_ref().is_none_or(|seen| {
                job.head.version > seen.head.version
                    || (job.head.version == seen.head.version && job.progress != seen.progress)
            });
            if is_new {
                *seen = Some(Arc::new(job));
            }
            is_new
        });
        next
    }

    /// Waits until it is time to look again; `false` where nobody watches any more.
    async fn wait(&mut self, until: Instant) -> bool {
        loop {
            let news = async {
                match &mut self.news {
                    Some(news) => news.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = self.tell.closed() => return false,
                () = sleep_until(until) => return true,
                news = news => match news {
                    Ok(News::Change(change)) => {
                        if let Some(own) = change.job().filter(|changed| changed.id == self.id) {
                            self.expected = self.expected.max(own.version);
                            return true;
                        }
                    }
                    Ok(News::Gap) | Err(RecvError::Lagged(_)) => return true,
                    Err(RecvError::Closed) => self.news = None,
                },
            }
        }
    }
}
