//! What all nodes of one run share: the twin in memory, its clock, the chance, and the book.

use super::{
    ledger::Ledger,
    plan::{Faults, Plan},
};
use crate::mutant::Mutant;
use bson::{DateTime, Document};
use lucid_ports::{conformance::Chance, memory::MemoryStore};
use lucid_schemas::JobId;
use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// The moment at which every run begins, by the store's clock: eight seconds before 2026.
pub const BEGIN_MS: i64 = 1_767_225_592_000;

thread_local! {
    /// The clock of all nodes: a run has a thread to itself.
    static WALL_CLOCK_MS: Cell<i64> = const { Cell::new(BEGIN_MS) };
}

/// What a node's own clock shows.
pub fn wall_clock() -> DateTime {
    DateTime::from_millis(WALL_CLOCK_MS.get())
}

/// What all nodes share.
pub struct Stage {
    /// The store behind all wrappers.
    pub twin: MemoryStore,
    /// The constants of this run.
    pub plan: Plan,
    /// The safeguard that is missing, if any.
    pub mutant: Option<Mutant>,
    /// Where the first worker dies first, if that is not left to chance.
    pub death: Option<Death>,
    chance: Mutex<Chance>,
    ledger: Mutex<Ledger>,
    weather: Mutex<Air>,
}

/// What changes while a run goes on.
struct Air {
    faults: Faults,
    calm: bool,
    /// The furthest of all nodes' clocks.
    now_ms: i64,
    /// How far the store's clock has jumped.
    jumped_ms: i64,
}

/// The call at which a process dies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Death {
    /// The number of the call, from 1; 0 for none.
    pub at_call: usize,
    /// Whether the call still reaches the store.
    pub after_effect: bool,
}

/// One life of a node: from its start to its death.
#[derive(Debug)]
pub struct Process {
    /// Its name; no two lives share one.
    pub name: String,
    /// When it was born, by the clock of the conductor.
    pub born_ms: i64,
    /// The same moment by its own.
    pub born: Instant,
    /// How far ahead of the store's its own wall clock is.
    pub ahead_ms: i64,
    life: Mutex<Life>,
}

#[derive(Debug)]
struct Life {
    calls: usize,
    death: Death,
    dead: bool,
    cut_off_until_ms: i64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    /// The stage of this seed.
    pub fn new(seed: u64, mutant: Option<Mutant>, death: Option<Death>) -> Arc<Self> {
        let mut chance = Chance(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
        let plan = Plan::draw(&mut chance);
        WALL_CLOCK_MS.set(BEGIN_MS);
        Arc::new(Self {
            twin: MemoryStore::at(DateTime::from_millis(BEGIN_MS)),
            weather: Mutex::new(Air { faults: plan.faults, calm: false, now_ms: 0, jumped_ms: 0 }),
            plan,
            mutant,
            death,
            chance: Mutex::new(chance),
            ledger: Mutex::default(),
        })
    }

    /// The one source of chance.
    pub fn chance(&self) -> MutexGuard<'_, Chance> {
        lock(&self.chance)
    }

    /// The book.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// What may go wrong at the moment.
    pub fn faults(&self) -> Faults {
        lock(&self.weather).faults
    }

    /// From here nothing goes wrong any more.
    pub fn calm_down(&self) {
        {
            let mut air = lock(&self.weather);
            air.faults = Faults { delay_ms: self.plan.faults.delay_ms, ..Faults::default() };
            air.calm = true;
        }
        self.note("all", "the faults have ended");
    }

    /// Whether the faults have ended.
    pub fn is_calm(&self) -> bool {
        lock(&self.weather).calm
    }

    /// Whether one in so many falls now.
    pub fn one_in(&self, times: usize) -> bool {
        times > 0 && self.chance().one_in(times)
    }

    /// One of so many, from 0.
    pub fn below(&self, bound: usize) -> usize {
        self.chance().below(bound)
    }

    /// Up to so many milliseconds.
    pub fn up_to_ms(&self, most: usize) -> u64 {
        if most == 0 { 0 } else { u64::try_from(self.chance().below(most + 1)).unwrap_or(0) }
    }

    /// The store's clock jumps by so much.
    pub fn jump(&self, by_ms: i64) {
        lock(&self.weather).jumped_ms += by_ms;
        self.note("store", &format!("the clock jumps by {by_ms} ms"));
    }

    /// Sets the store's clock to what it shows as `process` acts.
    pub fn tick(&self, process: &Process) {
        let mut air = lock(&self.weather);
        air.now_ms = air.now_ms.max(process.now_ms());
        self.twin.set_now(DateTime::from_millis(BEGIN_MS + air.now_ms + air.jumped_ms));
        WALL_CLOCK_MS.set(BEGIN_MS + air.now_ms);
    }

    /// Writes a line into the book.
    pub fn note(&self, who: &str, what: &str) {
        let now_ms = self.twin.now().timestamp_millis() - BEGIN_MS;
        self.ledger().trace.push(format!("{now_ms:>8} {who:<12} {what}"));
    }

    /// When the lease of a job ends, if it has one.
    pub fn lease_end(&self, id: &JobId) -> Option<DateTime> {
        let document: Document = self.twin.document(id)?;
        document.get_document("lease").ok()?.get_datetime("expires_at").ok().copied()
    }
}

impl Process {
    /// A new life, that begins now.
    pub fn new(name: String, born_ms: i64, ahead_ms: i64, death: Death) -> Arc<Self> {
        let life = Mutex::new(Life { calls: 0, death, dead: false, cut_off_until_ms: 0 });
        Arc::new(Self { name, born_ms, born: Instant::now(), ahead_ms, life })
    }

    /// What the clock of the conductor shows, as far as this process has come.
    pub fn now_ms(&self) -> i64 {
        self.born_ms + i64::try_from(self.born.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Whether it has died.
    pub fn is_dead(&self) -> bool {
        lock(&self.life).dead
    }

    /// Ends it where it stands.
    pub fn kill(&self) {
        lock(&self.life).dead = true;
    }

    /// Passes, where it lives; never returns where it is dead.
    pub async fn lives(&self) {
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    /// Counts a call, and dies before it is sent where its time has come.
    pub async fn calls(&self) {
        {
            let mut life = lock(&self.life);
            life.calls += 1;
            life.dead |= life.calls == life.death.at_call && !life.death.after_effect;
        }
        self.lives().await;
    }

    /// Dies before an answer comes where its time has come.
    pub async fn hears(&self) {
        {
            let mut life = lock(&self.life);
            life.dead |= life.calls == life.death.at_call && life.death.after_effect;
        }
        self.lives().await;
    }

    /// Nothing of what it sends arrives for so long.
    pub fn cut_off(&self, for_ms: u64) {
        lock(&self.life).cut_off_until_ms = self.now_ms() + i64::try_from(for_ms).unwrap_or(0);
    }

    /// Whether nothing of what it sends arrives.
    pub fn is_cut_off(&self) -> bool {
        self.now_ms() < lock(&self.life).cut_off_until_ms
    }

    /// From here on no call kills it any more, and all of them arrive.
    pub fn spare(&self) {
        let mut life = lock(&self.life);
        life.death = Death::default();
        life.cut_off_until_ms = 0;
    }
}
