//! What is looked for, over all jobs: the same as the queries on MongoDB.

use super::document;
use crate::{JobFilter, ListPage, Reach};
use bson::DateTime;
use lucid_core::{Command, decide, may_claim, slots::Occupied};
use lucid_schemas::{Job, JobId, Kind, Stamp, State};
use std::{cmp::Reverse, time::Duration};

/// The open job that has a unique key.
pub(super) fn holder_of(jobs: Vec<Job>, key: &str) -> Option<JobId> {
    jobs.into_iter()
        .find(|job| !job.head.state.is_terminal() && job.request.unique_key.as_deref() == Some(key))
        .map(|job| job.request.id)
}

/// Lost jobs by the end of their leases, then due ones, best first.
pub(super) fn claimable(jobs: Vec<Job>, reach: &Reach, now: DateTime, limit: u32) -> Vec<Job> {
    let in_reach = jobs.into_iter().filter(|job| reach.covers(&job.request));
    let (mut lost, queued): (Vec<_>, Vec<_>) = in_reach
        .filter(|job| match job.head.state {
            State::Queued => is_due(job, now),
            State::Canceling | State::Committing if job.lease.is_none() => is_due(job, now),
            _ => is_held(job) && lease_is_over(job, now),
        })
        .partition(is_held);
    lost.retain(may_claim);
    lost.sort_by_key(lease_end);
    let mut due = queued;
    due.retain(|job| !reach.parks(job));
    due.sort_by_key(|job| job.head.rank_at.stored());
    lost.extend(due);
    lost.truncate(limit as usize);
    lost
}

/// How long until `run_at` comes or a lease ends, for the next of those that are still to come.
pub(super) fn next_due_in(jobs: &[Job], reach: &Reach, now: DateTime) -> Option<Duration> {
    let waiting =
        jobs.iter().filter(|job| reach.covers(&job.request) && (job.head.state == State::Queued || is_held(job)));
    let moments = waiting.flat_map(|job| [job.head.run_at.stored(), lease_end(job)]);
    let still_to_come = moments.flatten().filter(|at| *at > now);
    let soonest_ms = still_to_come.min()?.timestamp_millis() - now.timestamp_millis();
    Some(Duration::from_millis(u64::try_from(soonest_ms).unwrap_or(0)))
}

/// Held jobs that no claim may take over any more, and whose lease is over.
pub(super) fn expired(mut jobs: Vec<Job>, now: DateTime, limit: u32) -> Vec<Job> {
    jobs.retain(|job| lease_is_over(job, now) && decide(job, &Command::Expire).is_ok());
    jobs.sort_by_key(lease_end);
    jobs.truncate(limit as usize);
    jobs
}

/// Occupied slots, and who has them.
pub(super) fn occupied(jobs: &[Job]) -> Occupied {
    let slots = |job: &Job| job.head.holds.iter().map(|slot| (slot.clone(), job.id().clone())).collect::<Vec<_>>();
    jobs.iter().flat_map(slots).collect()
}

/// Jobs that wait for another one, oldest first.
pub(super) fn waiting(mut jobs: Vec<Job>, on: Option<&JobId>, limit: u32) -> Vec<Job> {
    jobs.retain(|job| {
        let after = job.request.after.as_ref().map(|after| &after.job);
        job.head.state == State::Waiting && (on.is_none() || after == on)
    });
    jobs.sort_by_key(|job| job.head.created_at.stored());
    jobs.truncate(limit as usize);
    jobs
}

/// Jobs that ended for so long that they may be deleted, oldest end first.
pub(super) fn forgettable(
    jobs: &[Job],
    (kind, state): (Kind, State),
    now: DateTime,
    older_ms: i64,
    limit: u32,
) -> Vec<JobId> {
    let before = DateTime::from_millis(now.timestamp_millis().saturating_sub(older_ms));
    let ended = |job: &&Job| job.head.finished_at.and_then(Stamp::stored).filter(|at| *at < before);
    let awaited = |id: &JobId| {
        jobs.iter().any(|job| {
            job.head.state == State::Waiting && job.request.after.as_ref().is_some_and(|after| after.job == *id)
        })
    };
    let mut old: Vec<&Job> = jobs
        .iter()
        .filter(|job| job.kind() == kind && job.head.state == state && ended(job).is_some() && !awaited(job.id()))
        .collect();
    old.sort_by_key(|job| (ended(job), job.id()));
    old.into_iter().take(limit as usize).map(|job| job.id().clone()).collect()
}

/// A page, newest first.
pub(super) fn list(mut jobs: Vec<Job>, filter: &JobFilter) -> ListPage {
    jobs.sort_by_key(|job| Reverse(age(job)));
    let after = filter.after.as_ref().map(|place| (Some(place.created_at), place.id.clone()));
    let follows = |job: &Job| after.as_ref().is_none_or(|after| age(job) < *after);
    let mut page: Vec<Job> = jobs.into_iter().filter(|job| follows(job) && matches(job, filter)).collect();
    let limit = filter.limit as usize;
    let more = limit > 0 && page.len() > limit;
    page.truncate(limit);
    ListPage { jobs: page, more }
}

fn matches(job: &Job, filter: &JobFilter) -> bool {
    let created_at = job.head.created_at.stored();
    filter.kind.is_none_or(|kind| job.kind() == kind)
        && (filter.states.is_empty() || filter.states.contains(&job.head.state))
        && filter.since.is_none_or(|since| created_at.is_some_and(|at| at >= since))
        && filter.until.is_none_or(|until| created_at.is_some_and(|at| at < until))
        && filter.label.as_ref().is_none_or(|label| job.request.requires.labels.contains(label))
        && filter.text.as_ref().is_none_or(|text| has_text(job, &text.to_ascii_lowercase()))
}

fn has_text(job: &Job, sought: &str) -> bool {
    let database = job.request.spec.database();
    let error = job.head.error.as_ref().map(|error| &error.message);
    let fields = [Some(job.id().as_str()), database.map(String::as_str), error.map(String::as_str)];
    let mut fields = fields.into_iter().flatten().chain([job.request.requested_by.as_str()]);
    fields.any(|field| field.to_ascii_lowercase().contains(sought))
}

fn age(job: &Job) -> (Option<DateTime>, JobId) {
    (job.head.created_at.stored(), job.id().clone())
}

fn is_held(job: &Job) -> bool {
    matches!(job.head.state, State::Running | State::Canceling | State::Committing)
}

fn is_due(job: &Job, now: DateTime) -> bool {
    job.head.run_at.stored().is_some_and(|run_at| run_at <= now)
}

fn lease_is_over(job: &Job, now: DateTime) -> bool {
    lease_end(job).is_none_or(|expires_at| document::lease_is_over(expires_at, now))
}

fn lease_end(job: &Job) -> Option<DateTime> {
    job.lease.as_ref().map(|lease| lease.expires_at).and_then(Stamp::stored)
}
