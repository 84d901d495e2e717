//! Where a value is heading: a straight line through what it was in the last hours.

use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// Over so long.
const OVER: Duration = Duration::from_secs(3 * 3_600);
/// A shorter past tells nothing of a whole day.
const AT_LEAST: Duration = Duration::from_secs(3_600);
/// A value is kept so often.
const EVERY: Duration = Duration::from_secs(300);
const DAY_SECONDS: f64 = 86_400.0;

/// What a value was, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Trend(VecDeque<(Instant, f64)>);

impl Trend {
    /// Takes what it is now, and says what it will be in a day if it goes on so; none while too little is known.
    pub(super) fn in_a_day(&mut self, now: Instant, value: f64) -> Option<f64> {
        if self.0.back().is_none_or(|(at, _)| now.duration_since(*at) >= EVERY) {
            self.0.push_back((now, value));
        }
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) > OVER) {
            self.0.pop_front();
        }
        let (first, _) = self.0.front()?;
        (now.duration_since(*first) >= AT_LEAST).then(|| self.line(now))
    }

    /// The line with the least squares, a day from now.
    fn line(&self, now: Instant) -> f64 {
        let points = self.0.iter().map(|(at, value)| (-now.duration_since(*at).as_secs_f64(), *value));
        let count = points.clone().fold(0.0, |count, _| count + 1.0);
        let sum = |of: fn((f64, f64)) -> f64| points.clone().map(of).sum::<f64>();
        let (x, y) = (sum(|(x, _)| x) / count, sum(|(_, y)| y) / count);
        let (square, product) = (sum(|(x, _)| x * x) / count - x * x, sum(|(x, y)| x * y) / count - x * y);
        y + product / square * (DAY_SECONDS - x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_evenly_is_foreseen_and_noise_is_not_taken_for_growth() {
        let begin = Instant::now();
        let foreseen = |value: fn(f64) -> f64| {
            let mut trend = Trend::default();
            let at = |minute: u64| begin + Duration::from_secs(minute * 60);
            let told = (0..=240_u32).map(|minute| trend.in_a_day(at(minute.into()), value(f64::from(minute))));
            let told: Vec<_> = told.collect();
            assert!(told[..60].iter().all(Option::is_none), "of less than an hour nothing is told");
            assert!(trend.0.len() <= 38, "{} are kept", trend.0.len());
            told.last().copied().flatten().expect("known")
        };
        let growing = foreseen(|minute| 50.0 + minute / 60.0);
        assert!((growing - 78.0).abs() < 0.1, "54 now, and one more an hour: {growing}");
        let steady = foreseen(|minute| if minute % 10.0 < 5.0 { 50.0 } else { 50.5 });
        assert!((steady - 50.25).abs() < 1.0, "{steady}");
    }
}
