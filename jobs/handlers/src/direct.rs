//! A job without an engine: it lives in this process alone, for when there is no `lucid_ops` to keep it in.
//!
//! Invariant: past the point of no return it isn't stopped any more, only carried through; before that, whatever its end,
//! what it has staged is removed. Nothing of it is written to any database but the one that the handler works on.

use async_trait::async_trait;
use bson::{DateTime, Document};
use lucid_ports::{ContextError, Detail, Ending, Handler, JobContext, JobError};
use lucid_schemas::{Event, EventBody, Head, Job, Progress, Request, Stamp, State};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

use crate::database::catalog::hex;

/// Nobody takes the job over, so this bounds single commands only.
const LEASE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(2);

/// Called at each report of progress.
pub type Report = Box<dyn Fn(Progress) + Send + Sync>;

/// A job that lives in this process alone.
pub struct DirectJob {
    kept: Mutex<Kept>,
    stop: CancellationToken,
    report: Report,
}

struct Kept {
    job: Job,
    details: BTreeMap<String, Detail>,
}

impl DirectJob {
    /// A job for this request. Where an earlier process died over the same job id, `epoch` must be higher than its: what
    /// lower ones have staged goes.
    pub fn new(request: Request, epoch: i64, report: Report) -> Self {
        let head = Head { state: State::Queued, version: 0, epoch, ..Head::born(now()) };
        let job = Job { request, head, lease: None, progress: None, events: Vec::new(), fate: None };
        Self { kept: Mutex::new(Kept { job, details: BTreeMap::new() }), stop: CancellationToken::new(), report }
    }

    /// Asks for the end of the job; says whether it isn't too late for that.
    pub fn stop(&self) -> bool {
        let kept = self.kept();
        let early = kept.job.head.state != State::Committing;
        if early {
            self.stop.cancel();
        }
        early
    }

    /// Runs the job to its end, a few times where that may help.
    ///
    /// # Errors
    /// The last failure, or `Stopped`.
    pub async fn run(&self, handler: &dyn Handler) -> Result<Document, JobError> {
        loop {
            self.claim();
            let failure = match handler.run(self).await {
                Ok(result) => {
                    self.kept().job.head.state = State::Succeeded;
                    return Ok(result);
                }
                Err(failure) => failure,
            };
            let may_pass = matches!(&failure, JobError::Failed(failure) if failure.retryable);
            if may_pass && self.has_attempts() {
                tracing::warn!(%failure, "trying again");
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => continue,
                    () = self.stop.cancelled() => {}
                }
            }
            self.end(handler, &failure).await;
            return Err(failure);
        }
    }

    fn claim(&self) {
        let mut kept = self.kept();
        let head = &mut kept.job.head;
        head.epoch += 1;
        head.attempt += 1;
        if head.state != State::Committing {
            head.state = State::Running;
        }
        let (epoch, attempt) = (head.epoch, head.attempt);
        kept.append(EventBody::Claimed { epoch, attempt, takeover: false, slots: Vec::new() });
    }

    fn has_attempts(&self) -> bool {
        let kept = self.kept();
        kept.job.head.attempt < kept.job.request.max_attempts
    }

    /// Removes what was staged, unless the swap has begun: then staged collections are all there is of the rest.
    async fn end(&self, handler: &dyn Handler, failure: &JobError) {
        let ending = {
            let mut kept = self.kept();
            if kept.job.head.state == State::Committing {
                return;
            }
            let (state, ending) = match failure {
                JobError::Failed(_) => (State::Failed, Ending::Failed),
                JobError::Stopped => (State::Canceled, Ending::Canceled),
            };
            kept.job.head.state = state;
            ending
        };
        handler.abandon(self, ending).await;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<(), ContextError> {
        if self.stop.is_cancelled() { Err(ContextError::Stop("it was asked to stop".into())) } else { Ok(()) }
    }
}

