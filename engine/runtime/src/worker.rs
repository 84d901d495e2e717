//! The worker: looks for jobs that it can run, claims them, and keeps its slots busy.
//!
//! All of its state is in one task, which never waits for the store: looks, claims and attempts are tasks of their own,
//! and end in the one loop. A wake-up claims by id; a look at the store follows a gap, a burst, a slot that comes free
//! while something is left, a timer, and the safety poll.

use crate::{
    attempt::{abandon, attempt},
    backoff::spread,
    claims::{Claims, SLOTS_FREED, Tried, claimable_at_once},
    context::{Claim, StopReason},
    gate::Gate,
    look::{AFTER_DUE, Look, Seen},
    metrics::Metrics,
    options::{OptionsError, WorkerOptions},
    rank::{Fleet, kind_of},
    seats::{Seat, Seats},
    settler::Settler,
    upkeep,
};
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

<<<<<<< HEAD
/// So many wake-ups that wait make a burst, which one look serves better than a claim for each.
const BURST: usize = 16;
/// Until a look after one that brought nothing, though something may be left.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A pause, or its end, is seen by every worker within a second.
const PAUSES_EVERY: Duration = Duration::from_millis(800);
=======
/// So many jobs that this worker can't claim may stand before those that it can.
const HIDDEN_AT_MOST: u32 = 16;
/// How long what isn't due yet is given to become so.
const A_MOMENT: Duration = Duration::from_millis(20);

/// How soon a pause, or its end, is seen by every worker.
const PAUSE_SEEN_WITHIN: Duration = Duration::from_secs(1);
/// Several jobs often end at once.
const SLOTS_FREED: Duration = Duration::from_millis(20);
>>>>>>> sim
/// Between two looks at what may be forgotten.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// How soon after a claim that another worker won the registry is read again.
const RELEARN: Duration = Duration::from_secs(1);

/// A worker that was started; it works until it is stopped.
#[derive(Debug)]
pub struct WorkerHandle {
    stop: CancellationToken,
    done: JoinHandle<()>,
    metrics: Arc<Metrics>,
}

impl WorkerHandle {
    /// What the worker counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

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

/// A job that is left to others for a moment.
struct Later {
    at: Instant,
    /// As it was seen in a look; `None` where only the feed told of it.
    seen: Option<Job>,
}

/// The state of a running worker; all in one task.
pub struct Worker {
    store: Arc<dyn Store>,
    wakes: broadcast::Receiver<Wake>,
    feed_ended: bool,
    handlers: HashMap<Kind, Arc<dyn Handler>>,
    gate: Arc<Gate>,
    options: Arc<WorkerOptions>,
<<<<<<< HEAD
    seats: Arc<Seats>,
    fleet: Fleet,
    claims: Claims,
    /// What is left to others first.
    later: BTreeMap<JobId, Later>,
    /// What this worker holds: waiting for a slot, running, or coming to its end.
    held: HashMap<JobId, Arc<Claim>>,
=======
    running: BTreeMap<JobId, Arc<Claim>>,
>>>>>>> sim
    attempts: JoinSet<()>,
    /// Which job an attempt's task is about; a task that broke off can't tell any more.
    jobs: HashMap<Id, JobId>,
    looks: JoinSet<Seen>,
    registry: JoinSet<Option<Vec<WorkerCard>>>,
    pauses: JoinSet<Result<bool, StoreError>>,
    settler: JoinHandle<()>,
    /// Something that could be claimed was left where it is, for want of room.
    left: bool,
    /// Whether there is reason to believe that another look finds what the last one didn't bring.
    promising: bool,
    stop: CancellationToken,
    next_look: Instant,
    next_sweep: Instant,
    next_announce: Instant,
    next_pauses: Instant,
    next_forget: Instant,
    learned: Instant,
    polls: u64,
    metrics: Arc<Metrics>,
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
        let (stop, metrics, options) = (CancellationToken::new(), Arc::<Metrics>::default(), Arc::new(options));
        let gate = Gate::new(Arc::clone(&store), options.name.clone(), reach);
        let settler = Settler::new(Arc::clone(&store), feed.subscribe(), options.name.clone(), stop.child_token());
        let now = Instant::now();
        let worker = Self {
            // Before the first look, so that nothing falls between the two.
            wakes: feed.subscribe(),
            feed_ended: false,
            handlers,
<<<<<<< HEAD
            seats: Seats::new(options.slots, Arc::clone(&metrics)),
            fleet: Fleet::alone(options.name.clone()),
            claims: Claims::new(Arc::clone(&store), Arc::clone(&gate), Arc::clone(&options), Arc::clone(&metrics)),
            gate,
            later: BTreeMap::new(),
            held: HashMap::new(),
=======
            reach,
            options: Arc::new(options),
            running: BTreeMap::new(),
>>>>>>> sim
            attempts: JoinSet::new(),
            jobs: HashMap::new(),
            looks: JoinSet::new(),
            registry: JoinSet::new(),
            pauses: JoinSet::new(),
            settler: tokio::spawn(settler.run()),
            left: false,
            promising: true,
            stop: stop.clone(),
            next_look: now,
            next_sweep: now,
            next_announce: now,
            next_pauses: now + PAUSES_EVERY,
            next_forget: now + FORGET_EVERY,
            learned: now,
            polls: 0,
            metrics: Arc::clone(&metrics),
            store,
            options,
        };
        let done = tokio::spawn(worker.work());
        Ok(WorkerHandle { stop, done, metrics })
    }

