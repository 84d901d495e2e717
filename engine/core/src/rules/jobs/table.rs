//! The rules about jobs as data.

use super::MINUTE_MS;
use crate::rules::{Limits, Rule};
use lucid_schemas::alert::{
    ResolvedBy::Condition,
    Severity::{Critical, Warning},
};

/// While nothing can be written, no job goes on.
const JOBS: Rule = Rule { inhibited_by: &["no_primary", "no_majority"], ..Rule::PLAIN };
const DATABASE: Rule = Rule { subject: &["database"], ..JOBS };
const SCHEDULE: Rule = Rule { subject: &["schedule"], ..JOBS };

/// The newest backup of a database failed; critical from the second one in a row.
pub static BACKUP_FAILED: Rule = Rule {
    id: "backup_failed",
    finds: "the newest backup of a database ended badly",
    severities: &[Warning, Critical],
    unit: "backups in a row",
    promql: "max by (database) (ops_backup_last_attempt_success) == 0",
    ..DATABASE
};
/// A schedule's backup didn't come.
pub static BACKUP_OVERDUE: Rule = Rule {
    id: "backup_overdue",
    for_ms: MINUTE_MS,
    finds: "no backup of a database since its schedule promised one",
    unit: "seconds",
    // After its time; or half the time until the next one, where that is less.
    limits: Limits::above(None, Some(43_200.0), None),
    ..DATABASE
};
/// A schedule's first backup didn't come.
pub static BACKUP_NEVER: Rule = Rule {
    id: "backup_never_succeeded",
    for_ms: MINUTE_MS,
    finds: "a database has a schedule, and no backup that succeeded",
    ..DATABASE
};
/// The newest verification failed.
pub static VERIFICATION_FAILED: Rule = Rule {
    id: "verification_failed",
    finds: "the newest verification of a database's backups ended badly",
    promql: "min by (database) (ops_verification_last_success) == 0",
    ..DATABASE
};
/// Jobs wait for a worker that isn't there.
pub static NO_WORKER: Rule = Rule {
    id: "no_worker",
    for_ms: MINUTE_MS,
    absent: Condition,
    finds: "jobs of a kind are due, and no live worker runs them",
    subject: &["kind"],
    promql: "max by (kind) (ops_workers_able) == 0 and on (kind) ops_oldest_due_job_age_seconds >= 0",
    ..JOBS
};
/// A job needs an operator, or isn't begun though it could be.
pub static JOB_STUCK: Rule = Rule {
    id: "job_stuck",
    absent: Condition,
    finds: "a job is blocked, or was due for long though workers run its kind",
    subject: &["job"],
    severities: &[Warning, Critical],
    unit: "seconds",
    limits: Limits::above(Some(3_600.0), None, None),
    promql: "max by (kind) (ops_oldest_due_job_age_seconds) > {limit} and on (kind) ops_workers_able > 0",
    ..JOBS
};
/// A schedule makes no jobs.
pub static SCHEDULE_REFUSED: Rule = Rule {
    id: "schedule_refused",
    finds: "a schedule's newest occurrence made no job, or it can't be read",
    ..SCHEDULE
};
/// A schedule rests for long.
pub static SCHEDULE_PAUSED: Rule = Rule {
    id: "schedule_paused",
    finds: "a schedule was paused days ago",
    severities: &[Warning],
    unit: "seconds",
    limits: Limits::above(Some(259_200.0), None, None),
    ..SCHEDULE
};
