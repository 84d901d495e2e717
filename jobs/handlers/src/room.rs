//! Room on the data disks of a set: looked at before documents are loaded, and watched while they are.
//!
//! Invariant: no more is loaded than the last look has seen room for, and below the floor nothing. A mongod whose disk is full dies, and with it whatever else it serves.

mod allowance;

use crate::{
    database::{
        Server,
        queries::{command, whole},
    },
    error::{Error, Result},
};
use allowance::Written;
pub(crate) use allowance::{Allowance, Passed};
use bson::{Document, Timestamp, doc};
use futures::FutureExt;
use lucid_repository::{CollectionEntry, CollectionKind};
use lucid_schemas::Code;
use mongodb::options::SelectionCriteria;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What stays free: this part of the disk, within these bounds. A journal file takes 100 MiB at once, whatever is written.
const FLOOR_PART: u64 = 20;
const FLOOR_MIN: u64 = 160 << 20;
const FLOOR_MAX: u64 = 256 << 20;
/// Between two looks at a disk, for what is written without being let pass: indexes, and others' documents.
const LOOK: Duration = Duration::from_millis(500);
/// Between two looks that somebody waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A member that says nothing for so long isn't waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Documents rarely take less room on disk than this part of their bytes.
const COMPRESSION_AT_BEST: u64 = 8;

/// The disks of a set's members.
pub(crate) struct Room<'a> {
    server: &'a Server,
    /// Those that hold data and that clients can reach.
    members: Vec<String>,
}

/// The disk of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Disk {
    member: String,
    total: u64,
    free: u64,
    /// What lies in the member's memory and still has to be written.
    unwritten: u64,
    /// The set's time up to which the member has everything, where it says so.
    has: Option<Timestamp>,
}

impl Disk {
    fn floor(&self) -> u64 {
        (self.total / FLOOR_PART).clamp(FLOOR_MIN, FLOOR_MAX)
    }

    /// What may be used.
    fn spare(&self) -> u64 {
        self.free.saturating_sub(self.unwritten).saturating_sub(self.floor())
    }

    fn no_space(&self, what: &str) -> Error {
        let Self { member, free, unwritten, .. } = self;
        Error::refused(
            Code::NoSpace,
            format!(
                "{what}: the data disk of {member} has {} MB free, {} MB are still to be written there, and {} MB stay free, so that \
                 MongoDB lives: free space there, or restore some collections only",
                megabytes(*free),
                megabytes(*unwritten),
                megabytes(self.floor()),
            ),
        )
    }
}

/// The room that collections will take on each data disk: their documents and indexes as at their source, and what the oplog grows by.
pub(crate) fn estimate<'a>(entries: impl Iterator<Item = &'a CollectionEntry>, oplog_left: u64) -> u64 {
    let bytes = |number: i64| u64::try_from(number).unwrap_or_default();
    let (mut storage, mut indexes) = (0_u64, 0_u64);
    for entry in entries {
        // Of what had just been written there, nothing was stored yet.
        let least = entry.content.raw_bytes / COMPRESSION_AT_BEST;
        // Buckets are staged, and copied to their place.
        let times = if entry.kind == CollectionKind::TimeSeries { 2 } else { 1 };
        let of_documents = entry.stored.map_or(0, |stored| bytes(stored.storage_bytes)).max(least);
        storage = storage.saturating_add(of_documents.saturating_mul(times));
        let of_indexes = entry.stored.map_or(0, |stored| bytes(stored.index_bytes));
        indexes = indexes.saturating_add(of_indexes.saturating_mul(times));
    }
    storage.saturating_add(indexes).saturating_add(storage.min(oplog_left))
}

impl<'a> Room<'a> {
    /// The disks of this set.
    pub async fn of(server: &'a Server) -> Result<Self> {
        Ok(Self { server, members: server.patiently(|| server.members()).await? })
    }