    async fn work(mut self) {
        tracing::info!(worker = self.options.name, slots = self.options.slots, "worker started");
        // Before the first claim.
        let seen = self.gate.see_pauses().await;
        self.saw_pauses(Ok(seen));
        let seats = Arc::clone(&self.seats);
        while !self.stop.is_cancelled() {
<<<<<<< HEAD
            self.on_time();
            let until = self.next_event();
=======
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
>>>>>>> sim
            tokio::select! {
                // In this order: a simulated run can be repeated only where no chance is left in it.
                biased;
                () = self.stop.cancelled() => {}
<<<<<<< HEAD
                () = sleep_until(until) => {}
                Some(ended) = self.attempts.join_next_with_id() => self.ended(ended),
                Some((id, tried)) = self.claims.ended() => self.tried(&id, tried),
                Some(seen) = self.looks.join_next() => self.seen(seen),
                Some(cards) = self.registry.join_next() => self.learn(cards),
                Some(seen) = self.pauses.join_next() => self.saw_pauses(seen),
                () = seats.freed.notified(), if self.left => self.look_if_worth_it(),
                wake = self.wakes.recv(), if !self.feed_ended => self.wake(wake),
=======
                Some(ended) = self.attempts.join_next_with_id() => self.slot_freed(ended),
                () = sleep_until(until) => {}
                wake = self.wakes.recv() => self.wake(wake).await,
>>>>>>> sim
            }
        }
        self.shut_down().await;
    }

    fn next_event(&self) -> Instant {
        let planned = self.next_look.min(self.next_announce).min(self.next_pauses).min(self.next_forget);
        self.later.values().map(|later| later.at).min().map_or(planned, |first| first.min(planned))
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        if now >= self.next_announce {
            self.announce();
        }
        if now >= self.next_pauses {
            self.next_pauses = now + PAUSES_EVERY;
            if self.pauses.is_empty() {
                let gate = Arc::clone(&self.gate);
                self.pauses.spawn(async move { gate.see_pauses().await });
            }
        }
        if now >= self.next_forget {
            self.next_forget = now + FORGET_EVERY;
            tokio::spawn(upkeep::forget(Arc::clone(&self.store), Arc::clone(&self.options)));
        }
        if now >= self.next_look {
            self.metrics.polls.count();
            self.look();
        }
        let due: Vec<JobId> =
            self.later.iter().filter(|(_, later)| later.at <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            if let Some(later) = self.later.remove(&id) {
                self.claim(id, later.seen);
            }
        }
    }

    fn wake(&mut self, wake: Result<Wake, broadcast::error::RecvError>) {
        match wake {
            Ok(Wake::Changed { id, state }) => self.changed(id, state),
            Ok(Wake::Gap) | Err(broadcast::error::RecvError::Lagged(_)) => {
                self.metrics.gaps.count();
                self.left = true;
                self.look();
                self.held.values().for_each(|claim| claim.poke.notify_one());
            }
            // From here the safety poll alone finds work.
            Err(broadcast::error::RecvError::Closed) => self.feed_ended = true,
        }
    }

