//! From the documents of servers to typed figures. Pure; what isn't there, or is of another type, is absent.
//!
//! Where versions differ, the paths stand beside each other, newest first:
//!
//! | figure | since 8.0 | before |
//! |---|---|---|
//! | tickets | `queues.execution` | `wiredTiger.concurrentTransactions` |
//! | operations that wait | `queues.execution.*.normalPriority.queueLength` | `globalLock.currentQueue` |
//! | last checkpoint | `wiredTiger.checkpoint` | `wiredTiger.transaction` |
//! | working time | `opWorkingTime` | none |

mod set;

pub use set::{hello, set};

use bson::{Bson, Document};
use lucid_ports::members::{Collection, Counts, Disk, Histogram, Oplog, Server};
use std::collections::BTreeMap;

/// Classes of operations that the server measures.
const CLASSES: [&str; 4] = ["reads", "writes", "commands", "transactions"];
const OPERATIONS: [&str; 6] = ["insert", "query", "update", "delete", "getmore", "command"];
const MIB: i64 = 1 << 20;

/// The value at a path; names may have blanks, but no dots.
fn at<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    let (parents, name) = path.rsplit_once('.').map_or((None, path), |(parents, name)| (Some(parents), name));
    let parent = match parents {
        None => document,
        Some(parents) => parents.split('.').try_fold(document, |parent, name| parent.get_document(name).ok())?,
    };
    parent.get(name)
}

/// A number of any type.
fn number(document: &Document, path: &str) -> Option<f64> {
    match at(document, path)? {
        Bson::Int32(number) => Some(f64::from(*number)),
        #[allow(clippy::cast_precision_loss)] // Seconds and shares are far below 2^53.
        Bson::Int64(number) => Some(*number as f64),
        Bson::Double(number) => number.is_finite().then_some(*number),
        _ => None,
    }
}

/// A whole number of any type.
fn whole(document: &Document, path: &str) -> Option<i64> {
    match at(document, path)? {
        Bson::Int32(number) => Some((*number).into()),
        Bson::Int64(number) => Some(*number),
        #[allow(clippy::cast_possible_truncation)] // Sizes come as doubles; what is too large for a size is cut.
        Bson::Double(number) => number.is_finite().then_some(*number as i64),
        _ => None,
    }
}

/// The first that is there.
fn first(document: &Document, paths: &[&str]) -> Option<i64> {
    paths.iter().find_map(|path| whole(document, path))
}

/// Seconds since 1970; the epoch itself stands for "never".
fn moment(document: &Document, path: &str) -> Option<f64> {
    let ms = match at(document, path)? {
        Bson::DateTime(at) => at.timestamp_millis(),
        Bson::Timestamp(at) => i64::from(at.time) * 1_000,
        _ => return None,
    };
    #[allow(clippy::cast_precision_loss)] // Exact for any date of these millennia.
    (ms > 0).then_some(ms as f64 / 1_000.0)
}

