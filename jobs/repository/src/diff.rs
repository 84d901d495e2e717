//! What differs between two backups of one repository: collection by collection, document by document.
//!
//! Chunks with the same id hold the same documents, so only those are read that one backup has and the other hasn't. Of their
//! documents two short hashes are held, of `_id` and of the whole, and of no more documents at once than [`HELD`]: where more
//! differ, the chunks are read several times.

use std::collections::HashMap;

use futures::StreamExt;
use serde::Serialize;

use crate::batch::{documents, id_of};
use crate::list::{IdValue, ListEntry};
use crate::{BackupReader, CollectionEntry, ContentOrder, ListRef, Manifest, RawChunk, Repository, RepositoryError};

/// Documents whose hashes are held at once: about half a gigabyte. So few in tests that they take several passes.
const HELD: u64 = if cfg!(test) { 100 } else { 8_000_000 };

/// What became of something from the older to the newer backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Only the newer one has it.
    Added,
    /// Only the older one has it.
    Removed,
    /// Both have it, and it differs.
    Changed,
}

/// An index that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexDiff {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub change: Change,
}

/// What differs in one collection or view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CollectionDiff {
    /// Its name.
    pub name: String,
    /// Whether the collection itself was added or removed, or is of another kind now.
    pub collection: Option<Change>,
    /// Documents that only the newer backup has, by `_id`.
    pub added: u64,
    /// Documents that only the older backup has.
    pub removed: u64,
    /// Documents that both have, and that differ.
    pub changed: u64,
    /// Whether only the order of documents differs, where order is part of the content.
    pub reordered: bool,
    /// Names of options that differ.
    pub options: Vec<String>,
    /// Indexes that differ.
    pub indexes: Vec<IndexDiff>,
}

impl CollectionDiff {
    /// Whether there is no difference.
    pub fn is_same(&self) -> bool {
        let Self { name: _, collection, added, removed, changed, reordered, options, indexes } = self;
        collection.is_none()
            && (*added, *removed, *changed, *reordered) == (0, 0, 0, false)
            && options.is_empty()
            && indexes.is_empty()
    }
}

/// Told of each document that differs: name of the collection, what became of it, and the document (the newer one where it was changed).
pub type ToldDocument<'a> = dyn FnMut(&str, Change, &[u8]) -> Result<(), RepositoryError> + Send + 'a;

impl Repository {
    /// Compares two backups; collections without any difference are among the answers, too. Documents are told of as they are found,
    /// if anybody listens. Fails with `Damaged` or `Missing` where a chunk that is to be compared can't be read.
    pub async fn diff(
        &self,
        older: &Manifest,
        newer: &Manifest,
        mut told: Option<&mut ToldDocument<'_>>,
    ) -> Result<Vec<CollectionDiff>, RepositoryError> {
        let readers = (self.open_backup(older).await?, self.open_backup(newer).await?);
        let mut names: Vec<&str> =
            older.collections.iter().chain(&newer.collections).map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut out = Vec::new();
        for name in names {
            let of = |manifest: &'_ Manifest| manifest.collections.iter().position(|entry| entry.name == name);
            let old = of(older).map(|position| &older.collections[position]);
            let new = of(newer).map(|position| &newer.collections[position]);
            let mut diff = definitions(name, old, new);
            let sides = (Side::new(&readers.0, old), Side::new(&readers.1, new));
            contents(&sides.0, &sides.1, &mut diff, told.as_deref_mut()).await?;
            diff.reordered = is_reordered(&diff, old, new);
            out.push(diff);
        }
        Ok(out)
    }
}

/// One of two collections.
struct Side<'a> {
    reader: &'a BackupReader,
    entry: Option<&'a CollectionEntry>,
}

impl<'a> Side<'a> {
    const fn new(reader: &'a BackupReader, entry: Option<&'a CollectionEntry>) -> Self {
        Self { reader, entry }
    }

    fn lists(&self) -> &[ListRef] {
        self.entry.map_or(&[], |entry| &entry.content.chunk_lists)
    }

    fn documents(&self) -> u64 {
        self.entry.map_or(0, |entry| entry.content.documents)
    }