    fn changed(&mut self, id: JobId, state: Option<State>) {
        self.metrics.wakes.count();
        if let Some(claim) = self.held.get(&id) {
            // All other changes of a held job are this worker's own.
            if matches!(state, None | Some(State::Canceling)) {
                claim.poke.notify_one();
            }
        } else if !state.is_none_or(claimable_at_once) {
            if self.later.remove(&id).is_some() {
                self.metrics.wakes_settled_by_others.count();
            }
            if state.is_some_and(State::is_terminal) {
                self.slots_freed();
            }
        } else if kind_of(&id).is_some_and(|kind| !self.handlers.contains_key(&kind)) {
            self.metrics.wakes_of_other_kinds.count();
        } else if self.seats.room() == 0 {
            self.metrics.wakes_without_room.count();
            self.leave();
        } else if self.wakes.len() >= BURST {
            self.metrics.wakes_in_bursts.count();
            self.leave();
            self.look();
        } else {
            self.claim_in_turn(id, None);
        }
    }

    /// Whatever waits for slots of concurrency keys may have them now.
    fn slots_freed(&mut self) {
        if self.gate.is_awaited() {
            self.look_in(SLOTS_FREED);
        }
    }

    /// Claims at once, or after those who stand before this worker in the job's order.
    fn claim_in_turn(&mut self, id: JobId, seen: Option<Job>) {
        let delay = self.fleet.delay(&id);
        if delay.is_zero() {
            self.claim(id, seen);
        } else {
            self.metrics.wakes_left_to_others.count();
            self.later.insert(id, Later { at: Instant::now() + delay, seen });
        }
    }

    fn claim(&mut self, id: JobId, seen: Option<Job>) {
        if self.held.contains_key(&id) || self.claims.contains(&id) {
            return;
        }
        if self.seats.room() == 0 {
            self.leave();
            return;
        }
        self.claims.begin(id, seen, self.seats.seat());
    }

    /// A job that could be claimed stays where it is for now.
    fn leave(&mut self) {
        self.left = true;
        self.promising = true;
    }

    fn tried(&mut self, id: &JobId, tried: Tried) {
        match tried {
            Tried::Won { job, claimed_from, seat } => self.hold(*job, claimed_from, seat),
            Tried::Lost => {
                tracing::debug!(job = %id, "not claimed: another worker was faster");
                if self.learned.elapsed() >= RELEARN {
                    self.next_announce = Instant::now();
                }
            }
            Tried::NotNow { due_in: Some(due_in) } => self.look_in(due_in + AFTER_DUE),
            Tried::NotNow { due_in: None } => self.look(),
            Tried::LookAgain { wait } => self.look_in(wait),
        }
    }

    fn hold(&mut self, job: Job, claimed_from: Instant, seat: Seat) {
        self.promising = true;
        let Some(handler) = self.handlers.get(&job.kind()).map(Arc::clone) else {
            return;
        };
        let id = job.id().clone();
        let claim = self.claim_of(job, claimed_from);
        self.held.insert(id.clone(), Arc::clone(&claim));
        let task = self.attempts.spawn(attempt(claim, handler, seat));
        self.jobs.insert(task.id(), id);
    }

