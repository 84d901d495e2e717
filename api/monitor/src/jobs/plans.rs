//! What schedules promise, and what became of it.

use super::seconds;
use bson::DateTime;
use lucid_ports::{Store, StoreError, schedules::Look};
use lucid_schemas::{Job, Spec, State, cron::Calendar, schedule::Schedule};
use std::collections::BTreeMap;

/// Of so many schedules it is looked up how their newest jobs ended.
const SCHEDULES_MAX: usize = 200;

/// A schedule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Whether it rests.
    pub is_paused: bool,
    /// When it comes due next, in seconds since 1970; none while it rests, or where its times can't be read.
    pub next_due_at: Option<f64>,
    /// When its newest occurrence was planned that was dealt with.
    pub last_planned_at: Option<f64>,
    /// Whether that made a job.
    pub made_job: Option<bool>,
    /// Whether the newest of its jobs that ended did so well, as far as this process has seen.
    pub last_success: Option<bool>,
}

/// What the schedules of a database promise together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// Seconds from one backup of it to the next: of the schedule that makes the most, around now.
    pub interval_seconds: f64,
    /// When the next one is due, in seconds since 1970.
    pub next_due_at: f64,
}

/// What is known of schedules from one look to the next.
#[derive(Debug, Default)]
pub struct Plans {
    /// How the newest job that ended of each did; why, where that was badly.
    ended: BTreeMap<String, Result<(), String>>,
}

/// What one look shows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Planned {
    /// By name.
    pub plans: BTreeMap<String, Plan>,
    /// What is promised of whole databases, by database.
    pub promises: BTreeMap<String, Promise>,
}

impl Plans {
    /// Looks again.
    pub async fn look(&mut self, store: &dyn Store, look: &Look) -> Result<Planned, StoreError> {
        self.ended.retain(|name, _| look.schedules.iter().any(|schedule| schedule.name == *name));
        for schedule in look.schedules.iter().take(SCHEDULES_MAX) {
            let Some(job) = schedule.last.as_ref().and_then(|last| last.job.as_ref()) else { continue };
            if let Some(ended) = store.load(job).await?.as_ref().and_then(how) {
                self.ended.insert(schedule.name.clone(), ended);
            }
        }
        let plan = |schedule: &Schedule| {
            let plan =
                Plan { last_success: self.ended.get(&schedule.name).map(Result::is_ok), ..plan(schedule, look.now) };
            (schedule.name.clone(), plan)
        };
        Ok(Planned { plans: look.schedules.iter().map(plan).collect(), promises: promises(&look.schedules, look.now) })
    }

    /// How the newest job that ended of this schedule did; well where it never came due. None where that was before this process looked.
    pub(super) fn ended(&self, schedule: &Schedule) -> Option<Result<(), String>> {
        let never_due = || schedule.last.is_none().then_some(Ok(()));
        self.ended.get(&schedule.name).cloned().or_else(never_due)
    }
}

/// How a job ended; `None` where it didn't, or where somebody canceled it.
fn how(job: &Job) -> Option<Result<(), String>> {
    match job.head.state {
        State::Succeeded => Some(Ok(())),
        State::Failed => Some(Err(reason(job))),
        State::Waiting
        | State::Queued
        | State::Running
        | State::Canceling
        | State::Committing
        | State::Blocked
        | State::Canceled => None,
    }
}

/// Why it failed, for people.
pub(super) fn reason(job: &Job) -> String {
    let error = job.head.error.as_ref();
    error.map_or_else(|| "no reason is known".into(), |error| format!("{} ({})", error.message, error.code))
}

fn plan(schedule: &Schedule, now: DateTime) -> Plan {
    let due = next_due(schedule, now).map(|(_, due)| due);
    let last = schedule.last.as_ref();
    Plan {
        is_paused: schedule.terms.paused,
        next_due_at: due.map(at),
        last_planned_at: last.map(|last| at(last.planned_at)),
        made_job: last.map(|last| last.job.is_some()),
        last_success: None,
    }
}

/// The times of a schedule that doesn't rest, and the next one.
fn next_due(schedule: &Schedule, now: DateTime) -> Option<(Calendar, DateTime)> {
    let calendar = schedule.terms.calendar().ok().filter(|_| !schedule.terms.paused)?;
    let due = calendar.next_after(now)?;
    Some((calendar, due))
}

