//! What the rules about jobs go by, from what the store tells.

use super::{
    Space,
    plans::{Plans, reason},
};
use bson::DateTime;
use lucid_core::rules::facts::{self as rules, Backups, Facts, OpenJob, Plan, Verified};
use lucid_notify::channels::compared;
use lucid_ports::{WorkerCard, schedules::Look};
use lucid_schemas::{
    EventBody, Job, JobId, Kind, Spec, Stamp, State, VerifyLevel, VerifySpec,
    failure::Code,
    schedule::{Outcome, Schedule},
};
use std::collections::{BTreeMap, BTreeSet};

const HOUR_MS: i64 = 3_600_000;
/// Of so many backups sizes and times are kept: the newest, and those that it is compared with.
const COMPARED: usize = 11;

/// What a look at the store has shown. Backups and verifications are those that ended well or badly, newest first.
pub(super) struct Shown<'a> {
    pub look: &'a Look,
    pub plans: &'a Plans,
    pub open: &'a [Job],
    pub backups: &'a [Job],
    pub verifications: &'a [Job],
    pub able: &'a BTreeMap<Kind, i64>,
    pub workers: &'a [WorkerCard],
    pub repositories: &'a BTreeMap<String, Result<Space, String>>,
}

/// The same as facts.
pub(super) fn facts(shown: &Shown<'_>) -> Facts {
    let plans: Vec<Plan> = shown.look.schedules.iter().map(|schedule| plan(schedule, shown.plans)).collect();
    let mut backups = backups(shown.backups);
    for database in plans.iter().filter_map(|plan| plan.backs_up.as_ref()) {
        backups.entry(database.clone()).or_default();
    }
    for (database, at) in drilled(shown.verifications, shown.backups) {
        backups.entry(database.clone()).or_default().drilled = Some(at);
    }
    let now_ms = shown.look.now.timestamp_millis();
    Facts {
        now_ms,
        verified: verified(shown.verifications, shown.backups),
        backups,
        plans,
        open: shown.open.iter().map(open_job).collect(),
        able: shown.able.clone(),
        workers: shown.workers.iter().map(worker).collect(),
        monitors: monitors(shown.workers),
        channels: channels(shown.workers),
        repositories: shown
            .repositories
            .iter()
            .map(|(name, space)| (name.clone(), space.clone().ok().map(whole_bytes)))
            .collect(),
        keys_refused: refusing([shown.backups, shown.verifications].concat()),
        leases_lost: Some(lost(shown, now_ms - HOUR_MS)),
        // The rest is told by samples.
        ..Facts::default()
    }
}

fn worker(card: &WorkerCard) -> rules::Worker {
    let WorkerCard { name, clock_skew_ms, problems, .. } = card.clone();
    rules::Worker { name, clock_skew_ms, problems }
}

/// Workers are named after their nodes.
fn monitors(workers: &[WorkerCard]) -> BTreeSet<String> {
    let monitors = workers.iter().filter(|worker| worker.reach.kinds.contains(&Kind::Monitor));
    monitors.filter_map(|worker| worker.name.split('/').next().map(str::to_owned)).collect()
}

/// Which channels live monitors have, and where they differ.
fn channels(workers: &[WorkerCard]) -> BTreeMap<String, Option<String>> {
    let monitors = workers.iter().filter(|worker| worker.reach.kinds.contains(&Kind::Monitor));
    let labels: Vec<_> = monitors.map(|worker| (worker.name.as_str(), &worker.reach.labels[..])).collect();
    compared(&labels)
}

fn whole_bytes(space: Space) -> rules::Space {
    #[allow(clippy::cast_possible_truncation)] // Such file systems there are none.
    let whole = |bytes: f64| bytes as i64;
    rules::Space { free_bytes: whole(space.free_bytes), total_bytes: whole(space.total_bytes) }
}

/// Repositories whose newest job that ended was refused there.
fn refusing(mut ended: Vec<Job>) -> BTreeMap<String, String> {
    ended.sort_by_key(|job| std::cmp::Reverse(ended_ms(job)));
    let mut newest: BTreeMap<String, Option<String>> = BTreeMap::new();
    for job in ended {
        let Some(repository) = &job.request.requires.repository else { continue };
        let refused = job.head.error.filter(|error| error.code == Code::WrongKey.as_str());
        newest.entry(repository.name.clone()).or_insert(refused.map(|error| error.message));
    }
    newest.into_iter().filter_map(|(repository, refused)| Some((repository, refused?))).collect()
}

fn ended_ms(job: &Job) -> Option<i64> {
    job.head.finished_at.and_then(Stamp::stored).map(DateTime::timestamp_millis)
}

/// How often a job was taken over since then, from a worker that had fallen silent.
fn lost(shown: &Shown<'_>, since_ms: i64) -> i64 {
    let events = [shown.open, shown.backups, shown.verifications].into_iter().flatten().flat_map(|job| &job.events);
    let is_recent = |at: Stamp| at.stored().is_some_and(|at| at.timestamp_millis() >= since_ms);
    super::count(
        events.filter(|event| matches!(event.body, EventBody::Claimed { takeover: true, .. }) && is_recent(event.at)),
    )
}

