//! Room on the data disks of a set: looked at before documents are loaded, and watched while they are.
//!
//! Invariant: below the floor nothing more is loaded. A mongod whose disk is full dies, and with it whatever else it serves.

use crate::{
    database::{
        Server,
        queries::{command, whole},
    },
    error::{Error, Result},
};
use bson::{Document, doc};
use futures::FutureExt;
use lucid_repository::CollectionEntry;
use mongodb::options::SelectionCriteria;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What stays free: this part of the disk, within these bounds.
const FLOOR_PART: u64 = 20;
const FLOOR_MIN: u64 = 64 << 20;
const FLOOR_MAX: u64 = 256 << 20;
/// Between two looks at a disk. A server writes some 100 MB meanwhile at the most.
const LOOK: Duration = Duration::from_millis(500);
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
            "no_space",
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
        storage = storage.saturating_add(entry.stored.map_or(0, |stored| bytes(stored.storage_bytes)).max(least));
        indexes = indexes.saturating_add(entry.stored.map_or(0, |stored| bytes(stored.index_bytes)));
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
            let Some(disk) = self.look(member).await? else { continue };
            if disk.free < disk.floor() || disk.spare() < needed {
                return Err(
                    disk.no_space(&format!("about {} MB are to be restored beside what is there", megabytes(needed)))
                );
            }
            least = Some(least.unwrap_or(u64::MAX).min(disk.free));
        }
        Ok(least.and_then(|free| i64::try_from(free).ok()))
    }

    /// Does work that ends by `halt`, and ends it where some disk's free space falls below the floor.
    pub async fn watched<T>(&self, halt: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
        let over = CancellationToken::new();
        let work = async {
            let outcome = work.await;
            over.cancel();
            outcome
        };
        let watch = async {
            tokio::select! {
                low = self.runs_low() => {
                    tracing::warn!(?low, "loading ends: the disk would be full");
                    halt.cancel();
                    Some(low)
                }
                () = over.cancelled() => None,
            }
        };
        let (outcome, low) = tokio::join!(work, watch);
        match low {
            Some(disk) => Err(disk.no_space("the restore was stopped, and what it had loaded goes")),
            None => outcome,
        }
    }

    /// The first disk that falls below its floor.
    async fn runs_low(&self) -> Disk {
        let watches: Vec<_> = self.members.iter().map(|member| self.runs_low_at(member).boxed()).collect();
        if watches.is_empty() {
            return std::future::pending().await;
        }
        futures::future::select_all(watches).await.0
    }

    async fn runs_low_at(&self, member: &str) -> Disk {
        loop {
            match self.look(member).await {
                Ok(Some(disk)) if disk.spare() == 0 => return disk,
                Ok(_) => {}
                Err(error) => tracing::warn!(member, %error, "can't see how full the disk is"),
            }
            sleep(LOOK).await;
        }
    }

    /// The disk of a member; `None` where it doesn't say, or isn't there.
    async fn look(&self, member: &str) -> Result<Option<Disk>> {
        let address = member.to_owned();
        let there = SelectionCriteria::Predicate(Arc::new(move |info| info.address().to_string() == address));
        let server = self.server.reading_from(there);
        let asked = async {
            let disk = server.ask(command("admin", "measure the disk", true, &doc! { "dbStats": 1 })?).await?;
            let status = doc! { "serverStatus": 1, "metrics": 0, "repl": 0, "locks": 0 };
            let status = server.ask(command("admin", "measure the cache", true, &status)?).await;
            Ok::<_, Error>((disk, status))
        };
        let (disk, status) = match timeout(PATIENCE, asked).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(Error::Stopped)) => return Err(Error::Stopped),
            Ok(Err(error)) => {
                tracing::warn!(member, %error, "its disk isn't watched now");
                return Ok(None);
            }
            Err(_) => return Ok(None),
        };
        let bytes = |reply: &Document, field| u64::try_from(whole(reply.get(field))).unwrap_or_default();
        let (total, used) = (bytes(&disk, "fsTotalSize"), bytes(&disk, "fsUsedSize"));
        let unwritten = status.map_or(0, |status| unwritten(&status));
        let disk = Disk { member: member.to_owned(), total, free: total.saturating_sub(used), unwritten };
        Ok((total > 0).then_some(disk))
    }
}

/// Bytes of the cache that aren't on the disk yet.
fn unwritten(status: &Document) -> u64 {
    let cache = status.get_document("wiredTiger").and_then(|engine| engine.get_document("cache"));
    let dirty = cache.map_or(0, |cache| whole(cache.get("tracked dirty bytes in the cache")));
    u64::try_from(dirty).unwrap_or_default()
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
        let disk = |total, free, unwritten| Disk { member: "a:1".into(), total, free, unwritten };
        let mib = 1_u64 << 20;
        for (total, floor) in [(500, 64), (2_000, 100), (100_000, 256)] {
            assert_eq!(disk(total * mib, 0, 0).floor(), floor * mib, "of {total} MiB");
        }
        assert_eq!(disk(2_000 * mib, 300 * mib, 50 * mib).spare(), 150 * mib);
        assert_eq!(disk(2_000 * mib, 140 * mib, 50 * mib).spare(), 0, "what is still to be written counts");
        let told = disk(2_000 * mib, 140 * mib, 50 * mib).no_space("x").to_string();
        assert!(told.contains("a:1") && told.contains("146 MB free") && told.contains("104 MB stay free"), "{told}");
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
