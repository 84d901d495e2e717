//! How long to wait before trying again.

use lucid_schemas::Kind;
use sha2::{Digest, Sha256};

/// First and longest delay of a kind. What only reads is tried again sooner than what loads a database.
const fn bounds_ms(kind: Kind) -> (u64, u64) {
    match kind {
        Kind::Backup | Kind::Copy => (1_000, 300_000),
        Kind::Restore | Kind::Prune | Kind::Reencrypt => (2_000, 300_000),
        // Somebody is to be told: the other end is asked once a minute at least.
        Kind::Verify | Kind::Monitor | Kind::Notify => (1_000, 60_000),
    }
}

/// Delay before the attempt after `attempt`: doubles from the first to the longest delay of the kind, and spreads over the
/// upper half by `seed`, so that jobs that failed together don't come back together.
pub fn retry_delay_ms(kind: Kind, attempt: i32, seed: &str) -> i64 {
    let (first_ms, longest_ms) = bounds_ms(kind);
    let doublings = u32::try_from(attempt.clamp(1, 20) - 1).unwrap_or(0);
    let full_ms = first_ms.saturating_mul(1 << doublings).min(longest_ms);
    let half_ms = full_ms / 2;
    let delay_ms = half_ms + spread(seed) % (half_ms + 1);
    i64::try_from(delay_ms).unwrap_or(i64::MAX)
}

/// A number that depends on nothing but `seed`, evenly spread.
pub(crate) fn spread(seed: &str) -> u64 {
    let digest = Sha256::digest(seed.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_stay_bounded() {
        let bounds: Vec<_> = (1..=40).map(|attempt| retry_delay_ms(Kind::Backup, attempt, "seed")).collect();
        assert!(bounds.iter().all(|delay_ms| (500..=300_000).contains(delay_ms)), "{bounds:?}");
        assert!(bounds[39] >= 150_000 && bounds[0] <= 1_000, "{bounds:?}");
        assert_ne!(retry_delay_ms(Kind::Backup, 9, "one job"), retry_delay_ms(Kind::Backup, 9, "another job"));
        assert!((30_000..=60_000).contains(&retry_delay_ms(Kind::Verify, 40, "seed")));
    }
}
