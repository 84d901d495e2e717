//! Families of the set, of oplogs and of collections.

use super::{
    Family, Point,
    Type::{Gauge, Histogram},
    Value, family,
    fill::{collections, members, number, point},
};
use crate::{Seen, health::health};
use lucid_ports::members::{Oplog, Peer, Set};

const RS: &[&str] = &["rs"];
const MEMBER: &[&str] = &["member"];
const COLLECTION: &[&str] = &["database", "collection"];
const LATENCY: &[&str] = &["member", "database", "collection", "op_type"];
const SECONDS_PER_HOUR: f64 = 3_600.0;

#[rustfmt::skip] // A row is a row.
pub(super) const FAMILIES: &[Family] = &[
    family("database_health_status", Gauge, "0 or 1", &["rs", "status"], "How the set and the service are: exactly one of healthy, degraded, critical and unknown is 1.", status),
    family("mongodb_replset_members", Gauge, "members", RS, "Members of the set, whether they answer or not.",
        |seen| of_set(seen, i64::try_from(seen.members.members.len()).ok().map(number))),
    family("mongodb_replset_writable_primaries", Gauge, "members", RS, "Members that say that they take writes: 1, unless none is elected.",
        |seen| of_set(seen, i64::try_from(seen.answering().filter(|(_, member)| member.hello.is_primary).count()).ok().map(number))),
    family("mongodb_replset_term", Gauge, "elections", RS, "The newest term; each election has one.",
        |seen| of_set(seen, seen.answering().filter_map(|(_, member)| member.set.as_ref()?.term).max().map(number))),
    family("mongodb_replset_last_election_timestamp_seconds", Gauge, "seconds since 1970", RS, "When the primary was elected.",
        |seen| of_set(seen, seen.members.view().and_then(|view| view.elected_at))),
    family("mongodb_replset_config_version", Gauge, "versions", RS, "The newest version of the set's configuration.",
        |seen| of_set(seen, seen.answering().filter_map(|(_, member)| member.hello.config_version).max().map(number))),
    family("mongodb_replset_member_state", Gauge, "state", MEMBER, "What the member says that it is: 1 primary, 2 secondary, 3 recovering, 5 startup2, 7 arbiter, 9 rollback, 10 removed.", state),
    family("mongodb_replset_member_replication_lag_seconds", Gauge, "seconds", MEMBER, "Behind the primary, or without one behind whoever is furthest, less what it lags behind on purpose.", lag),
    family("mongodb_replset_member_ping_seconds", Gauge, "seconds", MEMBER, "A heartbeat from the primary to the member and back.",
        |seen| peers(seen, |peer| peer.ping_seconds)),
    family("mongodb_replset_member_last_heartbeat_timestamp_seconds", Gauge, "seconds since 1970", MEMBER, "When the primary heard of the member last.",
        |seen| peers(seen, |peer| peer.heard_at)),
    family("mongodb_replset_member_votes", Gauge, "votes", MEMBER, "Votes of the member in elections.",
        |seen| peers(seen, |peer| peer.votes.map(number))),
    family("mongodb_oplog_window_seconds", Gauge, "seconds", MEMBER, "From the oldest to the newest entry of the oplog: who is away for longer must begin anew.",
        |seen| oplogs(seen, window)),
    family("mongodb_oplog_used_bytes", Gauge, "bytes", MEMBER, "Bytes of entries in the oplog.",
        |seen| oplogs(seen, |oplog| oplog.bytes.map(number))),
    family("mongodb_oplog_max_bytes", Gauge, "bytes", MEMBER, "Bytes above which the oldest entries go.",
        |seen| oplogs(seen, |oplog| oplog.max_bytes.map(number))),
    family("mongodb_oplog_bytes_per_hour", Gauge, "bytes", MEMBER, "What an hour takes in the oplog, on the average of its window.",
        |seen| oplogs(seen, |oplog| Some(number(oplog.bytes?) * SECONDS_PER_HOUR / window(oplog).filter(|window| *window > 0.0)?))),
    family("mongodb_collection_size_bytes", Gauge, "bytes", COLLECTION, "Documents of the collection, uncompressed; of the 500 largest.",
        |seen| collections(seen, |collection| collection.bytes)),
    family("mongodb_collection_storage_bytes", Gauge, "bytes", COLLECTION, "What they take on disk.",
        |seen| collections(seen, |collection| collection.storage_bytes)),
    family("mongodb_collection_free_bytes", Gauge, "bytes", COLLECTION, "Of that, what can be used again.",
        |seen| collections(seen, |collection| collection.free_bytes)),
    family("mongodb_collection_index_bytes", Gauge, "bytes", COLLECTION, "What its indexes take on disk.",
        |seen| collections(seen, |collection| collection.index_bytes)),
    family("mongodb_collection_documents", Gauge, "documents", COLLECTION, "Number of its documents.",
        |seen| collections(seen, |collection| collection.documents)),
    family("mongodb_collection_query_duration_seconds", Histogram, "seconds", LATENCY, "How long operations on the collection took at the member that was asked; where POST /monitor asked for it, of the 50 largest that are measured.", latencies),
    family("mongodb_collections_dropped", Gauge, "collections", &[], "Collections beyond the 500 largest, of which no sizes are told; of the databases that are measured.", dropped),
];

