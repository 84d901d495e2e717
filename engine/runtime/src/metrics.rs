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

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one worker since its start.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[$doc])* pub $name: Counter,)*
        }

        impl Metrics {
            /// Every counter by its name.
            pub fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

metrics! {
    /// Claims that were sent to the store; beside `claimed`, what several workers waste on one another.
    claim_attempts,
    /// Claims that were won.
    claimed,
    /// Claims that came too early: not due yet, or the lease of another worker runs.
    claimed_too_early,
    /// Jobs given back because no slot came free in time.
    given_back,
    /// Looks at the store for anything claimable.
    looks,
    /// Of those, by the safety poll or the timer of the next due job.
    polls,
    /// Changes of jobs that the feed told of.
    wakes,
    /// Of those, about kinds that this worker has no handler for: they cost nothing.
    wakes_of_other_kinds,
    /// Of those, while there was no room: looked for once there is.
    wakes_without_room,
    /// Of those, in a burst: one look serves many.
    wakes_in_bursts,
    /// Of those, and of the jobs that a look finds, left to a worker that stands before this one in the job's order, for a moment.
    wakes_left_to_others,
    /// Of those left to others, taken by them: the attempt was saved.
    wakes_settled_by_others,
    /// Times that the feed may have missed something.
    gaps,
}
