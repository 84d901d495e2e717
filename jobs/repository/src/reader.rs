//! Reading one backup.

use std::future;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};

use crate::batch::count_documents;
use crate::footer::PackEntry;
use crate::index::{Copy, Index};
use crate::list::ListEntry;
use crate::record::RecordType;
use crate::vault::{Vault, refuse_generations};
use crate::verify::{self, Finding, VerifyLevel, VerifyProgress};
use crate::{CollectionEntry, Manifest, RawChunk, RepositoryError};

/// Chunks fetched ahead.
const AHEAD: usize = 4;

/// Reads one backup. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BackupReader {
    vault: Arc<Vault>,
    index: Arc<Index>,
    manifest: Arc<Manifest>,
}

impl BackupReader {
    pub(crate) async fn open(vault: Arc<Vault>, manifest: &Manifest) -> Result<Self, RepositoryError> {
        refuse_generations(&vault.store).await?;
        let (index, _) = Index::load(&vault).await?;
        Ok(Self { vault, index: Arc::new(index), manifest: Arc::new(manifest.clone()) })
    }

    pub(crate) fn new(vault: Arc<Vault>, index: Arc<Index>, manifest: Arc<Manifest>) -> Self {
        Self { vault, index, manifest }
    }

    /// The manifest that it reads.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The chunks of one collection in the order of reading, a few of them fetched ahead. Each is decrypted, decompressed,
    /// hashed again and checked to consist of whole documents. The stream ends after its first error.
    pub fn chunks(
        &self,
        entry: &CollectionEntry,
    ) -> impl Stream<Item = Result<RawChunk, RepositoryError>> + Send + 'static + use<> {
        let (vault, reader) = (self.vault.clone(), self.clone());
        let lists = stream::iter(entry.content.chunk_lists.clone()).then(move |list| {
            let vault = vault.clone();
            async move { vault.read_list(&list).await }
        });
        let entries = lists.map_ok(|entries| stream::iter(entries.into_iter().map(Ok))).try_flatten();
        let chunks = entries.map_ok(move |entry| spawned(reader.clone(), entry)).try_buffered(AHEAD);
        chunks.scan(false, |failed, chunk| {
            let ended = std::mem::replace(failed, chunk.is_err());
            future::ready((!ended).then_some(chunk))
        })
    }

    /// Checks the backup. What is wrong comes back as findings (none: all is well); an error means that it couldn't be
    /// checked, or `Stopped`.
    pub async fn verify(
        &self,
        level: VerifyLevel,
        progress: &(dyn Fn(VerifyProgress) + Send + Sync),
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Vec<Finding>, RepositoryError> {
        verify::verify(&self.vault, &self.manifest, level, progress, stop).await
    }

    /// One chunk, from any copy that is sound.
    async fn fetch(&self, entry: &ListEntry) -> Result<RawChunk, RepositoryError> {
        let mut first_error = None;
        for copy in self.index.copies(&entry.id) {
            match self.fetch_copy(copy, entry).await {
                Ok(chunk) => return Ok(chunk),
                Err(error) => {
                    tracing::warn!(%error, "a chunk can't be read here; looking for another copy");
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or_else(|| RepositoryError::Missing {
            object: format!("the pack of chunk {}", crate::names::hex(&entry.id)),
        }))
    }

    async fn fetch_copy(&self, copy: &Copy, entry: &ListEntry) -> Result<RawChunk, RepositoryError> {
        let object = self.index.pack(copy).object.clone();
        let start = u64::from(copy.offset);
        let record = self.vault.store.read_range(&object, start..start + u64::from(copy.record_bytes)).await?;
        let (vault, copy) = (self.vault.clone(), *copy);
        let opened = self.vault.pool.run(move || open_chunk(&vault, &record, &copy.entry())).await?;
        let bytes = opened.map_err(|problem| RepositoryError::damaged(&*object, problem))?;
        if (entry.documents, entry.raw_bytes) != (copy.documents, copy.raw_bytes) {
            return Err(RepositoryError::damaged(&*object, "the chunk list disagrees about a chunk"));
        }
        Ok(RawChunk { documents: copy.documents, bytes: Bytes::from(bytes) })
    }
}

/// The raw documents of a chunk, checked in every way that needs no other object; the text says what is wrong.
pub(crate) fn open_chunk(vault: &Vault, record: &[u8], entry: &PackEntry) -> Result<Vec<u8>, String> {
    let raw = vault.opener.open(record, RecordType::Chunk, &entry.id)?;
    if blake3::keyed_hash(&vault.domain_keys().chunk_id, &raw) != entry.id {
        return Err("a chunk's documents aren't those that its id says".into());
    }
    if raw.len() as u64 != u64::from(entry.raw_bytes) || count_documents(&raw) != Some(entry.documents) {
        return Err("a chunk doesn't consist of the documents that the pack says".into());
    }
    Ok(raw)
}

/// On a task of its own, so that it goes on while the consumer is busy.
async fn spawned(reader: BackupReader, entry: ListEntry) -> Result<RawChunk, RepositoryError> {
    let task = tokio::spawn(async move { reader.fetch(&entry).await });
    task.await.map_err(|error| RepositoryError::Internal { what: "reading a chunk", reason: error.to_string() })?
}
