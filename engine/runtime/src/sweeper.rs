//! Ends held jobs whose worker was lost and that no claim may take over any more. Everything else that is lost is taken over by a claim.

use crate::step::step;
use lucid_core::Command;
use lucid_ports::Store;
use lucid_schemas::Job;
use std::sync::Arc;
use tokio::time::Instant;

const BATCH: u32 = 20;

/// Sweeps once, and gives the jobs that it ended; what another sweeper did first is left alone.
pub async fn sweep(store: &Arc<dyn Store>, by: &str) -> Vec<Job> {
    let lost = match store.expired(BATCH).await {
        Ok(lost) => lost,
        Err(error) => {
            tracing::warn!(%error, "sweep skipped");
            return Vec::new();
        }
    };
    let mut ended = Vec::new();
    for job in lost {
        let id = job.id().clone();
        // A task of its own: whatever is wrong with one job costs the others nothing.
        let (own, name) = (Arc::clone(store), by.to_owned());
        let ending = async move { step(&own, job, &Command::Expire, &name, Instant::now()).await };
        let ended_now = match tokio::spawn(ending).await {
            Ok(ended_now) => ended_now,
            Err(broken) => {
                tracing::error!(job = %id, %broken, "passed over: ending it broke off");
                continue;
            }
        };
        match ended_now {
            Ok(job) => {
                tracing::warn!(job = %id, state = %job.head.state, "its worker was lost, and no attempt is left");
                ended.push(job);
            }
            Err(error) => tracing::debug!(job = %id, %error, "not expired"),
        }
    }
    ended
}
