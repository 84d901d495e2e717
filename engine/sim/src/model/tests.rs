//! The searches: everything within bounds; the same without merging states; every mutant.

use super::{search::Search, world::World};
use crate::mutant::Mutant;
use lucid_schemas::Kind;
use stateright::{Checker, HasDiscoveries, Model, Path};
use std::{
    collections::{BTreeSet, HashSet},
    env,
    hash::{DefaultHasher, Hash, Hasher},
    thread,
    time::Instant,
};

/// Three workers, two attempts.
fn search(kind: Kind, epochs: i64, events: i64, mutant: Option<Mutant>) -> Search {
    Search { kind, workers: 3, max_attempts: 2, epochs, events, exact: mutant.is_some(), mutant }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// A bound from the environment.
fn bound(name: &str, default: i64) -> i64 {
    env::var(name).map_or(default, |text| text.parse().expect("a bound is a number"))
}

#[test]
fn every_interleaving_keeps_every_promise() {
    let (epochs, events) = (bound("LUCID_MODEL_CLAIMS", 3), bound("LUCID_MODEL_EVENTS", 9));
    for kind in [Kind::Backup, Kind::Restore] {
        let began = Instant::now();
        let checker = search(kind, epochs, events, None).checker().threads(cores()).spawn_bfs().join();
        println!(
            "{kind}, {epochs} claims, {events} events: {} states by {} moves, {} deep, {:?}",
            checker.unique_state_count(),
            checker.state_count(),
            checker.max_depth(),
            began.elapsed(),
        );
        checker.assert_properties();
        assert!(checker.unique_state_count() > 10_000 || events < 9, "the search came to an early end");
    }
}

/// What the law and the store know of a state.
fn essence(world: &World) -> u64 {
    let merged = World { exact: false, ..world.clone() };
    print(&merged)
}

fn print(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// The essences of all states that can be reached.
fn reachable(search: &Search) -> (usize, BTreeSet<u64>) {
    let mut known = HashSet::new();
    let mut essences = BTreeSet::new();
    let mut open = search.init_states();
    while let Some(world) = open.pop() {
        if search.within_boundary(&world) && known.insert(print(&world)) {
            essences.insert(essence(&world));
            open.extend(search.next_states(&world));
        }
    }
    (known.len(), essences)
}

#[test]
fn no_state_is_lost_by_merging_those_that_are_the_same() {
    let merged = search(Kind::Backup, 2, 4, None);
    let (few, reached) = reachable(&merged);
    let (many, reached_exactly) = reachable(&Search { exact: true, ..merged });
    println!("{many} states are {few}");
    assert!(many > 10 * few);
    assert_eq!(reached, reached_exactly);
}

#[test]
fn every_mutant_of_the_store_is_caught() {
    for mutant in [Mutant::NoFence, Mutant::NoVersion, Mutant::WorkersClock] {
        let began = Instant::now();
        let checker = search(Kind::Backup, 3, 6, Some(mutant)).checker();
        let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let discoveries = checker.discoveries().into_iter();
        let promises = Search::PROMISES;
        let broken: Vec<_> = discoveries.filter(|(name, _)| promises.contains(name)).collect();
        assert!(!broken.is_empty(), "{mutant:?} got away");
        for (name, path) in broken {
            let actions = Path::into_actions(path);
            println!("{mutant:?}: '{name}' after {} states, {:?}: {actions:?}", checker.state_count(), began.elapsed());
        }
    }
}
