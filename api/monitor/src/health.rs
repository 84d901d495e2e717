//! How the set and the service are, in one word and some sentences: of the newest samples alone.

use crate::Seen;
use lucid_ports::members::Set;
use lucid_schemas::State;
use serde::Serialize;

const PRIMARY: i64 = 1;
const SECONDARY: i64 = 2;
const ARBITER: i64 = 7;
/// A member that is further behind is worth a look.
const LAG_SECONDS_MAX: f64 = 60.0;

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing is wrong that can be seen.
    Healthy,
    /// It works, but somebody should look.
    Degraded,
    /// It doesn't work.
    Critical,
    /// Nobody knows: no sample, or none that is of the present.
    Unknown,
}

impl Status {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Degraded, Self::Critical, Self::Unknown];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

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
    /// What somebody should look at, a sentence each.
    pub problems: Vec<String>,
}

/// Judges what is seen.
pub fn health(seen: &Seen) -> Health {
    let (members, answering) = (seen.members.members.len(), seen.answering().count());
    let (status, problems) = judge(seen, members, answering);
    Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        set: seen.set_name(),
        members,
        answering,
        looked_seconds_ago: seen.looked_seconds_ago(),
        problems,
    }
}

fn judge(seen: &Seen, members: usize, answering: usize) -> (Status, Vec<String>) {
    if seen.looked_seconds_ago().is_none() {
        return (Status::Unknown, vec!["no member was looked at lately: the monitor has just begun, or hangs".into()]);
    }
    let mut problems = silent(seen);
    if answering == 0 {
        let blind =
            format!("none of the {members} members answers: the set is down, or this monitor is cut off from it");
        problems.insert(0, blind);
        return (Status::Unknown, problems);
    }
    let no_primary = has_no_primary(seen);
    problems.extend(no_primary.then(|| "the set has no primary, so nothing can be written".into()));
    problems.extend(states(seen));
    problems.extend(lags(seen));
    problems.extend(jobs(seen));
    problems.extend(seen.problems.iter().cloned());
    let status = match (no_primary, problems.is_empty()) {
        (true, _) => Status::Critical,
        (false, true) => Status::Healthy,
        (false, false) => Status::Degraded,
    };
    (status, problems)
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

fn states(seen: &Seen) -> impl Iterator<Item = String> {
    seen.answering().filter_map(|(address, member)| {
        let state = member.set.as_ref()?.state?;
        let named = match state {
            PRIMARY | SECONDARY | ARBITER => return None,
            3 => "recovering".to_owned(),
            5 => "loading its data".to_owned(),
            9 => "rolling back".to_owned(),
            10 => "no longer of the set".to_owned(),
            other => format!("in state {other}"),
        };
        Some(format!("{address} is {named}"))
    })
}

fn lags(seen: &Seen) -> impl Iterator<Item = String> {
    let late = seen.members.view().into_iter().flat_map(Set::lags).filter(|(_, lag)| *lag > LAG_SECONDS_MAX);
    let answers = |address: &str| seen.answering().any(|(answering, _)| answering == address);
    late.filter(move |(address, _)| answers(address)).map(|(address, lag)| format!("{address} is {lag:.0} s behind"))
}

fn jobs(seen: &Seen) -> Vec<String> {
    let jobs = match &seen.jobs {
        Ok(jobs) => jobs,
        Err(reason) => return vec![format!("nothing is known of jobs and backups: {reason}")],
    };
    let mut problems = Vec::new();
    if jobs.workers == 0 {
        problems.push("no worker is alive, so jobs wait: start one with `lucid-ops worker`".into());
    }
    let blocked: i64 = jobs.open.iter().filter(|((_, state), _)| *state == State::Blocked).map(|(_, open)| open).sum();
    if blocked > 0 {
        problems.push(format!("{blocked} blocked: `lucid-ops jobs list --state blocked` says which jobs, and why"));
    }
    let failed = jobs.attempts.iter().filter(|(_, (_, is_success))| !is_success);
    problems.extend(failed.map(|(database, _)| format!("the newest backup of '{database}' has failed")));
    let damaged = jobs.verifications.iter().filter(|(_, verification)| !verification.is_success);
    problems.extend(damaged.map(|((database, level), verification)| {
        format!("the newest verification ({level}) of a backup of '{database}' has failed: {}", verification.job)
    }));
    let gone = jobs.repositories.iter().filter(|(_, space)| space.is_none());
    problems.extend(gone.map(|(name, _)| format!("the folder of repository '{name}' isn't there: is it mounted?")));
    problems
}

#[cfg(test)]
mod tests;