    /// The chunks of all lists but those that `others` has, too.
    async fn chunks(&self, others: &[ListRef]) -> Result<Vec<ListEntry>, RepositoryError> {
        let mut shared = HashMap::new();
        for list in others {
            *shared.entry(&list.id).or_insert(0u32) += 1;
        }
        let mut out = Vec::new();
        for list in self.lists() {
            if let Some(count) = shared.get_mut(&list.id).filter(|count| **count > 0) {
                *count -= 1;
                continue;
            }
            let entries = self.reader.fetcher.vault.read_list(list).await?;
            let none = IdValue::default;
            let bare = |entry: ListEntry| ListEntry { first: none(), last: none(), sum: None, ..entry };
            out.extend(entries.into_iter().map(bare));
        }
        Ok(out)
    }
}

async fn contents(
    old: &Side<'_>,
    new: &Side<'_>,
    diff: &mut CollectionDiff,
    mut told: Option<&mut ToldDocument<'_>>,
) -> Result<(), RepositoryError> {
    if told.is_none() && (old.entry.is_none() || new.entry.is_none()) {
        (diff.added, diff.removed) = (new.documents(), old.documents());
        return Ok(());
    }
    // With one key, equal hashes mean equal documents; in two domains they never are.
    let hash = |side: &Side<'_>| side.entry.map(|entry| entry.content.content_hash.clone());
    if hash(old) == hash(new) {
        return Ok(());
    }
    let mut gone = old.chunks(new.lists()).await?;
    let mut come = new.chunks(old.lists()).await?;
    drop_common(&mut gone, &mut come);
    let held: u64 = gone.iter().map(|chunk| u64::from(chunk.documents)).sum();
    let passes = u128::from(held.div_ceil(HELD).max(1));
    for pass in 0..passes {
        let part = Part { pass, passes };
        compare(part, (old.reader, &gone), (new.reader, &come), diff, told.as_deref_mut()).await?;
    }
    Ok(())
}

/// Leaves only chunks that the other side hasn't, or hasn't so often.
fn drop_common(a: &mut Vec<ListEntry>, b: &mut Vec<ListEntry>) {
    let mut balance: HashMap<[u8; 32], i64> = HashMap::new();
    for chunk in a.iter() {
        *balance.entry(chunk.id).or_default() += 1;
    }
    for chunk in b.iter() {
        *balance.entry(chunk.id).or_default() -= 1;
    }
    let mut keep = |chunks: &mut Vec<ListEntry>, sign: i64| {
        chunks.retain(|chunk| {
            let left = balance.entry(chunk.id).or_default();
            let kept = *left * sign > 0;
            if kept {
                *left -= sign;
            }
            kept
        });
    };
    keep(a, 1);
    keep(b, -1);
}

/// The documents of one pass: those whose hash of `_id` leaves this rest.
#[derive(Clone, Copy)]
struct Part {
    pass: u128,
    passes: u128,
}

async fn compare(
    part: Part,
    (old, gone): (&BackupReader, &[ListEntry]),
    (new, come): (&BackupReader, &[ListEntry]),
    diff: &mut CollectionDiff,
    mut told: Option<&mut ToldDocument<'_>>,
) -> Result<(), RepositoryError> {
    let mut held: HashMap<u128, u128> = HashMap::new();
    let mut chunks = std::pin::pin!(old.read(gone.to_vec()));
    while let Some(chunk) = chunks.next().await {
        held.extend(hashes(old, &chunk?, part).await?.into_iter().map(|hashed| (hashed.id, hashed.whole)));
    }
    let mut chunks = std::pin::pin!(new.read(come.to_vec()));
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        for hashed in hashes(new, &chunk, part).await? {
            let change = match held.remove(&hashed.id) {
                Some(whole) if whole == hashed.whole => continue,
                Some(_) => Change::Changed,
                None => Change::Added,
            };
            *(if change == Change::Added { &mut diff.added } else { &mut diff.changed }) += 1;
            if let Some(told) = &mut told {
                told(&diff.name, change, hashed.of(&chunk))?;
            }
        }
    }
    diff.removed += held.len() as u64;
    let Some(told) = told.filter(|_| !held.is_empty()) else { return Ok(()) };
    let mut chunks = std::pin::pin!(old.read(gone.to_vec()));
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        for hashed in hashes(old, &chunk, part).await? {
            if held.remove(&hashed.id).is_some() {
                told(&diff.name, Change::Removed, hashed.of(&chunk))?;
            }
        }
    }
    Ok(())
}