fn of_set(seen: &Seen, value: Option<f64>) -> Vec<Point> {
    // Nothing is told of a set that nobody knows.
    let known = seen.answering().any(|(_, member)| member.hello.set.is_some());
    value.filter(|_| known).map(|value| point([&seen.set_name()], value)).into_iter().collect()
}

fn status(seen: &Seen) -> Vec<Point> {
    let (name, is) = (seen.set_name(), health(seen).status);
    let states = lucid_schemas::http::health::Status::ALL.into_iter();
    states.map(|status| point([&name, status.as_str()], super::fill::flag(status == is))).collect()
}

fn state(seen: &Seen) -> Vec<Point> {
    const ARBITER: i64 = 7;
    members(seen, |member| {
        let told = member.set.as_ref().and_then(|set| set.state);
        told.or(member.hello.is_arbiter.then_some(ARBITER)).map(number)
    })
}

/// Only of those that answer: what others think of one that doesn't is the past.
fn lag(seen: &Seen) -> Vec<Point> {
    let lags = seen.members.view().into_iter().flat_map(Set::lags);
    lags.filter(|(address, _)| answers(seen, address)).map(|(address, lag)| point([address], lag)).collect()
}

fn peers(seen: &Seen, value: impl Fn(&Peer) -> Option<f64>) -> Vec<Point> {
    let peers = seen.members.view().into_iter().flat_map(|view| &view.members);
    let told = peers.filter(|(address, _)| answers(seen, address));
    told.filter_map(|(address, peer)| Some(point([address], value(peer)?))).collect()
}

fn answers(seen: &Seen, address: &str) -> bool {
    seen.answering().any(|(answering, _)| answering == address)
}

fn oplogs(seen: &Seen, value: impl Fn(&Oplog) -> Option<f64>) -> Vec<Point> {
    members(seen, |member| value(member.oplog.as_ref()?))
}

fn window(oplog: &Oplog) -> Option<f64> {
    Some(oplog.newest_at? - oplog.oldest_at?)
}

fn latencies(seen: &Seen) -> Vec<Point> {
    let mut points = Vec::new();
    let Some(known) = &seen.members.collections else { return points };
    for collection in &known.largest {
        let labels = [&known.member, &collection.database, &collection.name].map(Clone::clone);
        points.extend(collection.latencies.iter().map(|(class, histogram)| Point {
            labels: labels.iter().cloned().chain([(*class).to_owned()]).collect(),
            value: Value::Histogram((*histogram).into()),
        }));
    }
    points
}

fn dropped(seen: &Seen) -> Vec<Point> {
    let dropped = seen.members.collections.as_ref().and_then(|collections| i64::try_from(collections.dropped).ok());
    dropped.map(|dropped| point([], number(dropped))).into_iter().collect()
}
