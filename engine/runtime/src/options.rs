//! How a worker behaves; every default with its reason.

use bson::DateTime;
use lucid_core::LEASE_LONGEST_MS;
use lucid_ports::Problems;
use std::time::Duration;

/// How a worker behaves.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Its name, unique among live workers: host, process id, and what chance has added.
    pub name: String,
    /// How many jobs it runs at once.
    pub slots: usize,
    /// Lease of a claim. Longer than an election, so that a failover doesn't end every lease.
    pub lease_ms: i64,
    /// How often a lease is renewed: three tries before it ends.
    pub renew_ms: u64,
    /// How often progress is written, at most.
    pub progress_ms: u64,
    /// How long before the lease's end a worker stops its own work.
    pub margin_ms: u64,
    /// Safety poll: how long a deaf feed can go unnoticed. Jittered by a fifth.
    pub poll_ms: u64,
    /// How often the worker says that it lives.
    pub announce_ms: u64,
    /// How long jobs that ended are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// How long a stopping worker waits for its handlers to come back.
    pub grace_ms: u64,
    /// This node's clock; only hints are taken from it, and its skew is shown.
    pub wall_clock: fn() -> DateTime,
    /// What is wrong at this worker, by all who find it; told with its card.
    pub problems: Problems,
}

impl WorkerOptions {
    /// The defaults for a worker of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            slots: 2,
            lease_ms: 30_000,
            renew_ms: 10_000,
            progress_ms: 1_000,
            margin_ms: 3_000,
            poll_ms: 5_000,
            announce_ms: 10_000,
            retention: None,
            grace_ms: 20_000,
            wall_clock: DateTime::now,
            problems: Problems::default(),
        }
    }

    /// The same with another lease; renewal and margin keep their share of it.
    #[must_use]
    pub fn with_lease_ms(mut self, lease_ms: u32) -> Self {
        self.lease_ms = i64::from(lease_ms);
        self.renew_ms = u64::from(lease_ms / 3);
        self.margin_ms = u64::from(lease_ms / 10);
        self
    }

    /// Checks what doesn't fit together.
    ///
    /// # Errors
    /// One sentence on the first misfit.
    pub fn check(&self) -> Result<(), OptionsError> {
        let lease_ms = u64::try_from(self.lease_ms).unwrap_or(0);
        if self.slots == 0 {
            return Err(OptionsError("a worker needs at least one slot"));
        }
        if lease_ms < 1_000 {
            return Err(OptionsError("a lease must last at least 1,000 ms"));
        }
        if self.lease_ms > LEASE_LONGEST_MS {
            return Err(OptionsError("a lease may last ten minutes at most: a longer one isn't believed"));
        }
        if self.renew_ms + self.margin_ms >= lease_ms {
            return Err(OptionsError("renewal interval plus margin must be shorter than the lease"));
        }
        Ok(())
    }

    pub(crate) fn working_lease(&self) -> Duration {
        let lease_ms = u64::try_from(self.lease_ms).unwrap_or(0);
        Duration::from_millis(lease_ms.saturating_sub(self.margin_ms))
    }
}

/// Options that don't fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("worker options: {0}")]
pub struct OptionsError(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fit_together_at_every_lease() {
        for lease_ms in [1_000, 3_000, 30_000, 600_000] {
            let options = WorkerOptions::new("pi-1/1").with_lease_ms(lease_ms);
            assert_eq!(options.check(), Ok(()), "{lease_ms}");
        }
        for lease_ms in [10, 600_001] {
            assert!(WorkerOptions::new("pi-1/1").with_lease_ms(lease_ms).check().is_err(), "{lease_ms}");
        }
    }
}
