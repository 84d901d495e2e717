//! Thousands of seeds; one again; every mutant.

use super::{
    conductor::{Verdict, run},
    stage::Death,
};
use crate::mutant::Mutant;
use std::{
    collections::BTreeMap,
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

/// Every fault and every event; a run of many seeds has them all.
const HAPPENS: [&str; 36] = [
    "abandoned",
    "acted",
    "acted though fenced",
    "answer lost",
    "attempt_failed",
    "blocked",
    "cancel_requested",
    "canceled",
    "claimed",
    "clock jumped",
    "commit_started",
    "cut off",
    "dependency_failed",
    "dependency_met",
    "died",
    "drained",
    "failed",
    "feed broken",
    "frozen",
    "given_up",
    "not unique",
    "occurrence left out",
    "paused",
    "poisoned",
    "refused",
    "released",
    "resumed",
    "scheduled",
    "slots_reserved",
    "slow",
    "snapshot_taken",
    "stale",
    "succeeded",
    "swap_started",
    "taken over",
    "wake repeated",
];

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text} is no number: {error}")))
}

/// Seeds from `from` on, on every core; stops at the first that breaks a promise.
fn run_many(from: u64, count: u64, mutant: Option<Mutant>) -> (Option<Verdict>, BTreeMap<&'static str, u64>) {
    let next = AtomicU64::new(from);
    let found = Mutex::new((None::<Verdict>, BTreeMap::new()));
    let cores = thread::available_parallelism().map_or(1, Into::into);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let verdict = run(seed, mutant, None);
                    let mut found = found.lock().expect("no seed panics");
                    for (what, times) in &verdict.counts {
                        *found.1.entry(*what).or_default() += times;
                    }
                    if !verdict.violations.is_empty() {
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                        if found.0.as_ref().is_none_or(|first| first.seed > verdict.seed) {
                            found.0 = Some(verdict);
                        }
                    }
                }
            });
        }
    });
    found.into_inner().expect("no seed panics")
}

#[test]
fn thousands_of_seeds_keep_every_promise() {
    let count = number("LUCID_SIM_SEEDS").unwrap_or(2_000);
    let began = Instant::now();
    let (broken, counts) = run_many(number("LUCID_SIM_FROM").unwrap_or(0), count, None);
    println!("{count} seeds in {:?}: {counts:#?}", began.elapsed());
    if let Some(verdict) = broken {
        panic!("{verdict}");
    }
    // What never happened would be proven by nobody.
    let missing: Vec<_> = HAPPENS.iter().filter(|what| !counts.contains_key(*what)).collect();
    assert!(missing.is_empty() || count < 100, "never happened: {missing:?}");
}

/// The whole story of one seed, and the proof that it repeats itself.
#[test]
fn replay() {
    for seed in number("LUCID_SIM_SEED").map_or(0..12, |seed| seed..seed + 1) {
        let first = run(seed, None, None);
        let again = run(seed, None, None);
        println!("{first}\nfingerprint {:016x}", first.fingerprint());
        let differ = first.trace.iter().zip(&again.trace).find(|(line, other)| line != other);
        assert_eq!(first.fingerprint(), again.fingerprint(), "seed {seed} doesn't repeat itself from {differ:?}");
        assert!(first.violations.is_empty(), "{:?}", first.violations);
    }
}

#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::ALL {
        let began = Instant::now();
        let (caught, _) = run_many(0, 2_000, Some(mutant));
        let verdict = caught.unwrap_or_else(|| panic!("{mutant:?} got away"));
        println!("{mutant:?}: seed {}, {:?}: {:?}", verdict.seed, began.elapsed(), verdict.violations);
        let expected =
            |violation: &String| mutant.breaks().iter().any(|promise| violation.starts_with(&format!("{promise}:")));
        assert!(verdict.violations.iter().any(expected), "{mutant:?} is caught by chance: {:?}", verdict.violations);
    }
}

#[test]
fn a_worker_may_die_at_every_call() {
    for seed in 0..4 {
        for at_call in 1..=60 {
            for after_effect in [false, true] {
                let verdict = run(seed, None, Some(Death { at_call, after_effect }));
                assert!(verdict.violations.is_empty(), "call {at_call}, after its effect: {after_effect}: {verdict}");
            }
        }
    }
}
