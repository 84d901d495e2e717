//! Rules about jobs: they need nothing but what the store tells.

mod backups;
mod house;
mod table;

pub use table::{
    BACKUP_FAILED, BACKUP_NEVER, BACKUP_OVERDUE, BACKUP_SHRUNK, BACKUP_SLOW, CHANGE_STREAM_LAG, CHANNEL_TORN,
    CLOCK_SKEW, DRILL_OVERDUE, JOB_STUCK, KEY_REFUSED, LEASES_LOST, NO_WORKER, OWN_DATABASE_SIZE, REPOSITORY_FULL,
    REPOSITORY_GONE, SCHEDULE_FAILED, SCHEDULE_PAUSED, SCHEDULE_REFUSED, STORE_SILENT, UNPROTECTED_DATABASE,
    VERIFICATION_FAILED, WORKER_PROBLEM,
};

use super::{
    Parameters, Reading, Rule, Verdict,
    facts::{Backups, Facts, OpenJob, Plan},
};
use bson::DateTime;
use lucid_schemas::{Kind, State, alert::Severity};
use std::collections::{BTreeMap, BTreeSet};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Every rule about jobs.
pub static RULES: [&Rule; 23] = [
    &BACKUP_FAILED,
    &BACKUP_OVERDUE,
    &BACKUP_NEVER,
    &BACKUP_SHRUNK,
    &BACKUP_SLOW,
    &VERIFICATION_FAILED,
    &DRILL_OVERDUE,
    &UNPROTECTED_DATABASE,
    &NO_WORKER,
    &JOB_STUCK,
    &SCHEDULE_REFUSED,
    &SCHEDULE_FAILED,
    &SCHEDULE_PAUSED,
    &REPOSITORY_GONE,
    &REPOSITORY_FULL,
    &KEY_REFUSED,
    &STORE_SILENT,
    &WORKER_PROBLEM,
    &CLOCK_SKEW,
    &LEASES_LOST,
    &OWN_DATABASE_SIZE,
    &CHANGE_STREAM_LAG,
    &CHANNEL_TORN,
];

/// What the rules say while the store tells nothing, for this reason: that, and that nobody can tell anything else.
pub fn unknown(reason: &str, parameters: &Parameters) -> Vec<Reading> {
    let verdict = wrong(Severity::Critical, None, format!("nothing is known of jobs and backups: {reason}"));
    let silent = Reading { rule: &STORE_SILENT, labels: BTreeMap::new(), verdict };
    let others = RULES.into_iter().filter(|rule| rule.id != STORE_SILENT.id);
    std::iter::once(silent).chain(others.map(Reading::unknown)).filter(|reading| parameters.counts(reading)).collect()
}

/// What every rule says of every subject.
pub fn read(facts: &Facts, parameters: &Parameters) -> Vec<Reading> {
    let mut readings = Vec::new();
    for (database, backups) in &facts.backups {
        readings.push(reading(&BACKUP_FAILED, "database", database, failed(database, backups)));
        let beside = backups::read(database, backups, facts, parameters).into_iter();
        readings.extend(beside.map(|(rule, verdict)| reading(rule, "database", database, verdict)));
    }
    for (database, plans) in promised(facts) {
        let known = facts.backups.get(database);
        let (overdue, never) = promise(facts.now_ms, database, &plans, known, parameters);
        readings.push(reading(&BACKUP_OVERDUE, "database", database, overdue));
        readings.push(reading(&BACKUP_NEVER, "database", database, never));
    }
    for (database, verified) in &facts.verified {
        let verdict = verified.failure.as_ref().map_or(Verdict::Right, |reason| {
            wrong(Severity::Critical, None, format!("{} of backups of '{database}' failed: {reason}", verified.job))
        });
        readings.push(reading(&VERIFICATION_FAILED, "database", database, verdict));
    }
    readings.extend(queues(facts));
    readings.extend(facts.open.iter().filter_map(|job| stuck(job, facts, parameters)));
    for plan in &facts.plans {
        readings.push(reading(&SCHEDULE_REFUSED, "schedule", &plan.name, refused(plan)));
        readings.push(reading(&SCHEDULE_FAILED, "schedule", &plan.name, fails(plan)));
        readings.push(reading(&SCHEDULE_PAUSED, "schedule", &plan.name, paused(plan, facts.now_ms, parameters)));
    }
    readings.push(Reading { rule: &STORE_SILENT, labels: BTreeMap::new(), verdict: Verdict::Right });
    readings.extend(house::read(facts, parameters));
    readings.retain(|reading| parameters.counts(reading));
    readings
}