/// When backups of each database were restored last to try them, and were whole.
fn drilled<'a>(newest_first: &[Job], backups: &'a [Job]) -> BTreeMap<&'a String, DateTime> {
    let of: BTreeMap<&JobId, &String> =
        backups.iter().filter_map(|job| Some((job.id(), job.request.spec.database()?))).collect();
    let mut newest = BTreeMap::new();
    for job in newest_first.iter().filter(|job| job.head.state == State::Succeeded) {
        let Spec::Verify(spec) = &job.request.spec else { continue };
        let ended = job.head.finished_at.and_then(Stamp::stored);
        if let (VerifyLevel::Drill, Some(database), Some(at)) = (spec.level, of.get(&spec.backup), ended) {
            newest.entry(*database).or_insert(at);
        }
    }
    newest
}

fn plan(schedule: &Schedule, plans: &Plans) -> Plan {
    let terms = &schedule.terms;
    Plan {
        name: schedule.name.clone(),
        backs_up: whole(&terms.spec).cloned(),
        calendar: terms.calendar().ok(),
        since: schedule.updated_at,
        is_paused: terms.paused,
        refused: schedule.last.as_ref().and_then(refused),
        ended: plans.ended(schedule),
    }
}

/// Why an occurrence made no job, where that isn't because the one before was still at work.
fn refused(last: &Outcome) -> Option<String> {
    let reason = last.skipped.as_ref().filter(|_| last.job.is_none())?;
    (!reason.ends_with(" was still open")).then(|| reason.clone())
}

/// The database whose whole is backed up.
fn whole(spec: &Spec) -> Option<&String> {
    match spec {
        Spec::Backup(spec) => spec.collections.is_none().then_some(&spec.database),
        Spec::Restore(_)
        | Spec::Verify(_)
        | Spec::Prune(_)
        | Spec::Copy(_)
        | Spec::Reencrypt(_)
        | Spec::Monitor(_)
        | Spec::Notify(_) => None,
    }
}

fn backups(newest_first: &[Job]) -> BTreeMap<String, Backups> {
    let mut all: BTreeMap<String, (Backups, bool)> = BTreeMap::new();
    for job in newest_first {
        let Some(database) = whole(&job.request.spec) else { continue };
        let (known, has_succeeded) = all.entry(database.clone()).or_default();
        if job.head.state == State::Succeeded {
            *has_succeeded = true;
            if job.fate.is_none() {
                known.oldest = shows(job);
                known.newest = known.newest.or(known.oldest);
            }
            compare(known, job);
        } else if !*has_succeeded {
            known.failed += 1;
            known.reason.get_or_insert_with(|| reason(job));
        }
    }
    all.into_iter().map(|(database, (known, _))| (database, known)).collect()
}

/// Keeps size and time of a backup, whether it is still there or not.
fn compare(known: &mut Backups, job: &Job) {
    if known.bytes.len() < COMPARED {
        known.bytes.extend(job.head.result.as_ref().and_then(|result| result.get_i64("raw_bytes").ok()));
    }
    let started = job.head.started_at.and_then(Stamp::stored).map(DateTime::timestamp_millis);
    if known.took_ms.len() < COMPARED {
        known.took_ms.extend(ended_ms(job).zip(started).map(|(ended, started)| ended - started));
    }
}

/// The instant that a backup shows.
fn shows(job: &Job) -> Option<DateTime> {
    let taken = job.events.iter().rev().find_map(|event| match &event.body {
        EventBody::SnapshotTaken { cluster_time } => Some(DateTime::from_millis(i64::from(cluster_time.time) * 1_000)),
        _ => None,
    });
    taken.or_else(|| job.head.finished_at.and_then(Stamp::stored))
}

/// What verifications have found of the backups of each database: a failure counts until one that looks at least as deep succeeds, or
/// until its backup is gone.
fn verified(newest_first: &[Job], backups: &[Job]) -> BTreeMap<String, Verified> {
    let there = backups.iter().filter(|job| job.fate.is_none());
    let databases: BTreeMap<&JobId, &String> =
        there.filter_map(|job| Some((job.id(), job.request.spec.database()?))).collect();
    let mut found: BTreeMap<String, (Verified, u8)> = BTreeMap::new();
    for job in newest_first {
        let Spec::Verify(spec) = &job.request.spec else { continue };
        let Some(database) = databases.get(&spec.backup) else { continue };
        let newest = || (Verified { job: job.id().clone(), failure: None }, 0);
        let (known, succeeded) = found.entry((*database).clone()).or_insert_with(newest);
        if known.failure.is_some() {
            continue;
        }
        if job.head.state == State::Succeeded {
            *succeeded = (*succeeded).max(depth(spec));
        } else if depth(spec) > *succeeded {
            let error = job.head.error.as_ref();
            let failure = error.map_or_else(|| "no reason is known".into(), |error| error.message.clone());
            *known = Verified { job: job.id().clone(), failure: Some(failure) };
        }
    }
    found.into_iter().map(|(database, (known, _))| (database, known)).collect()
}

/// How deep it looks; more than 0.
const fn depth(spec: &VerifySpec) -> u8 {
    match (spec.level, &spec.sample, &spec.part) {
        (VerifyLevel::Structure, _, _) => 1,
        (VerifyLevel::Data, None, None) => 3,
        (VerifyLevel::Data, _, _) => 2,
        (VerifyLevel::Drill, _, _) => 4,
    }
}

fn open_job(job: &Job) -> OpenJob {
    let run_at_ms = job.head.run_at.stored().map_or(i64::MAX, DateTime::timestamp_millis);
    OpenJob { id: job.id().clone(), kind: job.request.spec.runs_as(), state: job.head.state, run_at_ms }
}

#[cfg(test)]
mod tests;
