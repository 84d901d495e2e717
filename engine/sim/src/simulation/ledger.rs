//! The book outside the store: what was acknowledged and what was done, to be held against what is stored.

use bson::{DateTime, Document};
use lucid_core::{Transition, invariant::violations};
use lucid_schemas::{Event, EventBody, Job, JobId, State};
use std::collections::{BTreeMap, BTreeSet};

/// How many versions of a job a stale read may reach back.
const REMEMBERED: usize = 6;

/// How late a job may be claimed that a worker is waiting for: the time to open a feed, and some calls.
const PROMPT_MS: i64 = 8_000;

/// All that was written down.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What happened, line by line.
    pub trace: Vec<String>,
    /// What must not have happened.
    pub violations: Vec<String>,
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// Jobs whose enqueueing was acknowledged.
    pub enqueued: BTreeSet<JobId>,
    /// The job that kills whoever works on it.
    pub poison: Option<JobId>,
    /// The workers are being stopped: what begins now needn't come to its end.
    pub closing: bool,
    /// Writes that were acknowledged.
    writes: BTreeSet<(JobId, String)>,
    /// Points of no return of which a handler was told that it has passed them, with its epoch.
    commits: BTreeSet<(JobId, i64)>,
    /// Claims for which a handler was called.
    runs: BTreeSet<(JobId, i64)>,
    /// The last versions of each job, oldest first.
    versions: BTreeMap<JobId, Vec<Job>>,
}

