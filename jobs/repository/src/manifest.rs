//! The manifest: what one backup consists of. Its existence is what makes a backup complete.

use bson::{DateTime, RawDocument, RawDocumentBuf, Timestamp, Uuid};
use serde::{Deserialize, Serialize};

use crate::object_name::is_job;
use crate::{ContentOrder, Damage, Domain, RepositoryError, limits};

/// The version of [`Manifest`] that this program writes.
pub const MANIFEST_FORMAT: i32 = 2;
/// The first version, which knew of no clusters.
const FIRST_FORMAT: i32 = 1;

/// What one backup consists of. Unknown fields are ignored by readers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`], or an earlier one.
    pub format: i32,
    /// The job that made it.
    pub job: String,
    /// The job's epoch at that time.
    pub epoch: i64,
    /// Where its chunks are; must be the domain of the writer.
    pub domain: Domain,
    /// The id of the cluster whose job made it; none where that isn't known, as in manifests of format 1. Copies keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The generation of its writer ([`crate::BackupWriter::generation`]): how many prunes had begun before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: i64,
    /// The database.
    pub database: String,
    /// The collections that were asked for; none: the whole database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected: Option<Vec<String>>,
    /// The id of the repository that the job made it in, where this is a copy of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_from: Option<String>,
    /// Hashes that [`ManifestRef::hash`] had before it was encrypted anew with later master keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_hashes: Vec<String>,
    /// When the backup began.
    pub started_at: DateTime,
    /// When the last document was stored.
    pub finished_at: DateTime,
    /// The cluster time at which the documents were read, if there is one for all.
    pub snapshot_time: Option<Timestamp>,
    /// Version of the server, such as `7.0.14`.
    pub server_version: String,
    /// Feature compatibility version, such as `7.0`.
    pub fcv: String,
    /// The member that was read, `host:port`.
    pub member: String,
    /// Whether every document was read at the snapshot time.
    pub consistent: bool,
    /// The collections and views, in the order in which they are to be restored.
    pub collections: Vec<CollectionEntry>,
}

impl Manifest {
    /// How many collections were asked for, where it isn't a backup of the whole database.
    pub fn part(&self) -> Option<u64> {
        self.selected.as_ref().map(|names| names.len() as u64)
    }

    /// The time that it is a copy of: the cluster's where there is one for all, else the worker's when it began. To be compared with that
    /// of backups of the same cluster.
    pub fn instant(&self) -> Timestamp {
        self.snapshot_time.unwrap_or_else(|| {
            let seconds = self.started_at.timestamp_millis() / 1000;
            Timestamp { time: u32::try_from(seconds).unwrap_or(0), increment: 0 }
        })
    }

    /// Reads a manifest's body.
    pub(crate) fn decode(key: &str, body: &[u8]) -> Result<Self, RepositoryError> {
        let damaged = |problem: String| RepositoryError::damaged(key, problem);
        let raw = RawDocument::from_bytes(body).map_err(|error| damaged(error.to_string()))?;
        let format = raw.get_i32("format").unwrap_or_default();
        if !(FIRST_FORMAT..=MANIFEST_FORMAT).contains(&format) {
            let needs = format!("manifest format {format}");
            return Err(RepositoryError::UnsupportedVersion { object: key.into(), needs });
        }
        if !limits::is_shallow(raw, limits::MANIFEST_DEPTH) {
            return Err(damaged("it isn't BSON, or nested too deeply".into()));
        }
        let manifest: Self = bson::deserialize_from_slice(body).map_err(|error| damaged(error.to_string()))?;
        if manifest.cluster.as_deref().is_some_and(|cluster| !is_job(cluster)) {
            return Err(damaged("what it names as its cluster is none".into()));
        }
        if manifest.adds_up() { Ok(manifest) } else { Err(damaged("its counts are more than can be added up".into())) }
    }

    /// When it was read: its snapshot time, or when the backup began where there is none.
    pub fn read_at(&self) -> DateTime {
        let snapshot = self.snapshot_time.map(|time| DateTime::from_millis(i64::from(time.time) * 1000));
        snapshot.unwrap_or(self.started_at)
    }

