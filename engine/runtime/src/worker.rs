//! The worker: looks for jobs that it can run, claims them, and keeps its slots busy.
//!
//! All of its state is in one task, which never waits for the store: looks, claims and attempts are tasks of their own,
//! and end in the one loop. A wake-up claims by id; a look at the store follows a gap, a burst, a slot that comes free
//! while something is left, the turn of a job that was found and left to others, a timer, and the safety poll.

mod holding;
mod looking;
mod turns;

use crate::{
    claims::{Claims, Known, Tried, claimable_at_once},
    context::{Claim, StopReason},
    gate::Gate,
    look::{AFTER_DUE, Seen},
    metrics::Metrics,
    options::{OptionsError, WorkerOptions},
    rank::Fleet,
    seats::Seats,
    settler::Settler,
    upkeep,
    worker::turns::{Later, WantsAlone},
};
use lucid_ports::{Birth, Feed, Handler, Reach, Store, StoreError, Wake, WorkerCard, watched};
use lucid_schemas::{JobId, Kind, State};
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

/// So many wake-ups that wait make a burst, which one look serves better than a claim for each.
const BURST: usize = 16;
/// A pause, or its end, is seen by every worker within a second.
const PAUSES_EVERY: Duration = Duration::from_millis(800);
/// Between two looks at what may be forgotten.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// How soon after a claim that another worker won the registry is read again.
const RELEARN: Duration = Duration::from_secs(1);

/// So often the registry is read in quick succession at the start.
const SOON_ANNOUNCED: u32 = 3;
const SOON_MS: u64 = 1_000;

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

/// The state of a running worker; all in one task.
pub struct Worker {
    store: Arc<dyn Store>,
    /// None after the feed has ended: then the safety poll alone finds work.
    wakes: Option<broadcast::Receiver<Wake>>,
    handlers: HashMap<Kind, Arc<dyn Handler>>,
    gate: Arc<Gate>,
    options: Arc<WorkerOptions>,
    seats: Arc<Seats>,
    fleet: Fleet,
    claims: Claims,
    /// What is left to others first.
    later: BTreeMap<JobId, Later>,
    /// What has to be alone, and can't be yet.
    wants_alone: Option<WantsAlone>,
    /// What this worker holds: waiting for a slot, running, or coming to its end.
    held: BTreeMap<JobId, Arc<Claim>>,
    attempts: JoinSet<()>,
    /// Which job an attempt's task is about; a task that broke off can't tell any more.
    jobs: HashMap<Id, JobId>,
    looks: JoinSet<Seen>,
    registry: JoinSet<Option<Vec<WorkerCard>>>,
    pauses: JoinSet<Result<bool, StoreError>>,
    settler: JoinHandle<()>,
    /// Something that could be claimed was left where it is, for want of room.
    left: bool,
    /// Whether the next look asks when to look again: while there is more than one look can bring, it needn't.
    asks_due: bool,
    /// Whether there is reason to believe that another look finds what the last one didn't bring.
    promising: bool,
    stop: CancellationToken,
    next_look: Instant,
    next_sweep: Instant,
    next_announce: Instant,
    next_pauses: Instant,
    next_forget: Instant,
    learned: Instant,
    announced: u32,
    polls: u64,
    metrics: Arc<Metrics>,
}

