//! The rules about jobs as data.

use super::MINUTE_MS;
use crate::rules::{Limits, Rule};
use lucid_schemas::alert::{
    ResolvedBy::Condition,
    Severity::{Critical, Warning},
};

/// While nothing can be written, no job goes on.
const NO_WRITES: &[&str] = &["no_primary", "no_majority"];
const DATABASE: Rule = Rule { subject: &["database"], ..Rule::PLAIN };
const SCHEDULE: Rule = Rule { subject: &["schedule"], ..Rule::PLAIN };
const REPOSITORY: Rule = Rule { subject: &["repository"], ..Rule::PLAIN };

/// The newest backup of a database failed; critical from the second one in a row.
pub static BACKUP_FAILED: Rule = Rule {
    id: "backup_failed",
    finds: "the newest backup of a database ended badly",
    severities: &[Warning, Critical],
    unit: "backups in a row",
    promql: "max by (database) (ops_backup_last_attempt_success) == 0",
    inhibited_by: NO_WRITES,
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
    promql: "time() - max by (database) (ops_backup_last_success_timestamp_seconds) \
             > max by (database) (ops_backup_expected_interval_seconds) \
             + clamp_max(max by (database) (ops_backup_expected_interval_seconds) / 2, {limit})",
    inhibited_by: NO_WRITES,
    ..DATABASE
};
/// A schedule's first backup didn't come.
pub static BACKUP_NEVER: Rule = Rule {
    id: "backup_never_succeeded",
    for_ms: MINUTE_MS,
    finds: "a database has a schedule, and no backup that succeeded",
    promql: "max by (database) (changes(ops_backup_next_due_timestamp_seconds[15d])) > 1 \
             unless on (database) ops_backup_last_success_timestamp_seconds",
    inhibited_by: NO_WRITES,
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
    inhibited_by: NO_WRITES,
    ..Rule::PLAIN
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
    promql: "max by (kind) (ops_oldest_due_job_age_seconds) > {limit} and on (kind) ops_workers_able > 0 \
             or max by (kind, state) (ops_jobs{state=\"blocked\"}) > 0",
    inhibited_by: NO_WRITES,
    ..Rule::PLAIN
};
/// A schedule makes no jobs.
pub static SCHEDULE_REFUSED: Rule = Rule {
    id: "schedule_refused",
    finds: "a schedule's newest occurrence made no job, or it can't be read",
    ..SCHEDULE
};
/// A schedule's jobs fail, of which no rule about databases tells.
pub static SCHEDULE_FAILED: Rule = Rule {
    id: "schedule_failed",
    finds: "the newest job of a schedule ended badly, and it isn't a backup of a whole database, of which backup_failed tells",
    severities: &[Warning],
    promql: "min by (schedule) (ops_schedule_last_success) == 0",
    inhibited_by: NO_WRITES,
    ..SCHEDULE
};
/// A schedule rests for long.
pub static SCHEDULE_PAUSED: Rule = Rule {
    id: "schedule_paused",
    finds: "a schedule was paused days ago",
    severities: &[Warning],
    unit: "seconds",
    limits: Limits::above(Some(259_200.0), None, None),
    promql: "min by (schedule) (min_over_time(ops_schedule_paused[3d])) == 1 \
             and on (schedule) ops_schedule_paused offset 3d == 1",
    ..SCHEDULE
};
/// A backup holds much less than those before.
pub static BACKUP_SHRUNK: Rule = Rule {
    id: "backup_shrunk",
    finds: "the newest backup of a database holds much less than those before it: data may have been lost",
    severities: &[Warning],
    unit: "percent of the usual",
    limits: Limits::below(Some(50.0), None, Some(60.0)),
    promql: "100 * max by (database) (ops_backup_last_size_bytes) / max by (database) (ops_backup_usual_size_bytes) < {limit}",
    ..DATABASE
};
/// A backup takes much longer than those before.
pub static BACKUP_SLOW: Rule = Rule {
    id: "backup_slow",
    finds: "the newest backup of a database took much longer than those before it",
    severities: &[Warning],
    unit: "percent of the usual",
    limits: Limits::above(Some(300.0), None, Some(200.0)),
    promql: "100 * max by (database) (ops_backup_last_duration_seconds) / max by (database) (ops_backup_usual_duration_seconds) > {limit} \
             and on (database) ops_backup_last_duration_seconds > 600",
    ..DATABASE
};
/// No backup was restored to try it.
pub static DRILL_OVERDUE: Rule = Rule {
    id: "drill_overdue",
    finds: "no backup of a database was restored to try it for long",
    severities: &[Warning],
    unit: "seconds",
    limits: Limits::above(Some(691_200.0), None, None),
    promql: "(time() - max by (database) (ops_verification_last_timestamp_seconds{level=\"drill\"}) > {limit}) \
             or (max by (database) (ops_backup_last_success_timestamp_seconds offset 8d) \
             unless on (database) ops_verification_last_timestamp_seconds{level=\"drill\"})",
    ..DATABASE
};
/// A database that nobody backs up.
pub static UNPROTECTED_DATABASE: Rule = Rule {
    id: "unprotected_database",
    for_ms: 10 * MINUTE_MS,
    finds: "a database has no backup, and no schedule that would make one",
    severities: &[Warning],
    promql: "sum by (database) (max by (database, collection) (mongodb_collection_size_bytes{database!~\"admin|config|lucid_ops\"})) >= 0 \
             unless on (database) ops_backup_last_success_timestamp_seconds \
             unless on (database) ops_backup_next_due_timestamp_seconds",
    ..DATABASE
};
/// A repository isn't there.
pub static REPOSITORY_GONE: Rule = Rule {
    id: "repository_gone",
    for_ms: MINUTE_MS,
    finds: "a repository isn't there: no backup can be made, verified or restored",
    promql: "min by (repository) (ops_repository_up) == 0",
    ..REPOSITORY
};
/// A repository's disk is nearly full.
pub static REPOSITORY_FULL: Rule = Rule {
    id: "repository_full",
    finds: "a repository has little space left",
    severities: &[Warning, Critical],
    unit: "percent free",
    limits: Limits::below(Some(15.0), Some(5.0), Some(18.0)),
    promql: "100 * min by (repository) (ops_repository_free_bytes) / max by (repository) (ops_repository_total_bytes) < {limit}",
    ..REPOSITORY
};
/// A repository's key isn't the right one.
pub static KEY_REFUSED: Rule = Rule {
    id: "key_refused",
    finds: "a repository refuses the jobs of a worker, mostly for its key: they fail until somebody mends that",
    ..REPOSITORY
};
/// The store doesn't answer.
pub static STORE_SILENT: Rule = Rule {
    id: "store_silent",
    for_ms: MINUTE_MS,
    absent: Condition,
    finds: "the store of jobs doesn't answer the monitor: nothing is known of jobs and backups",
    inhibited_by: &["no_primary", "no_majority", "monitor_blind"],
    promql: "max(ops_store_up) == 0",
    ..Rule::PLAIN
};
/// Something is wrong at a worker.
pub static WORKER_PROBLEM: Rule = Rule {
    id: "worker_problem",
    for_ms: 5 * MINUTE_MS,
    absent: Condition,
    finds: "a worker says that something is wrong at its node",
    subject: &["node"],
    severities: &[Warning],
    promql: "max(ops_workers_with_problems) > 0",
    inhibited_by: NO_WRITES,
    ..Rule::PLAIN
};
/// A worker's clock is wrong.
pub static CLOCK_SKEW: Rule = Rule {
    id: "clock_skew",
    for_ms: 5 * MINUTE_MS,
    absent: Condition,
    finds: "the clock of a worker's node differs from the primary's",
    subject: &["node"],
    severities: &[Warning],
    unit: "seconds",
    limits: Limits::above(Some(1.0), None, Some(0.5)),
    promql: "max(abs(ops_workers_clock_skew_seconds)) > {limit}",
    ..Rule::PLAIN
};
/// Workers lose their jobs.
pub static LEASES_LOST: Rule = Rule {
    id: "leases_lost",
    finds: "workers have lost several jobs within an hour, as they fell silent",
    severities: &[Warning],
    unit: "leases in an hour",
    limits: Limits::above(Some(3.0), None, Some(1.0)),
    promql: "sum(max by (kind) (increase(ops_leases_lost_total[1h]))) > {limit}",
    inhibited_by: NO_WRITES,
    ..Rule::PLAIN
};
/// The engine's own database is large.
pub static OWN_DATABASE_SIZE: Rule = Rule {
    id: "own_database_size",
    for_ms: 5 * MINUTE_MS,
    finds: "the engine's own database has become large",
    severities: &[Warning],
    unit: "bytes",
    limits: Limits::above(Some(2_147_483_648.0), None, Some(1_932_735_283.0)),
    promql: "sum by (database) (max by (database, collection) (mongodb_collection_storage_bytes{database=\"lucid_ops\"})) \
             + sum by (database) (max by (database, collection) (mongodb_collection_index_bytes{database=\"lucid_ops\"})) > {limit}",
    ..DATABASE
};
/// What has changed comes late.
pub static CHANGE_STREAM_LAG: Rule = Rule {
    id: "change_stream_lag",
    for_ms: 2 * MINUTE_MS,
    absent: Condition,
    finds: "the change stream of jobs is behind: what happens is seen late",
    severities: &[Warning, Critical],
    unit: "seconds",
    limits: Limits::above(Some(30.0), None, Some(20.0)),
    promql: "max(ops_change_stream_lag_seconds) > {limit}",
    inhibited_by: NO_WRITES,
    ..Rule::PLAIN
};
/// Monitors mean different things by one channel.
pub static CHANNEL_TORN: Rule = Rule {
    id: "channel_torn",
    for_ms: 5 * MINUTE_MS,
    finds: "monitors differ on a channel: whichever of them writes alerts decides who is told",
    subject: &["channel"],
    severities: &[Warning],
    promql: "max by (channel) (ops_channel_torn) == 1",
    ..Rule::PLAIN
};
