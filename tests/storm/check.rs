//! The judgement over the job history: each job by itself, jobs among each other, and jobs against what clients know.

use super::ledger::{Answer, Asked, Known, MARK_SECONDS};
use lucid_core::invariant::{shared_slots, violations};
use lucid_schemas::{EventBody, Job, Kind, Spec, State};
use std::collections::{BTreeMap, BTreeSet};

/// The time of an event is taken when its write begins; a write may have waited so long for the one before it.
const GRAIN_MS: i64 = 500;

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Broken {
    pub what: String,
    /// The jobs whose events tell more.
    pub jobs: Vec<String>,
}

impl Broken {
    pub fn of(what: impl Into<String>, jobs: &[&str]) -> Self {
        Self { what: what.into(), jobs: jobs.iter().map(|id| (*id).to_owned()).collect() }
    }
}

/// Everything that the history has to answer for. What was asked of backups that were forgotten can't be done.
pub fn history(jobs: &[Job], known: &Known, forgotten: &BTreeSet<String>) -> Vec<Broken> {
    let mut broken = Vec::new();
    for job in jobs {
        broken.extend(violations(job).into_iter().map(|found| Broken::of(found.to_string(), &[job.id().as_str()])));
        // Everything that was asked for can be done: only losses and limits may fail it.
        if let Some(error) = job.head.error.as_ref().filter(|error| job.head.state == State::Failed && !error.retryable)
            && error.code != "worker_lost"
            && !job.request.spec.backup().is_some_and(|backup| forgotten.contains(backup.as_str()))
        {
            broken.push(Broken::of(format!("{} failed for good: {}", job.id(), error.message), &[job.id().as_str()]));
        }
        if !job.head.state.is_terminal() {
            broken
                .push(Broken::of(format!("{} never ended: it is {}", job.id(), job.head.state), &[job.id().as_str()]));
        }
    }
    for shared in shared_slots(jobs, GRAIN_MS) {
        let named: Vec<&str> =
            jobs.iter().map(|job| job.id().as_str()).filter(|id| shared.detail.contains(id)).collect();
        broken.push(Broken::of(shared.to_string(), &named));
    }
    broken.extend(one_open_job_per_unique_key(jobs));
    broken.extend(restores_alone(jobs));
    broken.extend(requests(jobs, known));
    broken.extend(changes(jobs, known));
    broken
}

fn at_ms(job: &Job, place: usize) -> i64 {
    job.events.get(place).and_then(|event| event.at.stored()).map_or(i64::MAX, bson::DateTime::timestamp_millis)
}

/// From when to when something of a job was so.
type Span<'a> = (i64, i64, &'a Job);

/// Pairs of spans that overlap, of different jobs.
fn overlaps<'a>(spans: &[Span<'a>]) -> Vec<(&'a Job, &'a Job)> {
    let mut found = Vec::new();
    for (place, one) in spans.iter().enumerate() {
        for other in &spans[place + 1..] {
            if one.2.id() != other.2.id() && one.1.min(other.1) - one.0.max(other.0) >= GRAIN_MS {
                found.push((one.2, other.2));
            }
        }
    }
    found
}

fn one_open_job_per_unique_key(jobs: &[Job]) -> Vec<Broken> {
    let mut open: BTreeMap<&str, Vec<Span<'_>>> = BTreeMap::new();
    for job in jobs {
        if let Some(key) = &job.request.unique_key {
            let ended = if job.head.state.is_terminal() { at_ms(job, job.events.len() - 1) } else { i64::MAX };
            open.entry(key).or_default().push((at_ms(job, 0), ended, job));
        }
    }
    let pairs = open.iter().flat_map(|(key, spans)| overlaps(spans).into_iter().map(move |pair| (key, pair)));
    let broken = |(key, (one, other)): (&&str, (&Job, &Job))| {
        let (one, other) = (one.id().as_str(), other.id().as_str());
        Broken::of(format!("{one} and {other} were open at the same time with the unique key '{key}'"), &[one, other])
    };
    pairs.map(broken).collect()
}

/// When a job was worked on: from each claim to what ended that attempt.
fn attempts(job: &Job) -> Vec<Span<'_>> {
    let claims = (0..job.events.len()).filter(|place| matches!(job.events[*place].body, EventBody::Claimed { .. }));
    let ends = |place: &usize| {
        !matches!(
            job.events[*place].body,
            EventBody::SnapshotTaken { .. }
                | EventBody::CommitStarted {}
                | EventBody::SwapStarted { .. }
                | EventBody::CancelRequested {}
        )
    };
    claims
        .map(|claim| {
            (at_ms(job, claim), (claim + 1..job.events.len()).find(ends).map_or(i64::MAX, |end| at_ms(job, end)), job)
        })
        .collect()
}