fn failed(database: &str, backups: &Backups) -> Verdict {
    let severity = match backups.failed {
        ..=0 => return Verdict::Right,
        1 => Severity::Warning,
        2.. => Severity::Critical,
    };
    let reason = backups.reason.as_deref().unwrap_or("no reason is known");
    let times = if backups.failed == 1 { String::new() } else { format!(" {} times in a row", backups.failed) };
    wrong(severity, Some(count(backups.failed)), format!("the backup of '{database}' failed{times}: {reason}"))
}

/// The schedules that promise backups of each database, and don't rest.
fn promised(facts: &Facts) -> BTreeMap<&str, Vec<&Plan>> {
    let mut promised: BTreeMap<&str, Vec<&Plan>> = BTreeMap::new();
    for plan in facts.plans.iter().filter(|plan| !plan.is_paused) {
        if let Some(database) = &plan.backs_up {
            promised.entry(database).or_default().push(plan);
        }
    }
    promised
}

/// What the schedules of a database promise: that it is backed up in time, and that it ever was.
fn promise(
    now_ms: i64,
    database: &str,
    plans: &[&Plan],
    known: Option<&Backups>,
    parameters: &Parameters,
) -> (Verdict, Verdict) {
    let newest = known.and_then(|backups| backups.newest);
    let Some(due) = plans.iter().filter_map(|plan| broken_at(plan, now_ms, parameters)).max() else {
        return (Verdict::Right, Verdict::Right);
    };
    let planned = due.try_to_rfc3339_string().unwrap_or_default();
    match newest {
        None => {
            let summary = format!("'{database}' was never backed up, though that was due at {planned}");
            (Verdict::Right, wrong(Severity::Critical, None, summary))
        }
        Some(newest) if newest < due => {
            let age_ms = now_ms.saturating_sub(newest.timestamp_millis());
            let shows = newest.try_to_rfc3339_string().unwrap_or_default();
            let summary = format!("the newest backup of '{database}' shows {shows}; one was due at {planned}");
            (wrong(Severity::Critical, Some(count(age_ms / 1_000)), summary), Verdict::Right)
        }
        Some(_) => (Verdict::Right, Verdict::Right),
    }
}

/// The newest time at which this schedule promised a backup that should be there by now.
fn broken_at(plan: &Plan, now_ms: i64, parameters: &Parameters) -> Option<DateTime> {
    let calendar = plan.calendar.as_ref()?;
    let mut planned = calendar.last_until(DateTime::from_millis(now_ms))?;
    // The newest one may have time yet; one before it hasn't, since each has half the time until the next one at most.
    for _ in 0..2 {
        let at_ms = planned.timestamp_millis();
        let next_ms = calendar.next_after(planned).map_or(i64::MAX, DateTime::timestamp_millis);
        let allowed_ms = (next_ms.saturating_sub(at_ms) / 2)
            .min(milliseconds(parameters.limit(&BACKUP_OVERDUE, Severity::Critical)));
        if planned <= plan.since {
            return None;
        }
        if now_ms.saturating_sub(at_ms) >= allowed_ms {
            return Some(planned);
        }
        planned = calendar.last_until(DateTime::from_millis(at_ms - 1))?;
    }
    None
}