impl Kept {
    fn append(&mut self, body: EventBody) {
        let seq = self.job.head.version + 1;
        self.job.head.version = seq;
        self.job.events.push(Event { seq, at: now(), by: "direct".into(), write: String::new(), body });
    }
}

#[async_trait]
impl JobContext for DirectJob {
    fn job(&self) -> Job {
        self.kept().job.clone()
    }

    fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    fn lease_left(&self) -> Duration {
        LEASE
    }

    fn report(&self, progress: Progress) {
        (self.report)(progress);
    }

    async fn record(&self, fact: EventBody) -> Result<(), ContextError> {
        let mut kept = self.kept();
        self.check()?;
        kept.append(fact);
        Ok(())
    }

    async fn commit(&self, fact: EventBody) -> Result<(), ContextError> {
        let mut kept = self.kept();
        self.check()?;
        kept.append(fact);
        kept.job.head.state = State::Committing;
        Ok(())
    }

    async fn put_detail(&self, name: &str, data: Document) -> Result<String, ContextError> {
        let bytes = data.to_vec().map_err(|error| ContextError::Store(error.to_string()))?;
        let hash = hex(&Sha256::digest(bytes));
        let mut kept = self.kept();
        let detail = Detail { job: kept.job.request.id.clone(), name: name.into(), hash: hash.clone(), data };
        kept.details.insert(name.into(), detail);
        Ok(hash)
    }

    async fn detail(&self, name: &str) -> Result<Option<Detail>, ContextError> {
        Ok(self.kept().details.get(name).cloned())
    }
}

fn now() -> Stamp {
    Stamp::At(DateTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;
    use lucid_schemas::{BackupSpec, Code, Kind, Spec};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Fails so often, then succeeds; may commit before it fails.
    #[derive(Default)]
    struct Flaky {
        failures: usize,
        commits: bool,
        runs: AtomicUsize,
        abandoned: AtomicUsize,
    }

    #[async_trait]
    impl Handler for Flaky {
        fn kind(&self) -> Kind {
            Kind::Backup
        }

        async fn run(&self, context: &dyn JobContext) -> Result<Document, JobError> {
            if context.stop().is_cancelled() {
                return Err(JobError::Stopped);
            }
            if self.commits && context.job().head.state == State::Running {
                context.commit(EventBody::CommitStarted {}).await?;
            }
            if self.runs.fetch_add(1, Ordering::Relaxed) < self.failures {
                return Err(JobError::retryable(Code::SwapStuck, "not yet"));
            }
            Ok(doc! { "epoch": context.job().head.epoch })
        }

        async fn abandon(&self, _: &dyn JobContext, _: Ending) {
            self.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn job() -> DirectJob {
        let spec = Spec::Backup(BackupSpec {
            database: "d".into(),
            collections: None,
            compression: true,
            encryption: true,
            require_consistent: false,
        });
        let id = "backup_20250109_020000_7k3fq2m8ab".parse().expect("an id");
        let request = Request { max_attempts: 2, ..Request::new(id, spec, "test", None) };
        DirectJob::new(request, 40, Box::new(|_| ()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again_with_a_higher_epoch() {
        let once = Flaky { failures: 1, ..Flaky::default() };
        assert_eq!(job().run(&once).await.expect("done"), doc! { "epoch": 42_i64 });
        let always = Flaky { failures: 9, ..Flaky::default() };
        assert!(job().run(&always).await.is_err());
        assert_eq!((always.runs.into_inner(), always.abandoned.into_inner()), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn it_stops_before_the_point_of_no_return_and_never_after_it() {
        let (early, handler) = (job(), Flaky::default());
        assert!(early.stop());
        assert_eq!(early.run(&handler).await, Err(JobError::Stopped));
        assert_eq!(handler.abandoned.into_inner(), 1);
        let (late, handler) = (job(), Flaky { failures: 9, commits: true, ..Flaky::default() });
        assert!(late.run(&handler).await.is_err());
        assert!(!late.stop(), "it has committed");
        assert_eq!(handler.abandoned.into_inner(), 0, "what is staged is all there is of the rest");
    }
}
