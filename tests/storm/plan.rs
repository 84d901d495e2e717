//! What is done to whom and when: a function of the seed, so that a run that found something can be repeated.
//!
//! Three lanes go on at the same time: one hurts processes of ours, one hurts members of the set, one takes the repository's disk away.
//! Within a lane one fault follows the other, so that a majority of the set is always possible.

use super::random::Random;
use crate::support::world::LEASE_MS;
use std::{collections::BTreeMap, time::Duration};

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    KillWorker,
    FreezeWorker,
    StopWorker,
    KillApi,
    FreezeApi,
    CutNetwork,
    KillPrimary,
    FreezePrimary,
    KillSecondary,
    FreezeSecondary,
    StepDown,
    RestartMember,
    LoseHistory,
    Unmount,
    ExchangeDisk,
}

impl Kind {
    const OF_PROCESSES: [Self; 6] =
        [Self::KillWorker, Self::FreezeWorker, Self::StopWorker, Self::KillApi, Self::FreezeApi, Self::CutNetwork];
    const OF_THE_SET: [Self; 7] = [
        Self::KillPrimary,
        Self::FreezePrimary,
        Self::KillSecondary,
        Self::FreezeSecondary,
        Self::StepDown,
        Self::RestartMember,
        Self::LoseHistory,
    ];

    const OF_THE_PLACE: [Self; 2] = [Self::Unmount, Self::ExchangeDisk];

    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KillWorker => "worker killed",
            Self::FreezeWorker => "worker frozen beyond its lease",
            Self::StopWorker => "worker asked to stop",
            Self::KillApi => "API killed",
            Self::FreezeApi => "API frozen",
            Self::CutNetwork => "worker cut off from the set",
            Self::KillPrimary => "primary killed",
            Self::FreezePrimary => "primary frozen",
            Self::KillSecondary => "secondary killed",
            Self::FreezeSecondary => "secondary frozen",
            Self::StepDown => "primary stepped down",
            Self::RestartMember => "member restarted",
            Self::LoseHistory => "history of a worker's stream lost",
            Self::Unmount => "repository's disk unmounted",
            Self::ExchangeDisk => "another disk in the repository's place",
        }
    }
}

/// One fault: after a rest something happens to the target (a number that stands for any of its kind) for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub rest: Duration,
    pub kind: Kind,
    pub target: usize,
    pub lasts: Duration,
}

/// How many faults there were, by kind.
pub type Counts = BTreeMap<Kind, usize>;

/// What happens to one lane, without end.
pub struct Lane {
    kinds: &'static [Kind],
    bag: Vec<Kind>,
    random: Random,
}

impl Lane {
    /// What happens to processes of ours.
    pub fn of_processes(seed: u64) -> Self {
        Self { kinds: &Kind::OF_PROCESSES, bag: Vec::new(), random: Random::of(seed, 1) }
    }

    /// What happens to members of the set.
    pub fn of_the_set(seed: u64) -> Self {
        Self { kinds: &Kind::OF_THE_SET, bag: Vec::new(), random: Random::of(seed, 2) }
    }

    /// What happens to the repository's place.
    pub fn of_the_place(seed: u64) -> Self {
        Self { kinds: &Kind::OF_THE_PLACE, bag: Vec::new(), random: Random::of(seed, 3) }
    }
}

impl Iterator for Lane {
    type Item = Fault;

    /// Every kind comes once before any comes again.
    fn next(&mut self) -> Option<Fault> {
        if self.bag.is_empty() {
            self.bag = self.kinds.to_vec();
        }
        let place = usize::try_from(self.random.below(self.bag.len() as u64)).unwrap_or(0);
        let kind = self.bag.swap_remove(place);
        let calm_ms = if self.kinds == Kind::OF_THE_PLACE { 6_000 } else { 300 };
        let rest = self.random.duration(calm_ms, calm_ms + 2_200);
        let target = usize::try_from(self.random.below(1 << 20)).unwrap_or(0);
        let lasts = match kind {
            Kind::FreezeWorker | Kind::CutNetwork => self.random.duration(LEASE_MS + 500, LEASE_MS * 3),
            Kind::FreezePrimary | Kind::FreezeSecondary => self.random.duration(1_000, 7_000),
            Kind::StepDown | Kind::RestartMember => Duration::ZERO,
            Kind::KillWorker
            | Kind::StopWorker
            | Kind::KillApi
            | Kind::FreezeApi
            | Kind::KillPrimary
            | Kind::KillSecondary
            | Kind::LoseHistory => self.random.duration(300, 4_500),
            Kind::Unmount | Kind::ExchangeDisk => self.random.duration(200, 2_500),
        };
        Some(Fault { rest, kind, target, lasts })
    }
}

#[test]
fn the_same_seed_gives_the_same_faults_and_every_kind_comes() {
    let faults = |seed| Lane::of_the_set(seed).take(14).collect::<Vec<_>>();
    assert_eq!(faults(3), faults(3));
    assert_ne!(faults(3), faults(4));
    for kind in Kind::OF_THE_SET {
        assert_eq!(faults(3).iter().filter(|fault| fault.kind == kind).count(), 2, "{kind:?}");
    }
}
