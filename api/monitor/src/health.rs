//! How the set and the service are, in one word and some sentences.

use crate::Seen;
use lucid_core::condition::Condition;
use lucid_schemas::{alert::Severity, http::health::Status};
use serde::Serialize;

const PRIMARY: i64 = 1;

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// In one word.
    pub status: Status,
    /// Version of this program.
    pub version: &'static str,
    /// Name of the set; empty where nobody tells.
    pub set: String,
    /// Its members.
    pub members: usize,
    /// Of these, how many answer.
    pub answering: usize,
    /// Seconds since the newest look at any member.
    pub looked_seconds_ago: Option<f64>,
    /// When a monitor has evaluated last, RFC 3339, by the primary's clock; absent where nobody can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluated_at: Option<String>,
    /// What somebody should look at, a sentence each.
    pub problems: Vec<String>,
}

/// Judges what is seen: by the alerts that are open, as the store has them; where it can't tell, by the members alone.
pub fn health(seen: &Seen) -> Health {
    let condition = match &seen.jobs {
        Ok(jobs) => jobs.watch.condition(jobs.now()),
        Err(reason) => without_store(seen, reason),
    };
    let found = seen.found.iter().map(|found| found.summary.clone());
    Health {
        status: with_found(condition.status, seen).at_best_degraded(!seen.problems.is_empty()),
        version: env!("CARGO_PKG_VERSION"),
        set: seen.set_name(),
        members: seen.members.members.len(),
        answering: seen.answering().count(),
        looked_seconds_ago: seen.looked_seconds_ago(),
        evaluated_at: condition.evaluated_at.map(|at| at.try_to_rfc3339_string().unwrap_or_default()),
        problems: found.chain(condition.problems).chain(seen.problems.iter().cloned()).collect(),
    }
}

/// The same where this monitor has found what isn't written yet, or can't be. While somebody has paused monitoring, nobody knows.
fn with_found(status: Status, seen: &Seen) -> Status {
    let worst = seen.found.iter().map(|found| found.severity).max();
    let is_paused = seen.jobs.as_ref().is_ok_and(|jobs| jobs.watch.paused.is_some());
    match (status, worst) {
        (Status::Unknown, Some(Severity::Critical)) if !is_paused => Status::Critical,
        (Status::Healthy | Status::Degraded, Some(Severity::Critical)) => Status::Critical,
        (Status::Healthy, Some(Severity::Warning)) => Status::Degraded,
        (status, _) => status,
    }
}

/// Whatever is open, nobody can read it: but that there is no primary, the members say themselves.
fn without_store(seen: &Seen, reason: &str) -> Condition {
    let mut problems = vec![format!("nothing is known of alerts, jobs and backups: {reason}")];
    problems.extend(silent(seen));
    let has_no_primary = has_no_primary(seen);
    if has_no_primary {
        problems.insert(0, "the set has no primary, so nothing can be written".into());
    }
    if seen.answering().count() == 0 {
        problems.insert(0, "no member answers: the set is down, or this monitor is cut off from it".into());
    }
    let status = if has_no_primary { Status::Critical } else { Status::Unknown };
    Condition { status, problems, evaluated_at: None }
}

fn silent(seen: &Seen) -> Vec<String> {
    let places = seen.members.members.iter();
    let silent = places.filter_map(|(address, sample)| match sample.as_deref().map(|sample| &sample.answer) {
        None => Some(format!("{address} wasn't looked at lately")),
        Some(Err(reason)) => Some(format!("{address} doesn't answer: {reason}")),
        Some(Ok(_)) => None,
    });
    silent.collect()
}

/// None says that it is the primary, nor that it knows one. Somebody without a set needs none.
fn has_no_primary(seen: &Seen) -> bool {
    let in_set = seen.answering().any(|(_, member)| member.hello.set.is_some());
    let is_primary = seen.answering().any(|(_, member)| member.hello.is_primary);
    let knows_one = || {
        let views = seen.answering().filter_map(|(_, member)| member.set.as_ref());
        views.flat_map(|view| view.members.values()).any(|peer| peer.state == Some(PRIMARY))
    };
    in_set && !is_primary && !knows_one()
}

#[cfg(test)]
mod tests;
