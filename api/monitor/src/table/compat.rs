//! The names that public dashboards read which were made for the exporter of Percona (`--compat-metrics`): the same figures once more,
//! under its names, with its labels and in its units, but with types.
//!
//! Each series has the label `member`, too, where it tells of one. Where a name is one of ours with other labels, ours has theirs as well.
//! What no server of today counts any more (record moves, preloading) is absent.

use super::{
    Family, Point,
    Type::{Counter, Gauge},
    family,
    fill::{count, counted, members, number, of_servers, point},
};
use crate::Seen;
use lucid_ports::members::{Counts, Histogram, Peer, Server};

const MEMBER: &[&str] = &["member"];
const BY_TYPE: &[&str] = &["member", "type"];
const BY_STATE: &[&str] = &["member", "state"];
const OF_SET: &[&str] = &["set", "name", "state"];

/// Our names of classes of operations, and theirs.
const CLASSES: [(&str, &str); 4] =
    [("reads", "read"), ("writes", "write"), ("commands", "command"), ("transactions", "transactions")];
const SIDES: [(&str, &str); 2] = [("read", "reader"), ("write", "writer")];

#[rustfmt::skip] // A row is a row.
pub(super) const FAMILIES: &[Family] = &[
    family("mongodb_version_info", Gauge, "1", &["member", "version", "mongodb"], "The version of the server; always 1.", version),
    family("mongodb_network_bytes_total", Counter, "bytes", &["member", "direction", "state"], "Bytes received (in) and sent (out).", network),
    family("mongodb_memory", Gauge, "MiB", BY_TYPE, "mongodb_memory_resident_bytes in MiB.",
        |seen| members(seen, |member| Some(number(member.server.as_ref()?.resident_bytes?) / 1_048_576.0)).into_iter().map(resident).collect()),
    family("mongodb_op_counters_total", Counter, "operations", BY_TYPE, "mongodb_operations_total.",
        |seen| named(seen, |server| &server.operations, &[])),
    family("mongodb_op_counters_repl_total", Counter, "operations", BY_TYPE, "mongodb_replicated_operations_total.",
        |seen| named(seen, |server| &server.replicated_operations, &[])),
    family("mongodb_mongod_op_counters_repl_total", Counter, "operations", BY_TYPE, "mongodb_replicated_operations_total.",
        |seen| named(seen, |server| &server.replicated_operations, &[])),
    family("mongodb_mongod_op_latencies_latency_total", Counter, "microseconds", BY_TYPE, "mongodb_query_duration_seconds_sum in microseconds.",
        |seen| latencies(seen, |histogram| histogram.sum_us)),
    family("mongodb_mongod_op_latencies_ops_total", Counter, "operations", BY_TYPE, "mongodb_query_duration_seconds_count.",
        |seen| latencies(seen, |histogram| histogram.count)),
    family("mongodb_mongod_global_lock_current_queue", Gauge, "operations", BY_TYPE, "mongodb_queued_operations.",
        |seen| named(seen, |server| &server.queued, &SIDES)),
    family("mongodb_mongod_global_lock_client", Gauge, "clients", BY_TYPE, "mongodb_active_clients.",
        |seen| named(seen, |server| &server.active, &SIDES)),
    family("mongodb_mongod_metrics_cursor_open", Gauge, "cursors", BY_STATE, "mongodb_cursors_open.",
        |seen| named(seen, |server| &server.cursors, &[])),
    family("mongodb_mongod_metrics_cursor_timed_out_total", Counter, "cursors", MEMBER, "mongodb_cursors_timed_out_total.",
        |seen| counted(seen, |server| server.cursors_timed_out)),
    family("mongodb_mongod_metrics_document_total", Counter, "documents", BY_STATE, "mongodb_documents_total.",
        |seen| named(seen, |server| &server.documents, &[])),
    family("mongodb_mongod_metrics_query_executor_total", Counter, "keys or documents", BY_STATE, "mongodb_keys_examined_total (scanned) and mongodb_documents_examined_total (scanned_objects).", executor),
    family("mongodb_mongod_metrics_ttl_deleted_documents_total", Counter, "documents", MEMBER, "mongodb_ttl_deleted_documents_total.",
        |seen| counted(seen, |server| server.ttl_deleted)),
    family("mongodb_mongod_metrics_get_last_error_wtime_num_total", Counter, "waits", MEMBER, "mongodb_write_concern_waits_total.",
        |seen| counted(seen, |server| server.write_concern.get("waits").copied())),
    family("mongodb_mongod_metrics_get_last_error_wtime_total_milliseconds", Counter, "milliseconds", MEMBER, "mongodb_write_concern_wait_seconds_total in milliseconds.",
        |seen| counted(seen, |server| server.write_concern.get("waited_ms").copied())),
    family("mongodb_mongod_metrics_get_last_error_wtimeouts_total", Counter, "writes", MEMBER, "mongodb_write_concern_timeouts_total.",
        |seen| counted(seen, |server| server.write_concern.get("timeouts").copied())),
    family("mongodb_extra_info_page_faults_total", Counter, "faults", MEMBER, "mongodb_page_faults_total.",
        |seen| counted(seen, |server| server.page_faults)),
    family("mongodb_mongod_metrics_repl_buffer_count", Gauge, "operations", MEMBER, "mongodb_replication_buffered_operations.",
        |seen| counted(seen, |server| server.applying.get("buffered").copied())),
    family("mongodb_mongod_metrics_repl_apply_ops_total", Counter, "operations", MEMBER, "mongodb_replication_applied_operations_total.",
        |seen| counted(seen, |server| server.applying.get("applied").copied())),
    family("mongodb_mongod_metrics_repl_apply_batches_total_milliseconds", Counter, "milliseconds", MEMBER, "mongodb_replication_apply_seconds_total in milliseconds.",
        |seen| counted(seen, |server| server.applying.get("apply_ms").copied())),
    family("mongodb_mongod_metrics_repl_network_getmores_total_milliseconds", Counter, "milliseconds", MEMBER, "mongodb_replication_fetch_seconds_total in milliseconds.",
        |seen| counted(seen, |server| server.applying.get("fetch_ms").copied())),
    family("mongodb_mongod_wiredtiger_cache_bytes", Gauge, "bytes", BY_TYPE, "mongodb_wiredtiger_cache_used_bytes (total) and mongodb_wiredtiger_cache_dirty_bytes (dirty).", cache),
    family("mongodb_mongod_wiredtiger_cache_max_bytes", Gauge, "bytes", MEMBER, "mongodb_wiredtiger_cache_max_bytes.",
        |seen| counted(seen, |server| server.cache.get("max").copied())),
    family("mongodb_mongod_wiredtiger_concurrent_transactions_out_tickets", Gauge, "tickets", BY_TYPE, "mongodb_read_tickets and mongodb_write_tickets in use.",
        |seen| tickets(seen, "used")),
    family("mongodb_mongod_wiredtiger_concurrent_transactions_available_tickets", Gauge, "tickets", BY_TYPE, "Those that are available.",
        |seen| tickets(seen, "available")),
    family("mongodb_mongod_wiredtiger_concurrent_transactions_total_tickets", Gauge, "tickets", BY_TYPE, "All of them.",
        |seen| tickets(seen, "total")),
    family("mongodb_mongod_replset_my_state", Gauge, "state", &["member", "set"], "mongodb_replset_member_state.", my_state),
    family("mongodb_mongod_replset_my_name", Gauge, "1", &["member", "set", "name"], "The address of the member; always 1.", my_name),
    family("mongodb_mongod_replset_member_health", Gauge, "0 or 1", OF_SET, "Whether the primary hears of the member.",
        |seen| peers(seen, |peer| peer.is_healthy.map(super::fill::flag))),
    family("mongodb_mongod_replset_member_replication_lag", Gauge, "seconds", OF_SET, "mongodb_replset_member_replication_lag_seconds; also without a primary.", lag),
    family("mongodb_mongod_replset_member_election_date", Gauge, "seconds since 1970", OF_SET, "When the member was elected, where it is the primary.",
        |seen| peers(seen, |peer| peer.elected_at)),
    family("mongodb_mongod_replset_member_optime_date", Gauge, "seconds since 1970", OF_SET, "When what the member applied last was written.",
        |seen| peers(seen, |peer| peer.applied_at)),
    family("mongodb_mongod_replset_member_last_heartbeat", Gauge, "seconds since 1970", OF_SET, "mongodb_replset_member_last_heartbeat_timestamp_seconds.",
        |seen| peers(seen, |peer| peer.heard_at)),
    family("mongodb_mongod_replset_member_ping_ms", Gauge, "milliseconds", OF_SET, "mongodb_replset_member_ping_seconds in milliseconds.",
        |seen| peers(seen, |peer| Some(peer.ping_seconds? * 1_000.0))),
    family("mongodb_mongod_replset_number_of_members", Gauge, "members", &["member", "set"], "mongodb_replset_members, as the member sees them.", number_of_members),
    family("mongodb_mongod_replset_oplog_head_timestamp", Gauge, "seconds since 1970", MEMBER, "When the newest entry of the oplog was made.",
        |seen| members(seen, |member| member.oplog?.newest_at)),
    family("mongodb_mongod_replset_oplog_tail_timestamp", Gauge, "seconds since 1970", MEMBER, "When the oldest entry of the oplog was made.",
        |seen| members(seen, |member| member.oplog?.oldest_at)),
];

