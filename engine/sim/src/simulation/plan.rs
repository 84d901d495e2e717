//! What a seed decides before anything runs: which weather the nodes get, how many there are, what is asked of them.

use super::stage;
use lucid_ports::conformance::Chance;
use lucid_runtime::WorkerOptions;

/// What may go wrong, and what is therefore promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Everything goes wrong. Promised: no invariant breaks, and once it is over every job ends.
    Storm,
    /// Only the feed fails, and the safety poll is too rare to help. Promised besides: wake-ups, gaps and timers alone
    /// bring every job to its end, and where no worker is stopped, a job that is due is taken at once.
    Deaf,
    /// No node is stopped and no clock jumps. Promised besides: nobody acts for a claim after the next one has begun.
    Steady,
}

/// How often what goes wrong: once in so many times, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Calls that fail before they reach the store.
    pub refused: usize,
    /// Calls that reach it, and whose answers are lost.
    pub answer_lost: usize,
    /// Reads that answer with what was true some time ago.
    pub stale: usize,
    /// Calls that take up to `slow_ms` instead of `delay_ms`.
    pub slow: usize,
    /// How long the others take, at most, on each way.
    pub delay_ms: usize,
    /// How long a slow one takes, at most.
    pub slow_ms: usize,
    /// Wake-ups that come twice.
    pub repeated: usize,
    /// Wake-ups with which the stream breaks: what follows is lost until it is open again.
    pub broken: usize,
    /// Turns of a node after which it is stopped for up to `freeze_ms`.
    pub freeze: usize,
    /// Longer than a lease.
    pub freeze_ms: usize,
    /// Turns of a node after which it is cut off from the store for up to `cut_off_ms`, and knows its time.
    pub cut_off: usize,
    /// Longer than a lease.
    pub cut_off_ms: usize,
    /// Turns after which a node dies; its calls are chosen apart from that.
    pub crash: usize,
    /// Nodes that die at one of their first calls, before or after it reached the store.
    pub crash_at_call: usize,
    /// Turns after which a worker is asked to stop.
    pub drain: usize,
    /// Turns after which the store's clock jumps, as at an election.
    pub clock: usize,
    /// How far, either way.
    pub clock_ms: usize,
}

/// The constants of one run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What may go wrong.
    pub weather: Weather,
    /// How often it does.
    pub faults: Faults,
    /// How many workers there are.
    pub workers: usize,
    /// How many jobs are asked for.
    pub jobs: usize,
    /// How long things go wrong.
    pub storm_ms: i64,
    /// The longest turn of a node: the shorter, the finer they interleave.
    pub turn_ms: usize,
    /// Whether a job that is due is taken at once.
    pub prompt: bool,
    /// Whether schedulers run beside the workers.
    pub schedules: bool,
    /// Whether the first job kills whoever works on it, and nothing else does. Promised: no other job fails for that.
    pub poison: bool,
    slots: usize,
    lease_ms: u32,
    poll_ms: u64,
}

impl Plan {
    /// What this chance decides.
    pub fn draw(chance: &mut Chance) -> Self {
        let weather = chance.of(&[Weather::Storm, Weather::Storm, Weather::Deaf, Weather::Steady]);
        let poison = weather == Weather::Steady && chance.one_in(2);
        let faults = weather.faults(chance);
        let faults = if poison { Faults { delay_ms: faults.delay_ms, ..Faults::default() } } else { faults };
        let prompt = weather == Weather::Deaf && faults.drain == 0;
        Self {
            weather,
            faults,
            prompt,
            poison,
            workers: if prompt { 1 + chance.below(2) } else { 2 + chance.below(2) },
            slots: if prompt { 16 } else { 2 },
            jobs: 2 + chance.below(5),
            schedules: chance.one_in(2),
            storm_ms: 8_000 + i64::try_from(chance.below(12_000)).unwrap_or(0),
            turn_ms: chance.of(&[10, 40, 100]),
            lease_ms: chance.of(&[1_000, 3_000]),
            poll_ms: match weather {
                Weather::Deaf => 3_600_000,
                Weather::Storm | Weather::Steady => chance.of(&[500, 2_000, 5_000]),
            },
        }
    }

    /// The options of a worker of this name.
    pub fn options(&self, name: &str) -> WorkerOptions {
        WorkerOptions {
            slots: self.slots,
            poll_ms: self.poll_ms,
            grace_ms: 1_000,
            announce_ms: 10_000,
            wall_clock: stage::wall_clock,
            ..WorkerOptions::new(name).with_lease_ms(self.lease_ms)
        }
    }
}

impl Weather {
    fn faults(self, chance: &mut Chance) -> Faults {
        let base = Faults { delay_ms: chance.of(&[2, 15, 60]), repeated: 6, ..Faults::default() };
        let crashes = Faults { crash: chance.of(&[0, 400]), crash_at_call: chance.of(&[0, 2]), ..base };
        match self {
            Self::Storm => Faults {
                refused: chance.of(&[0, 30, 8]),
                answer_lost: chance.of(&[0, 30, 8]),
                stale: chance.of(&[0, 10]),
                slow: chance.of(&[0, 15, 40]),
                slow_ms: 8_000,
                broken: chance.of(&[0, 8]),
                cut_off: chance.of(&[0, 100]),
                cut_off_ms: 8_000,
                freeze: chance.of(&[0, 50, 150]),
                freeze_ms: 8_000,
                drain: chance.of(&[0, 400]),
                clock: chance.of(&[0, 50, 200]),
                clock_ms: chance.of(&[50, 5_000]),
                ..crashes
            },
            Self::Deaf => Faults { broken: 3, drain: chance.of(&[0, 0, 400]), ..base },
            Self::Steady => Faults {
                refused: chance.of(&[0, 30, 8]),
                answer_lost: chance.of(&[0, 30, 8]),
                stale: chance.of(&[0, 10]),
                broken: chance.of(&[0, 8]),
                cut_off: chance.of(&[60, 200]),
                cut_off_ms: 8_000,
                ..crashes
            },
        }
    }
}
