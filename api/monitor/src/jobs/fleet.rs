//! Live workers, all together: a name of one would be a new series with each of its starts.

use super::{count, seconds};
use bson::DateTime;
use lucid_ports::WorkerCard;
use std::collections::BTreeMap;

/// Live workers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fleet {
    /// How many say that something is wrong.
    pub with_problems: i64,
    /// By how much the clock differs from the primary's that differs most, in seconds; positive where it is ahead.
    pub clock_skew_seconds: Option<f64>,
    /// How long ago the one was heard of that is silent for longest.
    pub silent_seconds: Option<f64>,
    /// What they have counted since each was started, added up, by name.
    pub counts: BTreeMap<String, i64>,
}

impl Fleet {
    /// Of their cards, at this time of the primary's.
    pub(super) fn of(cards: &[WorkerCard], now: DateTime) -> Self {
        let mut counts = BTreeMap::new();
        for (name, number) in cards.iter().flat_map(|card| &card.counts) {
            let known: &mut i64 = counts.entry(name.clone()).or_default();
            *known = known.saturating_add(*number);
        }
        let silent = |card: &WorkerCard| Some(now.timestamp_millis() - card.seen_at?.timestamp_millis());
        Self {
            with_problems: count(cards.iter().filter(|card| !card.problems.is_empty())),
            clock_skew_seconds: cards
                .iter()
                .filter_map(|card| card.clock_skew_ms)
                .max_by_key(|ms| ms.abs())
                .map(seconds),
            silent_seconds: cards.iter().filter_map(silent).max().map(|ms| seconds(ms.max(0))),
            counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_ports::Reach;

    #[test]
    fn the_worst_of_each_is_told_and_counts_are_added_up() {
        let now = DateTime::from_millis(1_800_000_000_000);
        let card = |clock_skew_ms, ago_ms: i64, problems: &[&str]| WorkerCard {
            name: "w".into(),
            version: "0.1.0".into(),
            capacity: 2,
            running: 0,
            reach: Reach::default(),
            clock_skew_ms,
            counts: [("gaps".to_owned(), 2)].into(),
            problems: problems.iter().map(|problem| (*problem).to_owned()).collect(),
            seen_at: Some(DateTime::from_millis(now.timestamp_millis() - ago_ms)),
        };
        let fleet = Fleet::of(&[card(Some(40), 500, &[]), card(Some(-3_000), 9_000, &["full"])], now);
        assert_eq!((fleet.with_problems, fleet.counts["gaps"]), (1, 4));
        assert_eq!((fleet.clock_skew_seconds, fleet.silent_seconds), (Some(-3.0), Some(9.0)));
        assert_eq!(Fleet::of(&[], now).clock_skew_seconds, None);
    }
}