/// Counts under their names, or under others.
fn named(seen: &Seen, counts: impl Fn(&Server) -> &Counts, names: &[(&str, &str)]) -> Vec<Point> {
    let theirs = |name: &str| {
        names.iter().find(|(ours, _)| *ours == name).map_or(name.to_owned(), |(_, theirs)| (*theirs).to_owned())
    };
    let points = |(member, server)| {
        let counts = counts(server).iter();
        counts.map(|(name, count)| point([member, &theirs(name)], number(*count))).collect::<Vec<_>>()
    };
    of_servers(seen).flat_map(points).collect()
}

fn latencies(seen: &Seen, of: impl Fn(&Histogram) -> u64) -> Vec<Point> {
    let points = |(member, server): (&str, &Server)| {
        let classes = CLASSES.into_iter();
        let known = classes.filter_map(|(ours, theirs)| Some((theirs, server.latencies.get(ours)?)));
        known.map(|(class, histogram)| point([member, class], count(of(histogram)))).collect::<Vec<_>>()
    };
    of_servers(seen).flat_map(points).collect()
}

/// A point for each figure of each member that has it.
fn figures<const N: usize>(seen: &Seen, of: impl Fn(&Server) -> [(&'static str, Option<i64>); N]) -> Vec<Point> {
    let points = |(member, server): (&str, &Server)| {
        let known = of(server).into_iter().filter_map(|(name, figure)| Some(point([member, name], number(figure?))));
        known.collect::<Vec<_>>()
    };
    of_servers(seen).flat_map(points).collect()
}

fn executor(seen: &Seen) -> Vec<Point> {
    figures(seen, |server| [("scanned", server.keys_examined), ("scanned_objects", server.documents_examined)])
}

fn cache(seen: &Seen) -> Vec<Point> {
    let known = |server: &Server, name: &str| server.cache.get(name).copied();
    figures(seen, |server| [("total", known(server, "used")), ("dirty", known(server, "dirty"))])
}

fn tickets(seen: &Seen, state: &str) -> Vec<Point> {
    figures(seen, |server| {
        [("read", server.read_tickets.get(state).copied()), ("write", server.write_tickets.get(state).copied())]
    })
}

fn network(seen: &Seen) -> Vec<Point> {
    let points = |(member, server): (&str, &Server)| {
        let known = server.network.iter();
        known.map(|(way, bytes)| point([member, way, &format!("{way}_bytes")], number(*bytes))).collect::<Vec<_>>()
    };
    of_servers(seen).flat_map(points).collect()
}

fn version(seen: &Seen) -> Vec<Point> {
    let told = of_servers(seen).filter_map(|(member, server)| Some((member, server.version.as_deref()?)));
    told.map(|(member, version)| point([member, version, version], 1.0)).collect()
}

fn resident(mut point: Point) -> Point {
    point.labels.push("resident".into());
    point
}

fn my_state(seen: &Seen) -> Vec<Point> {
    let set = seen.set_name();
    let states = seen.answering().filter_map(|(member, answer)| Some((member, answer.set.as_ref()?.state?)));
    states.map(|(member, state)| point([member, &set], number(state))).collect()
}

fn my_name(seen: &Seen) -> Vec<Point> {
    let set = seen.set_name();
    let in_set = seen.answering().filter(|(_, answer)| answer.hello.set.is_some());
    in_set.map(|(member, _)| point([member, &set, member], 1.0)).collect()
}

fn number_of_members(seen: &Seen) -> Vec<Point> {
    let set = seen.set_name();
    let views = seen.answering().filter_map(|(member, answer)| Some((member, answer.set.as_ref()?.members.len())));
    views.map(|(member, members)| point([member, &set], u32::try_from(members).map_or(0.0, f64::from))).collect()
}

/// Of each member as the set sees it; also of those that don't answer, as there.
fn peers(seen: &Seen, value: impl Fn(&Peer) -> Option<f64>) -> Vec<Point> {
    let set = seen.set_name();
    let peers = seen.members.view().into_iter().flat_map(|view| &view.members);
    peers.filter_map(|(name, peer)| Some(point([&set, name, state_name(peer.state)], value(peer)?))).collect()
}

fn lag(seen: &Seen) -> Vec<Point> {
    let set = seen.set_name();
    let Some(view) = seen.members.view() else { return Vec::new() };
    let state = |name: &str| view.members.get(name).and_then(|peer| peer.state);
    view.lags().map(|(name, lag)| point([&set, name, state_name(state(name))], lag)).collect()
}

const fn state_name(state: Option<i64>) -> &'static str {
    match state {
        Some(0) => "STARTUP",
        Some(1) => "PRIMARY",
        Some(2) => "SECONDARY",
        Some(3) => "RECOVERING",
        Some(5) => "STARTUP2",
        Some(7) => "ARBITER",
        Some(8) => "DOWN",
        Some(9) => "ROLLBACK",
        Some(10) => "REMOVED",
        Some(_) | None => "UNKNOWN",
    }
}