/// A document by its hashes, and where it is in its chunk.
struct Hashed {
    id: u128,
    whole: u128,
    start: usize,
    length: usize,
}

impl Hashed {
    fn of<'a>(&self, chunk: &'a RawChunk) -> &'a [u8] {
        &chunk.bytes[self.start..self.start + self.length]
    }
}

/// The documents of a chunk that belong to this part.
async fn hashes(reader: &BackupReader, chunk: &RawChunk, part: Part) -> Result<Vec<Hashed>, RepositoryError> {
    let bytes = chunk.bytes.clone();
    let work = move || {
        let mut start = 0;
        let mut out = Vec::new();
        for document in documents(&bytes) {
            let whole = short_hash(0, document);
            // One without an `_id` is its own.
            let id = id_of(document).map_or(whole, |(kind, value)| short_hash(kind, value));
            if id % part.passes == part.pass {
                out.push(Hashed { id, whole, start, length: document.len() });
            }
            start += document.len();
        }
        out
    };
    reader.fetcher.vault.pool.run(work).await
}

fn short_hash(kind: u8, bytes: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind]).update(bytes);
    let hash = hasher.finalize();
    u128::from_le_bytes(*hash.as_bytes().first_chunk().expect("hashes are longer"))
}

/// The differences that need no document to be read.
fn definitions(name: &str, old: Option<&CollectionEntry>, new: Option<&CollectionEntry>) -> CollectionDiff {
    let kind = |entry: Option<&CollectionEntry>| entry.map(|entry| entry.kind);
    let (options, indexes) = match (old, new) {
        (Some(old), Some(new)) => (different_options(old, new), different_indexes(old, new)),
        _ => (Vec::new(), Vec::new()),
    };
    let collection = match (kind(old), kind(new)) {
        (Some(_), None) => Some(Change::Removed),
        (None, Some(_)) => Some(Change::Added),
        (old, new) => (old != new).then_some(Change::Changed),
    };
    CollectionDiff {
        name: name.into(),
        collection,
        added: 0,
        removed: 0,
        changed: 0,
        reordered: false,
        options,
        indexes,
    }
}

fn different_options(old: &CollectionEntry, new: &CollectionEntry) -> Vec<String> {
    let names = |entry: &CollectionEntry| -> Vec<String> {
        entry.options.iter_elements().flatten().map(|element| element.key().as_str().to_owned()).collect()
    };
    let value = |entry: &CollectionEntry, name: &str| entry.options.get(name).ok().flatten().map(bson::RawBson::from);
    let mut all = names(old);
    all.extend(names(new));
    all.sort_unstable();
    all.dedup();
    all.retain(|name| value(old, name) != value(new, name));
    all
}

fn different_indexes(old: &CollectionEntry, new: &CollectionEntry) -> Vec<IndexDiff> {
    let by_name = |entry: &CollectionEntry| -> Vec<(String, Vec<u8>)> {
        let name = |index: &bson::RawDocumentBuf| index.get_str("name").unwrap_or_default().to_owned();
        entry.indexes.iter().map(|index| (name(index), index.as_bytes().to_vec())).collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    let find = |all: &[(String, Vec<u8>)], name: &str| all.iter().position(|(other, _)| other == name);
    let mut out = Vec::new();
    for (name, bytes) in &old {
        let change = match find(&new, name) {
            None => Change::Removed,
            Some(position) if new[position].1 != *bytes => Change::Changed,
            Some(_) => continue,
        };
        out.push(IndexDiff { name: name.clone(), change });
    }
    let added = new.iter().filter(|(name, _)| find(&old, name).is_none());
    out.extend(added.map(|(name, _)| IndexDiff { name: name.clone(), change: Change::Added }));
    out
}

fn is_reordered(diff: &CollectionDiff, old: Option<&CollectionEntry>, new: Option<&CollectionEntry>) -> bool {
    let ordered = |entry: &CollectionEntry| entry.content_order == ContentOrder::Exact;
    let (Some(old), Some(new)) = (old, new) else { return false };
    (diff.added, diff.removed, diff.changed) == (0, 0, 0)
        && ordered(old)
        && ordered(new)
        && old.content.content_hash != new.content.content_hash
}

#[cfg(test)]
mod tests;
