//! The worker: looks for jobs that it can run, claims them, and keeps its slots busy.

use crate::{
    attempt::{abandon, attempt},
    backoff::spread,
    context::{Claim, StopReason},
    options::{OptionsError, WorkerOptions},
    retention::forget_old,
    settler::Settler,
    slots::{Ready, Slots},
    step::{StepError, step},
    sweeper::sweep,
};
use bson::DateTime;
use lucid_core::Command;
use lucid_ports::{Ending, Feed, Handler, Reach, Store, StoreError, Wake, WorkerCard};
use lucid_schemas::{Job, JobId, Kind, State};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::broadcast,
    task::{Id, JoinError, JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// So many jobs that this worker can't claim may stand before those that it can.
const HIDDEN_AT_MOST: u32 = 16;
/// How long what isn't due yet is given to become so.
const A_MOMENT: Duration = Duration::from_millis(20);

/// How soon a pause, or its end, is seen by every worker.
const PAUSE_SEEN_WITHIN: Duration = Duration::from_secs(1);
/// Several jobs often end at once.
const SLOTS_FREED: Duration = Duration::from_millis(20);
/// Between two looks at what may be forgotten.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// A worker that was started; it works until it is stopped.
#[derive(Debug)]
pub struct WorkerHandle {
    stop: CancellationToken,
    done: JoinHandle<()>,
}

impl WorkerHandle {
    /// Returns when the worker has ended by itself, which it should not.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        (&mut self.done).await
    }

    /// Gives back what it holds, unharmed, and waits until that is done.
    ///
    /// # Errors
    /// Where the worker broke off with a panic.
    pub async fn stop(self) -> Result<(), JoinError> {
        self.stop.cancel();
        self.done.await
    }
}

/// The state of a running worker; all in one task.
pub struct Worker {
    store: Arc<dyn Store>,
    wakes: broadcast::Receiver<Wake>,
    handlers: HashMap<Kind, Arc<dyn Handler>>,
    reach: Reach,
    options: Arc<WorkerOptions>,
    running: BTreeMap<JobId, Arc<Claim>>,
    attempts: JoinSet<()>,
    /// Which job an attempt's task is about; a task that broke off can't tell any more.
    jobs: HashMap<Id, JobId>,
    slots: Slots,
    settler: JoinHandle<()>,
    stop: CancellationToken,
    next_pause_check: Instant,
    next_forget: Instant,
    next_poll: Instant,
    next_announce: Instant,
    polls: u64,
}

impl Worker {
    /// Starts a worker for these handlers and what it can reach.
    ///
    /// # Errors
    /// Where the options don't fit together.
    pub fn start(
        store: Arc<dyn Store>,
        feed: &dyn Feed,
        handlers: Vec<Arc<dyn Handler>>,
        mut reach: Reach,
        options: WorkerOptions,
    ) -> Result<WorkerHandle, OptionsError> {
        options.check()?;
        let handlers: HashMap<_, _> = handlers.into_iter().map(|handler| (handler.kind(), handler)).collect();
        reach.kinds = Kind::ALL.into_iter().filter(|kind| handlers.contains_key(kind)).collect();
        let stop = CancellationToken::new();
        let settler = Settler::new(Arc::clone(&store), feed.subscribe(), options.name.clone(), stop.child_token());
        let worker = Self {
            store,
            slots: Slots::default(),
            settler: tokio::spawn(settler.run()),
            next_pause_check: Instant::now(),
            next_forget: Instant::now() + FORGET_EVERY,
            // Before the first look, so that nothing falls between the two.
            wakes: feed.subscribe(),
            handlers,
            reach,
            options: Arc::new(options),
            running: BTreeMap::new(),
            attempts: JoinSet::new(),
            jobs: HashMap::new(),
            stop: stop.clone(),
            next_poll: Instant::now(),
            next_announce: Instant::now(),
            polls: 0,
        };
        let done = tokio::spawn(worker.work());
        Ok(WorkerHandle { stop, done })
    }

    async fn work(mut self) {
        tracing::info!(worker = self.options.name, slots = self.options.slots, "worker started");
        while !self.stop.is_cancelled() {
            if Instant::now() >= self.next_announce {
                self.announce().await;
            }
            if Instant::now() >= self.next_poll {
                // Asked before the look: what comes due between the two would be missed by both otherwise.
                let next_due = self.next_due().await;
                self.sweep().await;
                self.reconcile().await;
                self.plan_next_poll(next_due);
            }
            if Instant::now() >= self.next_forget {
                self.forget().await;
            }
            let until = self.next_poll.min(self.next_announce).min(self.next_forget);
            tokio::select! {
                // In this order: a simulated run can be repeated only where no chance is left in it.
                biased;
                () = self.stop.cancelled() => {}
                Some(ended) = self.attempts.join_next_with_id() => self.slot_freed(ended),
                () = sleep_until(until) => {}
                wake = self.wakes.recv() => self.wake(wake).await,
            }
        }
        self.shut_down().await;
    }

