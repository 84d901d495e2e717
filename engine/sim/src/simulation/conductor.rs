//! Runs one seed: gives each node its turns, brings misfortune over them, lets the weather clear up, and holds what is
//! stored against the book.

use super::{
    node::{Node, Role},
    panics, schedules,
    stage::{Death, Stage},
    watchdog::Watchdog,
};
use crate::mutant::Mutant;
use futures::FutureExt;
use lucid_schemas::JobId;
use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// How long after the last fault every job has to be at its end: the longest backoff (five minutes) included, the rare safety poll
/// not.
const CALM_MS: i64 = 400_000;

/// What came of one seed.
#[derive(Debug)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// The promises that were broken.
    pub violations: Vec<String>,
    /// What happened, line by line.
    pub trace: Vec<String>,
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Verdict {
    /// A number that two runs share only where the same happened in the same order.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.trace.hash(&mut hasher);
        hasher.finish()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}:", self.seed)?;
        self.trace.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.violations.iter().try_for_each(|violation| writeln!(f, "broken: {violation}"))?;
        write!(f, "see it again: LUCID_SIM_SEED={} cargo nextest run -p lucid-sim replay --no-capture", self.seed)
    }
}

/// Runs one seed to its verdict.
pub fn run(seed: u64, mutant: Option<Mutant>, death: Option<Death>) -> Verdict {
    let _watchdog = Watchdog::of(seed);
    panics::listen();
    let stage = Stage::new(seed, mutant, death);
    let plan = format!("{:?}", stage.plan);
    stage.note("plan", &plan);
    let client = Node::new(Arc::clone(&stage), Role::Client, 0);
    let workers = (1..=stage.plan.workers).map(|number| Node::new(Arc::clone(&stage), Role::Worker, number));
    let mut nodes: Vec<_> = std::iter::once(client).chain(workers).collect();
    let storm_ms = stage.plan.storm_ms;
    if stage.plan.schedules
        && let Some(Err(error)) = schedules::prepare(&stage).now_or_never()
    {
        stage.ledger().violation(format!("SIM-20: no schedules: {error}"));
    }
    play(&stage, &mut nodes, storm_ms, false);
    stage.calm_down();
    nodes.iter().for_each(Node::calm_down);
    play(&stage, &mut nodes, storm_ms + CALM_MS, true);
    close(&stage, &mut nodes);
    drop(nodes);
    panics::ignore();
    let mut ledger = stage.ledger();
    let ledger = std::mem::take(&mut *ledger);
    Verdict { seed, violations: ledger.violations, trace: ledger.trace, counts: ledger.counts }
}

/// Turn by turn, until all nodes have come to `until_ms`, all is done, or a promise is broken.
fn play(stage: &Stage, nodes: &mut [Node], until_ms: i64, until_all_ended: bool) {
    for turn in 0.. {
        // Whoever is furthest behind comes next, so no clock is ahead of another by more than a turn.
        let Some(node) = nodes.iter_mut().min_by_key(|node| node.clock_ms) else {
            return;
        };
        let is_over = node.clock_ms >= until_ms
            || (until_all_ended && turn % 16 == 0 && stage.ledger().all_ended() && schedules::caught_up(stage));
        if is_over || !stage.ledger().violations.is_empty() {
            return;
        }
        let turn_ms = 1 + stage.up_to_ms(stage.plan.turn_ms);
        let lives = node.turn(turn_ms);
        for panic in panics::heard() {
            stage.ledger().violation(format!("SIM-19: {panic}"));
        }
        if lives {
            strike(stage, node);
        } else {
            node.die(downtime_ms(stage));
        }
    }
}

/// Misfortune after a turn.
fn strike(stage: &Stage, node: &mut Node) {
    let faults = stage.faults();
    if stage.one_in(faults.freeze) {
        stage.ledger().count("frozen");
        node.freeze(stage.up_to_ms(faults.freeze_ms));
    }
    if stage.one_in(faults.cut_off) {
        stage.ledger().count("cut off");
        node.cut_off(stage.up_to_ms(faults.cut_off_ms));
    }
    if node.role == Role::Worker && stage.one_in(faults.crash) {
        node.die(downtime_ms(stage));
    }
    if stage.one_in(faults.drain) {
        stage.ledger().count("drained");
        node.drain();
    }
    if stage.one_in(faults.clock) {
        let most_ms = i64::try_from(faults.clock_ms).unwrap_or(0);
        stage.ledger().count("clock jumped");
        let by_ms = i64::try_from(stage.up_to_ms(2 * faults.clock_ms)).unwrap_or(0) - most_ms;
        stage.jump(by_ms);
    }
}

fn downtime_ms(stage: &Stage) -> u64 {
    stage.ledger().count("died");
    stage.up_to_ms(5_000)
}

fn close(stage: &Stage, nodes: &mut [Node]) {
    if !stage.ledger().violations.is_empty() {
        return;
    }
    stage.ledger().closing = true;
    for node in nodes {
        if !node.ends_well() {
            let name = node.name();
            stage.ledger().violation(format!("SIM-16: {name} did not stop when asked to"));
        }
    }
    let ids: Vec<JobId> = stage.ledger().jobs().map(|job| job.id().clone()).collect();
    let stored = ids.into_iter().filter_map(|id| {
        let job = lucid_schemas::Job::from_document(&stage.twin.document(&id)?).ok()?;
        Some((id, job))
    });
    let stored = stored.collect();
    let of_schedules = schedules::violations(stage);
    let mut ledger = stage.ledger();
    ledger.close(&stored);
    for violation in of_schedules {
        ledger.violation(violation);
    }
}