    /// Whether it is that one, encrypted anew since: the same backup, with other chunk lists.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        let told = |manifest: &Self| {
            let mut told = Self { format: 0, generation: 0, former_hashes: Vec::new(), ..manifest.clone() };
            for collection in &mut told.collections {
                collection.content.chunk_lists.clear();
            }
            told
        };
        self.former_hashes.len() > other.former_hashes.len() && told(self) == told(other)
    }

    /// Whether the sums that readers make of documents and of bytes fit.
    fn adds_up(&self) -> bool {
        let contents = self.collections.iter().map(|collection| &collection.content);
        let mut counts = contents.flat_map(|content| {
            let lists = content.chunk_lists.iter().map(|list| (list.documents, list.raw_bytes));
            lists.chain([(content.documents, content.raw_bytes)])
        });
        let add = |(documents, bytes): (u64, u64), (more, more_bytes)| {
            Some((documents.checked_add(more)?, bytes.checked_add(more_bytes)?))
        };
        counts.try_fold((0, 0), add).is_some()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What kind of thing a name in a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectionKind {
    /// An ordinary collection.
    Collection,
    /// Of fixed size, in order of insertion.
    Capped,
    /// Stored by `_id`.
    Clustered,
    /// A time-series collection; its documents here are those of its buckets.
    TimeSeries,
    /// A view: options only.
    View,
}

/// In which order a collection was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadOrder {
    /// As stored: stable on one member only.
    Natural,
    /// By `_id`: the same on every member.
    Id,
}

/// One collection or view of a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CollectionEntry {
    /// Its name, without the database.
    pub name: String,
    /// What it is.
    pub kind: CollectionKind,
    /// Its options, byte for byte as the server listed them.
    pub options: RawDocumentBuf,
    /// Its UUID on the server it was read from; views have none.
    pub uuid: Option<Uuid>,
    /// Its index documents, byte for byte as the server listed them.
    pub indexes: Vec<RawDocumentBuf>,
    /// The cluster time at which it was read.
    pub read_at: Option<Timestamp>,
    /// Whether it was read at the manifest's snapshot time.
    pub at_snapshot: bool,
    /// The order in which it was read.
    pub read_order: ReadOrder,
    /// Whether the order of its documents is part of its content.
    pub content_order: ContentOrder,
    /// Its documents.
    pub content: CollectionContent,
    /// The room that it took where it was read; none where nobody asked, as of small ones and in earlier backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredSize>,
}

/// The room that a collection took on the disk of the member that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSize {
    /// Bytes of its documents as stored, without what is free for more.
    pub storage_bytes: i64,
    /// Bytes of all its indexes.
    pub index_bytes: i64,
}

/// The documents of one collection, as chunk lists. Small lists are held right here; they hold `_id`
/// values, so this is no text for logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CollectionContent {
    /// Number of documents.
    pub documents: u64,
    /// Their BSON bytes.
    pub raw_bytes: u64,
    /// What [`crate::ContentHasher`] makes of the same documents.
    pub content_hash: String,
    /// Where the chunks are named, in order.
    pub chunk_lists: Vec<ListRef>,
}

/// A chunk list: either an object of its own, or a few entries held inline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListRef {
    /// Its id, 64 hex digits: a keyed hash of its entries.
    pub id: String,
    /// Who wrote its object, as 32 hex digits, which are part of its name. Absent where it is inline, or as programs wrote it that
    /// named lists by their content alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    /// Number of chunks that it names.
    pub chunks: u32,
    /// Number of documents in them.
    pub documents: u64,
    /// Their BSON bytes.
    pub raw_bytes: u64,
    /// The list's bytes where it is held inline; absent where it is an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<bson::Binary>,
}

/// Where a manifest is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRef {
    /// What it is known by for ever: the name that its object had at first.
    pub key: String,
    /// BLAKE3 of the stored bytes, 64 hex digits.
    pub hash: String,
    /// Hashes that it had before it was encrypted anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_hashes: Vec<String>,
    /// Size of the object.
    pub stored_bytes: u64,
}

impl ManifestRef {
    /// Whether it is the manifest that once was noted with this hash.
    pub fn had_hash(&self, hash: &str) -> bool {
        self.hash == hash || self.former_hashes.iter().any(|former| former == hash)
    }
}

/// One manifest of a repository; a damaged one is listed too, since its name tells whose it was.
#[derive(Clone, Debug)]
pub struct ManifestEntry {
    /// What it is known by for ever: the name that its object had at first.
    pub key: String,
    /// Name of the object within the repository.
    pub object: String,
    /// Of the master key that it is sealed with; 0 in the plain domain, and where it is damaged.
    pub key_id: u32,
    /// Whether that master key was given up, or replaced before this was there: then it doesn't count.
    pub retired: bool,
    /// The job in its name.
    pub job: String,
    /// The epoch in its name.
    pub epoch: i64,
    /// The manifest, or what is wrong with it.
    pub manifest: Result<Manifest, Damage>,
    /// Whether it counts for good. If not, a prune that goes on meanwhile may not have seen it, and it must not be adopted.
    pub settled: bool,
}
