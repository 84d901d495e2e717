//! The chain of monitor jobs: one after the other, each of a higher generation. Every monitor sees to it that there is one.

use super::{is_open, trouble::Trouble};
use bson::DateTime;
use lucid_ports::{Alerts, Enqueue, JobFilter, Problems, Store, StoreError, watched};
use lucid_schemas::{Job, JobId, Kind, MonitorSpec, Spec, State};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Among so many newest ones, the one of the highest generation is sought: clocks may have been put back meanwhile.
const LOOKED_AT: u32 = 20;

/// Asks for monitor jobs, in one process's name.
#[derive(Clone)]
pub struct Chain {
    store: Arc<dyn Store>,
    alerts: Arc<dyn Alerts>,
    by: String,
}

impl Chain {
    /// Who asks is called `by` in the jobs.
    pub fn new(store: Arc<dyn Store>, alerts: Arc<dyn Alerts>, by: String) -> Self {
        Self { store, alerts, by }
    }

    /// The job of the highest generation, and that.
    async fn newest(&self) -> Result<Option<(i64, Job)>, StoreError> {
        let filter = JobFilter { kind: Some(Kind::Monitor), limit: LOOKED_AT, ..JobFilter::default() };
        let jobs = self.store.list(&filter).await?.jobs;
        Ok(jobs.into_iter().filter_map(|job| Some((generation(&job)?, job))).max_by_key(|(generation, _)| *generation))
    }

    /// The open job that comes after this generation.
    pub async fn after(&self, generation: i64) -> Result<Option<JobId>, StoreError> {
        let newest = self.newest().await?.filter(|(newest, job)| *newest > generation && is_open(job));
        Ok(newest.map(|(_, job)| job.id().clone()))
    }

    /// Asks for this job; two who ask for one generation get one.
    pub async fn ask(&self, spec: MonitorSpec) -> Result<JobId, StoreError> {
        let id = JobId::compose(Kind::Monitor, DateTime::now(), Uuid::new_v4().as_u64_pair().0);
        let request = spec.request(id, &self.by);
        let write = Uuid::new_v4().simple().to_string();
        match self.store.enqueue(&Enqueue { request, delay_ms: 0, run_at: None, write }).await {
            Ok(job) => Ok(job.id().clone()),
            Err(StoreError::NotUnique { open, .. }) => Ok(open),
            Err(error) => Err(error),
        }
    }

    /// Asks for the one after the newest, whatever that is: of everything, with this interval.
    pub async fn ask_next(&self, interval_seconds: i32) -> Result<JobId, StoreError> {
        self.ask_anew(&MonitorSpec::every(interval_seconds)).await
    }

    /// The same on these terms.
    pub async fn ask_anew(&self, terms: &MonitorSpec) -> Result<JobId, StoreError> {
        let newest = self.newest().await?.map_or(0, |(generation, _)| generation);
        // Jobs are forgotten before alerts are: a lower generation could never write those.
        let written = self.alerts.open_alerts().await?.iter().map(|alert| alert.token.generation).max().unwrap_or(0);
        self.ask(terms.with_generation(newest.max(written) + 1)).await
    }

    /// Sees to it, every `every`, that there is a monitor job, unless a person ended the last one.
    pub async fn keep(self, interval_seconds: i32, every: Duration, problems: Problems, stop: CancellationToken) {
        let own = stop.clone();
        watched("asking for monitor jobs", problems, stop, move || {
            let (chain, stop) = (self.clone(), own.clone());
            async move {
                let mut trouble = Trouble::default();
                while !stop.is_cancelled() {
                    match chain.ask_where_none(interval_seconds).await {
                        Ok(()) => drop(trouble.is_over()),
                        Err(error) if trouble.failed() => {
                            tracing::warn!(%error, "whether there is a monitor job isn't known: asked again");
                        }
                        Err(_) => {}
                    }
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => {}
                        () = sleep(every) => {}
                    }
                }
            }
        })
        .await;
    }

    pub(super) async fn ask_where_none(&self, interval_seconds: i32) -> Result<(), StoreError> {
        let newest = self.newest().await?.map(|(_, job)| job);
        if newest.as_ref().is_some_and(|job| is_open(job) || job.head.state == State::Canceled) {
            return Ok(());
        }
        let own = MonitorSpec::every(interval_seconds);
        self.ask_anew(newest.as_ref().and_then(spec).unwrap_or(&own)).await.map(drop)
    }
}

fn spec(job: &Job) -> Option<&MonitorSpec> {
    match &job.request.spec {
        Spec::Monitor(spec) => Some(spec),
        _ => None,
    }
}

fn generation(job: &Job) -> Option<i64> {
    spec(job).map(|spec| spec.generation)
}
