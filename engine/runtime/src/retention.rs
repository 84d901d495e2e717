//! Deletes jobs that ended long ago, now and then, so that the history doesn't grow for ever.
//!
//! Backups that succeeded stay: their job is how a restore finds them.

use lucid_ports::Store;
use lucid_schemas::{Kind, State};
use std::{sync::Arc, time::Duration};

const BATCH: u32 = 500;

/// Deletes what ended longer ago than `keep`, a bounded part of it; says how many jobs that were.
pub async fn forget_old(store: &Arc<dyn Store>, keep: Duration) -> u64 {
    let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let mut forgotten = 0;
    for kind in Kind::ALL {
        for state in [State::Succeeded, State::Failed, State::Canceled] {
            if (kind, state) == (Kind::Backup, State::Succeeded) {
                continue;
            }
            match store.forget(kind, state, keep_ms, BATCH).await {
                Ok(jobs) => forgotten += jobs,
                Err(error) => tracing::warn!(%kind, %state, %error, "old jobs not forgotten"),
            }
        }
    }
    forgotten
}
