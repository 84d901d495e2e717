//! What the rules about members go by, made of the newest samples and of earlier ones.

use crate::Seen;
use lucid_core::rules::facts::members::{Answer, Figures, Latency, Member, Members};
use lucid_ports::members::{self as ports, Counts, Histogram, Oplog, Peer, Sample, Server, Set, Snapshot};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

const PRIMARY: i64 = 1;
const ARBITER: i64 = 7;
const DOWN: i64 = 8;
/// Rates are told over so long, once so much is known.
const RATES_OVER: Duration = Duration::from_secs(300);
/// Of the past for rates, a look is kept so often.
const KEPT_EVERY: Duration = Duration::from_secs(30);
/// Elections are counted over so long.
const ELECTIONS_OVER: Duration = Duration::from_secs(3_600);

mod trend;

use trend::Trend;

/// What a monitor remembers of earlier looks: for rates, for trends, and since when something is so.
#[derive(Debug, Clone, Default)]
pub struct Trail {
    /// Earlier looks, oldest first; at most one is older than rates need.
    looks: VecDeque<(Instant, Snapshot)>,
    /// Each term when it was seen first, oldest first; at most one is older than elections are counted.
    terms: VecDeque<(Instant, i64)>,
    /// The state of each member, and since when.
    states: BTreeMap<String, (i64, Instant)>,
    /// How full disks were.
    disks: BTreeMap<String, Trend>,
}

impl Trail {
    /// What is known at this time by the monitor on this node. Where monitors live is for others to fill in.
    pub fn facts(&mut self, now: Instant, seen: &Seen, monitor: &str) -> Members {
        let snapshot = &seen.members;
        let nothing = Snapshot::default();
        let earlier = self.looks.front().map_or(&nothing, |(_, snapshot)| snapshot);
        let mut facts = members(snapshot, earlier, monitor);
        self.keep(now, snapshot);
        self.elections(now, snapshot);
        facts.elections = self.terms.front().zip(self.terms.back()).map(|((_, before), (_, last))| last - before);
        for (address, member) in &mut facts.members {
            if let Answer::Figures(figures) = &mut member.answer {
                figures.state_seconds = self.state_seconds(now, address, figures.state);
                let disk = self.disks.entry(address.clone()).or_default();
                figures.disk_percent_tomorrow = figures.disk_percent.and_then(|percent| disk.in_a_day(now, percent));
            }
        }
        facts
    }

    /// Keeps this look for rates, and forgets what they don't need any more.
    fn keep(&mut self, now: Instant, snapshot: &Snapshot) {
        let is_due = |(at, _): &(Instant, Snapshot)| now.duration_since(*at) >= KEPT_EVERY;
        if self.looks.back().is_none_or(is_due) {
            let kept = Snapshot { members: snapshot.members.clone(), collections: None };
            self.looks.push_back((now, kept));
        }
        while self.looks.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= RATES_OVER) {
            self.looks.pop_front();
        }
        // Of members that have left the set nothing is remembered.
        self.states.retain(|address, _| snapshot.members.contains_key(address));
        self.disks.retain(|address, _| snapshot.members.contains_key(address));
    }

    fn elections(&mut self, now: Instant, snapshot: &Snapshot) {
        let term = snapshot.answering().filter_map(|(_, member)| member.set.as_ref()?.term).max();
        // Who was cut off may know less than was known before.
        let is_newer = |term: &i64| self.terms.back().is_none_or(|(_, known)| term > known);
        if let Some(term) = term.filter(is_newer) {
            self.terms.push_back((now, term));
        }
        while self.terms.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= ELECTIONS_OVER) {
            self.terms.pop_front();
        }
    }

    fn state_seconds(&mut self, now: Instant, address: &str, state: Option<i64>) -> f64 {
        let Some(state) = state else { return 0.0 };
        let known = self.states.entry(address.to_owned()).or_insert((state, now));
        if known.0 != state {
            *known = (state, now);
        }
        now.duration_since(known.1).as_secs_f64()
    }
}

