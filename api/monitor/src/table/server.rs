//! Families of what servers tell of themselves.

use super::{
    Family, Point,
    Type::{Counter, Gauge, Histogram},
    family,
    fill::{counted, counts, flag, histograms, members, number, of_servers, point, servers},
};
use crate::Seen;
use lucid_ports::members::Counts;

const MEMBER: &[&str] = &["member"];
const BY_STATE: &[&str] = &["member", "state"];
const BY_TYPE: &[&str] = &["member", "type"];
const BY_CLASS: &[&str] = &["member", "op_type"];

#[rustfmt::skip] // A row is a row.
pub(super) const FAMILIES: &[Family] = &[
    family("mongodb_up", Gauge, "0 or 1", MEMBER, "Whether the member answers; where it is 0, nothing else is told of it.", up),
    family("mongodb_sample_duration_seconds", Gauge, "seconds", MEMBER, "How long the newest look at the member took.", took),
    family("mongodb_sample_parts_refused", Gauge, "parts", MEMBER, "Parts of the look that the member refused, as where the user has too few rights; GET /stats names them.",
        |seen| members(seen, |member| i64::try_from(member.refused.len()).ok().map(number))),
    family("mongodb_version_info", Gauge, "1", &["member", "version"], "The version of the server; always 1.", version),
    family("mongodb_instance_uptime_seconds", Gauge, "seconds", MEMBER, "Since the server was started.",
        |seen| servers(seen, |server| server.uptime_seconds)),
    family("mongodb_connections", Gauge, "connections", BY_STATE, "Connections of clients: current, active (of these, those at work), available (as many more could come).",
        |seen| counts(seen, |server| &server.connections)),
    family("mongodb_connections_created_total", Counter, "connections", MEMBER, "Connections of clients ever made.",
        |seen| counted(seen, |server| server.connections_created)),
    family("mongodb_operations_total", Counter, "operations", BY_TYPE, "Operations of clients; from 7.1 on aggregations count as queries, before as commands.",
        |seen| counts(seen, |server| &server.operations)),
    family("mongodb_replicated_operations_total", Counter, "operations", BY_TYPE, "Operations applied from the oplog.",
        |seen| counts(seen, |server| &server.replicated_operations)),
    family("mongodb_query_duration_seconds", Histogram, "seconds", BY_CLASS, "How long operations took, as the server counts all of them.",
        |seen| histograms(seen, |server| &server.latencies)),
    family("mongodb_query_working_seconds", Histogram, "seconds", BY_CLASS, "How long of that they worked, without waiting for locks, tickets and flow control; from 8.0 on.",
        |seen| histograms(seen, |server| &server.working)),
    family("mongodb_queued_operations", Gauge, "operations", BY_TYPE, "Operations that wait to begin.",
        |seen| counts(seen, |server| &server.queued)),
    family("mongodb_active_clients", Gauge, "clients", BY_TYPE, "Clients with an operation under way.",
        |seen| counts(seen, |server| &server.active)),
    family("mongodb_read_tickets", Gauge, "tickets", BY_STATE, "Tickets for reads; few available ones are no overload by themselves, queued operations are.",
        |seen| counts(seen, |server| &server.read_tickets)),
    family("mongodb_write_tickets", Gauge, "tickets", BY_STATE, "Tickets for writes; few available ones are no overload by themselves, queued operations are.",
        |seen| counts(seen, |server| &server.write_tickets)),
    family("mongodb_cursors_open", Gauge, "cursors", BY_STATE, "Open cursors: total, and of these pinned and noTimeout ones.",
        |seen| counts(seen, |server| &server.cursors)),
    family("mongodb_cursors_timed_out_total", Counter, "cursors", MEMBER, "Cursors that nobody read on.",
        |seen| counted(seen, |server| server.cursors_timed_out)),
    family("mongodb_asserts_total", Counter, "assertions", BY_TYPE, "Assertions; user ones are errors of clients.",
        |seen| counts(seen, |server| &server.asserts)),
    family("mongodb_documents_total", Counter, "documents", BY_TYPE, "Documents inserted, updated, deleted and returned.",
        |seen| counts(seen, |server| &server.documents)),
    family("mongodb_keys_examined_total", Counter, "keys", MEMBER, "Index keys that queries looked at.",
        |seen| counted(seen, |server| server.keys_examined)),
    family("mongodb_documents_examined_total", Counter, "documents", MEMBER, "Documents that queries looked at.",
        |seen| counted(seen, |server| server.documents_examined)),
    family("mongodb_network_bytes_total", Counter, "bytes", &["member", "direction"], "Bytes received (in) and sent (out).",
        |seen| counts(seen, |server| &server.network)),
    family("mongodb_wiredtiger_cache_used_bytes", Gauge, "bytes", MEMBER, "Bytes in the cache of the storage engine.",
        |seen| counted(seen, |server| server.cache.get("used").copied())),
    family("mongodb_wiredtiger_cache_dirty_bytes", Gauge, "bytes", MEMBER, "Of these, bytes that aren't on disk yet.",
        |seen| counted(seen, |server| server.cache.get("dirty").copied())),
    family("mongodb_wiredtiger_cache_max_bytes", Gauge, "bytes", MEMBER, "Bytes that the cache may take.",
        |seen| counted(seen, |server| server.cache.get("max").copied())),
    family("mongodb_wiredtiger_app_thread_evictions_total", Counter, "pages", MEMBER, "Pages that threads of clients had to evict: the cache is too small, or the disk too slow.",
        |seen| counted(seen, |server| server.app_evictions)),
    family("mongodb_wiredtiger_checkpoint_seconds", Gauge, "seconds", MEMBER, "How long the last checkpoint took.",
        |seen| servers(seen, |server| server.checkpoint_seconds)),
    family("mongodb_flow_control_lagged", Gauge, "0 or 1", MEMBER, "Whether writes are slowed down since too few members keep up.",
        |seen| servers(seen, |server| server.flow_control_lagged.map(flag))),
    family("mongodb_memory_resident_bytes", Gauge, "bytes", MEMBER, "Memory of the server's process.",
        |seen| counted(seen, |server| server.resident_bytes)),
    family("mongodb_page_faults_total", Counter, "faults", MEMBER, "Times that the server waited as a page of its memory had to be read from disk.",
        |seen| counted(seen, |server| server.page_faults)),
    family("mongodb_ttl_deleted_documents_total", Counter, "documents", MEMBER, "Documents that were deleted as their time was over.",
        |seen| counted(seen, |server| server.ttl_deleted)),
    family("mongodb_write_concern_waits_total", Counter, "waits", MEMBER, "Writes that waited until other members had them, too.",
        |seen| counted(seen, |server| server.write_concern.get("waits").copied())),
    family("mongodb_write_concern_wait_seconds_total", Counter, "seconds", MEMBER, "How long they waited.",
        |seen| servers(seen, |server| milliseconds(&server.write_concern, "waited_ms"))),
    family("mongodb_write_concern_timeouts_total", Counter, "writes", MEMBER, "Writes that other members didn't have in the time that the client gave.",
        |seen| counted(seen, |server| server.write_concern.get("timeouts").copied())),
    family("mongodb_replication_buffered_operations", Gauge, "operations", MEMBER, "Entries of the oplog that were fetched and aren't applied yet.",
        |seen| counted(seen, |server| server.applying.get("buffered").copied())),
    family("mongodb_replication_applied_operations_total", Counter, "operations", MEMBER, "Entries of the oplog that were applied.",
        |seen| counted(seen, |server| server.applying.get("applied").copied())),
    family("mongodb_replication_apply_seconds_total", Counter, "seconds", MEMBER, "How long applying took.",
        |seen| servers(seen, |server| milliseconds(&server.applying, "apply_ms"))),
    family("mongodb_replication_fetch_seconds_total", Counter, "seconds", MEMBER, "How long fetching entries took, waiting for new ones included.",
        |seen| servers(seen, |server| milliseconds(&server.applying, "fetch_ms"))),
    family("mongodb_filesystem_used_bytes", Gauge, "bytes", MEMBER, "In use on the file system of the data, by whomever.",
        |seen| members(seen, |member| member.disk?.used_bytes.map(number))),
    family("mongodb_filesystem_total_bytes", Gauge, "bytes", MEMBER, "Size of the file system of the data.",
        |seen| members(seen, |member| member.disk?.total_bytes.map(number))),
];

fn milliseconds(counts: &Counts, name: &str) -> Option<f64> {
    counts.get(name).map(|ms| number(*ms) / 1_000.0)
}

fn up(seen: &Seen) -> Vec<Point> {
    let answers = |address: &str| seen.answering().any(|(answering, _)| answering == address);
    seen.members.members.keys().map(|address| point([address], flag(answers(address)))).collect()
}

fn took(seen: &Seen) -> Vec<Point> {
    let samples = seen.members.members.iter().filter_map(|(address, sample)| Some((address, sample.as_ref()?)));
    let answered = samples.filter(|(_, sample)| sample.answer.is_ok());
    answered.map(|(address, sample)| point([address], sample.took.as_secs_f64())).collect()
}

fn version(seen: &Seen) -> Vec<Point> {
    let told = of_servers(seen).filter_map(|(address, server)| Some((address, server.version.as_deref()?)));
    told.map(|(address, version)| point([address, version], 1.0)).collect()
}
