//! The instant at which a backup reads: recorded before any document is read, gone on with by a successor while the
//! catalog is still what it was, else taken anew.

use super::plan;
use crate::{
    database::{Entry, Server},
    error::{Error, Result},
};
use bson::{Bson, Document, Timestamp, doc};
use lucid_ports::JobContext;
use lucid_schemas::{BackupSpec, EventBody, Job, State};
use std::collections::BTreeMap;

/// The kept list that tells a successor what the database held at the snapshot time.
const CATALOG: &str = "catalog";

/// A database at one instant.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The instant.
    pub time: Timestamp,
    /// What is to be backed up, as it was then, by name.
    pub selected: BTreeMap<String, Entry>,
}

/// Goes on with a predecessor's snapshot where `resume` allows it and nothing has changed since, else takes a new one.
pub(crate) async fn snapshot(
    context: &dyn JobContext,
    server: &Server,
    spec: &BackupSpec,
    resume: bool,
) -> Result<Snapshot> {
    let catalog = server.patiently(|| server.stable_names(&spec.database)).await?;
    let mut selected = plan::select(spec, &catalog)?;
    if let Some(name) = server.add_indexes(&spec.database, &mut selected).await?.first() {
        return Err(Error::SnapshotLost {
            why: format!("'{name}' was dropped while it was listed"),
            too_old: false,
        });
    }
    let fingerprint = fingerprint(&selected);
    let job = context.job();
    if resume
        && let Some(time) = recorded(&job)
        && let Some(kept) = context.detail(CATALOG).await?
        && kept.data.get_timestamp("cluster_time").is_ok_and(|kept| kept == time)
        && kept.data.get("entries") == Some(&fingerprint)
    {
        tracing::info!(job = %job.id(), %time, "going on at the predecessor's snapshot");
        return Ok(Snapshot { time, selected });
    }
    let time = catalog.at;
    // Past the point of no return no fact can be added; the manifest tells the time.
    if job.head.state != State::Committing {
        let kept: Document = doc! { "cluster_time": time, "entries": fingerprint };
        context.put_detail(CATALOG, kept).await?;
        context.record(EventBody::SnapshotTaken { cluster_time: time }).await?;
    }
    Ok(Snapshot { time, selected })
}

/// Names of entries that are gone or defined otherwise by now.
pub(crate) async fn changed(
    server: &Server,
    database: &str,
    selected: &BTreeMap<String, Entry>,
) -> Result<Vec<String>> {
    let mut now = server.patiently(|| server.names(database)).await?.entries;
    now.retain(|name, _| selected.contains_key(name));
    for gone in server.add_indexes(database, &mut now).await? {
        now.remove(&gone);
    }
    let differs = selected.iter().filter(|(name, entry)| now.get(*name) != Some(entry));
    Ok(differs.map(|(name, _)| name.clone()).collect())
}

fn recorded(job: &Job) -> Option<Timestamp> {
    job.events.iter().rev().find_map(|event| match event.body {
        EventBody::SnapshotTaken { cluster_time } => Some(cluster_time),
        _ => None,
    })
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

pub(crate) fn window_too_small(seconds: Option<i64>) -> Error {
    let now = seconds.map_or_else(String::new, |seconds| format!(" (now {seconds})"));
    Error::refused(
        "snapshot_window_too_small",
        format!(
            "the snapshot window is too small for this backup: raise minSnapshotHistoryWindowInSeconds{now} on every \
             member, then ask again"
        ),
    )
}