impl Worker {
    /// Starts a worker for these handlers and what it can reach; of their kinds those in `reach`, all where it names none.
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
        let wanted = std::mem::take(&mut reach.kinds);
        let is_wanted = |kind: &Kind| wanted.is_empty() || wanted.contains(kind);
        reach.kinds = Kind::ALL.into_iter().filter(|kind| handlers.contains_key(kind) && is_wanted(kind)).collect();
        let (stop, metrics, options) = (CancellationToken::new(), Arc::<Metrics>::default(), Arc::new(options));
        let gate = Gate::new(Arc::clone(&store), Arc::clone(&options), reach);
        let settler = settle(Arc::clone(&store), feed, Arc::clone(&options), stop.child_token());
        let now = Instant::now();
        let worker = Self {
            // Before the first look, so that nothing falls between the two.
            wakes: Some(feed.subscribe()),
            handlers,
            seats: Seats::new(options.slots, Arc::clone(&metrics)),
            fleet: Fleet::alone(options.name.clone()),
            claims: Claims::new(Arc::clone(&store), Arc::clone(&gate), Arc::clone(&options), Arc::clone(&metrics)),
            gate,
            later: BTreeMap::new(),
            wants_alone: None,
            held: BTreeMap::new(),
            attempts: JoinSet::new(),
            jobs: HashMap::new(),
            looks: JoinSet::new(),
            registry: JoinSet::new(),
            pauses: JoinSet::new(),
            settler,
            left: false,
            asks_due: true,
            promising: true,
            stop: stop.clone(),
            next_look: now,
            next_sweep: now,
            next_announce: now,
            next_pauses: now + PAUSES_EVERY,
            next_forget: now + FORGET_EVERY,
            learned: now,
            announced: 0,
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
            self.on_time();
            let until = self.next_event();
            tokio::select! {
                // In this order: a simulated run can be repeated only where no chance is left in it.
                biased;
                () = self.stop.cancelled() => {}
                Some(ended) = self.attempts.join_next_with_id() => self.ended(ended),
                Some((id, tried)) = self.claims.ended() => self.tried(&id, tried),
                Some(seen) = self.looks.join_next() => self.seen(seen),
                Some(cards) = self.registry.join_next() => self.learn(cards),
                Some(seen) = self.pauses.join_next() => self.saw_pauses(seen),
                () = seats.freed.notified(), if self.left => self.look_if_worth_it(),
                () = sleep_until(until) => {}
                wake = next_wake(&mut self.wakes) => self.wake(wake),
            }
        }
        self.shut_down().await;
    }

    fn next_event(&self) -> Instant {
        let mut planned = self.next_announce.min(self.next_pauses).min(self.next_forget);
        // What needs a look and comes due during another follows it: until then there is nothing to wake up for.
        let may_look = self.looks.is_empty();
        if may_look {
            planned = planned.min(self.next_look);
        }
        let later = self.later.values().filter(|later| may_look || !later.found);
        later.map(|later| later.at).min().map_or(planned, |first| first.min(planned))
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
            upkeep::forget(Arc::clone(&self.store), Arc::clone(&self.options));
        }
        if now >= self.next_look && self.looks.is_empty() {
            self.metrics.polls.count();
            self.look();
        }
        self.take_turns(now);
    }

    fn wake(&mut self, wake: Result<Wake, broadcast::error::RecvError>) {
        match wake {
            Ok(Wake::Changed { id, state, born }) => self.changed(id, state, born),
            Ok(Wake::Gap) | Err(broadcast::error::RecvError::Lagged(_)) => {
                self.metrics.gaps.count();
                self.left = true;
                self.look();
                self.held.values().for_each(|claim| claim.poke.notify_one());
            }
            Err(broadcast::error::RecvError::Closed) => self.wakes = None,
        }
    }

    fn changed(&mut self, id: JobId, state: Option<State>, born: Option<Birth>) {
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
        } else if id.kind().is_none_or(|kind| !self.handlers.contains_key(&kind)) {
            self.metrics.wakes_of_other_kinds.count();
        } else if self.seats.room() == 0 {
            self.metrics.wakes_without_room.count();
            self.leave();
        } else if self.wakes.as_ref().is_some_and(|wakes| wakes.len() >= BURST) {
            self.metrics.wakes_in_bursts.count();
            self.leave();
            self.look();
        } else {
            self.claim_in_turn(id, Known::Told(born));
        }
    }

    fn tried(&mut self, id: &JobId, tried: Tried) {
        match tried {
            Tried::Won { job, claimed_from, seat } => self.hold(*job, claimed_from, seat),
            Tried::Lost { attempted } => {
                tracing::debug!(job = %id, "not claimed: another worker was faster");
                if attempted && self.learned.elapsed() >= RELEARN {
                    self.next_announce = Instant::now();
                }
            }
            Tried::NotAlone => self.not_alone(id),
            Tried::NotNow { due_in: Some(due_in) } => self.look_in(due_in + AFTER_DUE),
            Tried::NotNow { due_in: None } => self.look(),
            Tried::LookAgain { wait } => self.look_in(wait),
        }
    }

    /// Says that this worker lives, and learns who else does.
    fn announce(&mut self) {
        self.announced += 1;
        // Who starts at the same time learns of the others soon.
        let soon_ms = if self.announced < SOON_ANNOUNCED { SOON_MS } else { u64::MAX };
        self.next_announce = Instant::now() + Duration::from_millis(self.options.announce_ms.min(soon_ms));
        if !self.registry.is_empty() {
            return;
        }
        self.learned = Instant::now();
        let (store, options) = (Arc::clone(&self.store), Arc::clone(&self.options));
        let (reach, running, metrics) = (self.gate.reach().clone(), self.seats.running(), Arc::clone(&self.metrics));
        self.registry.spawn(upkeep::announce(store, options, reach, running, metrics));
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
        match cards {
            Ok(Some(cards)) => self.fleet.learn(cards),
            Ok(None) => {}
            Err(broken) => {
                tracing::error!(%broken, "an announcement broke off, which is a defect: the next one follows");
                self.options.problems.set("announcement", "its announcement broke off, which is a defect: see the log");
            }
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

/// The settler, under watch.
fn settle(
    store: Arc<dyn Store>,
    feed: &dyn Feed,
    options: Arc<WorkerOptions>,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let (wakes, problems, own) = (feed.subscribe(), options.problems.clone(), stop.clone());
    tokio::spawn(watched("settler", problems, stop, move || {
        Settler::new(Arc::clone(&store), wakes.resubscribe(), Arc::clone(&options), own.clone()).run()
    }))
}

/// The next wake-up; none ever where the feed has ended.
async fn next_wake(wakes: &mut Option<broadcast::Receiver<Wake>>) -> Result<Wake, broadcast::error::RecvError> {
    match wakes {
        Some(wakes) => wakes.recv().await,
        None => std::future::pending().await,
    }
}