    fn claim_of(&self, job: Job, claimed_from: Instant) -> Arc<Claim> {
        let (store, options) = (Arc::clone(&self.store), Arc::clone(&self.options));
        // Handlers are told to stop the moment that the worker is, whatever it is waiting for itself.
        Claim::new(store, options, job, claimed_from, self.stop.child_token())
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(broken) => {
                tracing::error!(%broken, "an attempt broke off: its lease will end");
                broken.id()
            }
        };
        if let Some(id) = self.jobs.remove(&task) {
            self.held.remove(&id);
        }
        self.slots_freed();
    }

    fn look_in(&mut self, wait: Duration) {
        self.next_look = self.next_look.min(Instant::now() + wait);
    }

    /// Once enough is free that a look pays: at least half of what may be claimed ahead.
    fn look_if_worth_it(&mut self) {
        if self.seats.room() <= self.seats.ahead() / 2 {
            return;
        }
<<<<<<< HEAD
        if self.promising {
            self.look();
        } else {
            self.look_in(LOOK_AGAIN);
=======
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
>>>>>>> sim
        }
    }

    /// Looks at the store, unless a look is under way: then another one follows it.
    fn look(&mut self) {
        if !self.looks.is_empty() {
            self.left = true;
            return;
        }
        let now = Instant::now();
        self.next_look = now + self.poll_wait();
        (self.left, self.promising) = (false, false);
        self.metrics.looks.count();
        let sweeps = now >= self.next_sweep;
        if sweeps {
            self.next_sweep = now + Duration::from_millis(self.options.poll_ms / 2);
        }
        let look = Look {
            sweep_as: sweeps.then(|| self.options.name.clone()),
            wanted: self.seats.room() * self.fleet.size(),
            known: self.claims.len(),
        };
        self.looks.spawn(look.at(Arc::clone(&self.store), Arc::clone(&self.gate)));
    }

    fn seen(&mut self, seen: Result<Seen, JoinError>) {
        let seen = seen.unwrap_or_else(|broken| {
            tracing::error!(%broken, "a look at the store broke off");
            Seen::default()
        });
        for job in seen.swept {
            if let Some(handler) = self.handlers.get(&job.kind()).map(Arc::clone) {
                let claim = self.claim_of(job, Instant::now());
                tokio::spawn(async move { abandon(&claim, &handler, Ending::Fenced).await });
            }
        }
        for job in seen.jobs {
            let id = job.id().clone();
            if !self.later.contains_key(&id) {
                self.claim_in_turn(id, Some(job));
            }
        }
        self.left |= seen.more;
        if let Some(due_in) = seen.due_in {
            self.look_in(due_in);
        }
        if self.left {
            self.look_if_worth_it();
        }
    }

<<<<<<< HEAD
    /// Until the safety poll; spread, so that workers don't look all at once.
    fn poll_wait(&mut self) -> Duration {
        self.polls += 1;
        let poll_ms = self.options.poll_ms;
        let jitter_ms = spread(&format!("{}/{}", self.options.name, self.polls)) % (poll_ms / 5 + 1);
        Duration::from_millis(poll_ms - poll_ms / 10 + jitter_ms)
=======
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
>>>>>>> sim
    }

    /// Says that this worker lives, and learns who else does.
    fn announce(&mut self) {
        self.next_announce = Instant::now() + Duration::from_millis(self.options.announce_ms);
        if !self.registry.is_empty() {
            return;
        }
        self.learned = Instant::now();
        let (store, options) = (Arc::clone(&self.store), Arc::clone(&self.options));
        self.registry.spawn(upkeep::announce(store, options, self.gate.reach().clone(), self.seats.running()));
    }

    fn saw_pauses(&mut self, seen: Result<Result<bool, StoreError>, JoinError>) {
        match seen {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => self.look_in(Duration::ZERO),
            Ok(Err(error)) => tracing::warn!(%error, "pauses not seen"),
            Err(broken) => tracing::error!(%broken, "looking for pauses broke off"),
        }
    }

    fn learn(&mut self, cards: Result<Option<Vec<WorkerCard>>, JoinError>) {
        if let Ok(Some(cards)) = cards {
            self.fleet.learn(cards);
        }
    }

    /// Tells every handler to stop, waits for the endings, and leaves the registry.
    async fn shut_down(mut self) {
        tracing::info!(worker = self.options.name, held = self.held.len(), "worker stops");
        self.held.values().for_each(|claim| claim.stop_because(StopReason::Shutdown));
        while self.claims.len() > 0 {
            if let Some((_, Tried::Won { job, claimed_from, seat })) = self.claims.ended().await {
                // It finds out that it has to stop, and gives the job back.
                self.hold(*job, claimed_from, seat);
            }
        }
        while self.attempts.join_next().await.is_some() {}
        // A word that is under way would list this worker again.
        while self.registry.join_next().await.is_some() {}
        if let Err(error) = self.settler.await {
            tracing::error!(%error, "the settler broke off");
        }
        if let Err(error) = self.store.depart(&self.options.name).await {
            tracing::warn!(%error, "still listed among the workers");
        }
    }
}
