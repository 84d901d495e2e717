//! One look at the store: what nobody can take over any more is ended, what can be claimed is found, and when to look
//! again is asked for.

use crate::{gate::Gate, sweeper::sweep};
use lucid_ports::{Store, StoreError};
use lucid_schemas::Job;
use std::{sync::Arc, time::Duration};

/// So many jobs that this worker can't claim may stand before those that it can.
const HIDDEN_AT_MOST: usize = 16;
/// No more is read at once, however many workers and slots there are.
const JOBS_MAX: usize = 500;
/// A little later than due, so that the guard holds when the claim arrives.
pub const AFTER_DUE: Duration = Duration::from_millis(20);

/// What a look is for.
pub struct Look {
    /// Whose name stands on what is swept; `None`: it isn't swept this time.
    pub sweep_as: Option<String>,
    /// How many jobs may be claimed by all that look.
    pub wanted: usize,
    /// How many of those found may be this worker's already.
    pub known: usize,
    /// Whether it asks when to look again.
    pub asks_due: bool,
}

/// What was seen.
#[derive(Default)]
pub struct Seen {
    /// Jobs that were ended, to be cleaned up after.
    pub swept: Vec<Job>,
    /// Claimable jobs, best first.
    pub jobs: Vec<Job>,
    /// Whether there may be more.
    pub more: bool,
    /// Whether what can be claimed couldn't be looked for.
    pub failed: bool,
    /// How long until the next one is due, where that is known.
    pub due_in: Option<Duration>,
}

impl Look {
    /// Looks once; what fails is left to the next look.
    pub async fn at(self, store: Arc<dyn Store>, gate: Arc<Gate>) -> Seen {
        let mut seen = Seen::default();
        if let Some(by) = &self.sweep_as {
            seen.swept = sweep(&store, by).await;
        }
        if self.asks_due {
            // Asked before the look: what comes due between the two would be missed by both otherwise.
            match store.next_due_in(gate.reach()).await {
                Ok(due_in) => seen.due_in = due_in.map(|due_in| due_in + AFTER_DUE),
                Err(error) => tracing::debug!(%error, "next due time unknown"),
            }
        }
        let limit = (self.wanted + self.known + HIDDEN_AT_MOST).min(JOBS_MAX);
        match claimable(&store, &gate, u32::try_from(limit).unwrap_or(u32::MAX)).await {
            Ok(jobs) => {
                seen.more = jobs.len() >= limit;
                seen.jobs = jobs;
            }
            Err(error) => {
                tracing::warn!(%error, "nothing looked for");
                seen.failed = true;
            }
        }
        if !seen.more && !self.asks_due {
            // The next look asks.
            seen.due_in = Some(AFTER_DUE);
        }
        seen
    }
}

async fn claimable(store: &Arc<dyn Store>, gate: &Gate, limit: u32) -> Result<Vec<Job>, StoreError> {
    let jobs = store.claimable(&gate.begin().await, limit).await?;
    match gate.without_parked(&jobs).await {
        // Others may be shown in the place of what waits for slots.
        Some(reach) => store.claimable(&reach, limit).await,
        None => Ok(jobs),
    }
}
