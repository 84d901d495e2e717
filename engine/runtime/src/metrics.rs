//! What a worker counts about itself, for those who run it.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one worker since its start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Claims that were sent to the store; beside `claimed`, what several workers waste on one another.
    pub claim_attempts: Counter,
    /// Claims that were won.
    pub claimed: Counter,
    /// Looks at the store for anything claimable.
    pub looks: Counter,
    /// Changes of jobs that the feed told of.
    pub wakes: Counter,
}

impl Metrics {
    /// Every counter by its name.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("claim_attempts", self.claim_attempts.get()),
            ("claimed", self.claimed.get()),
            ("looks", self.looks.get()),
            ("wakes", self.wakes.get()),
        ]
    }
}
