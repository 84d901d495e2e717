//! Writing one collection: cut, hash, find or store, and list the chunks.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::cutter::{Cutter, Draft};
use crate::list::{List, ListBuilder};
use crate::predecessor::Predecessor;
use crate::store_chunk::{ChunkDone, store_or_fail};
use crate::{BackupWriter, CollectionContent, ContentHasher, ContentOrder, DocumentBatch, ListRef, RepositoryError};

/// Cuts the documents of one collection into chunks and has them stored.
pub struct CollectionWriter {
    writer: BackupWriter,
    order: ContentOrder,
    predecessor: Option<Arc<Predecessor>>,
    /// Away while a push is under way; gone for good if that push was dropped.
    cutter: Option<Cutter>,
    /// Chunks on their way, in order.
    under_way: VecDeque<JoinHandle<Result<ChunkDone, RepositoryError>>>,
    lists: ListBuilder,
    hasher: ContentHasher,
    documents: u64,
    raw_bytes: u64,
    chunk_lists: Vec<ListRef>,
    ended: bool,
}

impl CollectionWriter {
    pub(crate) fn new(writer: BackupWriter, order: ContentOrder, predecessor: Option<Predecessor>) -> Self {
        let keys = writer.vault().domain_keys();
        let cutter = Cutter::new(writer.vault().chunk, keys.cut.clone());
        let hasher = ContentHasher::new(keys.content.clone(), order);
        Self {
            order,
            predecessor: predecessor.map(Arc::new),
            cutter: Some(cutter),
            under_way: VecDeque::new(),
            lists: ListBuilder::default(),
            hasher,
            documents: 0,
            raw_bytes: 0,
            chunk_lists: Vec::new(),
            ended: false,
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
    pub async fn finish(self) -> Result<CollectionContent, RepositoryError> {
        self.finish_with(Vec::new()).await
    }

    /// Ends a collection whose further parts were pushed to these writers, in this order. Only where the order of documents doesn't count.
    pub async fn finish_with(mut self, parts: Vec<Self>) -> Result<CollectionContent, RepositoryError> {
        self.end().await?;
        for mut part in parts {
            part.end().await?;
            self.hasher.join(&part.hasher)?;
            self.documents += part.documents;
            self.raw_bytes += part.raw_bytes;
            self.chunk_lists.append(&mut part.chunk_lists);
        }
        Ok(CollectionContent {
            documents: self.documents,
            raw_bytes: self.raw_bytes,
            content_hash: self.hasher.finish(),
            chunk_lists: self.chunk_lists,
        })
    }

    /// Says that no more documents come, and waits until all chunks are done and listed: then little of it is held. For parts that wait for
    /// others; [`Self::finish_with`] does it where it wasn't done.
    pub async fn end(&mut self) -> Result<(), RepositoryError> {
        if self.ended {
            return Ok(());
        }
        let cutter = self.cutter.take().ok_or_else(interrupted)?;
        if let Some(draft) = cutter.finish() {
            self.start(draft).await?;
        }
        while !self.under_way.is_empty() {
            self.settle_oldest().await?;
        }
        let last = self.lists.finish(&self.writer.vault().domain_keys().list_id);
        self.keep(last).await?;
        (self.ended, self.predecessor) = (true, None);
        Ok(())
    }

    async fn start(&mut self, draft: Draft) -> Result<(), RepositoryError> {
        while self.under_way.len() > self.writer.vault().pool.width() {
            self.settle_oldest().await?;
        }
        self.writer.packer().ledger().check()?;
        self.under_way.push_back(tokio::spawn(store_or_fail(
            self.writer.clone(),
            draft,
            self.order,
            self.predecessor.clone(),
        )));
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
        self.hasher.add(&part, entry.documents)?;
        let list = self.lists.push(&self.writer.vault().domain_keys().list_id, entry);
        self.keep(list).await
    }

    async fn keep(&mut self, list: Option<List>) -> Result<(), RepositoryError> {
        if let Some(list) = list {
            self.chunk_lists.push(self.writer.store_list(list).await?);
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

fn interrupted() -> RepositoryError {
    RepositoryError::WriterFailed {
        reason: "a push was interrupted or failed".into(),
        retryable: true,
        away: false,
        full: false,
    }
}
