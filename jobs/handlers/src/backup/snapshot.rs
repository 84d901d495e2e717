//! The instant at which a backup reads: recorded before any document is read, gone on with by a successor while the
//! catalog is still what it was, else taken anew.
//!
//! Invariant: collections and indexes of a snapshot are those of its very instant. They are listed twice in a row, and
//! the instant is the set's time at the end of the first list: whatever the first list shows was read by then, and the
//! second one, which shows the same, was read after it. So an index that is made or finished after the instant is in
//! neither list or in the second one only, and its rules (unique, geo, ...) are never paired with older documents. What
//! two lists can't tell is an index that was dropped and built again, the same, between its two readings.

use super::plan;
use crate::{
    database::{Entry, Server},
    error::{Error, Result},
};
use bson::{Bson, Document, Timestamp, doc};
use lucid_ports::JobContext;
use lucid_schemas::{BackupSpec, Code, EventBody, Job, State};
use std::collections::BTreeMap;

/// So often both lists may differ.
const TRIES: u32 = 8;

/// Under which name a claim keeps what the database held at its snapshot time: by epoch, so that a worker that was
/// stopped can't overwrite what its successor keeps.
fn detail_name(epoch: i64) -> String {
    format!("catalog_{epoch}")
}

/// A database at one instant.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The instant.
    pub time: Timestamp,
    /// What is to be backed up, as it was then, by name.
    pub selected: BTreeMap<String, Entry>,
    /// What would belong to the whole database but can't be backed up, by name.
    pub left_out: Vec<String>,
    /// Whether this attempt took it itself.
    pub own: bool,
}

/// Goes on with a predecessor's snapshot where `resume` allows it and nothing has changed since, else takes a new one.
pub(crate) async fn snapshot(
    context: &dyn JobContext,
    server: &Server,
    spec: &BackupSpec,
    resume: bool,
) -> Result<Snapshot> {
    let mut taken = server.patiently(|| stable(server, spec)).await?;
    let fingerprint = fingerprint(&taken.selected);
    let job = context.job();
    if resume
        && let Some((epoch, time)) = recorded(&job)
        && let Some(kept) = context.detail(&detail_name(epoch)).await?
        && is_of(&kept.data, time)
        && kept.data.get("entries") == Some(&fingerprint)
    {
        tracing::info!(job = %job.id(), %time, "going on at the predecessor's snapshot");
        taken.time = time;
        taken.own = false;
        return Ok(taken);
    }
    let time = taken.time;
    let kept: Document = doc! { "cluster_time": time, "entries": fingerprint, "left_out": &taken.left_out };
    context.put_detail(&detail_name(job.head.epoch), kept).await?;
    // Past the point of no return no fact can be added; the manifest tells the time.
    if job.head.state != State::Committing {
        context.record(EventBody::SnapshotTaken { cluster_time: time }).await?;
    }
    Ok(taken)
}

/// Lists twice in a row until both lists agree.
async fn stable(server: &Server, spec: &BackupSpec) -> Result<Snapshot> {
    let mut before = None;
    for _ in 0..=TRIES {
        let now = listed(server, spec).await?;
        if let (Some(before), Some(now)) = (before.take(), &now)
            && same(&before, now)
        {
            return Ok(before);
        }
        before = now;
    }
    Err(Error::again(
        Code::CatalogUnstable,
        format!(
            "collections or indexes of '{}' keep being made and dropped: try again when that is over",
            spec.database
        ),
    ))
}

/// Lists once, indexes last; `None` where something was dropped while it was listed. Its time is that of the last answer.
async fn listed(server: &Server, spec: &BackupSpec) -> Result<Option<Snapshot>> {
    let catalog = server.names(&spec.database).await?;
    let mut selected = plan::select(spec, &catalog)?;
    let (gone, at) = server.add_indexes(&spec.database, &mut selected).await?;
    if !gone.is_empty() {
        return Ok(None);
    }
    Ok(Some(Snapshot {
        time: at.map_or(catalog.at, |at| at.max(catalog.at)),
        selected,
        // Who asks for some collections knows what is not among them.
        left_out: if spec.collections.is_none() { catalog.left_out } else { Vec::new() },
        own: true,
    }))
}

