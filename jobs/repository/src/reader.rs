//! Reading one backup.

use std::future;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};

use crate::fetch::{Fetched, Fetcher};
use crate::index::Index;
use crate::list::ListEntry;
use crate::object_name::Folder;
use crate::vault::Vault;
use crate::verify::{self, Finding, Share, Verified, VerifyLevel, VerifyProgress};
use crate::{CollectionEntry, Manifest, RawChunk, RepositoryError};

/// Chunks fetched ahead.
const AHEAD: usize = 4;

/// Reads one backup. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BackupReader {
    pub(crate) fetcher: Fetcher,
    pub(crate) manifest: Arc<Manifest>,
}

impl BackupReader {
    pub(crate) async fn open(vault: Arc<Vault>, manifest: &Manifest) -> Result<Self, RepositoryError> {
        let (index, _) = Index::load(&vault).await?;
        Ok(Self { fetcher: Fetcher::new(vault, Arc::new(index)), manifest: Arc::new(manifest.clone()) })
    }

    pub(crate) fn new(fetcher: Fetcher, manifest: Arc<Manifest>) -> Self {
        Self { fetcher, manifest }
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
        let (vault, reader) = (self.fetcher.vault.clone(), self.clone());
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

    /// These chunks, in this order, a few of them fetched ahead; whatever can't be read is told in its place.
    pub(crate) fn read(
        &self,
        entries: Vec<ListEntry>,
    ) -> impl Stream<Item = Result<RawChunk, RepositoryError>> + Send + 'static + use<> {
        let reader = self.clone();
        stream::iter(entries).map(move |entry| spawned(reader.clone(), entry)).buffered(AHEAD)
    }

    /// Checks the backup. What is wrong comes back as findings (none: all is well); an error means that it couldn't be
    /// checked, or `Stopped`.
    pub async fn verify(
        &self,
        level: VerifyLevel,
        progress: &(dyn Fn(VerifyProgress) + Send + Sync),
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Vec<Finding>, RepositoryError> {
        Ok(self.verify_share(level, Share::All, progress, stop).await?.findings)
    }

    /// The same, reading a share of the packs, and saying how much that was. What isn't read is looked at as at level structure; the
    /// content hash of a collection is compared where all of it was read.
    pub async fn verify_share(
        &self,
        level: VerifyLevel,
        share: Share,
        progress: &(dyn Fn(VerifyProgress) + Send + Sync),
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Verified, RepositoryError> {
        verify::verify(&self.fetcher.vault, &self.manifest, (level, share).into(), progress, stop).await
    }

    /// Proves some collections of the backup as [`Self::verify`] at level data does all, and reads nothing of the packs but their chunks
    /// and what those build on.
    pub async fn prove(
        &self,
        collections: Vec<CollectionEntry>,
        progress: &(dyn Fn(VerifyProgress) + Send + Sync),
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Vec<Finding>, RepositoryError> {
        verify::prove(&self.fetcher.vault, &self.manifest, collections, progress, stop).await
    }

    /// One chunk, from any copy that is sound.
    async fn fetch(&self, entry: &ListEntry) -> Result<RawChunk, RepositoryError> {
        let Fetched { entry: read, raw } = self.fetcher.chunk(&entry.id).await?;
        if (entry.documents, entry.raw_bytes) != (read.documents, read.raw_bytes) {
            let lists = Folder::Lists.of(self.fetcher.vault.domain);
            return Err(RepositoryError::damaged(lists, "a chunk list disagrees with a pack about a chunk"));
        }
        Ok(RawChunk { documents: read.documents, bytes: Bytes::from(raw) })
    }
}

/// On a task of its own, so that it goes on while the consumer is busy.
async fn spawned(reader: BackupReader, entry: ListEntry) -> Result<RawChunk, RepositoryError> {
    let task = tokio::spawn(async move { reader.fetch(&entry).await });
    task.await.map_err(|error| RepositoryError::Internal { what: "reading a chunk", reason: error.to_string() })?
}
