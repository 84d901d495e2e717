//! How long operations took: the server's own counts, made into a histogram that Prometheus reads.
//!
//! The server counts whole microseconds in 51 buckets and tells each bucket that isn't empty by its inclusive *lower* bound (older pages
//! of its manual say upper, which their own example disproves). Prometheus wants, for some bounds, how many were at most so long. As the
//! microseconds are whole, "less than `b`" is "at most `b - 1`", so nothing is rounded.

use serde::Serialize;

/// Where buckets end, in microseconds, exclusive: powers of two from 128 µs to 16.8 s, all of which end a bucket of the server's.
pub const ENDS_US: [u64; 18] = {
    let mut ends = [0; 18];
    let mut place = 0;
    while place < ends.len() {
        ends[place] = 1 << (7 + place);
        place += 1;
    }
    ends
};

/// How many operations took how long, since the server was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Histogram {
    /// How many took less than each of [`ENDS_US`].
    below: [u64; ENDS_US.len()],
    /// How many there were: the sum of the server's buckets, since its own total may differ by a few that are under way.
    pub count: u64,
    /// Microseconds in all.
    pub sum_us: u64,
}

impl Histogram {
    /// Made of buckets as the server tells them, each by its lower bound in microseconds and its count, in any order; bounds that are
    /// new are counted where they belong.
    pub fn new(buckets: impl IntoIterator<Item = (u64, u64)>, sum_us: u64) -> Self {
        let mut made = Self { sum_us, ..Self::default() };
        for (lower_us, count) in buckets {
            made.count += count;
            for (below, end) in made.below.iter_mut().zip(ENDS_US) {
                if lower_us < end {
                    *below += count;
                }
            }
        }
        made
    }

    /// Cumulative buckets: seconds at most, and how many. All there are is [`count`](Self::count).
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        ENDS_US.into_iter().map(|end| seconds(end - 1)).zip(self.below)
    }

    /// Seconds in all.
    pub fn sum_seconds(&self) -> f64 {
        seconds(self.sum_us)
    }
}

fn seconds(us: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // Exact for 285 years of microseconds.
    let us = us as f64;
    us / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lower bounds of the server's buckets.
    fn lower_bounds() -> Vec<u64> {
        let half_steps = |power: u32| [1_u64 << power, (1 << power) + (1 << (power - 1))];
        let low = std::iter::once(0).chain((1..=10).map(|power| 1_u64 << power));
        low.chain((11..=20).flat_map(half_steps)).chain((21..=40).map(|power| 1 << power)).collect()
    }

    #[test]
    fn the_example_of_the_manual_comes_out_exactly() {
        let reads = Histogram::new([(16, 3), (32, 1), (128, 1)], 264);
        let writes = Histogram::new([(32, 1), (64, 3), (24_576, 1)], 27_659);
        let first = |histogram: &Histogram| histogram.buckets().take(3).collect::<Vec<_>>();
        assert_eq!(first(&reads), [(0.000_127, 4), (0.000_255, 5), (0.000_511, 5)]);
        assert_eq!((reads.count, reads.sum_seconds()), (5, 0.000_264));
        assert_eq!(first(&writes), [(0.000_127, 4), (0.000_255, 4), (0.000_511, 4)]);
        let until = |at_most: f64| writes.buckets().find(|(le, _)| *le >= at_most).map(|(_, count)| count);
        assert_eq!((until(0.016), until(0.032)), (Some(4), Some(5)), "24.6 to 32.8 ms");
    }

    #[test]
    fn nothing_is_nothing_and_a_restart_counts_from_nothing() {
        let empty = Histogram::new([], 0);
        assert_eq!(empty, Histogram::default());
        assert!(empty.buckets().all(|(_, count)| count == 0));
        let (before, after) = (Histogram::new([(64, 900)], 70_000), Histogram::new([(64, 2)], 150));
        assert!(after.count < before.count && after.sum_us < before.sum_us, "a reset, which is for the reader to see");
    }

    #[test]
    fn bounds_that_are_new_are_counted_by_value() {
        let odd = Histogram::new([(100, 1), (200, 1), (1 << 50, 1)], 7);
        assert_eq!(odd.buckets().take(2).map(|(_, count)| count).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((odd.buckets().last().map(|(_, count)| count), odd.count), (Some(2), 3), "the longest are in none");
    }

    #[test]
    fn whatever_the_counts_the_buckets_fit_together() {
        let lower = lower_bounds();
        assert_eq!(lower.len(), 51);
        assert!(ENDS_US.iter().all(|end| lower.contains(end)), "no bucket of the server's is cut in two");
        // Pseudo-random counts, the same each time.
        let mut seed = 1_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        for _ in 0..1_000 {
            let counts: Vec<u64> = lower.iter().map(|_| next() % 4 * (next() % 1_000)).collect();
            let sum = lower.iter().zip(&counts).map(|(us, count)| us * count).sum();
            let mut told: Vec<(u64, u64)> = lower.iter().copied().zip(counts.iter().copied()).collect();
            told.reverse();
            let made = Histogram::new(told.into_iter().filter(|(_, count)| *count > 0), sum);
            assert_eq!(made.count, counts.iter().sum::<u64>());
            let buckets: Vec<_> = made.buckets().collect();
            assert!(buckets.is_sorted(), "neither bounds nor counts ever fall");
            assert!(buckets.iter().all(|(_, count)| *count <= made.count));
            for (le, below) in buckets {
                let at_most = lower.iter().zip(&counts).filter(|(us, _)| seconds(**us) <= le);
                assert_eq!(below, at_most.map(|(_, count)| count).sum::<u64>(), "{le}");
            }
        }
    }
}
