//! Rules about the members of the set: they need nothing but the samples of a monitor.

mod measures;
mod table;

pub use table::{
    APP_EVICTIONS, CACHE_DIRTY, CACHE_USED, CONNECTIONS, CURSORS_OPEN, CURSORS_TIMED_OUT, DISK_FILLING, DISK_SPACE,
    ELECTIONS, FLOW_CONTROL, LATENCY, MEMBER_DOWN, MEMBER_ROLLBACK, MEMBER_STATE, MEMBER_SYNCING,
    MONITOR_BESIDE_PRIMARY, MONITOR_BLIND, NO_MAJORITY, NO_PRIMARY, OPLOG_WINDOW, QUEUED_OPERATIONS,
    REPLICATION_HEADROOM, REPLICATION_LAG, RIGHTS_MISSING,
};

use super::{
    Parameters, Reading, Rule, Verdict,
    facts::members::{Answer, Figures, Member, Members},
};
use lucid_schemas::alert::Severity;
use std::collections::BTreeMap;

const STARTUP2: i64 = 5;
const ROLLBACK: i64 = 9;
/// Who is behind by less has lost nothing yet, however little the oplogs keep: those of a new set are short.
const HEADROOM_FROM_SECONDS: f64 = 30.0;
/// States in which all is well, and those that have rules of their own.
const KNOWN_STATES: [i64; 5] = [1, 2, STARTUP2, 7, ROLLBACK];

/// Rules about the set as a whole.
const OF_SET: [&Rule; 4] = [&NO_MAJORITY, &NO_PRIMARY, &ELECTIONS, &MONITOR_BESIDE_PRIMARY];
/// Every rule about members.
pub static RULES: [&Rule; 24] = [
    &MONITOR_BLIND,
    &NO_MAJORITY,
    &NO_PRIMARY,
    &ELECTIONS,
    &MEMBER_DOWN,
    &MEMBER_STATE,
    &MEMBER_SYNCING,
    &MEMBER_ROLLBACK,
    &REPLICATION_LAG,
    &REPLICATION_HEADROOM,
    &OPLOG_WINDOW,
    &CONNECTIONS,
    &QUEUED_OPERATIONS,
    &CURSORS_OPEN,
    &CURSORS_TIMED_OUT,
    &CACHE_USED,
    &CACHE_DIRTY,
    &APP_EVICTIONS,
    &FLOW_CONTROL,
    &LATENCY,
    &DISK_SPACE,
    &DISK_FILLING,
    &RIGHTS_MISSING,
    &MONITOR_BESIDE_PRIMARY,
];

/// What every rule says of every subject. Where no member answers, nothing is claimed but that.
pub fn read(facts: &Members, parameters: &Parameters) -> Vec<Reading> {
    let mut readings =
        vec![Reading { rule: &MONITOR_BLIND, labels: label("monitor", &facts.monitor), verdict: blind(facts) }];
    if facts.answering().next().is_none() {
        readings.extend(RULES.into_iter().filter(|rule| **rule != MONITOR_BLIND).map(Reading::unknown));
    } else {
        readings.extend(set(facts, parameters));
        let longest_oplog = facts.answering().filter_map(|(_, figures)| figures.oplog_window_seconds).reduce(f64::max);
        for (address, member) in &facts.members {
            let reading = |rule, verdict| Reading { rule, labels: label("member", address), verdict };
            readings.push(reading(&MEMBER_DOWN, down(address, member)));
            let figures = match &member.answer {
                Answer::Figures(figures) => Some(&**figures),
                Answer::Unasked | Answer::Silence(_) => None,
            };
            let states = states(address, figures, parameters);
            readings.extend(states.map(|(rule, verdict)| reading(rule, verdict)));
            if figures.is_none_or(|figures| !figures.is_arbiter) {
                let lag = lag(address, figures, longest_oplog, parameters);
                readings.extend(lag.map(|(rule, verdict)| reading(rule, verdict)));
                readings.extend(measures::read(address, figures, parameters));
            }
        }
    }
    readings.retain(|reading| parameters.counts(reading));
    readings
}

fn blind(facts: &Members) -> Verdict {
    if !facts.is_blind() {
        let is_known = facts.answering().next().is_some();
        return if is_known { Verdict::Right } else { Verdict::Unknown };
    }
    let (monitor, members) = (&facts.monitor, facts.members.len());
    let summary =
        format!("none of {members} members answers the monitor on '{monitor}': the set is down, or it is cut off");
    wrong(Severity::Critical, summary)
}

/// Of the set as a whole. Nobody can tell where no member names it: one that was started is silent about it until it has read its
/// configuration.
fn set(facts: &Members, parameters: &Parameters) -> Vec<Reading> {
    let Some(name) = &facts.set else { return OF_SET.map(Reading::unknown).into() };
    let elections = facts.elections.map_or(Verdict::Unknown, |elections| {
        let value = count(elections);
        parameters.limits(&ELECTIONS).judge(value, || format!("'{name}' has held {elections} elections within an hour"))
    });
    let verdicts = [
        (&NO_MAJORITY, majority(facts, name)),
        (&NO_PRIMARY, primary(facts, name)),
        (&ELECTIONS, elections),
        (&MONITOR_BESIDE_PRIMARY, beside_primary(facts)),
    ];
    let reading = |(rule, verdict)| Reading { rule, labels: label("rs", name), verdict };
    verdicts.into_iter().map(reading).collect()
}

