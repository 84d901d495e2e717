//! What fails round after round is logged the first time, then at ever greater distances, and when it is over: whoever reads the log
//! of a night without a store should find its beginning and its end.

/// Something that may fail in each round.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    rounds: u32,
}

impl Trouble {
    /// It has failed; whether that should be logged.
    pub const fn failed(&mut self) -> bool {
        self.rounds = self.rounds.saturating_add(1);
        self.rounds.is_power_of_two()
    }

    /// It has succeeded; after how many failures, where there were any.
    pub fn is_over(&mut self) -> Option<u32> {
        Some(std::mem::take(&mut self.rounds)).filter(|rounds| *rounds > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_of_failures_is_some_lines_and_its_end_is_one() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.is_over(), None);
        let logged: Vec<u32> = (1..=1_000).filter(|_| trouble.failed()).collect();
        assert_eq!(logged, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
        assert_eq!((trouble.is_over(), trouble.is_over()), (Some(1_000), None));
        assert!(trouble.failed(), "the next one begins anew");
    }
}
