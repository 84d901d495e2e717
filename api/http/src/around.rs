//! What stands around a job: the live workers, the kinds that are paused, the slots that others have. It tells why nobody
//! works on it.

use crate::json;
use lucid_core::slots::Occupied;
use lucid_ports::{Pause, WorkerCard};
use lucid_schemas::{Stamp, run::WorkerView};

/// A clock that is off by more than this should be looked at.
const SKEW_MS_MAX: i64 = 5_000;

/// What stands around a job.
#[derive(Debug, Clone, Default)]
pub(crate) struct Around {
    pub workers: Vec<WorkerCard>,
    /// The same with those of monitors, which run no job that anybody asks for.
    pub everybody: Vec<WorkerCard>,
    pub pauses: Vec<Pause>,
    pub occupied: Occupied,
}

impl Around {
    /// Leaves out what workers say is wrong, which may be about any database.
    pub(crate) fn withhold_problems(&mut self) {
        for card in self.workers.iter_mut().chain(&mut self.everybody) {
            card.problems.clear();
        }
    }

    /// What somebody should look at.
    pub(crate) fn problems(&self) -> Vec<String> {
        let skewed = |worker: &WorkerCard| {
            let skew_ms = worker.clock_skew_ms.filter(|skew_ms| skew_ms.abs() > SKEW_MS_MAX)?;
            let (seconds, way) = (skew_ms.abs() / 1_000, if skew_ms > 0 { "ahead of" } else { "behind" });
            Some(format!(
                "the clock of {} is {seconds} s {way} the primary's: set it, or start an NTP client",
                worker.name
            ))
        };
        let mut problems: Vec<String> = self.everybody.iter().filter_map(skewed).collect();
        for worker in &self.workers {
            problems.extend(worker.problems.iter().map(|problem| format!("worker {}: {problem}", worker.name)));
        }
        problems.extend(self.pauses.iter().map(paused));
        problems
    }
}

/// One sentence on a pause.
pub(crate) fn paused(pause: &Pause) -> String {
    let why = if pause.reason.is_empty() { String::new() } else { format!(" ({})", pause.reason) };
    format!(
        "jobs of kind {0} are paused by {1}{why}: `lucid-ops queues resume {0}` begins them again",
        pause.kind, pause.by
    )
}

/// A worker as it is shown.
pub(crate) fn worker(card: &WorkerCard) -> WorkerView {
    WorkerView {
        name: card.name.clone(),
        version: card.version.clone(),
        kinds: card.reach.kinds.iter().map(ToString::to_string).collect(),
        repositories: card.reach.repositories.iter().map(|repository| repository.name.clone()).collect(),
        labels: card.reach.labels.clone(),
        capacity: card.capacity,
        running: card.running,
        clock_skew_ms: card.clock_skew_ms,
        counts: card.counts.clone(),
        problems: card.problems.clone(),
        seen_at: card.seen_at.map(|at| json::time(Stamp::At(at))),
    }
}