fn same(before: &Snapshot, now: &Snapshot) -> bool {
    before.selected == now.selected && before.left_out == now.left_out
}

/// What the claim number `epoch` has left out of its snapshot at this time, as far as it is known.
pub(crate) async fn left_out(context: &dyn JobContext, epoch: i64, time: Option<Timestamp>) -> Result<Vec<String>> {
    // Its own snapshot, or the one that it went on at.
    let took = recorded(&context.job()).map_or(epoch, |(took, _)| took);
    for epoch in [epoch, took] {
        if let Some(kept) = context.detail(&detail_name(epoch)).await?
            && time.is_some_and(|time| is_of(&kept.data, time))
            && let Ok(names) = kept.data.get_array("left_out")
        {
            let names = names.iter().filter_map(|name| name.as_str());
            return Ok(names.map(str::to_owned).collect());
        }
    }
    Ok(Vec::new())
}

fn is_of(kept: &Document, time: Timestamp) -> bool {
    kept.get_timestamp("cluster_time").is_ok_and(|kept| kept == time)
}

/// Names of entries that are gone or defined otherwise by now.
pub(crate) async fn changed(
    server: &Server,
    database: &str,
    selected: &BTreeMap<String, Entry>,
) -> Result<Vec<String>> {
    let now = server
        .patiently(|| async {
            let mut now = server.names(database).await?.entries;
            now.retain(|name, _| selected.contains_key(name));
            for gone in server.add_indexes(database, &mut now).await?.0 {
                now.remove(&gone);
            }
            Ok(now)
        })
        .await?;
    let differs = selected.iter().filter(|(name, entry)| now.get(*name) != Some(entry));
    Ok(differs.map(|(name, _)| name.clone()).collect())
}

/// The snapshot that counts, and the claim that took it.
fn recorded(job: &Job) -> Option<(i64, Timestamp)> {
    let (mut epoch, mut found) = (0, None);
    for event in &job.events {
        match event.body {
            EventBody::Claimed { epoch: claimed, .. } => epoch = claimed,
            EventBody::SnapshotTaken { cluster_time } => found = Some((epoch, cluster_time)),
            _ => {}
        }
    }
    found
}

fn fingerprint(selected: &BTreeMap<String, Entry>) -> Bson {
    let entry =
        |(name, entry): (&String, &Entry)| Bson::Document(doc! { "name": name, "fingerprint": entry.fingerprint() });
    Bson::Array(selected.iter().map(entry).collect())
}

/// Refuses a snapshot window in which nothing can be read.
pub(crate) async fn check_window(server: &Server) -> Result<()> {
    match server.snapshot_window_seconds().await? {
        Some(seconds) if seconds < 5 => Err(window_too_small(Some(seconds))),
        _ => Ok(()),
    }
}

/// Refuses a database that can't be read within the snapshot window at the worker's limit: in vain it would be read, and read again.
pub(crate) async fn check_pace(server: &Server, bytes: i64) -> Result<()> {
    let Some(least) = server.takes(bytes.max(0).unsigned_abs()) else { return Ok(()) };
    match server.snapshot_window_seconds().await? {
        Some(seconds) if least.as_secs() > seconds.max(0).unsigned_abs() => Err(Error::refused(
            Code::TooSlowForWindow,
            format!(
                "at this worker's --max-rate the backup takes {} s at least, but a snapshot can be read for {seconds} s: raise the \
                 rate, or minSnapshotHistoryWindowInSeconds on every member, then ask again",
                least.as_secs()
            ),
        )),
        _ => Ok(()),
    }
}

pub(crate) fn window_too_small(seconds: Option<i64>) -> Error {
    let now = seconds.map_or_else(String::new, |seconds| format!(" (now {seconds})"));
    Error::refused(
        Code::SnapshotWindowTooSmall,
        format!(
            "the snapshot window is too small for this backup: raise minSnapshotHistoryWindowInSeconds{now} on every \
             member, then ask again"
        ),
    )
}
