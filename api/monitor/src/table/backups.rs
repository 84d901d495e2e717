//! Families of backups, verifications, schedules and repositories.

use super::{
    Family, Point,
    Type::Gauge,
    family,
    fill::{flag, jobs, number, point},
};
use crate::{
    Seen,
    jobs::{
        Backup, Jobs, Space, Usual, Verification,
        plans::{Plan, Promise},
    },
};

const DATABASE: &[&str] = &["database"];
const VERIFICATION: &[&str] = &["database", "level"];
const SCHEDULE: &[&str] = &["schedule"];
const REPOSITORY: &[&str] = &["repository"];

#[rustfmt::skip] // A row is a row.
pub(super) const FAMILIES: &[Family] = &[
    family("ops_backup_last_success_timestamp_seconds", Gauge, "seconds since 1970", DATABASE, "The instant that the newest whole backup shows: what was written later would be lost.",
        |seen| backups(seen, |backup| backup.read_at)),
    family("ops_backup_last_duration_seconds", Gauge, "seconds", DATABASE, "How long the newest whole backup took.",
        |seen| backups(seen, |backup| backup.took_seconds)),
    family("ops_backup_last_size_bytes", Gauge, "bytes", DATABASE, "Documents in the newest whole backup.",
        |seen| backups(seen, |backup| backup.raw_bytes.map(number))),
    family("ops_backup_last_stored_bytes", Gauge, "bytes", DATABASE, "What the newest whole backup added to its repository.",
        |seen| backups(seen, |backup| backup.stored_bytes.map(number))),
    family("ops_backup_last_attempt_timestamp_seconds", Gauge, "seconds since 1970", DATABASE, "When the newest backup ended, well or not.",
        |seen| attempts(seen, |(ended_at, _)| *ended_at)),
    family("ops_backup_last_attempt_success", Gauge, "0 or 1", DATABASE, "Whether the newest backup ended well.",
        |seen| attempts(seen, |(_, is_success)| flag(*is_success))),
    family("ops_backup_usual_size_bytes", Gauge, "bytes", DATABASE, "Documents in a whole backup of the database: the median of the newest ten that succeeded; far less in the newest one may be a loss.",
        |seen| usual(seen, |usual| usual.raw_bytes)),
    family("ops_backup_usual_duration_seconds", Gauge, "seconds", DATABASE, "How long a whole backup of the database takes: the median of the newest ten that succeeded.",
        |seen| usual(seen, |usual| usual.took_seconds)),
    family("ops_backup_expected_interval_seconds", Gauge, "seconds", DATABASE, "From one backup of the whole database to the next, as the schedule promises that makes the most, around now; absent where none does.",
        |seen| promises(seen, |promise| promise.interval_seconds)),
    family("ops_backup_next_due_timestamp_seconds", Gauge, "seconds since 1970", DATABASE, "When a schedule backs the whole database up next.",
        |seen| promises(seen, |promise| promise.next_due_at)),
    family("ops_schedule_paused", Gauge, "0 or 1", SCHEDULE, "Whether the schedule rests.",
        |seen| plans(seen, |plan| Some(flag(plan.is_paused)))),
    family("ops_schedule_next_due_timestamp_seconds", Gauge, "seconds since 1970", SCHEDULE, "When it comes due next; absent while it rests, or where its times can't be read.",
        |seen| plans(seen, |plan| plan.next_due_at)),
    family("ops_schedule_last_due_timestamp_seconds", Gauge, "seconds since 1970", SCHEDULE, "For when the newest occurrence was planned that was dealt with.",
        |seen| plans(seen, |plan| plan.last_planned_at)),
    family("ops_schedule_last_made_job", Gauge, "0 or 1", SCHEDULE, "Whether that made a job: 0 where an earlier one was still open, or where it was refused.",
        |seen| plans(seen, |plan| plan.made_job.map(flag))),
    family("ops_schedule_last_success", Gauge, "0 or 1", SCHEDULE, "Whether the newest of its jobs that this monitor saw the end of ended well.",
        |seen| plans(seen, |plan| plan.last_success.map(flag))),
    family("ops_verification_last_timestamp_seconds", Gauge, "seconds since 1970", VERIFICATION, "When a backup of the database was verified last, at each level; drill: restored and compared.",
        |seen| verifications(seen, |verification| verification.ended_at)),
    family("ops_verification_last_success", Gauge, "0 or 1", VERIFICATION, "Whether that verification found the backup whole.",
        |seen| verifications(seen, |verification| flag(verification.is_success))),
    family("ops_repository_up", Gauge, "0 or 1", REPOSITORY, "Whether the repository is there: its folder, with its config in it and no other repository's; of folders that this process was told of.",
        |seen| repositories(seen, |space| Some(flag(space.is_some())))),
    family("ops_repository_free_bytes", Gauge, "bytes", REPOSITORY, "What is free on the file system of the repository.",
        |seen| repositories(seen, |space| space.map(|space| space.free_bytes))),
    family("ops_repository_total_bytes", Gauge, "bytes", REPOSITORY, "Size of the file system of the repository.",
        |seen| repositories(seen, |space| space.map(|space| space.total_bytes))),
];

fn backups(seen: &Seen, value: impl Fn(&Backup) -> Option<f64>) -> Vec<Point> {
    let of = |jobs: &Jobs| {
        let told = jobs.backups.iter().filter_map(|(database, backup)| Some(point([database], value(backup)?)));
        told.collect()
    };
    jobs(seen, of)
}

fn attempts(seen: &Seen, value: impl Fn(&(f64, bool)) -> f64) -> Vec<Point> {
    jobs(seen, |jobs| jobs.attempts.iter().map(|(database, attempt)| point([database], value(attempt))).collect())
}

fn verifications(seen: &Seen, value: impl Fn(&Verification) -> f64) -> Vec<Point> {
    let of = |jobs: &Jobs| {
        let all = jobs.verifications.iter();
        all.map(|((database, level), verification)| point([database, level], value(verification))).collect()
    };
    jobs(seen, of)
}

fn repositories(seen: &Seen, value: impl Fn(Option<&Space>) -> Option<f64>) -> Vec<Point> {
    let of = |jobs: &Jobs| {
        let told = jobs.repositories.iter();
        let told = told.filter_map(|(name, found)| Some(point([name], value(found.as_ref().ok())?)));
        told.collect()
    };
    jobs(seen, of)
}

fn usual(seen: &Seen, value: impl Fn(&Usual) -> Option<f64>) -> Vec<Point> {
    let of = |jobs: &Jobs| {
        let told = jobs.usual.iter().filter_map(|(database, usual)| Some(point([database], value(usual)?)));
        told.collect()
    };
    jobs(seen, of)
}

fn promises(seen: &Seen, value: impl Fn(&Promise) -> f64) -> Vec<Point> {
    let of = |jobs: &Jobs| {
        let promises = jobs.planned.promises.iter();
        promises.map(|(database, promise)| point([database], value(promise))).collect()
    };
    jobs(seen, of)
}

fn plans(seen: &Seen, value: impl Fn(&Plan) -> Option<f64>) -> Vec<Point> {
    let of = |jobs: &Jobs| {
        let told = jobs.planned.plans.iter().filter_map(|(name, plan)| Some(point([name], value(plan)?)));
        told.collect()
    };
    jobs(seen, of)
}
