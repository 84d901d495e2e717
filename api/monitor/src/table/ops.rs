//! Families of this service: jobs, workers, backups, verifications, repositories, and the process itself.

use super::{
    Family, Point,
    Type::{Counter, Gauge},
    family,
    fill::{flag, jobs, number, one, point},
};
use crate::{
    Seen,
    jobs::{Backup, Jobs, Space, Verification},
};

const DATABASE: &[&str] = &["database"];
const VERIFICATION: &[&str] = &["database", "level"];
const REPOSITORY: &[&str] = &["repository"];

#[rustfmt::skip] // A row is a row.
pub(super) const FAMILIES: &[Family] = &[
    family("ops_build_info", Gauge, "1", &["version"], "The version of this program; always 1.",
        |_| vec![point([env!("CARGO_PKG_VERSION")], 1.0)]),
    family("ops_store_up", Gauge, "0 or 1", &[], "Whether the store of jobs answers; where it is 0, nothing is told of jobs and backups.",
        |seen| one(flag(seen.jobs.is_ok()))),
    family("ops_jobs", Gauge, "jobs", &["kind", "state"], "Open jobs; of more than a thousand, the newest thousand are counted.",
        |seen| jobs(seen, |jobs| jobs.open.iter().map(|((kind, state), open)| point([kind.as_str(), state.as_str()], number(*open))).collect())),
    family("ops_oldest_due_job_age_seconds", Gauge, "seconds", &["kind"], "Since when the job is due that is due for longest, and nobody has begun.",
        |seen| jobs(seen, |jobs| jobs.due_seconds.iter().map(|(kind, age)| point([kind.as_str()], *age)).collect())),
    family("ops_workers", Gauge, "workers", &[], "Workers that were heard of in the last half minute.",
        |seen| jobs(seen, |jobs| one(number(jobs.workers)))),
    family("ops_worker_slots", Gauge, "jobs", &["state"], "Jobs that live workers can run at once, by whether they do.",
        |seen| jobs(seen, |jobs| vec![point(["busy"], number(jobs.slots_busy)), point(["free"], number(jobs.slots_free))])),
    family("ops_workers_able", Gauge, "workers", &["kind"], "Live workers that can run jobs of the kind.",
        |seen| jobs(seen, |jobs| jobs.able.iter().map(|(kind, workers)| point([kind.as_str()], number(*workers))).collect())),
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
    family("ops_verification_last_timestamp_seconds", Gauge, "seconds since 1970", VERIFICATION, "When a backup of the database was verified last, at each level; drill: restored and compared.",
        |seen| verifications(seen, |verification| verification.ended_at)),
    family("ops_verification_last_success", Gauge, "0 or 1", VERIFICATION, "Whether that verification found the backup whole.",
        |seen| verifications(seen, |verification| flag(verification.is_success))),
    family("ops_repository_up", Gauge, "0 or 1", REPOSITORY, "Whether the folder of the repository is there; of folders that this process was told of.",
        |seen| repositories(seen, |space| Some(flag(space.is_some())))),
    family("ops_repository_free_bytes", Gauge, "bytes", REPOSITORY, "What is free on the file system of the repository.",
        |seen| repositories(seen, |space| space.map(|space| space.free_bytes))),
    family("ops_repository_total_bytes", Gauge, "bytes", REPOSITORY, "Size of the file system of the repository.",
        |seen| repositories(seen, |space| space.map(|space| space.total_bytes))),
    family("process_cpu_seconds_total", Counter, "seconds", &[], "Processor time of this process.", |seen| one(seen.process.cpu_seconds)),
    family("process_resident_memory_bytes", Gauge, "bytes", &[], "Memory of this process.", |seen| one(seen.process.resident_bytes)),
    family("process_start_time_seconds", Gauge, "seconds since 1970", &[], "When this process was started.", |seen| one(seen.process.started_at)),
    family("process_threads", Gauge, "threads", &[], "Threads of this process.", |seen| one(seen.process.threads)),
    family("process_open_fds", Gauge, "files", &[], "Files that this process has open.", |seen| one(seen.process.open_files)),
    family("process_max_fds", Gauge, "files", &[], "Files that this process may open.", |seen| one(seen.process.open_files_max)),
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

fn repositories(seen: &Seen, value: impl Fn(Option<Space>) -> Option<f64>) -> Vec<Point> {
    let of = |jobs: &Jobs| {
        let told = jobs.repositories.iter().filter_map(|(name, space)| Some(point([name], value(*space)?)));
        told.collect()
    };
    jobs(seen, of)
}
