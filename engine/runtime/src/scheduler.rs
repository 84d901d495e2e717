//! The scheduler: makes the jobs of schedules when they come due. Any number may run at once.
//!
//! For each due occurrence two writes, in this order: the job, under an id and a write name that follow from the plan
//! alone; then the high-water mark, by compare-and-set. A crash between the two, or ten schedulers at once, make one
//! job of it. Time is the primary's clock, read together with the schedules; this node's clock decides nothing, and
//! where it is wrong by more than a limit the scheduler leaves the work to others: what else this node believes about
//! time is not to be trusted.

mod pass;
#[cfg(test)]
mod tests;

use crate::backoff::spread;
use bson::DateTime;
use lucid_ports::{Problems, ScheduleStore, Store, watched};
use pass::{Pass, pass};
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// Schedulers of different nodes look within so long after an occurrence has come due, so that most find it dealt with.
const STAGGER_MS: u64 = 300;

/// How a scheduler behaves; every default with its reason.
#[derive(Clone)]
pub struct SchedulerOptions {
    /// Who it is, in logs; also spreads its looks.
    pub name: String,
    /// How often it looks at least: how long a new or edited schedule may go unnoticed. Jittered by a fifth.
    pub poll_ms: u64,
    /// How late an occurrence may be before it counts as missed under the policy `skip`: longer than an election or the
    /// restart of a node.
    pub grace_ms: i64,
    /// How far this node's clock may be from the primary's.
    pub skew_limit_ms: i64,
    /// How old a plan may be when a job is made by it; then it is made anew.
    pub plan_age_ms: u64,
    /// This node's clock.
    pub clock: Arc<dyn Fn() -> DateTime + Send + Sync>,
    /// Where it is told that it can't work.
    pub problems: Problems,
}

impl SchedulerOptions {
    /// The defaults for a scheduler of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            poll_ms: 15_000,
            grace_ms: 300_000,
            skew_limit_ms: 30_000,
            plan_age_ms: 10_000,
            clock: Arc::new(DateTime::now),
            problems: Problems::default(),
        }
    }
}

impl fmt::Debug for SchedulerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulerOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a scheduler is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchedulerStatus {
    /// How far this node's clock is ahead of the primary's, in milliseconds; `None` before the first look.
    pub skew_ms: Option<i64>,
    /// Whether it schedules: its last look came through, and its clock is right enough.
    pub scheduling: bool,
}

/// A scheduler that was started; it works until it is stopped.
#[derive(Debug)]
pub struct SchedulerHandle {
    stop: CancellationToken,
    done: JoinHandle<()>,
    status: watch::Receiver<SchedulerStatus>,
}

impl SchedulerHandle {
    /// How it is, now and from now on.
    pub fn status(&self) -> watch::Receiver<SchedulerStatus> {
        self.status.clone()
    }

    /// Stops it at once. A write that is under way goes through or not; either is right.
    ///
    /// # Errors
    /// Where the scheduler broke off with a panic.
    pub async fn stop(self) -> Result<(), JoinError> {
        self.stop.cancel();
        self.done.await
    }
}

/// The state of a running scheduler.
pub struct Scheduler {
    store: Arc<dyn Store>,
    schedules: Arc<dyn ScheduleStore>,
    options: Arc<SchedulerOptions>,
    status: Arc<watch::Sender<SchedulerStatus>>,
    /// What was said in the log and still holds: it is said once.
    said: BTreeSet<String>,
    looks: u64,
}

impl Scheduler {
    /// Starts a scheduler.
    pub fn start(
        store: Arc<dyn Store>,
        schedules: Arc<dyn ScheduleStore>,
        options: SchedulerOptions,
    ) -> SchedulerHandle {
        let stop = CancellationToken::new();
        let (sender, status) = watch::channel(SchedulerStatus::default());
        let (problems, own, options, sender) =
            (options.problems.clone(), stop.clone(), Arc::new(options), Arc::new(sender));
        let done = tokio::spawn(watched("scheduler", problems, stop.clone(), move || {
            let (store, schedules) = (Arc::clone(&store), Arc::clone(&schedules));
            let (options, status) = (Arc::clone(&options), Arc::clone(&sender));
            Self { store, schedules, options, status, said: BTreeSet::new(), looks: 0 }.work(own.clone())
        }));
        SchedulerHandle { stop, done, status }
    }

    async fn work(mut self, stop: CancellationToken) {
        tracing::debug!(scheduler = self.options.name, "scheduler started");
        loop {
            // A task of its own: calls of the store aren't broken off, only no longer waited for.
            let passing =
                tokio::spawn(pass(Arc::clone(&self.store), Arc::clone(&self.schedules), Arc::clone(&self.options)));
            let wait = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                passed = passing => self.conclude(passed),
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Says what is to be said about a pass, and how long to sleep.
    fn conclude(&mut self, passed: Result<Pass, JoinError>) -> Duration {
        match &passed {
            Ok(_) => drop(self.options.problems.clear("schedules")),
            Err(_) => {
                self.options.problems.set("schedules", "a look at the schedules broke off, a defect: see the log");
            }
        }
        let passed = passed.unwrap_or_else(|broken| Pass::failed(format!("the pass broke off, a defect: {broken}")));
        for problem in passed.problems.difference(&self.said) {
            tracing::warn!(scheduler = self.options.name, "{problem}");
        }
        for problem in self.said.difference(&passed.problems) {
            tracing::info!(scheduler = self.options.name, "no longer: {problem}");
        }
        self.said = passed.problems;
        self.status.send_replace(passed.status);
        self.looks += 1;
        let chance = spread(&format!("{}/{}", self.options.name, self.looks));
        let poll_ms = self.options.poll_ms;
        let poll = Duration::from_millis(poll_ms - poll_ms / 10 + chance % (poll_ms / 5 + 1));
        let due = passed.due_in.map(|due_in| due_in + Duration::from_millis(chance % STAGGER_MS));
        due.map_or(poll, |due| due.min(poll))
    }
}
