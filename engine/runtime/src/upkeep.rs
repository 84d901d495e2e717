//! What a worker does beside its work: says that it lives, learns who else does, forgets old jobs.

use crate::{metrics::Metrics, options::WorkerOptions, retention::forget_old};
use bson::DateTime;
use lucid_ports::{Reach, Store, WorkerCard};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A card that is older than so many announcements is a dead worker's.
const CARDS_KEPT: u32 = 3;

/// Announces a worker with so many running handlers; the cards of all live ones, where they can be read.
pub async fn announce(
    store: Arc<dyn Store>,
    options: Arc<WorkerOptions>,
    reach: Reach,
    running: usize,
    metrics: Arc<Metrics>,
) -> Option<Vec<WorkerCard>> {
    let card = WorkerCard {
        name: options.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        capacity: i32::try_from(options.slots).unwrap_or(i32::MAX),
        running: i32::try_from(running).unwrap_or(i32::MAX),
        reach,
        clock_skew_ms: clock_skew_ms(&*store, options.wall_clock).await,
        counts: counts(&metrics),
        problems: options.problems.sentences(),
        seen_at: None,
    };
    match store.announce(&card).await {
        Ok(()) => drop(options.problems.clear("announcement")),
        Err(error) => tracing::warn!(%error, "not announced"),
    }
    let within = Duration::from_millis(options.announce_ms) * CARDS_KEPT;
    store.workers(within).await.map_err(|error| tracing::warn!(%error, "the registry can't be read")).ok()
}

fn counts(metrics: &Metrics) -> BTreeMap<String, i64> {
    let counts = metrics.counts().into_iter();
    counts.map(|(name, count)| (name.to_owned(), i64::try_from(count).unwrap_or(i64::MAX))).collect()
}

/// How far this node's clock is ahead of the primary's; half the way of the question is taken for each direction.
async fn clock_skew_ms(store: &dyn Store, now: fn() -> DateTime) -> Option<i64> {
    let asked = now().timestamp_millis();
    let theirs = store.clock().await.ok()?.timestamp_millis();
    let answered = now().timestamp_millis();
    Some(asked + (answered - asked) / 2 - theirs)
}

/// Forgets jobs that ended long ago, where the options say so; beside the worker, which looks again in an hour.
pub fn forget(store: Arc<dyn Store>, options: Arc<WorkerOptions>) {
    let Some(keep) = options.retention else { return };
    let forgetting = tokio::spawn(async move { forget_old(&store, keep).await });
    tokio::spawn(async move {
        match forgetting.await {
            Ok(forgotten) => {
                options.problems.clear("retention");
                if forgotten > 0 {
                    tracing::info!(jobs = forgotten, "old jobs forgotten");
                }
            }
            Err(broken) => {
                tracing::error!(%broken, "forgetting old jobs broke off, which is a defect: tried again in an hour");
                options.problems.set("retention", "forgetting old jobs broke off, which is a defect: see the log");
            }
        }
    });
}
