//! What workers know of one another.

use crate::Reach;
use bson::DateTime;
use std::collections::BTreeMap;

/// How a worker presents itself to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCard {
    /// Its name: host, process id, and what chance has added.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Slots in all.
    pub capacity: i32,
    /// Slots taken.
    pub running: i32,
    /// What it can run.
    pub reach: Reach,
    /// How far its clock is ahead of the primary's, in milliseconds, as far as the way of the question lets it tell.
    pub clock_skew_ms: Option<i64>,
    /// What it has counted since its start, by name: claims, attempts, wake-ups and what became of them.
    pub counts: BTreeMap<String, i64>,
    /// What is wrong there, a sentence each.
    pub problems: Vec<String>,
    /// When it was heard of last, by the primary's clock; ignored when written.
    pub seen_at: Option<DateTime>,
}

impl WorkerCard {
    /// Whether it runs more than what monitors ask for.
    pub fn runs_jobs_of_people(&self) -> bool {
        self.reach.kinds.iter().any(|kind| !kind.is_internal())
    }
}
