//! What jobs need: repositories, keys, workers, the store, and that nothing is left out.

use super::{
    CHANGE_STREAM_LAG, CHANNEL_TORN, CLOCK_SKEW, KEY_REFUSED, LEASES_LOST, OWN_DATABASE_SIZE, Parameters,
    REPOSITORY_FULL, REPOSITORY_GONE, UNPROTECTED_DATABASE, WORKER_PROBLEM, count, reading, wrong,
};
use crate::rules::{
    Reading, Rule, Verdict,
    facts::{Facts, Space, Worker},
};
use lucid_schemas::alert::Severity;
use std::collections::{BTreeMap, BTreeSet};

/// Databases of the server, which no backup of ours holds.
const SERVERS: [&str; 3] = ["admin", "config", "local"];
/// So many sentences of a node are told.
const SENTENCES_MAX: usize = 3;
const GIB: f64 = 1_073_741_824.0;

/// What the rules say of all of it.
pub(super) fn read(facts: &Facts, parameters: &Parameters) -> Vec<Reading> {
    let mut readings = repositories(facts, parameters);
    readings.extend(nodes(facts, parameters));
    readings.extend(databases(facts, parameters));
    let of_all = |rule: &'static Rule, verdict| Reading { rule, labels: BTreeMap::new(), verdict };
    let lost = facts.leases_lost.map_or(Verdict::Unknown, |lost| {
        let summary = || format!("workers have lost {lost} jobs within an hour, as they fell silent");
        parameters.limits(&LEASES_LOST).judge(count(lost), summary)
    });
    readings.push(of_all(&LEASES_LOST, lost));
    readings.push(of_all(&CHANGE_STREAM_LAG, stream(facts, parameters)));
    for (channel, difference) in &facts.channels {
        let verdict =
            difference.as_ref().map_or(Verdict::Right, |difference| wrong(Severity::Warning, None, difference.clone()));
        readings.push(reading(&CHANNEL_TORN, "channel", channel, verdict));
    }
    readings
}

fn repositories(facts: &Facts, parameters: &Parameters) -> Vec<Reading> {
    let mut readings = Vec::new();
    for (name, space) in &facts.repositories {
        let gone = format!("the repository '{name}' isn't there: is its disk mounted?");
        let verdict = if space.is_some() { Verdict::Right } else { wrong(Severity::Critical, None, gone) };
        readings.push(reading(&REPOSITORY_GONE, "repository", name, verdict));
        let full = space.map_or(Verdict::Unknown, |space| full(name, space, parameters));
        readings.push(reading(&REPOSITORY_FULL, "repository", name, full));
    }
    for name in facts.repositories.keys().chain(facts.keys_refused.keys()).collect::<BTreeSet<_>>() {
        let verdict = facts.keys_refused.get(name).map_or(Verdict::Right, |reason| {
            wrong(Severity::Critical, None, format!("the repository '{name}' refuses jobs: {reason}"))
        });
        readings.push(reading(&KEY_REFUSED, "repository", name, verdict));
    }
    readings
}

fn full(name: &str, Space { free_bytes, total_bytes }: Space, parameters: &Parameters) -> Verdict {
    let percent = if total_bytes > 0 { 100.0 * count(free_bytes) / count(total_bytes) } else { f64::NAN };
    parameters.limits(&REPOSITORY_FULL).judge(percent, || {
        format!("the repository '{name}' has {percent:.0} % of its disk left, {:.1} GiB", count(free_bytes) / GIB)
    })
}

/// Workers of one node share its clock and its troubles.
fn nodes(facts: &Facts, parameters: &Parameters) -> Vec<Reading> {
    let mut nodes: BTreeMap<&str, Vec<&Worker>> = BTreeMap::new();
    for worker in &facts.workers {
        nodes.entry(worker.name.split('/').next().unwrap_or_default()).or_default().push(worker);
    }
    let mut readings = Vec::new();
    for (node, workers) in nodes {
        let skew = workers.iter().filter_map(|worker| worker.clock_skew_ms).max_by_key(|skew| skew.unsigned_abs());
        let skewed = skew.map_or(Verdict::Unknown, |skew_ms| {
            let seconds = count(skew_ms) / 1_000.0;
            let side = if seconds < 0.0 { "behind" } else { "ahead of" };
            parameters.limits(&CLOCK_SKEW).judge(seconds.abs(), || {
                format!(
                    "the clock of '{node}' is {:.1} s {side} the primary's: is its time synchronised?",
                    seconds.abs()
                )
            })
        });
        readings.push(reading(&CLOCK_SKEW, "node", node, skewed));
        let problems: BTreeSet<&str> = workers.iter().flat_map(|worker| &worker.problems).map(String::as_str).collect();
        let verdict = if problems.is_empty() {
            Verdict::Right
        } else {
            let told = problems.iter().take(SENTENCES_MAX).copied().collect::<Vec<_>>().join("; ");
            wrong(Severity::Warning, None, format!("'{node}': {told}"))
        };
        readings.push(reading(&WORKER_PROBLEM, "node", node, verdict));
    }
    readings
}

/// Of those that were measured; where nobody has, nobody can tell.
fn databases(facts: &Facts, parameters: &Parameters) -> Vec<Reading> {
    let own = &facts.own_database;
    let Some(databases) = &facts.databases else {
        return [&UNPROTECTED_DATABASE, &OWN_DATABASE_SIZE].map(Reading::unknown).into();
    };
    let mut readings = Vec::new();
    for database in databases.keys().filter(|name| !SERVERS.contains(&name.as_str()) && *name != own) {
        let has_backup = facts.backups.get(database).is_some_and(|backups| backups.newest.is_some());
        let is_planned = facts.plans.iter().any(|plan| plan.backs_up.as_ref() == Some(database));
        let verdict = if has_backup || is_planned {
            Verdict::Right
        } else {
            let advice = "`lucid-ops schedules set` makes one, or name it as an exception of this rule";
            wrong(Severity::Warning, None, format!("'{database}' has no backup and no schedule: {advice}"))
        };
        readings.push(reading(&UNPROTECTED_DATABASE, "database", database, verdict));
    }
    if let Some(bytes) = databases.get(own) {
        let verdict = parameters
            .limits(&OWN_DATABASE_SIZE)
            .judge(count(*bytes), || format!("the engine's own database '{own}' takes {:.1} GiB", count(*bytes) / GIB));
        readings.push(reading(&OWN_DATABASE_SIZE, "database", own, verdict));
    }
    readings
}

/// Critical once half of what the oplog keeps is gone: what falls out of it is never seen.
fn stream(facts: &Facts, parameters: &Parameters) -> Verdict {
    let Some(lag) = facts.change_stream_lag_seconds else { return Verdict::Unknown };
    let summary = || format!("the change stream of jobs is {lag:.0} s behind");
    match parameters.limits(&CHANGE_STREAM_LAG).judge(lag, summary) {
        Verdict::Wrong { value, summary, .. }
            if facts.oplog_window_seconds.is_some_and(|window| lag > window / 2.0) =>
        {
            let summary = format!("{summary}, more than half of what the oplog keeps");
            Verdict::Wrong { severity: Severity::Critical, value, summary }
        }
        verdict => verdict,
    }
}