/// What these samples show beside earlier ones. Elections, how long states last and trends need more than two looks: they are left out.
pub fn members(now: &Snapshot, earlier: &Snapshot, monitor: &str) -> Members {
    let lags: BTreeMap<&str, f64> = now.view().into_iter().flat_map(Set::lags).collect();
    let member = |(address, sample): (&String, &Option<std::sync::Arc<Sample>>)| {
        let before = earlier.members.get(address).and_then(Option::as_deref);
        let answer = match sample.as_deref() {
            None => Answer::Unasked,
            Some(Sample { answer: Err(reason), .. }) => Answer::Silence(reason.clone()),
            Some(Sample { answer: Ok(member), at, .. }) => {
                let passed = before.and_then(|before| Passed::between(before, *at));
                let figures =
                    Figures { lag_seconds: lags.get(address.as_str()).copied(), ..figures(member, passed.as_ref()) };
                Answer::Figures(Box::new(figures))
            }
        };
        let votes = now.view().and_then(|view| view.members.get(address)?.votes);
        (address.clone(), Member { answer, is_seen: is_seen(now, address), votes })
    };
    let set = now.answering().find_map(|(_, member)| member.hello.set.clone());
    let members = now.members.iter().map(member).collect();
    Members { monitor: monitor.to_owned(), set, members, elections: None, monitors: None }
}

/// The databases that there are, and the bytes that each takes on disk, as far as its collections were measured; none where nobody has.
pub fn databases(seen: &Seen) -> Option<BTreeMap<String, i64>> {
    let collections = seen.members.collections.as_ref()?;
    let mut databases: BTreeMap<String, i64> = collections.databases.iter().map(|name| (name.clone(), 0)).collect();
    for collection in &collections.largest {
        let bytes = databases.entry(collection.database.clone()).or_default();
        *bytes = bytes.saturating_add(collection.storage_bytes).saturating_add(collection.index_bytes);
    }
    Some(databases)
}

/// Seconds that the oplog of the primary keeps, or without one the longest; none where nobody tells.
pub fn oplog_window(seen: &Seen) -> Option<f64> {
    let window = |oplog: &Oplog| Some(oplog.newest_at? - oplog.oldest_at?);
    let told =
        seen.answering().filter_map(|(_, member)| Some((member.hello.is_primary, window(member.oplog.as_ref()?)?)));
    told.max_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))).map(|(_, window)| window)
}

/// Seconds by which the change stream of this process is behind the newest operation of the primary, or without one of whoever is furthest,
/// as they were sampled; none where nobody tells either.
pub fn stream_lag(seen: &Seen) -> Option<f64> {
    let told = seen.answering().filter_map(|(_, member)| Some((member.hello.is_primary, member.oplog?.newest_at?)));
    let newest = told.max_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)))?.1;
    // It may have come further since.
    Some((newest - seen.stream_at?).max(0.0))
}

/// Whether a member that answers finds this other one well.
fn is_seen(now: &Snapshot, address: &str) -> Option<bool> {
    let others = now.answering().filter(|(other, _)| *other != address);
    let told = others.filter_map(|(_, other)| other.set.as_ref()?.members.get(address)).map(is_well);
    told.reduce(|one, other| one || other)
}

fn is_well(peer: &Peer) -> bool {
    peer.is_healthy != Some(false) && peer.state != Some(DOWN)
}

/// A member as it was, and the seconds since.
struct Passed<'a> {
    server: &'a Server,
    seconds: f64,
}

impl<'a> Passed<'a> {
    fn between(before: &'a Sample, now: Instant) -> Option<Self> {
        let server = before.answer.as_ref().ok()?.server.as_ref()?;
        let seconds = now.checked_duration_since(before.at)?.as_secs_f64();
        (seconds > 0.0).then_some(Self { server, seconds })
    }

