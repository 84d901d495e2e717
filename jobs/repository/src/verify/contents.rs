//! What a backup consists of, which of it is sound, and what is lost where.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;

use crate::content::{ContentHasher, ContentPart, Sum};
use crate::index::{Copy, Index};
use crate::list::ListEntry;
use crate::reader::BackupReader;
use crate::vault::Vault;
use crate::verify::packs::{PackReport, SoundChunk};
use crate::verify::{Finding, finding};
use crate::{CollectionEntry, ContentOrder, Manifest, RepositoryError};

/// The chunks of a backup.
pub(super) struct Contents {
    pub(super) vault: Arc<Vault>,
    /// Each collection's chunks in order.
    pub(super) collections: Vec<CollectionChunks>,
    pub(super) wanted: Arc<Wanted>,
    /// What is known to be sound, by position in `wanted`.
    pub(super) sound: Vec<Option<SoundChunk>>,
    /// Where that is so, by position in `wanted`. (At level structure: where it lies within what is there.)
    pub(super) sound_in: Vec<SoundIn>,
    /// By position of the pack in the index.
    pub(super) problems: BTreeMap<usize, Vec<String>>,
    /// The pack to blame for a delta whose own record is as it should be, by position in `wanted`.
    pub(super) blamed: BTreeMap<usize, usize>,
    pub(super) findings: Vec<Finding>,
}

/// All chunks and what they build on.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Sorted.
    pub(super) ids: Vec<[u8; 32]>,
    /// Whether its documents must be hashed, by position, which takes longer than all else: some collection that has it keeps no sums.
    pub(super) needs_sum: Vec<bool>,
    /// Whether nothing else of their packs is read.
    pub(super) alone: bool,
}

impl Wanted {
    pub(super) fn position(&self, id: &[u8; 32]) -> Option<usize> {
        self.ids.binary_search(id).ok()
    }
}

/// Which packs hold a sound copy of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SoundIn {
    #[default]
    Nowhere,
    One(usize),
    Many,
}

impl SoundIn {
    fn note(&mut self, pack: usize) {
        *self = match *self {
            Self::Nowhere => Self::One(pack),
            Self::One(one) if one == pack => Self::One(one),
            _ => Self::Many,
        };
    }

    /// Whether there is one in another pack than this.
    pub(super) fn is_elsewhere(self, pack: usize) -> bool {
        match self {
            Self::Nowhere => false,
            Self::One(one) => one != pack,
            Self::Many => true,
        }
    }
}

/// The chunks of a collection, as far as its lists can be read.
pub(super) struct CollectionChunks {
    pub(super) chunks: Vec<ChunkRef>,
    /// Whether all lists could be read.
    complete: bool,
    /// Of all its documents, as the lists say; none where one of them doesn't.
    sum: Option<Sum>,
}

impl CollectionChunks {
    fn add(&mut self, entries: Vec<ListEntry>) {
        for entry in entries {
            self.sum = self.sum.zip(entry.sum).map(|(sum, more)| sum.plus(&more));
            self.chunks.push(ChunkRef { id: entry.id, documents: entry.documents, raw_bytes: entry.raw_bytes });
        }
    }
}

pub(super) struct ChunkRef {
    pub(super) id: [u8; 32],
    pub(super) documents: u32,
    pub(super) raw_bytes: u32,
}

