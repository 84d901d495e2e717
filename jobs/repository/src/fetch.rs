//! Reading single chunks from the packs, with all that they build on.
//!
//! Invariant: what is returned has the hash that is the chunk's id. A base is always less deep than what builds on it, so reading
//! ends whatever the packs say.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::batch::count_documents;
use crate::delta;
use crate::footer::{DeltaLink, MAX_DEPTH, PackEntry};
use crate::index::{Copy, Failed, Index};
use crate::record::RecordType;
use crate::seal::SealedDelta;
use crate::vault::Vault;
use crate::verify::Seen;
use crate::{RepositoryError, names};

/// Reads chunks of one domain. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    pub(crate) vault: Arc<Vault>,
    pub(crate) index: Arc<Index>,
    /// Whether packs are read by way of the cache: for bases, which are asked for again the next night.
    cached: bool,
    /// Where it is noted which were read and found whole.
    pub(crate) seen: Option<Arc<Seen>>,
}

/// A chunk as read, and what its pack says of it.
pub(crate) struct Fetched {
    pub(crate) entry: PackEntry,
    pub(crate) raw: Vec<u8>,
}

impl Fetcher {
    pub(crate) fn new(vault: Arc<Vault>, index: Arc<Index>) -> Self {
        Self { vault, index, cached: false, seen: None }
    }

    /// Reads by way of the cache.
    pub(crate) fn cached(self) -> Self {
        Self { cached: true, ..self }
    }

    /// Notes what it has read of the storage itself.
    pub(crate) fn noting(self) -> Self {
        let seen = Seen::none_of(&self.index);
        Self { cached: false, seen: Some(Arc::new(seen)), ..self }
    }

    /// A chunk, from any copy that is sound.
    pub(crate) async fn chunk(&self, id: &[u8; 32]) -> Result<Fetched, RepositoryError> {
        self.less_deep(id, MAX_DEPTH + 1, &mut Failed::new()).await
    }

    /// What a delta builds on.
    pub(crate) async fn base(&self, link: &DeltaLink) -> Result<Vec<u8>, RepositoryError> {
        Ok(self.less_deep(&link.base, link.depth, &mut Failed::new()).await?.raw)
    }

    /// Each chunk is tried once at each depth, however many copies build on it.
    fn less_deep<'a>(
        &'a self,
        id: &'a [u8; 32],
        depth: u8,
        failed: &'a mut Failed,
    ) -> BoxFuture<'a, Result<Fetched, RepositoryError>> {
        async move {
            let mut first_error = None;
            // What has failed at this depth has told why then.
            let untried = !failed.contains(&(*id, depth));
            let is_tried = |place: &usize| untried && self.index.depth(self.index.copy(*place)) < depth;
            for place in self.index.places(id).filter(is_tried) {
                let copy = self.index.copy(place);
                match self.copy(copy, failed).await {
                    Ok(raw) => {
                        if let Some(seen) = &self.seen {
                            seen.mark(place);
                        }
                        return Ok(Fetched { entry: self.index.entry(copy), raw });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a chunk can't be read here; looking for another copy");
                        first_error.get_or_insert(error);
                    }
                }
            }
            failed.insert((*id, depth));
            let object = || format!("the pack of chunk {}", names::hex(id));
            Err(first_error.unwrap_or_else(|| RepositoryError::Missing { object: object() }))
        }
        .boxed()
    }

    async fn copy(&self, copy: &Copy, failed: &mut Failed) -> Result<Vec<u8>, RepositoryError> {
        let (object, entry) = (self.index.pack(copy).object.clone(), self.index.entry(copy));
        let start = u64::from(copy.offset);
        if self.index.pack(copy).present_bytes.is_some_and(|bytes| bytes < start + u64::from(copy.record_bytes)) {
            // Known without asking, which the storage would be several times.
            return Err(RepositoryError::damaged(&*object, "it is truncated"));
        }
        let range = start..start + u64::from(copy.record_bytes);
        if self.cached
            && let Some(record) =
                self.vault.store.read_cached(&object, range.clone(), self.index.pack(copy).stored_bytes).await
        {
            match self.open(&object, record, entry, failed).await {
                Err(error) if error.damage().is_some() => self.vault.store.forget(&object),
                opened => return opened,
            }
        }
        let record = self.vault.store.read_range(&object, range).await?;
        self.open(&object, record, entry, failed).await
    }

    /// The documents of a record, with what it builds on.
    async fn open(
        &self,
        object: &str,
        record: Bytes,
        entry: PackEntry,
        failed: &mut Failed,
    ) -> Result<Vec<u8>, RepositoryError> {
        let (vault, damaged) = (self.vault.clone(), |problem: String| RepositoryError::damaged(object, problem));
        let Some(link) = entry.delta else {
            return self.vault.pool.run(move || open_full(&vault, &record, &entry)).await?.map_err(damaged);
        };
        let sealed = open_delta(&vault, &record, &entry).map_err(damaged)?;
        let base = self.less_deep(&link.base, link.depth, failed).await?.raw;
        self.vault.pool.run(move || apply_delta(&vault, &base, &sealed, &entry)).await?.map_err(damaged)
    }
}

/// The documents of a full chunk, checked in every way that needs no other object; the text says what is wrong.
pub(crate) fn open_full(vault: &Vault, record: &[u8], entry: &PackEntry) -> Result<Vec<u8>, String> {
    check(vault, vault.opener.open(record, RecordType::Chunk, &entry.id)?, entry)
}

/// A delta chunk that builds on what its pack says.
pub(crate) fn open_delta(vault: &Vault, record: &[u8], entry: &PackEntry) -> Result<SealedDelta, String> {
    let sealed = vault.opener.open_delta(record, &entry.id)?;
    let agrees = entry.delta.is_some_and(|link| link.base == sealed.base) && sealed.raw_bytes == entry.raw_bytes;
    if agrees { Ok(sealed) } else { Err("a delta chunk isn't what the pack says".into()) }
}

/// The documents of a delta chunk, checked as [`open_full`] does.
pub(crate) fn apply_delta(
    vault: &Vault,
    base: &[u8],
    sealed: &SealedDelta,
    entry: &PackEntry,
) -> Result<Vec<u8>, String> {
    check(vault, delta::apply(base, &sealed.frame, sealed.raw_bytes as usize)?, entry)
}

fn check(vault: &Vault, raw: Vec<u8>, entry: &PackEntry) -> Result<Vec<u8>, String> {
    if blake3::keyed_hash(&vault.domain_keys().chunk_id, &raw) != entry.id {
        return Err("a chunk's documents aren't those that its id says".into());
    }
    if raw.len() as u64 != u64::from(entry.raw_bytes) || count_documents(&raw) != Some(entry.documents) {
        return Err("a chunk doesn't consist of the documents that the pack says".into());
    }
    Ok(raw)
}