    /// How much the oplog still grows, as the primary says; it forgets nothing before.
    pub async fn oplog_left(&self) -> Result<u64> {
        let body = doc! {
            "aggregate": "oplog.rs",
            "pipeline": [{ "$collStats": { "storageStats": {} } }, { "$project": { "left": { "$subtract": [
                "$storageStats.maxSize", "$storageStats.storageSize",
            ] } } }],
            "cursor": {},
        };
        match self.server.ask(command("local", "measure the oplog", false, &body)?).await {
            Ok(reply) => Ok(u64::try_from(left(&reply)).unwrap_or_default()),
            // It may not be asked.
            Err(Error::Server { .. }) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Refuses where so many bytes more don't fit on some member's disk; says how many bytes are free on the fullest one, where that is known.
    pub async fn check(&self, needed: u64) -> Result<Option<i64>> {
        let mut least = None;
        for member in &self.members {
            let Some(disk) = self.look(member, &mut false).await? else { continue };
            if disk.free < disk.floor() || disk.spare() < needed {
                return Err(
                    disk.no_space(&format!("about {} MB are to be restored beside what is there", megabytes(needed)))
                );
            }
            least = Some(least.unwrap_or(u64::MAX).min(disk.free));
        }
        Ok(least.and_then(|free| i64::try_from(free).ok()))
    }

    /// Does work that loads by way of the server that it is given; ends it, by the token of that, where some disk's free space falls
    /// below the floor.
    pub async fn watched<T, Work>(&self, work: impl FnOnce(Server, CancellationToken) -> Work) -> Result<T>
    where
        Work: Future<Output = Result<T>>,
    {
        let (halt, over) = (self.server.stop().child_token(), CancellationToken::new());
        let allowance = Allowance::new(self.members.len());
        let work = work(self.server.until(halt.clone()).within(Arc::clone(&allowance)), halt.clone());
        let work = async {
            let outcome = work.await;
            over.cancel();
            outcome
        };
        let watch = async {
            tokio::select! {
                low = self.runs_low(&allowance) => {
                    tracing::warn!(?low, "loading ends: the disk would be full");
                    halt.cancel();
                    Some(low)
                }
                () = over.cancelled() => None,
            }
        };
        let (outcome, low) = tokio::join!(work, watch);
        match low {
            Some(disk) => Err(disk.no_space("loading was stopped")),
            None => outcome,
        }
    }

    /// The first disk that falls below its floor.
    async fn runs_low(&self, allowance: &Allowance) -> Disk {
        let watches: Vec<_> =
            (0..self.members.len()).map(|number| self.runs_low_at(number, allowance).boxed()).collect();
        if watches.is_empty() {
            return std::future::pending().await;
        }
        futures::future::select_all(watches).await.0
    }

    async fn runs_low_at(&self, number: usize, allowance: &Allowance) -> Disk {
        let Some(member) = self.members.get(number) else { return std::future::pending().await };
        let (mut has, mut next, mut is_told) = (0, Written::default(), false);
        loop {
            let begun = allowance.so_far();
            match self.look(member, &mut is_told).await {
                Ok(Some(disk)) => {
                    // A secondary may be behind: what it has counts, not what was acknowledged.
                    if next.at.is_none_or(|at| disk.has.is_some_and(|has| has >= at)) {
                        (has, next) = (next.bytes, begun);
                    }
                    if !allowance.seen(number, has, disk.spare()) {
                        return disk;
                    }
                }
                Ok(None) => allowance.unseen(number),
                Err(error) => {
                    tracing::warn!(member, %error, "can't see how full the disk is");
                    allowance.unseen(number);
                }
            }
            sleep(LOOK_AGAIN).await;
            let _ = timeout(LOOK, allowance.wanted(number)).await;
        }
    }

    /// The disk of a member; `None` where it doesn't say, or isn't there, which is told once.
    async fn look(&self, member: &str, is_told: &mut bool) -> Result<Option<Disk>> {
        let address = member.to_owned();
        let there = SelectionCriteria::Predicate(Arc::new(move |info| info.address().to_string() == address));
        let server = self.server.reading_from(there);
        let asked = async {
            let disk = server.ask(command("admin", "measure the disk", true, &doc! { "dbStats": 1 })?).await?;
            let status = doc! { "serverStatus": 1, "metrics": 0, "locks": 0 };
            let status = server.ask(command("admin", "measure the cache", true, &status)?).await;
            Ok::<_, Error>((disk, status))
        };
        let (disk, status) = match timeout(PATIENCE, asked).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(Error::Stopped)) => return Err(Error::Stopped),
            Ok(Err(error)) => {
                if !std::mem::replace(is_told, true) {
                    tracing::warn!(member, %error, "the disk of this member can't be watched: loading goes on, and may fill it");
                }
                return Ok(None);
            }
            Err(_) => return Ok(None),
        };
        *is_told = false;
        let bytes = |reply: &Document, field| u64::try_from(whole(reply.get(field))).unwrap_or_default();
        let (total, used) = (bytes(&disk, "fsTotalSize"), bytes(&disk, "fsUsedSize"));
        let (unwritten, has) = status.map_or((0, None), |status| (unwritten(&status), has(&status)));
        let disk = Disk { member: member.to_owned(), total, free: total.saturating_sub(used), unwritten, has };
        Ok((total > 0).then_some(disk))
    }
}

