//! A moment by two clocks: the one that timers go by, and one that goes on while the host is suspended.
//!
//! Invariant: what ends at a moment has ended as soon as either clock has passed it. So a worker whose host was suspended doesn't take its
//! lease for good for as long as it slept.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;
use tokio::time::Instant;

/// A moment of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Stands still while the host is suspended; tests move it.
    timers: Instant,
    /// Since the host was started, sleep included.
    since_boot: Duration,
}

impl Moment {
    pub fn now() -> Self {
        Self { timers: Instant::now(), since_boot: since_boot() }
    }

    pub fn after(self, time: Duration) -> Self {
        Self { timers: self.timers + time, since_boot: self.since_boot + time }
    }

    /// For timers, which don't know better.
    pub const fn timers(self) -> Instant {
        self.timers
    }

    /// How long it is from `now` until this moment; zero once it has passed.
    pub fn left(self, now: Self) -> Duration {
        let by_timers = self.timers.saturating_duration_since(now.timers);
        by_timers.min(self.since_boot.saturating_sub(now.since_boot))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
/// Where there is no other, timers' own.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

fn since_boot() -> Duration {
    // A system without this clock: timers' own decides alone.
    clock_gettime(CLOCK).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn either_clock_ends_it() {
        let begun = Moment::now();
        let end = begun.after(Duration::from_secs(10));
        assert_eq!(end.left(begun), Duration::from_secs(10));
        let suspended = Moment { since_boot: begun.since_boot + Duration::from_secs(3600), ..begun };
        assert_eq!(end.left(suspended), Duration::ZERO, "the host slept for an hour, and no timer knows");
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(end.left(Moment::now()), Duration::ZERO);
    }

    #[test]
    fn there_is_a_clock_that_goes_on() {
        assert!(since_boot() > Duration::ZERO);
    }
}