impl Contents {
    /// Reads all chunk lists.
    pub(super) async fn load(
        vault: &Arc<Vault>,
        manifest: &Manifest,
        (index, key): (&Index, &str),
        alone: bool,
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Self, RepositoryError> {
        let (mut collections, mut findings) = (Vec::new(), Vec::new());
        for entry in &manifest.collections {
            if stop() {
                return Err(RepositoryError::Stopped);
            }
            collections.push(read_lists(vault, entry, key, &mut findings).await?);
        }
        let chunks = collections.iter().flat_map(|collection| &collection.chunks).map(|chunk| chunk.id);
        let ids = index.with_bases(chunks.collect());
        let mut wanted = Wanted { needs_sum: vec![false; ids.len()], ids, alone };
        let any = |entry: &CollectionEntry| entry.content_order == ContentOrder::Any;
        let without =
            manifest.collections.iter().zip(&collections).filter(|(entry, chunks)| any(entry) && chunks.sum.is_none());
        for chunk in without.flat_map(|(_, collection)| &collection.chunks) {
            if let Some(position) = wanted.position(&chunk.id) {
                wanted.needs_sum[position] = true;
            }
        }
        Ok(Self {
            vault: vault.clone(),
            collections,
            sound: vec![None; wanted.ids.len()],
            sound_in: vec![SoundIn::Nowhere; wanted.ids.len()],
            wanted: Arc::new(wanted),
            problems: BTreeMap::new(),
            blamed: BTreeMap::new(),
            findings,
        })
    }

    pub(super) fn wanted(&self) -> Arc<Wanted> {
        self.wanted.clone()
    }

    /// Which packs hold a copy of a wanted chunk.
    pub(super) fn involved_packs(&self, index: &Index) -> Vec<bool> {
        let mut involved = vec![false; index.packs.len()];
        for copy in self.wanted.ids.iter().flat_map(|id| index.copies(id)) {
            involved[copy.pack as usize] = true;
        }
        involved
    }

    /// What wasn't read: a chunk counts as sound if its record lies within a pack that is there, and so does what it builds on.
    pub(super) fn note_present(&mut self, index: &Index, read: &[bool]) {
        let (wanted, sound) = (&self.wanted, &self.sound);
        let is_sound = |id: &[u8; 32]| wanted.position(id).is_some_and(|position| sound[position].is_some());
        let within = |copy: &Copy| {
            let end = u64::from(copy.offset) + u64::from(copy.record_bytes);
            let is_within = index.pack(copy).present_bytes.is_some_and(|bytes| end <= bytes);
            is_within && (!read[copy.pack as usize] || is_sound(&copy.id))
        };
        for (id, sound_in) in wanted.ids.iter().zip(&mut self.sound_in) {
            let unread = index.copies(id).iter().filter(|copy| !read[copy.pack as usize]);
            for copy in unread.filter(|copy| index.resolves(copy, &within)) {
                sound_in.note(copy.pack as usize);
            }
        }
    }

    /// Level data: what reading a pack showed.
    pub(super) fn note_read(&mut self, report: PackReport) {
        for (position, chunk) in report.sound {
            self.sound[position] = Some(chunk);
            self.sound_in[position].note(report.pack);
        }
        self.blamed.extend(report.blamed);
        if !report.problems.is_empty() {
            self.problems.insert(report.pack, report.problems);
        }
    }

    /// Compares each collection whose chunks are all sound with the content hash in the manifest.
    pub(super) async fn check_hashes(
        &self,
        reader: &BackupReader,
        key: &str,
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Vec<Finding>, RepositoryError> {
        let mut findings = Vec::new();
        for (entry, chunks) in reader.manifest().collections.iter().zip(&self.collections) {
            let Some(sound) = self.all_sound(chunks) else { continue };
            let hash = match entry.content_order {
                ContentOrder::Any => Some(self.hash_any(chunks, &sound)?),
                ContentOrder::Exact => self.hash_exact(reader, entry, stop, &mut findings).await?,
            };
            if hash.is_some_and(|hash| hash != entry.content.content_hash) {
                let problem = "its documents don't have the content hash that the manifest says".into();
                let collection = Some(entry.name.clone());
                findings.push(Finding { object: key.into(), collection, problem, lost_documents: None, needed: true });
            }
        }
        Ok(findings)
    }

    /// Sums of chunk lists were made of the same bytes as the ids of their chunks, which have been checked.
    fn hash_any(&self, collection: &CollectionChunks, sound: &[SoundChunk]) -> Result<String, RepositoryError> {
        let mut hasher = ContentHasher::new(self.vault.domain_keys().content.clone(), ContentOrder::Any);
        for chunk in sound {
            let sum = if collection.sum.is_some() { Sum::default() } else { chunk.sum };
            hasher.add(&ContentPart::Any(sum), chunk.documents)?;
        }
        hasher.add(&ContentPart::Any(collection.sum.unwrap_or_default()), 0)?;
        Ok(hasher.finish())
    }

    /// Where order counts, the documents are read once more, in order.
    async fn hash_exact(
        &self,
        reader: &BackupReader,
        entry: &CollectionEntry,
        stop: &(dyn Fn() -> bool + Send + Sync),
        findings: &mut Vec<Finding>,
    ) -> Result<Option<String>, RepositoryError> {
        let mut hasher = ContentHasher::new(self.vault.domain_keys().content.clone(), ContentOrder::Exact);
        let mut chunks = std::pin::pin!(reader.chunks(entry));
        while let Some(chunk) = chunks.next().await {
            if stop() {
                return Err(RepositoryError::Stopped);
            }
            match chunk {
                Ok(chunk) => chunk.documents().for_each(|document| hasher.push(document)),
                Err(error) => {
                    findings.push(Finding { collection: Some(entry.name.clone()), ..finding(error)? });
                    return Ok(None);
                }
            }
        }
        Ok(Some(hasher.finish()))
    }

    fn all_sound(&self, collection: &CollectionChunks) -> Option<Vec<SoundChunk>> {
        if !collection.complete {
            return None;
        }
        collection.chunks.iter().map(|chunk| self.sound[self.position(&chunk.id)?]).collect()
    }

    pub(super) fn position(&self, id: &[u8; 32]) -> Option<usize> {
        self.wanted.position(id)
    }
}

/// The chunks of one collection.
async fn read_lists(
    vault: &Vault,
    entry: &CollectionEntry,
    key: &str,
    findings: &mut Vec<Finding>,
) -> Result<CollectionChunks, RepositoryError> {
    let mut out = CollectionChunks { chunks: Vec::new(), complete: true, sum: Some(Sum::default()) };
    let (mut documents, mut raw_bytes) = (0, 0);
    for list in &entry.content.chunk_lists {
        match vault.read_list(list).await {
            Ok(entries) => out.add(entries),
            Err(error) => {
                out.complete = false;
                let lost_documents = Some(list.documents);
                findings.push(Finding { collection: Some(entry.name.clone()), lost_documents, ..finding(error)? });
            }
        }
        documents += list.documents;
        raw_bytes += list.raw_bytes;
    }
    if (documents, raw_bytes) != (entry.content.documents, entry.content.raw_bytes) {
        let problem = "its counts don't agree with its chunk lists".into();
        findings.push(Finding {
            object: key.into(),
            collection: Some(entry.name.clone()),
            problem,
            lost_documents: None,
            needed: true,
        });
    }
    Ok(out)
}
