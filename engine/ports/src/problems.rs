//! What is wrong at one worker, or one API: told in `GET /health` until it is right again.
//!
//! Invariant: at most one sentence for each subject. Whoever sets one clears it when what it tells is over.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A register of problems, shared by all who find and mend them; clones are the same register.
#[derive(Debug, Clone, Default)]
pub struct Problems(Arc<Mutex<BTreeMap<String, String>>>);

impl Problems {
    /// Says what is wrong with a subject, such as `repository main`: one sentence with what to do. Replaces what was said of it.
    pub fn set(&self, subject: &str, sentence: impl Into<String>) {
        self.lock().insert(subject.to_owned(), sentence.into());
    }

    /// The subject is in order; whether it wasn't before.
    pub fn clear(&self, subject: &str) -> bool {
        self.lock().remove(subject).is_some()
    }

    /// What is wrong now, by subject.
    pub fn sentences(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_one_problem_until_it_is_cleared() {
        let problems = Problems::default();
        let same = problems.clone();
        problems.set("repository main", "away");
        same.set("repository main", "still away");
        problems.set("feed", "deaf");
        assert_eq!(same.sentences(), ["deaf", "still away"]);
        assert!(same.clear("feed") && !problems.clear("feed"));
        assert_eq!(problems.sentences(), ["still away"]);
    }
}