    /// How much a count grows in a second; none where the server was started meanwhile.
    fn rate(&self, now: &Server, count: impl Fn(&Server) -> Option<i64>) -> Option<f64> {
        let grown = count(now)?.checked_sub(count(self.server)?).filter(|grown| *grown >= 0)?;
        Some(number(grown) / self.seconds)
    }
}

fn figures(member: &ports::Member, passed: Option<&Passed<'_>>) -> Figures {
    let server = member.server.as_ref();
    let rate = |count: fn(&Server) -> Option<i64>| passed?.rate(server?, count);
    let state = member.set.as_ref().and_then(|set| set.state).or(member.hello.is_arbiter.then_some(ARBITER));
    let oplog = member.oplog.as_ref();
    let cache = |part: &str| percent(server?.cache.get(part).copied()?, server?.cache.get("max").copied()?);
    Figures {
        is_primary: member.hello.is_primary,
        knows_primary: member.set.as_ref().map(knows_primary),
        is_arbiter: member.hello.is_arbiter,
        state,
        oplog_window_seconds: oplog.and_then(|Oplog { oldest_at, newest_at, .. }| Some((*newest_at)? - (*oldest_at)?)),
        oplog_percent: oplog.and_then(|Oplog { bytes, max_bytes, .. }| percent((*bytes)?, (*max_bytes)?)),
        connections_percent: server.and_then(connections),
        queued: server.and_then(|server| sum(&server.queued)),
        cursors: server.and_then(|server| server.cursors.get("total").copied()).map(number),
        cursors_timed_out_per_minute: rate(|server| server.cursors_timed_out).map(|second| second * 60.0),
        cache_percent: cache("used"),
        dirty_percent: cache("dirty"),
        app_evictions_per_second: rate(|server| server.app_evictions),
        is_flow_controlled: server.and_then(|server| server.flow_control_lagged),
        latencies: server.zip(passed).map(|(now, passed)| latencies(now, passed.server)).unwrap_or_default(),
        disk_percent: member.disk.and_then(|disk| percent(disk.used_bytes?, disk.total_bytes?)),
        refused: member.refused.keys().map(|part| (*part).to_owned()).collect::<BTreeSet<_>>(),
        ..Figures::default()
    }
}

fn knows_primary(set: &Set) -> bool {
    set.members.values().any(|peer| peer.state == Some(PRIMARY) && is_well(peer))
}

fn connections(server: &Server) -> Option<f64> {
    let (current, available) = (*server.connections.get("current")?, *server.connections.get("available")?);
    percent(current, current.saturating_add(available))
}

fn sum(counts: &Counts) -> Option<f64> {
    counts.values().copied().reduce(i64::saturating_add).map(number)
}

fn latencies(now: &Server, before: &Server) -> BTreeMap<&'static str, Latency> {
    let told = ["reads", "writes"]
        .into_iter()
        .filter_map(|class| Some((class, latency(now.latencies.get(class)?, before.latencies.get(class)?)?)));
    told.collect()
}

/// What was counted in between; within a bucket, operations are taken to be spread evenly. None where the server was started meanwhile.
fn latency(now: &Histogram, before: &Histogram) -> Option<Latency> {
    let operations = unsigned(now.count.checked_sub(before.count)?);
    let (mut from, mut below) = (0.0, 0.0);
    let rank = operations * 0.99;
    for ((end, now), (_, before)) in now.buckets().zip(before.buckets()) {
        let until = unsigned(now.checked_sub(before)?);
        if until >= rank && until > below {
            return Some(Latency { operations, p99_seconds: from + (end - from) * (rank - below) / (until - below) });
        }
        (from, below) = (end, until);
    }
    Some(Latency { operations, p99_seconds: if operations > 0.0 { from } else { 0.0 } })
}

fn percent(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * number(part) / number(whole))
}

#[allow(clippy::cast_precision_loss)] // Exact to 2^53.
const fn number(count: i64) -> f64 {
    count as f64
}

#[allow(clippy::cast_precision_loss)] // Exact to 2^53.
const fn unsigned(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