/// Members that don't answer this monitor are up where others find them well, and while they weren't asked.
fn majority(facts: &Members, name: &str) -> Verdict {
    let Some(votes) = facts.members.values().map(|member| member.votes).sum::<Option<i64>>() else {
        return Verdict::Unknown;
    };
    let is_up = |member: &&Member| match member.answer {
        Answer::Unasked | Answer::Figures(_) => true,
        Answer::Silence(_) => member.is_seen == Some(true),
    };
    let up: i64 = facts.members.values().filter(is_up).filter_map(|member| member.votes).sum();
    if up * 2 > votes {
        return Verdict::Right;
    }
    wrong(Severity::Critical, format!("only {up} of {votes} votes of '{name}' are up: no primary can be elected"))
}

/// Claimed where members say so themselves, or a majority of them answers and none is it.
fn primary(facts: &Members, name: &str) -> Verdict {
    let knows = |wanted| facts.answering().any(|(_, figures)| figures.knows_primary == Some(wanted));
    if facts.answering().any(|(_, figures)| figures.is_primary) || knows(true) {
        return Verdict::Right;
    }
    if knows(false) || facts.answering().count() * 2 > facts.members.len() {
        return wrong(
            Severity::Critical,
            format!("'{name}' has no primary: nothing can be written, and no job goes on"),
        );
    }
    Verdict::Unknown
}

fn down(address: &str, member: &Member) -> Verdict {
    match &member.answer {
        Answer::Unasked => Verdict::Unknown,
        Answer::Figures(_) => Verdict::Right,
        Answer::Silence(reason) => {
            let others = if member.is_seen == Some(true) { ", though other members find it well" } else { "" };
            wrong(Severity::Critical, format!("{address} doesn't answer{others}: {reason}"))
        }
    }
}

fn states(address: &str, figures: Option<&Figures>, parameters: &Parameters) -> [(&'static Rule, Verdict); 3] {
    let Some((state, seconds)) = figures.and_then(|figures| Some((figures.state?, figures.state_seconds))) else {
        return [&MEMBER_STATE, &MEMBER_SYNCING, &MEMBER_ROLLBACK].map(|rule| (rule, Verdict::Unknown));
    };
    let when =
        |is_wrong: bool, summary: String| if is_wrong { wrong(Severity::Critical, summary) } else { Verdict::Right };
    let unusual = when(!KNOWN_STATES.contains(&state), format!("{address} is {}", state_name(state)));
    let rollback = when(state == ROLLBACK, format!("{address} undoes writes that no majority had"));
    let copying = if state == STARTUP2 { seconds } else { 0.0 };
    let syncing = parameters
        .limits(&MEMBER_SYNCING)
        .judge(copying, || format!("{address} has been copying all data of the set for {:.0} minutes", copying / 60.0));
    [(&MEMBER_STATE, unusual), (&MEMBER_SYNCING, syncing), (&MEMBER_ROLLBACK, rollback)]
}

fn state_name(state: i64) -> String {
    match state {
        0 => "starting, and doesn't get on".into(),
        3 => "recovering: it serves no reads".into(),
        10 => "no longer of the set".into(),
        other => format!("in state {other}: it serves nobody"),
    }
}

/// Nothing of who copies all data: that has a rule of its own.
fn lag(
    address: &str,
    figures: Option<&Figures>,
    longest_oplog: Option<f64>,
    parameters: &Parameters,
) -> [(&'static Rule, Verdict); 2] {
    let judged = figures.filter(|figures| figures.state != Some(STARTUP2)).and_then(|figures| figures.lag_seconds);
    let behind = judged.map_or(Verdict::Unknown, |lag| {
        parameters.limits(&REPLICATION_LAG).judge(lag, || format!("{address} is {lag:.0} s behind the primary"))
    });
    let headroom = judged.zip(longest_oplog).map_or(Verdict::Unknown, |(lag, window)| {
        let percent = if lag > HEADROOM_FROM_SECONDS { 100.0 * lag / window } else { 0.0 };
        parameters.limits(&REPLICATION_HEADROOM).judge(percent, || {
            format!(
                "{address} is {lag:.0} s behind, and no oplog keeps more than {window:.0} s: it may have to begin anew"
            )
        })
    });
    [(&REPLICATION_LAG, behind), (&REPLICATION_HEADROOM, headroom)]
}

/// Where all members share a node, no monitor could be elsewhere and still be near one.
fn beside_primary(facts: &Members) -> Verdict {
    let primary = facts.answering().find(|(_, figures)| figures.is_primary).map(|(address, _)| node(address));
    let (Some(monitors), Some(primary)) = (&facts.monitors, primary) else { return Verdict::Unknown };
    let are_apart = facts.members.keys().any(|address| node(address) != primary);
    match monitors.iter().next() {
        Some(only) if monitors.len() == 1 && are_apart && node(only) == primary => {
            let advice = "run `lucid-ops monitor` on another node, too";
            wrong(Severity::Warning, format!("the only monitor runs beside the primary, on '{only}': {advice}"))
        }
        Some(_) | None => Verdict::Right,
    }
}

/// The node of an address, or of a name with a domain or without.
fn node(address: &str) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let is_number = host.parse::<std::net::IpAddr>().is_ok();
    let name = if is_number { host } else { host.split('.').next().unwrap_or(host) };
    name.to_ascii_lowercase()
}

fn label(name: &str, value: &str) -> BTreeMap<String, String> {
    [(name.to_owned(), value.to_owned())].into()
}

const fn wrong(severity: Severity, summary: String) -> Verdict {
    Verdict::Wrong { severity, value: None, summary }
}

fn count(number: i64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // Exact for all that is counted here.
    let count = number as f64;
    count
}

#[cfg(test)]
mod measured_tests;
#[cfg(test)]
mod tests;