fn counts<const N: usize>(document: &Document, named: [(&'static str, &[&str]); N]) -> Counts {
    named.into_iter().filter_map(|(name, paths)| Some((name, first(document, paths)?))).collect()
}

/// Fields of one section under their own names.
fn section(document: &Document, path: &str, names: &[&'static str]) -> Counts {
    names.iter().filter_map(|name| Some((*name, whole(document, &format!("{path}.{name}"))?))).collect()
}

fn tickets(status: &Document, op: &str) -> Counts {
    let before = format!("wiredTiger.concurrentTransactions.{op}");
    let since_8 = format!("queues.execution.{op}");
    let state = |name: &str| first(status, &[&format!("{since_8}.{name}"), &format!("{before}.{name}")]);
    [("used", "out"), ("available", "available"), ("total", "totalTickets")]
        .into_iter()
        .filter_map(|(state_name, field)| Some((state_name, state(field)?)))
        .collect()
}

fn histograms(status: &Document, path: &str) -> BTreeMap<&'static str, Histogram> {
    CLASSES.into_iter().filter_map(|class| Some((class, histogram(status, &format!("{path}.{class}"))?))).collect()
}

fn histogram(status: &Document, path: &str) -> Option<Histogram> {
    let Bson::Array(buckets) = at(status, &format!("{path}.histogram"))? else { return None };
    let unsigned = |number: i64| u64::try_from(number).ok();
    let bucket = |bucket: &Bson| {
        let bucket = bucket.as_document()?;
        Some((unsigned(whole(bucket, "micros")?)?, unsigned(whole(bucket, "count")?)?))
    };
    let sum_us = whole(status, &format!("{path}.latency")).and_then(unsigned)?;
    Some(Histogram::new(buckets.iter().filter_map(bucket), sum_us))
}

/// `serverStatus` with the histograms of `opLatencies` and `opWorkingTime`.
pub fn server(status: &Document) -> Server {
    const CHECKPOINT: [&str; 2] = [
        "wiredTiger.checkpoint.most recent time (msecs)",
        "wiredTiger.transaction.transaction checkpoint most recent time (msecs)",
    ];
    Server {
        version: status.get_str("version").ok().map(str::to_owned),
        uptime_seconds: number(status, "uptime"),
        connections: section(status, "connections", &["current", "available", "active", "queuedForEstablishment"]),
        connections_created: whole(status, "connections.totalCreated"),
        operations: section(status, "opcounters", &OPERATIONS),
        replicated_operations: section(status, "opcountersRepl", &OPERATIONS),
        latencies: histograms(status, "opLatencies"),
        working: histograms(status, "opWorkingTime"),
        queued: counts(
            status,
            [
                ("read", &["queues.execution.read.normalPriority.queueLength", "globalLock.currentQueue.readers"]),
                ("write", &["queues.execution.write.normalPriority.queueLength", "globalLock.currentQueue.writers"]),
            ],
        ),
        active: counts(
            status,
            [("read", &["globalLock.activeClients.readers"]), ("write", &["globalLock.activeClients.writers"])],
        ),
        read_tickets: tickets(status, "read"),
        write_tickets: tickets(status, "write"),
        cursors: section(status, "metrics.cursor.open", &["total", "pinned", "noTimeout"]),
        cursors_timed_out: whole(status, "metrics.cursor.timedOut"),
        asserts: section(status, "asserts", &["regular", "warning", "msg", "user", "tripwire", "rollovers"]),
        documents: section(status, "metrics.document", &["inserted", "updated", "deleted", "returned"]),
        keys_examined: whole(status, "metrics.queryExecutor.scanned"),
        documents_examined: whole(status, "metrics.queryExecutor.scannedObjects"),
        network: counts(status, [("in", &["network.bytesIn"]), ("out", &["network.bytesOut"])]),
        cache: counts(
            status,
            [
                ("used", &["wiredTiger.cache.bytes currently in the cache"]),
                ("dirty", &["wiredTiger.cache.tracked dirty bytes in the cache"]),
                ("max", &["wiredTiger.cache.maximum bytes configured"]),
            ],
        ),
        app_evictions: whole(status, "wiredTiger.cache.pages evicted by application threads"),
        checkpoint_seconds: CHECKPOINT.iter().find_map(|path| number(status, path)).map(|ms| ms / 1_000.0),
        flow_control_lagged: at(status, "flowControl.isLagged").and_then(Bson::as_bool),
        resident_bytes: whole(status, "mem.resident").map(|mib| mib.saturating_mul(MIB)),
        ttl_deleted: whole(status, "metrics.ttl.deletedDocuments"),
        page_faults: whole(status, "extra_info.page_faults"),
        write_concern: write_concern(status),
        applying: applying(status),
    }
}

fn write_concern(status: &Document) -> Counts {
    let named: [(&str, &[&str]); 3] = [
        ("waits", &["metrics.getLastError.wtime.num"]),
        ("waited_ms", &["metrics.getLastError.wtime.totalMillis"]),
        ("timeouts", &["metrics.getLastError.wtimeouts"]),
    ];
    counts(status, named)
}

fn applying(status: &Document) -> Counts {
    let named: [(&str, &[&str]); 4] = [
        ("buffered", &["metrics.repl.buffer.apply.count", "metrics.repl.buffer.count"]),
        ("applied", &["metrics.repl.apply.ops"]),
        ("apply_ms", &["metrics.repl.apply.batches.totalMillis"]),
        ("fetch_ms", &["metrics.repl.network.getmores.totalMillis"]),
    ];
    counts(status, named)
}

/// `$collStats` with `latencyStats` and their histograms, by class.
pub fn latencies(stats: &Document) -> BTreeMap<&'static str, Histogram> {
    histograms(stats, "latencyStats")
}

/// The oplog: its oldest and its newest entry, and `$collStats` of it.
pub fn oplog(oldest: Option<&Document>, newest: Option<&Document>, stats: Option<&Document>) -> Oplog {
    Oplog {
        oldest_at: oldest.and_then(|entry| moment(entry, "ts")),
        newest_at: newest.and_then(|entry| moment(entry, "ts")),
        bytes: stats.and_then(|stats| whole(stats, "storageStats.size")),
        max_bytes: stats.and_then(|stats| whole(stats, "storageStats.maxSize")),
    }
}

/// `dbStats` of any database.
pub fn disk(stats: &Document) -> Disk {
    Disk { used_bytes: whole(stats, "fsUsedSize"), total_bytes: whole(stats, "fsTotalSize") }
}

/// `$collStats` with `storageStats` of a collection; none where it has no storage, as a view.
pub fn collection(database: &str, name: &str, stats: &Document) -> Option<Collection> {
    let of = |field: &str| whole(stats, &format!("storageStats.{field}"));
    Some(Collection {
        database: database.to_owned(),
        name: name.to_owned(),
        bytes: of("size")?,
        storage_bytes: of("storageSize").unwrap_or(0),
        free_bytes: of("freeStorageSize").unwrap_or(0),
        index_bytes: of("totalIndexSize").unwrap_or(0),
        documents: of("count").unwrap_or(0),
        latencies: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests;
