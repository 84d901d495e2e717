//! How all of it is, in one word: by the alerts that are open, and by whether anybody looks.
//!
//! Invariant: nobody is told that it is healthy unless a monitor has just said so.

use bson::DateTime;
use lucid_schemas::{
    Job, Spec, Stamp, State,
    alert::{Alert, Severity},
    http::health::Status,
};

/// So many intervals after its last round, a monitor's word isn't of the present any more.
const INTERVALS_FRESH: i64 = 3;
/// A round takes a while to be written, however short the interval is.
const FRESH_MS: i64 = 5_000;
/// An alert of which there is nothing to see for so long tells nothing any more.
const STALE_MS: i64 = 7 * 86_400_000;

/// What it is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Looked<'a> {
    /// What the primary's clock shows.
    pub now: DateTime,
    /// The newest monitor jobs.
    pub monitors: &'a [Job],
    /// Who has paused monitor jobs, and when, where somebody has.
    pub paused: Option<(&'a str, Option<DateTime>)>,
    /// Every alert that is open.
    pub open: &'a [Alert],
}

/// How all of it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// In one word.
    pub status: Status,
    /// Why, a sentence each.
    pub problems: Vec<String>,
    /// When a monitor has evaluated last, by the primary's clock.
    pub evaluated_at: Option<DateTime>,
}

/// Judges it.
pub fn condition(looked: &Looked<'_>) -> Condition {
    let evaluated_at = looked.monitors.iter().filter_map(evaluated_at).max();
    let mut problems: Vec<String> = unwatched(looked, evaluated_at).into_iter().collect();
    let is_watched = problems.is_empty();
    problems.extend(looked.open.iter().map(|alert| sentence(alert, looked.now)));
    let worst = looked.open.iter().map(|alert| alert.head.severity).max();
    let is_stale = |alert: &Alert| silent_ms(alert, looked.now).is_some_and(|ms| ms >= STALE_MS);
    let status = match worst {
        _ if !is_watched || looked.open.iter().any(is_stale) => Status::Unknown,
        None => Status::Healthy,
        Some(Severity::Warning) => Status::Degraded,
        Some(Severity::Critical) => Status::Critical,
    };
    Condition { status, problems, evaluated_at }
}

/// When a monitor job has evaluated last: its progress tells no more than that.
fn evaluated_at(job: &Job) -> Option<DateTime> {
    job.progress.as_ref().and_then(|progress| progress.updated_at)
}

/// Why nobody looks, and what to do.
fn unwatched(looked: &Looked<'_>, evaluated_at: Option<DateTime>) -> Option<String> {
    if let Some((by, since)) = looked.paused {
        let since = since.map(|at| format!(" since {}", text(at))).unwrap_or_default();
        return Some(format!(
            "monitoring is paused by {by}{since}, so nobody knows how it is: `lucid-ops queues resume monitor` lets it go on"
        ));
    }
    let Some(newest) = looked.monitors.first() else {
        return Some("no monitor has ever run, so nobody knows how it is: start `lucid-ops monitor`".into());
    };
    if newest.head.state == State::Canceled {
        let by = newest.events.last().map_or("somebody", |event| event.by.as_str());
        return Some(format!(
            "monitoring was ended by {by} ({}), so nobody knows how it is: `POST /monitor` at a monitor begins it again",
            newest.id()
        ));
    }
    let Spec::Monitor(spec) = &newest.request.spec else {
        return Some(format!("{} is no monitor job, which is a defect", newest.id()));
    };
    let fresh_ms = (i64::from(spec.interval_seconds) * 1_000 * INTERVALS_FRESH).max(FRESH_MS);
    let age_ms = evaluated_at.map(|at| looked.now.timestamp_millis().saturating_sub(at.timestamp_millis()));
    let who = newest.head.worker.as_deref().unwrap_or("none yet");
    match age_ms {
        Some(age_ms) if age_ms <= fresh_ms => None,
        Some(age_ms) => Some(format!(
            "the last monitor to write ({who}) has said nothing for {} s, so nobody knows how it is: see whether it runs, or start \
             `lucid-ops monitor`",
            age_ms / 1_000
        )),
        None => Some("no monitor has said anything yet, so nobody knows how it is: start `lucid-ops monitor`".into()),
    }
}

fn sentence(alert: &Alert, now: DateTime) -> String {
    let summary = &alert.seen.summary;
    match silent_ms(alert, now) {
        Some(ms) => format!("{summary} (as far as is known: there is nothing to see for {} s)", ms / 1_000),
        None => summary.clone(),
    }
}

/// For how long there is nothing to see.
fn silent_ms(alert: &Alert, now: DateTime) -> Option<i64> {
    let since = alert.seen.silent_since.and_then(Stamp::stored)?;
    Some(now.timestamp_millis().saturating_sub(since.timestamp_millis()))
}

fn text(at: DateTime) -> String {
    at.try_to_rfc3339_string().unwrap_or_default()
}

#[cfg(test)]
mod tests;
