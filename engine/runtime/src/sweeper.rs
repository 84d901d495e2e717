//! Ends running jobs whose worker was lost on their last attempt. Everything else that is lost is taken over by a claim.

use crate::step::step;
use lucid_core::Command;
use lucid_ports::Store;
use std::sync::Arc;
use tokio::time::Instant;

const BATCH: u32 = 20;

/// Sweeps once; what another sweeper did first is left alone.
pub async fn sweep(store: &Arc<dyn Store>, by: &str) {
    let lost = match store.expired(BATCH).await {
        Ok(lost) => lost,
        Err(error) => {
            tracing::warn!(%error, "sweep skipped");
            return;
        }
    };
    for job in lost {
        let id = job.id().clone();
        match step(store, job, &Command::Expire, by, Instant::now()).await {
            Ok(_) => tracing::warn!(job = %id, "failed: its worker was lost on the last attempt"),
            Err(error) => tracing::debug!(job = %id, %error, "not expired"),
        }
    }
}
