//! What is looked at, and how often: as the newest monitor job says, which every monitor follows.

use crate::seen::Told;
use lucid_ports::members::Terms;
use lucid_schemas::MonitorSpec;
use std::time::Duration;
use tokio::sync::watch;

/// Tells new terms as soon as the store tells of them; until then, and where there is no monitor job, this process's own count. While the
/// store is silent, what it told last does. Ends with whoever asks the store.
pub async fn follow(mut jobs: watch::Receiver<Told>, own: Terms, own_database: String, terms: watch::Sender<Terms>) {
    loop {
        let wanted = jobs
            .borrow_and_update()
            .as_ref()
            .ok()
            .map(|told| told.terms().map_or_else(|| own.clone(), |spec| of(spec, &own, &own_database)));
        if let Some(wanted) = wanted {
            terms.send_if_modified(|now| {
                let is_new = *now != wanted;
                if is_new {
                    tracing::info!(?wanted, "monitoring goes on with other terms");
                    *now = wanted;
                }
                is_new
            });
        }
        if jobs.changed().await.is_err() {
            return;
        }
    }
}

/// The engine's own database is always measured: a rule goes by its size.
fn of(spec: &MonitorSpec, own: &Terms, own_database: &str) -> Terms {
    let databases = spec.databases.as_ref().map(|named| named.iter().map(String::as_str).chain([own_database]));
    Terms {
        interval: u64::try_from(spec.interval_seconds).map_or(own.interval, Duration::from_secs),
        databases: databases.map(|named| named.map(str::to_owned).collect()),
        latency_by_collection: spec.latency_by_collection,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Jobs;
    use bson::DateTime;
    use lucid_schemas::{Head, Job, JobId, Kind, Stamp};
    use std::sync::Arc;

    fn told(spec: Option<MonitorSpec>) -> Arc<Jobs> {
        let mut told = Jobs::empty();
        told.watch.monitors.extend(spec.map(|spec| {
            let request = spec.request(JobId::compose(Kind::Monitor, DateTime::from_millis(0), 1), "monitor:pi-1");
            let head = Head::born(Stamp::At(DateTime::from_millis(0)));
            Job { request, head, lease: None, progress: None, events: Vec::new(), fate: None }
        }));
        Arc::new(told)
    }

    #[tokio::test]
    async fn the_newest_monitor_job_is_followed_and_a_silent_store_changes_nothing() {
        let own = Terms::every(Duration::from_secs(30));
        let (tell, jobs) = watch::channel(Ok(told(None)));
        let (sender, mut terms) = watch::channel(own.clone());
        let following = tokio::spawn(follow(jobs, own.clone(), "ops".into(), sender));
        let spec =
            MonitorSpec { databases: Some(vec!["lucid".into()]), latency_by_collection: true, ..MonitorSpec::every(5) };
        drop(tell.send_replace(Ok(told(Some(spec)))));
        terms.changed().await.expect("told");
        let wanted = Terms {
            interval: Duration::from_secs(5),
            databases: Some(["lucid".to_owned(), "ops".to_owned()].into()),
            latency_by_collection: true,
        };
        assert_eq!(*terms.borrow_and_update(), wanted);
        drop(tell.send_replace(Err("no primary".into())));
        tokio::task::yield_now().await;
        assert_eq!(*terms.borrow(), wanted);
        drop(tell.send_replace(Ok(told(None))));
        terms.changed().await.expect("told");
        assert_eq!(*terms.borrow_and_update(), own);
        drop(tell);
        following.await.expect("it ends with whoever asks the store");
    }
}
