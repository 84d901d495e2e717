//! What is known of backups: of jobs that backed up, and that verified.

use super::{Backup, USUAL_OF, Usual, Verification, moment};
use lucid_schemas::{EventBody, Job, JobId, Spec, State, VerifyLevel};
use std::collections::BTreeMap;

/// The database of each backup.
pub(super) fn databases(backups: &[Job]) -> BTreeMap<&JobId, &str> {
    backups.iter().filter_map(|job| Some((job.id(), backed_up(job)?.0))).collect()
}

/// The database of a backup, and whether all of it was wanted.
fn backed_up(job: &Job) -> Option<(&str, bool)> {
    match &job.request.spec {
        Spec::Backup(spec) => Some((&spec.database, spec.collections.is_none())),
        Spec::Restore(_)
        | Spec::Verify(_)
        | Spec::Prune(_)
        | Spec::Copy(_)
        | Spec::Reencrypt(_)
        | Spec::Monitor(_)
        | Spec::Notify(_) => None,
    }
}

pub(super) fn newest_whole(backups: &[Job]) -> BTreeMap<String, Backup> {
    let mut newest = BTreeMap::new();
    for (database, job) in whole(backups).filter(|(_, job)| job.fate.is_none()) {
        newest.entry(database.to_owned()).or_insert_with(|| told(job));
    }
    newest
}

/// Backups of whole databases that succeeded, whether they are still there or not.
fn whole(backups: &[Job]) -> impl Iterator<Item = (&str, &Job)> {
    let succeeded = backups.iter().filter(|job| job.head.state == State::Succeeded);
    succeeded
        .filter_map(|job| Some((backed_up(job)?, job)))
        .filter_map(|((database, all), job)| all.then_some((database, job)))
}

pub(super) fn usual(backups: &[Job]) -> BTreeMap<String, Usual> {
    let mut newest: BTreeMap<&str, Vec<Backup>> = BTreeMap::new();
    for (database, job) in whole(backups) {
        let known = newest.entry(database).or_default();
        if known.len() < USUAL_OF {
            known.push(told(job));
        }
    }
    let usual = |(database, backups): (&str, Vec<Backup>)| {
        #[allow(clippy::cast_precision_loss)] // Exact to 9 petabytes.
        let raw_bytes = median(backups.iter().filter_map(|backup| backup.raw_bytes).map(|bytes| bytes as f64));
        let took_seconds = median(backups.iter().filter_map(|backup| backup.took_seconds));
        (database.to_owned(), Usual { raw_bytes, took_seconds })
    };
    newest.into_iter().map(usual).collect()
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().saturating_sub(1) / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

fn told(job: &Job) -> Backup {
    let read_at = job.events.iter().rev().find_map(|event| match &event.body {
        EventBody::SnapshotTaken { cluster_time } => Some(f64::from(cluster_time.time)),
        _ => None,
    });
    let figure = |name: &str| job.head.result.as_ref().and_then(|result| result.get_i64(name).ok());
    Backup {
        job: job.id().to_string(),
        read_at: read_at.or_else(|| moment(job.head.finished_at)),
        took_seconds: moment(job.head.finished_at).zip(moment(job.head.started_at)).map(|(end, begun)| end - begun),
        raw_bytes: figure("raw_bytes"),
        stored_bytes: figure("stored_bytes"),
    }
}

pub(super) fn newest_attempts(backups: &[Job]) -> BTreeMap<String, (f64, bool)> {
    let mut newest = BTreeMap::new();
    for job in backups {
        if let (Some((database, true)), Some(ended_at)) = (backed_up(job), moment(job.head.finished_at)) {
            newest.entry(database.to_owned()).or_insert((ended_at, job.head.state == State::Succeeded));
        }
    }
    newest
}

pub(super) fn newest_verifications(
    verifications: &[Job],
    databases: &BTreeMap<&JobId, &str>,
) -> BTreeMap<(String, &'static str), Verification> {
    let mut newest = BTreeMap::new();
    for job in verifications {
        let Spec::Verify(spec) = &job.request.spec else { continue };
        let (Some(database), Some(ended_at)) = (databases.get(&spec.backup), moment(job.head.finished_at)) else {
            continue;
        };
        let (job, is_success) = (job.id().to_string(), job.head.state == State::Succeeded);
        let key = ((*database).to_owned(), level(spec.level));
        newest.entry(key).or_insert(Verification { job, ended_at, is_success });
    }
    newest
}

const fn level(level: VerifyLevel) -> &'static str {
    match level {
        VerifyLevel::Structure => "structure",
        VerifyLevel::Data => "data",
        VerifyLevel::Drill => "drill",
    }
}
