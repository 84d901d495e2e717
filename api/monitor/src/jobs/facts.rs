//! What the rules about jobs go by, from what the store tells.

use bson::DateTime;
use lucid_core::rules::facts::{Backups, Facts, OpenJob, Plan, Verified};
use lucid_ports::schedules::Look;
use lucid_schemas::{
    EventBody, Job, JobId, Kind, Spec, Stamp, State, VerifyLevel, VerifySpec,
    schedule::{Outcome, Schedule},
};
use std::collections::BTreeMap;

/// What a look at the store has shown. Backups and verifications are those that ended well or badly, newest first.
pub(super) struct Shown<'a> {
    pub look: &'a Look,
    pub open: &'a [Job],
    pub backups: &'a [Job],
    pub verifications: &'a [Job],
    pub able: &'a BTreeMap<Kind, i64>,
}

/// The same as facts.
pub(super) fn facts(shown: &Shown<'_>) -> Facts {
    let plans: Vec<Plan> = shown.look.schedules.iter().map(plan).collect();
    let mut backups = backups(shown.backups);
    for database in plans.iter().filter_map(|plan| plan.backs_up.as_ref()) {
        backups.entry(database.clone()).or_default();
    }
    Facts {
        now_ms: shown.look.now.timestamp_millis(),
        verified: verified(shown.verifications, shown.backups),
        backups,
        plans,
        open: shown.open.iter().map(open_job).collect(),
        able: shown.able.clone(),
        ..Facts::default()
    }
}

fn plan(schedule: &Schedule) -> Plan {
    let terms = &schedule.terms;
    Plan {
        name: schedule.name.clone(),
        backs_up: whole(&terms.spec).cloned(),
        calendar: terms.calendar().ok(),
        since: schedule.updated_at,
        is_paused: terms.paused,
        refused: schedule.last.as_ref().and_then(refused),
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
            if known.newest.is_none() && job.fate.is_none() {
                known.newest = shows(job);
            }
        } else if !*has_succeeded {
            known.failed += 1;
            let reason = || job.head.error.as_ref().map(|error| format!("{} ({})", error.message, error.code));
            known.reason = known.reason.take().or_else(reason);
        }
    }
    all.into_iter().map(|(database, (known, _))| (database, known)).collect()
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
    OpenJob { id: job.id().clone(), kind: job.kind(), state: job.head.state, run_at_ms }
}

#[cfg(test)]
mod tests;