fn promises(schedules: &[Schedule], now: DateTime) -> BTreeMap<String, Promise> {
    let mut promises: BTreeMap<String, Promise> = BTreeMap::new();
    for schedule in schedules {
        let Spec::Backup(spec) = &schedule.terms.spec else { continue };
        let Some((calendar, due)) = next_due(schedule, now).filter(|_| spec.collections.is_none()) else { continue };
        let Some(before) = calendar.last_until(now).or_else(|| calendar.next_after(due)) else { continue };
        let promise = Promise { interval_seconds: (at(due) - at(before)).abs(), next_due_at: at(due) };
        promises
            .entry(spec.database.clone())
            .and_modify(|known| {
                known.interval_seconds = known.interval_seconds.min(promise.interval_seconds);
                known.next_due_at = known.next_due_at.min(promise.next_due_at);
            })
            .or_insert(promise);
    }
    promises
}

fn at(moment: DateTime) -> f64 {
    seconds(moment.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::{
        BackupSpec, JobId, Kind,
        schedule::{Missed, Outcome, Overlap, Terms},
    };

    /// 2027-01-15 08:00 UTC.
    const NOW_MS: i64 = 1_800_000_000_000;

    fn schedule(name: &str, cron: &str, collections: Option<Vec<String>>) -> Schedule {
        let database = "lucid".to_owned();
        let spec = BackupSpec { database, collections, compression: true, encryption: true, require_consistent: false };
        let terms = Terms {
            cron: cron.into(),
            timezone: "UTC".into(),
            spec: Spec::Backup(spec),
            repository: "main".into(),
            max_attempts: 3,
            paused: false,
            missed: Missed::Once,
            missed_limit: 24,
            overlap: Overlap::Skip,
        };
        let now = DateTime::from_millis(NOW_MS);
        Schedule {
            name: name.into(),
            version: 1,
            terms,
            high_water: now,
            last: None,
            created_by: "api".into(),
            created_at: now,
            updated_by: "api".into(),
            updated_at: now,
            write: "w".into(),
        }
    }

    #[test]
    fn a_database_is_promised_what_its_busiest_schedule_does() {
        let mut paused = schedule("paused", "*/5 * * * *", None);
        paused.terms.paused = true;
        let all = [
            schedule("nightly", "0 2 * * *", None),
            schedule("hourly", "30 * * * *", None),
            schedule("some", "*/10 * * * *", Some(vec!["users".into()])),
            schedule("broken", "never", None),
            paused,
        ];
        let promised = promises(&all, DateTime::from_millis(NOW_MS));
        let now = at(DateTime::from_millis(NOW_MS));
        assert_eq!(promised.len(), 1);
        assert_eq!(promised["lucid"], Promise { interval_seconds: 3_600.0, next_due_at: now + 1_800.0 });
        let nightly = promises(&all[..1], DateTime::from_millis(NOW_MS));
        assert_eq!(nightly["lucid"], Promise { interval_seconds: 86_400.0, next_due_at: now + 18.0 * 3_600.0 });
    }

    #[test]
    fn a_schedule_tells_what_became_of_its_newest_time() {
        let mut one = schedule("hourly", "0 * * * *", None);
        let now = DateTime::from_millis(NOW_MS);
        let due = Plan { next_due_at: Some(at(now) + 3_600.0), ..Plan::default() };
        assert_eq!(plan(&one, now), due);
        one.last = Some(Outcome { planned_at: now, job: None, skipped: Some("no such database".into()) });
        let told = Plan { last_planned_at: Some(at(now)), made_job: Some(false), ..due };
        assert_eq!(plan(&one, now), told);
        one.last = Some(Outcome { planned_at: now, job: Some(JobId::compose(Kind::Backup, now, 1)), skipped: None });
        one.terms.paused = true;
        let told = Plan { is_paused: true, next_due_at: None, made_job: Some(true), ..told };
        assert_eq!(plan(&one, now), told);
    }

    #[test]
    fn a_new_process_does_not_know_how_the_jobs_before_it_ended() {
        let now = DateTime::from_millis(NOW_MS);
        let mut one = schedule("hourly", "0 * * * *", None);
        let mut plans = Plans::default();
        assert_eq!(plans.ended(&one), Some(Ok(())), "it never came due");
        one.last = Some(Outcome { planned_at: now, job: Some(JobId::compose(Kind::Backup, now, 1)), skipped: None });
        assert_eq!(plans.ended(&one), None, "its job runs, or the one before failed");
        plans.ended.insert("hourly".into(), Err("no space".into()));
        assert_eq!(plans.ended(&one), Some(Err("no space".into())));
    }
}