/// Nobody else works on a database while a restore does.
fn restores_alone(jobs: &[Job]) -> Vec<Broken> {
    let mut by_database: BTreeMap<&str, Vec<Span<'_>>> = BTreeMap::new();
    for job in jobs {
        match &job.request.spec {
            Spec::Restore(spec) if !spec.dry_run => {
                by_database.entry(&spec.database).or_default().extend(attempts(job));
            }
            Spec::Restore(_)
            | Spec::Backup(_)
            | Spec::Verify(_)
            | Spec::Prune(_)
            | Spec::Copy(_)
            | Spec::Reencrypt(_)
            | Spec::Monitor(_)
            | Spec::Notify(_) => {}
        }
    }
    let broken = |(one, other): (&Job, &Job)| {
        let (one, other) = (one.id().as_str(), other.id().as_str());
        Broken::of(format!("{one} and {other} restored one database at the same time"), &[one, other])
    };
    by_database.values().flat_map(|spans| overlaps(spans)).map(broken).collect()
}

/// Every accepted request is one job, every refused one none, and no job is there that nobody asked for.
fn requests(jobs: &[Job], known: &Known) -> Vec<Broken> {
    let mut broken = Vec::new();
    let by_id: BTreeMap<&str, &Job> = jobs.iter().map(|job| (job.id().as_str(), job)).collect();
    let mut by_mark: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for job in jobs.iter().filter(|job| job.request.retry_of.is_none()) {
        let seconds = job.request.timeout_ms.unwrap_or_default() / 1_000;
        by_mark.entry(seconds).or_default().push(job.id().as_str());
    }
    for asked in &known.asked {
        let accepted: BTreeSet<&str> = asked.answers.iter().filter_map(Answer::accepted).collect();
        for id in &accepted {
            match by_id.get(id) {
                None => broken.push(Broken::of(format!("{id} was accepted and is gone: {asked:?}"), &[])),
                Some(job) if !fits(job, asked) => {
                    broken.push(Broken::of(format!("{id} isn't what was asked for: {asked:?}"), &[id]));
                }
                Some(_) => {}
            }
        }
        let made = asked.mark.and_then(|mark| by_mark.get(&mark)).cloned().unwrap_or_default();
        let may_be_unknown = asked.answers.contains(&Answer::Unknown);
        let right = match (made.len(), accepted.len()) {
            (1, 1) => accepted.contains(made[0]),
            (0, 0) => true,
            (0, 1) => asked.mark.is_none(),
            (1, 0) => may_be_unknown,
            _ => false,
        };
        if !right {
            broken.push(Broken::of(format!("one request made the jobs {made:?}: {asked:?}"), &made));
        }
    }
    let marks: BTreeSet<i64> = known.asked.iter().filter_map(|asked| asked.mark).collect();
    for (mark, made) in by_mark.range(MARK_SECONDS..).filter(|(mark, _)| !marks.contains(mark)) {
        broken.push(Broken::of(format!("nobody asked for {made:?} (mark {mark})"), made));
    }
    broken
}

fn fits(job: &Job, asked: &Asked) -> bool {
    let named = |field: &str, value: &str| asked.body[field].as_str().is_none_or(|asked| asked == value);
    job.kind().as_str() == asked.kind
        && match &job.request.spec {
            Spec::Backup(spec) => named("database", &spec.database),
            Spec::Restore(spec) => named("database", &spec.database) && named("backup", spec.backup.as_str()),
            Spec::Verify(spec) => named("backup", spec.backup.as_str()),
            Spec::Prune(_) | Spec::Copy(_) | Spec::Reencrypt(_) | Spec::Monitor(_) | Spec::Notify(_) => true,
        }
}

/// Accepted cancels have ended their job, and accepted retries are there.
fn changes(jobs: &[Job], known: &Known) -> Vec<Broken> {
    let by_id: BTreeMap<&str, &Job> = jobs.iter().map(|job| (job.id().as_str(), job)).collect();
    let mut broken = Vec::new();
    for id in &known.canceled {
        let state = by_id.get(id.as_str()).map(|job| job.head.state);
        if state != Some(State::Canceled) {
            broken.push(Broken::of(format!("the cancel of {id} was accepted, and it ended as {state:?}"), &[id]));
        }
    }
    for (id, answer) in &known.retried {
        let Some(again) = answer.accepted() else { continue };
        let of = by_id.get(again).and_then(|job| job.request.retry_of.as_ref()).map(lucid_schemas::JobId::as_str);
        if of != Some(id) {
            broken.push(Broken::of(format!("{again} was accepted as a retry of {id}, and is one of {of:?}"), &[again]));
        }
    }
    broken
}

/// The last restore of each database that succeeded, and the job of its backup.
pub fn last_restores(jobs: &[Job]) -> BTreeMap<&str, (&Job, &str)> {
    let mut restores: Vec<&Job> =
        jobs.iter().filter(|job| job.kind() == Kind::Restore && job.head.state == State::Succeeded).collect();
    restores.sort_by_key(|job| at_ms(job, job.events.len() - 1));
    let mut last = BTreeMap::new();
    for job in restores {
        if let Spec::Restore(spec) = &job.request.spec
            && !spec.dry_run
        {
            last.insert(spec.database.as_str(), (job, spec.backup.as_str()));
        }
    }
    last
}
