//! A limit on how fast a worker reads documents from the server and writes them to it, for servers that have other work to do.
//!
//! Invariant: whatever jobs run at once, so many bytes a second pass in the long run; nothing is saved up for a burst.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The limit, shared by all jobs of a worker. By default there is none.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    limit: Option<(NonZeroU64, Arc<Mutex<Option<Instant>>>)>,
}

impl Pace {
    /// At most so many bytes of documents a second.
    pub fn of(bytes_per_s: NonZeroU64) -> Self {
        Self { limit: Some((bytes_per_s, Arc::default())) }
    }

    /// How long these bytes would take by themselves; `None` without a limit.
    pub(crate) fn takes(&self, bytes: u64) -> Option<Duration> {
        let (bytes_per_s, _) = self.limit.as_ref()?;
        Some(time_of(bytes, *bytes_per_s))
    }

    /// How long to wait now before so many more bytes may pass; they count as passed.
    pub(crate) fn wait(&self, bytes: u64, now: Instant) -> Duration {
        let Some((bytes_per_s, free_at)) = &self.limit else { return Duration::ZERO };
        let mut free_at = free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = free_at.map_or(now, |at| at.max(now));
        *free_at = begins.checked_add(time_of(bytes, *bytes_per_s)).or(*free_at);
        begins.duration_since(now)
    }
}

fn time_of(bytes: u64, bytes_per_s: NonZeroU64) -> Duration {
    let ns = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_s.get());
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_at_the_pace_and_nothing_is_saved_up() {
        let pace = Pace::of(NonZeroU64::new(1_000).expect("not 0"));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(pace.wait(500, start), Duration::ZERO);
        assert_eq!(pace.wait(500, start), Duration::from_millis(500), "another job waits for the first one's bytes");
        assert_eq!(pace.clone().wait(1_000, at(600)), Duration::from_millis(400));
        assert_eq!(pace.wait(1_000, at(60_000)), Duration::ZERO, "a pause isn't made up for");
        assert_eq!(pace.wait(1, at(60_000)), Duration::from_secs(1));
        assert_eq!(pace.takes(2_500), Some(Duration::from_millis(2_500)));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        assert_eq!(Pace::default().wait(u64::MAX, Instant::now()), Duration::ZERO);
        assert_eq!(Pace::default().takes(u64::MAX), None);
    }
}