    fn free_slots(&self) -> usize {
        self.options.slots.saturating_sub(self.running.len())
    }

    fn slot_freed(&mut self, ended: Result<(Id, ()), JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(broken) => {
                tracing::error!(%broken, "an attempt broke off: its lease will end");
                broken.id()
            }
        };
        if let Some(id) = self.jobs.remove(&task) {
            self.running.remove(&id);
        }
        self.next_poll = Instant::now();
    }

    /// Ends what nobody can take over, and cleans up after it.
    async fn sweep(&self) {
        for job in sweep(&self.store, &self.options.name).await {
            if let Some(handler) = self.handlers.get(&job.kind()).map(Arc::clone) {
                let claim = self.claim_of(job, Instant::now());
                tokio::spawn(async move { abandon(&claim, &handler, Ending::Fenced).await });
            }
        }
    }

    fn claim_of(&self, job: Job, claimed_from: Instant) -> Arc<Claim> {
        let (store, options) = (Arc::clone(&self.store), Arc::clone(&self.options));
        // Handlers are told to stop the moment that the worker is, whatever it is waiting for itself.
        Claim::new(store, options, job, claimed_from, self.stop.child_token())
    }

    async fn wake(&mut self, wake: Result<Wake, broadcast::error::RecvError>) {
        match wake {
            Ok(Wake::Changed { id, state }) => {
                if let Some(claim) = self.running.get(&id) {
                    // All other changes of a running job are this worker's own.
                    if matches!(state, None | Some(State::Canceling)) {
                        claim.poke.notify_one();
                    }
                } else if state.is_none_or(claimable_at_once) && self.free_slots() > 0 {
                    self.look_at(&id).await;
                } else if self.slots.awaited && state.is_some_and(State::is_terminal) {
                    // Whatever waits for slots may have them now.
                    self.next_poll = self.next_poll.min(Instant::now() + SLOTS_FREED);
                }
            }
            Ok(Wake::Gap) | Err(broadcast::error::RecvError::Lagged(_)) => {
                self.next_poll = Instant::now();
                self.running.values().for_each(|claim| claim.poke.notify_one());
            }
            // The feed has ended: from here the safety poll alone finds work.
            Err(broadcast::error::RecvError::Closed) => sleep_until(self.next_poll).await,
        }
    }

    async fn look_at(&mut self, id: &JobId) {
        if let Err(error) = self.see_pauses().await {
            tracing::warn!(job = %id, %error, "not looked at");
            return;
        }
        match self.store.load(id).await {
            Ok(Some(job)) if self.is_for_me(&job) => {
                self.slots.forget(&mut self.reach);
                if !self.claim(job).await {
                    // It may be due in a moment only: the next look finds out.
                    self.next_poll = self.next_poll.min(Instant::now() + A_MOMENT);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(job = %id, %error, "not looked at"),
        }
    }

    fn is_for_me(&self, job: &Job) -> bool {
        let paused = job.head.state == State::Queued && self.reach.paused.contains(&job.kind());
        self.reach.covers(&job.request) && claimable_at_once(job.head.state) && !paused
    }

    /// Which kinds are paused; as of a moment ago.
    async fn see_pauses(&mut self) -> Result<(), StoreError> {
        if Instant::now() >= self.next_pause_check {
            self.reach.paused = self.store.paused().await?.into_iter().map(|pause| pause.kind).collect();
            self.next_pause_check = Instant::now() + PAUSE_SEEN_WITHIN;
        }
        Ok(())
    }

    async fn forget(&mut self) {
        self.next_forget = Instant::now() + FORGET_EVERY;
        if let Some(keep) = self.options.retention {
            let forgotten = forget_old(&self.store, keep).await;
            if forgotten > 0 {
                tracing::info!(jobs = forgotten, "old jobs forgotten");
            }
        }
    }

    /// Claims until the slots are full or nothing is left.
    async fn reconcile(&mut self) {
        if let Err(error) = self.see_pauses().await {
            tracing::warn!(%error, "nothing looked for");
            return;
        }
        self.slots.forget(&mut self.reach);
        while self.free_slots() > 0 {
            // More than there is room for: some may be this worker's own, or not to be claimed for whatever reason, and
            // must not hide the others.
            let limit = u32::try_from(self.free_slots() + self.running.len()).unwrap_or(u32::MAX);
            let limit = limit.saturating_add(HIDDEN_AT_MOST);
            let jobs = match self.store.claimable(&self.reach, limit).await {
                Ok(jobs) => jobs,
                Err(error) => {
                    tracing::warn!(%error, "nothing looked for");
                    return;
                }
            };
            if jobs.is_empty() {
                return;
            }
            let (mut won, knew_slots) = (false, self.slots.are_known());
            for job in jobs {
                if self.free_slots() == 0 || self.stop.is_cancelled() {
                    return;
                }
                won |= self.claim(job).await;
            }
            // Now that the full keys are known, others may be shown in the place of what waits for them.
            if !won && self.slots.are_known() == knew_slots {
                return;
            }
        }
    }

    /// Tries to claim; another worker may be faster, which is no error.
    async fn claim(&mut self, job: Job) -> bool {
        let Some(handler) = self.handlers.get(&job.kind()).map(Arc::clone) else {
            return false;
        };
        let id = job.id().clone();
        if self.running.contains_key(&id) {
            return false;
        }
        let slots = match self.slots.find(&self.store, &mut self.reach, &job, &self.options.name).await {
            Ready::With(slots) => slots,
            Ready::NotNow => return false,
        };
        let took_slots = !slots.is_empty();
        let command = Command::Claim { worker: self.options.name.clone(), lease_ms: self.options.lease_ms, slots };
        let claimed_from = Instant::now();
        // A claim whose outcome is unknown is asked about again: given up, it would cost a lease and an attempt.
        let patience = claimed_from + self.options.working_lease();
        match step(&self.store, job, &command, &self.options.name, patience).await {
            Ok(job) => {
                self.slots.taken(&job);
                let claim = self.claim_of(job, claimed_from);
                self.running.insert(id.clone(), Arc::clone(&claim));
                let task = self.attempts.spawn(attempt(claim, handler));
                self.jobs.insert(task.id(), id);
                true
            }
            Err(error @ StepError::Store(_)) => {
                tracing::warn!(job = %id, %error, "not claimed");
                false
            }
            Err(error) => {
                tracing::debug!(job = %id, %error, "not claimed");
                if took_slots && matches!(error, StepError::NotNow) {
                    // Another job may have been faster with a slot, and others may be free.
                    self.next_poll = self.next_poll.min(Instant::now() + SLOTS_FREED);
                }
                false
            }
        }
    }

    /// When the next job comes due, or a lease ends.
    async fn next_due(&self) -> Option<Instant> {
        match self.store.next_due_in(&self.reach).await {
            // A little later than due, so that the guard holds when the claim arrives.
            Ok(due_in) => due_in.map(|due_in| Instant::now() + due_in + A_MOMENT),
            Err(error) => {
                tracing::debug!(%error, "next due time unknown");
                None
            }
        }
    }

    fn plan_next_poll(&mut self, next_due: Option<Instant>) {
        self.polls += 1;
        let poll_ms = self.options.poll_ms;
        let jitter_ms = spread(&format!("{}/{}", self.options.name, self.polls)) % (poll_ms / 5 + 1);
        let mut wait = Duration::from_millis(poll_ms - poll_ms / 10 + jitter_ms);
        if !self.reach.paused.is_empty() {
            // Nothing tells that a pause is over.
            wait = wait.min(PAUSE_SEEN_WITHIN);
        }
        let safety_poll = Instant::now() + wait;
        // Without a free slot there is nothing to look for; a slot that gets free looks by itself.
        let next_due = next_due.filter(|_| self.free_slots() > 0);
        self.next_poll = next_due.map_or(safety_poll, |next_due| safety_poll.min(next_due));
    }

    async fn announce(&mut self) {
        self.next_announce = Instant::now() + Duration::from_millis(self.options.announce_ms);
        let card = WorkerCard {
            name: self.options.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            capacity: i32::try_from(self.options.slots).unwrap_or(i32::MAX),
            running: i32::try_from(self.running.len()).unwrap_or(i32::MAX),
            reach: self.reach.clone(),
            clock_skew_ms: self.clock_skew_ms().await,
            seen_at: None,
        };
        if let Err(error) = self.store.announce(&card).await {
            tracing::warn!(%error, "not announced");
        }
    }

    /// How far this node's clock is ahead of the primary's; half the way of the question is taken for each direction.
    async fn clock_skew_ms(&self) -> Option<i64> {
        let asked = DateTime::now().timestamp_millis();
        let theirs = self.store.clock().await.ok()?.timestamp_millis();
        let answered = DateTime::now().timestamp_millis();
        Some(asked + (answered - asked) / 2 - theirs)
    }

    /// Tells every handler to stop, waits for the endings, and leaves the registry.
    async fn shut_down(mut self) {
        tracing::info!(worker = self.options.name, running = self.running.len(), "worker stops");
        self.running.values().for_each(|claim| claim.stop_because(StopReason::Shutdown));
        while self.attempts.join_next().await.is_some() {}
        if let Err(error) = self.settler.await {
            tracing::error!(%error, "the settler broke off");
        }
        if let Err(error) = self.store.depart(&self.options.name).await {
            tracing::warn!(%error, "still listed among the workers");
        }
    }
}

/// Whether a job in this state may be waiting for a claim. A running one is not: it is looked for when its lease ends.
const fn claimable_at_once(state: State) -> bool {
    match state {
        State::Queued | State::Canceling | State::Committing => true,
        State::Waiting | State::Running | State::Blocked | State::Succeeded | State::Failed | State::Canceled => false,
    }
}
