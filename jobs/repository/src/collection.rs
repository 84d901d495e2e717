//! Writing one collection: cut, hash, find or store, and list the chunks.

use std::collections::VecDeque;
use std::fmt;

use tokio::task::JoinHandle;

use crate::content::ContentPart;
use crate::cutter::{Cutter, Draft};
use crate::list::{IdValue, List, ListBuilder, ListEntry};
use crate::packer::SealedChunk;
use crate::record::RecordType;
use crate::{BackupWriter, CollectionContent, ContentHasher, ContentOrder, DocumentBatch, ListRef, RepositoryError};

/// Cuts the documents of one collection into chunks and has them stored.
pub struct CollectionWriter {
    writer: BackupWriter,
    order: ContentOrder,
    /// Away while a push is under way; gone for good if that push was dropped.
    cutter: Option<Cutter>,
    /// Chunks on their way, in order.
    under_way: VecDeque<JoinHandle<Result<ChunkDone, RepositoryError>>>,
    lists: ListBuilder,
    hasher: ContentHasher,
    documents: u64,
    raw_bytes: u64,
    chunk_lists: Vec<ListRef>,
}

/// A chunk that is in a pack, or on its way into one.
struct ChunkDone {
    entry: ListEntry,
    part: ContentPart,
}

impl CollectionWriter {
    pub(crate) fn new(writer: BackupWriter, order: ContentOrder) -> Self {
        let keys = writer.vault().domain_keys();
        let cutter = Cutter::new(writer.vault().chunk, keys.cut.clone());
        let hasher = ContentHasher::new(keys.content.clone(), order);
        Self {
            order,
            cutter: Some(cutter),
            under_way: VecDeque::new(),
            lists: ListBuilder::default(),
            hasher,
            documents: 0,
            raw_bytes: 0,
            chunk_lists: Vec::new(),
            writer,
        }
    }

    /// Adds documents in the order of reading. Waits while too much is on its way to the storage. Must not be dropped in the
    /// middle: this collection then refuses to go on.
    pub async fn push(&mut self, batch: DocumentBatch) -> Result<(), RepositoryError> {
        let mut cutter = self.cutter.take().ok_or_else(interrupted)?;
        let cut = move || {
            let drafts = cutter.push(&batch);
            (cutter, drafts)
        };
        let (cutter, drafts) = self.writer.vault().pool.run(cut).await?;
        for draft in drafts? {
            self.start(draft).await?;
        }
        self.cutter = Some(cutter);
        Ok(())
    }

    /// Ends the collection. Its chunks are durable only after [`BackupWriter::flush`] or [`BackupWriter::finish`].
    pub async fn finish(mut self) -> Result<CollectionContent, RepositoryError> {
        let cutter = self.cutter.take().ok_or_else(interrupted)?;
        if let Some(draft) = cutter.finish() {
            self.start(draft).await?;
        }
        while !self.under_way.is_empty() {
            self.settle_oldest().await?;
        }
        let last = self.lists.finish(&self.writer.vault().domain_keys().list_id);
        self.keep(last).await?;
        Ok(CollectionContent {
            documents: self.documents,
            raw_bytes: self.raw_bytes,
            content_hash: self.hasher.finish(),
            chunk_lists: self.chunk_lists,
        })
    }

    async fn start(&mut self, draft: Draft) -> Result<(), RepositoryError> {
        while self.under_way.len() >= self.writer.vault().pool.width() + 2 {
            self.settle_oldest().await?;
        }
        self.writer.packer().ledger().check()?;
        self.under_way.push_back(tokio::spawn(store_or_fail(self.writer.clone(), draft, self.order)));
        Ok(())
    }

    /// Waits for the oldest chunk under way and notes it.
    async fn settle_oldest(&mut self) -> Result<(), RepositoryError> {
        let Some(oldest) = self.under_way.front_mut() else {
            return Ok(());
        };
        let joined = oldest.await;
        self.under_way.pop_front();
        let ChunkDone { entry, part } = joined.map_err(|error| self.broken(&error.to_string()))??;
        self.documents += u64::from(entry.documents);
        self.raw_bytes += u64::from(entry.raw_bytes);
        self.hasher.add(&part, entry.documents);
        let list = self.lists.push(&self.writer.vault().domain_keys().list_id, entry);
        self.keep(list).await
    }

    async fn keep(&mut self, list: Option<List>) -> Result<(), RepositoryError> {
        if let Some(list) = list {
            self.writer.store_list(&list).await?;
            self.chunk_lists.push(list.reference);
        }
        Ok(())
    }

    /// A chunk's task panicked or the runtime ends: what it claimed will never be stored.
    fn broken(&self, reason: &str) -> RepositoryError {
        let error = RepositoryError::Internal { what: "storing a chunk", reason: reason.into() };
        self.writer.packer().ledger().fail(&error);
        error
    }
}

impl fmt::Debug for CollectionWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CollectionWriter({} documents)", self.documents)
    }
}

/// A failure here ends the whole writer, since other collections may count on the chunk.
async fn store_or_fail(writer: BackupWriter, draft: Draft, order: ContentOrder) -> Result<ChunkDone, RepositoryError> {
    let stored = store(&writer, draft, order).await;
    if let Err(error) = &stored {
        writer.packer().ledger().fail(error);
    }
    stored
}

async fn store(writer: &BackupWriter, draft: Draft, order: ContentOrder) -> Result<ChunkDone, RepositoryError> {
    let handle = writer.clone();
    let (done, sealed) = writer.vault().pool.run(move || seal_new(&handle, &draft, order)).await??;
    if let Some(chunk) = sealed {
        let stored_bytes = chunk.record.len() as u64;
        writer.packer().append(chunk).await?;
        writer.packer().ledger().stats.new_chunk_stored_bytes += stored_bytes;
    }
    Ok(done)
}

/// The work for the processor: hash, look up, and seal what is new.
fn seal_new(
    writer: &BackupWriter,
    draft: &Draft,
    order: ContentOrder,
) -> Result<(ChunkDone, Option<SealedChunk>), RepositoryError> {
    let raw = draft.assemble();
    let keys = writer.vault().domain_keys();
    let id: [u8; 32] = blake3::keyed_hash(&keys.chunk_id, &raw).into();
    let (first, last) = IdValue::ends(&raw);
    let (documents, raw_bytes) = (draft.documents, draft.raw_bytes);
    let entry = ListEntry { id, documents, raw_bytes, first, last };
    let part = ContentPart::of(&keys.content, order, &raw);
    let sealed = if writer.claim(&id, raw_bytes) {
        let record = writer.packer().sealer.seal(RecordType::Chunk, &id, &raw, writer.level())?.into();
        Some(SealedChunk { id, record, raw_bytes, documents })
    } else {
        None
    };
    Ok((ChunkDone { entry, part }, sealed))
}

fn interrupted() -> RepositoryError {
    RepositoryError::WriterFailed { reason: "a push was interrupted or failed".into(), retryable: true }
}