impl Ledger {
    /// Writes down what must not have happened.
    pub fn violation(&mut self, what: String) {
        self.trace.push(format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    /// Counts one more of these.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// The job as it was written last.
    pub fn latest(&self, id: &JobId) -> Option<&Job> {
        self.versions.get(id)?.last()
    }

    /// Every job as it was written last.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.versions.values().filter_map(|versions| versions.last())
    }

    /// An earlier version of a job, as many back as are remembered.
    pub fn earlier(&self, id: &JobId, back: usize) -> Option<Job> {
        let versions = self.versions.get(id)?;
        versions.get(versions.len().saturating_sub(back + 1)).cloned()
    }

    /// A job was stored.
    pub fn born(&mut self, job: &Job) {
        if self.latest(job.id()).is_none() {
            self.check(job);
            let key = job.request.unique_key.as_ref();
            let rival = key.and_then(|_| {
                self.jobs().find(|other| !other.head.state.is_terminal() && other.request.unique_key.as_ref() == key)
            });
            if let Some(rival) = rival.map(|rival| rival.id().clone()) {
                self.violation(format!("SIM-8: {} and {rival} are both open with the key {key:?}", job.id()));
            }
            self.remember(job.clone());
        }
    }

    /// A scheduler's job was stored. Nobody may have heard so: the mark says it, or the next scheduler finds it.
    pub fn scheduled(&mut self, job: &Job) {
        if !self.closing {
            self.enqueued.insert(job.id().clone());
        }
    }

    /// A transition was made; `lease_end` is that of the lease before it, `now` the store's clock; `prompt` says whether
    /// what is due has to be claimed at once.
    pub fn written(&mut self, job: &Job, lease_end: Option<DateTime>, now: DateTime, prompt: bool) {
        let Some(before) = self.latest(job.id()).cloned() else {
            return self.violation(format!("SIM-1: {} was changed before it was stored", job.id()));
        };
        self.check(job);
        if !job.events.starts_with(&before.events) || job.events.len() == before.events.len() {
            self.violation(format!("SIM-2: the stream of {} was not only appended to", job.id()));
        }
        if before.head.state.is_terminal() {
            self.violation(format!("SIM-3: {} was {} and went on", job.id(), before.head.state));
        }
        for event in job.events.iter().skip(before.events.len()) {
            self.count(event.body.name());
            let EventBody::Claimed { takeover, epoch, .. } = event.body else {
                continue;
            };
            if takeover {
                self.count("taken over");
            }
            if lease_end.is_some_and(|lease_end| lease_end > now) {
                self.violation(format!("SIM-4: epoch {epoch} took {} from a lease that still ran", job.id()));
            }
            let due_for_ms =
                before.head.run_at.stored().map_or(0, |run_at| now.timestamp_millis() - run_at.timestamp_millis());
            if prompt && lease_end.is_none() && job.request.after.is_none() && due_for_ms > PROMPT_MS {
                self.violation(format!("SIM-17: {} was due for {due_for_ms} ms when it was claimed", job.id()));
            }
            if before.head.state == State::Queued && before.head.run_at.stored().is_none_or(|run_at| run_at > now) {
                self.violation(format!("SIM-5: epoch {epoch} took {} before it was due", job.id()));
            }
        }
        self.check_slots(job);
        self.remember(job.clone());
    }

    /// No slot is held by two jobs.
    fn check_slots(&mut self, job: &Job) {
        let others = self.jobs().filter(|other| other.id() != job.id());
        let rival = others.flat_map(|other| &other.head.holds).find(|slot| job.head.holds.contains(slot)).cloned();
        if let Some(slot) = rival {
            self.violation(format!("SIM-18: {} took slot {slot}, which another job holds", job.id()));
        }
    }

    fn check(&mut self, job: &Job) {
        for violation in violations(job) {
            self.violation(violation.to_string());
        }
    }

    fn remember(&mut self, job: Job) {
        let versions = self.versions.entry(job.id().clone()).or_default();
        versions.push(job);
        if versions.len() > REMEMBERED {
            versions.remove(0);
        }
    }

    /// A writer was told that its transition is made.
    pub fn acknowledged(&mut self, transition: &Transition) {
        self.writes.insert((transition.id().clone(), transition.write.clone()));
    }

    /// A handler was called.
    pub fn called(&mut self, id: &JobId, epoch: i64) {
        if !self.runs.insert((id.clone(), epoch)) {
            self.violation(format!("SIM-6: epoch {epoch} of {id} was run twice"));
        }
    }

    /// A handler was told that it has passed the point of no return.
    pub fn committed(&mut self, id: &JobId, epoch: i64) {
        self.commits.insert((id.clone(), epoch));
    }

    /// Whether every acknowledged job has ended.
    pub fn all_ended(&self) -> bool {
        self.enqueued.iter().all(|id| self.latest(id).is_some_and(|job| job.head.state.is_terminal()))
    }

    /// The last look, once all is quiet: `stored` are the jobs as the store has them.
    pub fn close(&mut self, stored: &BTreeMap<JobId, Job>) {
        for id in self.enqueued.clone() {
            match stored.get(&id).map(|job| job.head.state) {
                None => self.violation(format!("SIM-9: {id} was acknowledged and is gone")),
                Some(state) if !state.is_terminal() => {
                    self.violation(format!("SIM-10: {id} is {state} long after the faults have ended"));
                }
                Some(_) => {}
            }
        }
        for (id, write) in self.writes.clone() {
            let kept = stored.get(&id).is_some_and(|job| job.events.iter().any(|event| event.write == write));
            if !kept {
                self.violation(format!("SIM-11: an acknowledged write on {id} is gone"));
            }
        }
        for (id, epoch) in self.commits.clone() {
            let of_epoch = stored.get(&id).map(|job| of_epoch(&job.events, epoch)).unwrap_or_default();
            let committed =
                |event: &&Event| matches!(event.body, EventBody::CommitStarted {} | EventBody::SwapStarted { .. });
            if !of_epoch.iter().any(committed) {
                self.violation(format!("SIM-12: epoch {epoch} of {id} was told to commit, and nothing says so"));
            }
        }
        for job in stored.values() {
            self.check(job);
            self.check_result(job);
            let lost = job.head.error.as_ref().is_some_and(|error| error.code == "worker_lost");
            if lost && self.poison.as_ref().is_some_and(|poison| poison != job.id()) {
                self.violation(format!("SIM-22: {} failed for a worker that another job killed", job.id()));
            }
        }
    }

    /// What succeeded is the work of the last claim, and a handler was called for it.
    fn check_result(&mut self, job: &Job) {
        let Some(result) = &job.head.result else {
            return;
        };
        let of: Option<i64> = Document::get_i64(result, "epoch").ok();
        if of != Some(job.head.epoch) {
            self.violation(format!("SIM-7: {} is at epoch {} with the result of {of:?}", job.id(), job.head.epoch));
        }
        if !self.runs.contains(&(job.id().clone(), job.head.epoch)) {
            self.violation(format!("SIM-7: {} succeeded, but nobody worked on it", job.id()));
        }
    }
}

/// The events of one claim, without the claim itself.
fn of_epoch(events: &[Event], epoch: i64) -> Vec<&Event> {
    let is_claim = |event: &&Event| matches!(event.body, EventBody::Claimed { .. });
    let is_its_claim =
        |event: &&Event| matches!(event.body, EventBody::Claimed { epoch: claimed, .. } if claimed == epoch);
    events.iter().skip_while(|event| !is_its_claim(event)).skip(1).take_while(|event| !is_claim(event)).collect()
}
