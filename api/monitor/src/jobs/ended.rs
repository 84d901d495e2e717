//! Jobs that ended while this process watched: counted once each, whatever a look misses.
//!
//! Invariants: a job is counted in the first look after its end; one that ended before the watch began never is. What is watched is bounded:
//! of more jobs than a look reads, the newest are counted.

use super::{ENDED_MAX, PAGE, moment};
use crate::table::Buckets;
use bson::DateTime;
use lucid_ports::{JobFilter, Place, Store, StoreError};
use lucid_schemas::{Event, EventBody, Job, JobId, Kind, State, failure::Code};
use std::collections::{BTreeMap, BTreeSet};

/// Where the buckets of durations end, in seconds: from a second to a day.
pub const ENDS_SECONDS: [f64; 12] =
    [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0, 86_400.0];
/// Another primary's clock may be so far behind: jobs are sought among those asked for since the last look, and this much before.
const OVERLAP_MS: i64 = 120_000;

/// Jobs of a kind that ended in one way.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// How many there are.
    pub jobs: u64,
    /// How long those took that were begun, in seconds, from the first claim to the end.
    pub seconds: Buckets,
}

impl Default for Ended {
    fn default() -> Self {
        let at_most = ENDS_SECONDS.into_iter().map(|end| (end, 0)).collect();
        Self { jobs: 0, seconds: Buckets { at_most, ..Buckets::default() } }
    }
}

/// What has been counted since the watch began.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counted {
    /// By kind and how they ended.
    pub ended: BTreeMap<(Kind, State), Ended>,
    /// Attempts whose worker fell silent, of those jobs, by kind.
    pub leases_lost: BTreeMap<Kind, u64>,
}

impl Counted {
    fn add(&mut self, job: &Job) {
        let ended = self.ended.entry((job.kind(), job.head.state)).or_default();
        ended.jobs += 1;
        if let (Some(begun), Some(end)) = (moment(job.head.started_at), moment(job.head.finished_at)) {
            let took = (end - begun).max(0.0);
            ended.seconds.count += 1;
            ended.seconds.sum += took;
            for (at_most, count) in &mut ended.seconds.at_most {
                *count += u64::from(took <= *at_most);
            }
        }
        let lost = job.events.iter().filter(|event| is_loss(event)).count();
        *self.leases_lost.entry(job.kind()).or_default() += u64::try_from(lost).unwrap_or(u64::MAX);
    }
}

/// Whether a worker had fallen silent before this.
fn is_loss(event: &Event) -> bool {
    match &event.body {
        EventBody::Claimed { takeover, .. } => *takeover,
        EventBody::Failed { error } => error.code == Code::WorkerLost.as_str(),
        _ => false,
    }
}

/// Follows jobs from one look to the next.
#[derive(Debug, Default)]
pub struct Tally {
    /// When the newest look was, by the primary's clock.
    looked_at: Option<DateTime>,
    /// Jobs that hadn't ended then.
    open: BTreeSet<JobId>,
    /// Jobs that were seen already, and when they were asked for: those of the overlap.
    seen: BTreeMap<JobId, DateTime>,
    counted: Counted,
}

impl Tally {
    /// Looks again; what has been counted so far. `open` are the open jobs of this look.
    pub async fn look(&mut self, store: &dyn Store, now: DateTime, open: &[Job]) -> Result<Counted, StoreError> {
        // Never earlier than before: what was counted and forgotten here would be counted again.
        let looked_at = self.looked_at.unwrap_or(now).max(now);
        let since = DateTime::from_millis(self.looked_at.unwrap_or(now).timestamp_millis() - OVERLAP_MS);
        for job in born(store, since).await? {
            if self.seen.insert(job.id().clone(), Place::of(&job).created_at).is_some() {
                continue;
            }
            if !job.head.state.is_terminal() {
                self.open.insert(job.id().clone());
            } else if self.looked_at.is_some() && !self.open.contains(job.id()) {
                self.counted.add(&job);
            }
        }
        let is_open: BTreeSet<&JobId> = open.iter().map(Job::id).collect();
        // The rest of them in the next look.
        let left: Vec<JobId> = self.open.iter().filter(|id| !is_open.contains(id)).take(ENDED_MAX).cloned().collect();
        for id in left {
            match store.load(&id).await? {
                Some(job) if !job.head.state.is_terminal() => continue,
                Some(job) => self.counted.add(&job),
                None => {}
            }
            self.open.remove(&id);
        }
        self.open.extend(is_open.into_iter().cloned());
        self.looked_at = Some(looked_at);
        self.seen.retain(|_, created_at| *created_at >= since);
        Ok(self.counted.clone())
    }
}

/// Jobs asked for since then, newest first.
async fn born(store: &dyn Store, since: DateTime) -> Result<Vec<Job>, StoreError> {
    let mut all: Vec<Job> = Vec::new();
    loop {
        let after = all.last().map(Place::of);
        let page = store.list(&JobFilter { since: Some(since), after, limit: PAGE, ..JobFilter::default() }).await?;
        all.extend(page.jobs);
        if !page.more || all.len() >= ENDED_MAX {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests;