/// Bytes of the cache that aren't on the disk yet.
fn unwritten(status: &Document) -> u64 {
    let cache = status.get_document("wiredTiger").and_then(|engine| engine.get_document("cache"));
    let dirty = cache.map_or(0, |cache| whole(cache.get("tracked dirty bytes in the cache")));
    u64::try_from(dirty).unwrap_or_default()
}

/// The last operation that the member has.
fn has(status: &Document) -> Option<Timestamp> {
    let last = status.get_document("repl").and_then(|repl| repl.get_document("lastWrite"));
    last.and_then(|last| last.get_document("opTime")).and_then(|time| time.get_timestamp("ts")).ok()
}

fn left(reply: &Document) -> i64 {
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let first = batch.ok().and_then(|batch| batch.first()?.as_document());
    first.map_or(0, |first| whole(first.get("left")))
}

fn megabytes(bytes: u64) -> u64 {
    bytes / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::RawDocumentBuf;
    use lucid_repository::{CollectionContent, CollectionKind, ContentOrder, ReadOrder, StoredSize};

    #[test]
    fn the_floor_follows_the_disk_within_bounds() {
        let disk = |total, free, unwritten| Disk { member: "a:1".into(), total, free, unwritten, has: None };
        let mib = 1_u64 << 20;
        for (total, floor) in [(500, 160), (4_000, 200), (100_000, 256)] {
            assert_eq!(disk(total * mib, 0, 0).floor(), floor * mib, "of {total} MiB");
        }
        assert_eq!(disk(4_000 * mib, 400 * mib, 50 * mib).spare(), 150 * mib);
        assert_eq!(disk(4_000 * mib, 240 * mib, 50 * mib).spare(), 0, "what is still to be written counts");
        let told = disk(4_000 * mib, 240 * mib, 50 * mib).no_space("x").to_string();
        assert!(told.contains("a:1") && told.contains("251 MB free") && told.contains("209 MB stay free"), "{told}");
    }

    #[test]
    fn the_estimate_goes_by_what_was_stored_and_never_below_what_compresses_best() {
        let entry = |raw_bytes, stored: Option<(i64, i64)>| CollectionEntry {
            name: "c".into(),
            kind: CollectionKind::Collection,
            options: RawDocumentBuf::new(),
            uuid: None,
            indexes: Vec::new(),
            read_at: None,
            at_snapshot: true,
            read_order: ReadOrder::Natural,
            content_order: ContentOrder::Any,
            content: CollectionContent {
                documents: 1,
                raw_bytes,
                content_hash: String::new(),
                chunk_lists: Vec::new(),
            },
            stored: stored.map(|(storage_bytes, index_bytes)| StoredSize { storage_bytes, index_bytes }),
        };
        let of = |raw_bytes, stored, oplog_left| estimate([entry(raw_bytes, stored)].iter(), oplog_left);
        assert_eq!(of(800, None, 0), 100, "a backup of before");
        assert_eq!(of(800, Some((700, 50)), 0), 750);
        assert_eq!(of(800, Some((4, -1)), 0), 100, "nothing was written yet where it was read");
        assert_eq!(of(800, Some((700, 50)), 300), 1_050, "the oplog is full then");
        assert_eq!(of(800, Some((700, 50)), 9_000), 1_450);
    }
}