/// Of each kind of which jobs are due: whether anybody could run them.
fn queues(facts: &Facts) -> impl Iterator<Item = Reading> {
    let due = facts.open.iter().filter(|job| is_due(job, facts.now_ms));
    let kinds: BTreeSet<Kind> = due.map(|job| job.kind).collect();
    kinds.into_iter().map(|kind| {
        let able = facts.able.get(&kind).copied().unwrap_or(0);
        let summary = || format!("no live worker runs jobs of kind {kind}, and some are due: start `lucid-ops worker`");
        let verdict = if able > 0 { Verdict::Right } else { wrong(Severity::Critical, None, summary()) };
        reading(&NO_WORKER, "kind", kind.as_str(), verdict)
    })
}

fn is_due(job: &OpenJob, now_ms: i64) -> bool {
    job.state == State::Queued && job.run_at_ms <= now_ms
}

/// Jobs that are on their way are no subjects: they are many.
fn stuck(job: &OpenJob, facts: &Facts, parameters: &Parameters) -> Option<Reading> {
    let id = &job.id;
    let due_ms = facts.now_ms.saturating_sub(job.run_at_ms);
    let is_able = facts.able.get(&job.kind).is_some_and(|able| *able > 0);
    let verdict = match job.state {
        State::Blocked => {
            let advice = "look at it, then `lucid-ops jobs resume` or `lucid-ops jobs give-up`";
            wrong(Severity::Critical, None, format!("job {id} is blocked past its point of no return: {advice}"))
        }
        // Where nobody is able, that is said once for the kind.
        State::Queued if is_able && due_ms >= milliseconds(parameters.limit(&JOB_STUCK, Severity::Warning)) => {
            let minutes = due_ms / MINUTE_MS;
            let summary = format!("job {id} has been due for {minutes} minutes, and no worker has begun it");
            wrong(Severity::Warning, Some(count(due_ms / 1_000)), summary)
        }
        State::Queued
        | State::Waiting
        | State::Running
        | State::Canceling
        | State::Committing
        | State::Succeeded
        | State::Failed
        | State::Canceled => return None,
    };
    Some(reading(&JOB_STUCK, "job", id.as_str(), verdict))
}

fn refused(plan: &Plan) -> Verdict {
    let name = &plan.name;
    match (&plan.calendar, &plan.refused) {
        (None, _) => wrong(Severity::Critical, None, format!("the schedule '{name}' can't be read: it makes no jobs")),
        (Some(_), Some(reason)) => {
            wrong(Severity::Critical, None, format!("the schedule '{name}' made no job when it was due: {reason}"))
        }
        (Some(_), None) => Verdict::Right,
    }
}

/// Of whole databases more is known than how the newest job of one schedule ended.
fn fails(plan: &Plan) -> Verdict {
    match &plan.ended {
        Some(Err(reason)) if plan.backs_up.is_none() => {
            wrong(Severity::Warning, None, format!("the newest job of the schedule '{}' failed: {reason}", plan.name))
        }
        None if plan.backs_up.is_none() => Verdict::Unknown,
        Some(_) | None => Verdict::Right,
    }
}

fn paused(plan: &Plan, now_ms: i64, parameters: &Parameters) -> Verdict {
    let rests_ms = now_ms.saturating_sub(plan.since.timestamp_millis());
    if !plan.is_paused || rests_ms < milliseconds(parameters.limit(&SCHEDULE_PAUSED, Severity::Warning)) {
        return Verdict::Right;
    }
    let hours = rests_ms / HOUR_MS;
    let summary = format!("the schedule '{}' has been paused for {hours} hours", plan.name);
    wrong(Severity::Warning, Some(count(rests_ms / 1_000)), summary)
}

fn reading(rule: &'static Rule, label: &str, value: &str, verdict: Verdict) -> Reading {
    Reading { rule, labels: [(label.to_owned(), value.to_owned())].into(), verdict }
}

const fn wrong(severity: Severity, value: Option<f64>, summary: String) -> Verdict {
    Verdict::Wrong { severity, value, summary }
}

fn count(number: i64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // Exact for all that is counted here.
    let count = number as f64;
    count
}

/// A limit in seconds.
fn milliseconds(seconds: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation)] // What is too much is as much as there can be.
    let milliseconds = (seconds * 1_000.0) as i64;
    milliseconds
}

#[cfg(test)]
mod house_tests;
#[cfg(test)]
mod tests;
