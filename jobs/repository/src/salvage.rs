//! What of a damaged backup is whole.
//!
//! Invariant: every document of what is kept has just been read, with the hash that its chunk's id says; everything else is
//! counted as lost. Chunks are whole or lost as such: a document of a chunk whose hash is wrong can't be trusted.

use std::collections::BTreeSet;

use futures::StreamExt;

use crate::content::ContentPart;
use crate::list::{self, ListEntry};
use crate::{BackupReader, CollectionContent, CollectionEntry, ContentHasher, ListRef, Manifest, RepositoryError};

/// Problems told of each collection.
const PROBLEMS_TOLD: usize = 5;

/// What was found whole.
#[derive(Clone, Debug)]
pub struct Salvaged {
    /// A manifest of the whole documents alone. It is stored nowhere.
    pub manifest: Manifest,
    /// What is lost, by collection; nothing where the backup is whole.
    pub losses: Vec<Loss>,
}

/// What is lost of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The collection.
    pub collection: String,
    /// Documents that are lost.
    pub lost: u64,
    /// Documents that are kept.
    pub kept: u64,
    /// Why, as far as it fits.
    pub problems: Vec<String>,
}

/// A collection while it is gone through.
struct Sieve<'a> {
    reader: &'a BackupReader,
    hasher: ContentHasher,
    kept: CollectionContent,
    lost: u64,
    problems: BTreeSet<String>,
}

impl BackupReader {
    /// Reads everything (of these collections only, if some are named) and keeps what is whole. `progress` is told documents and
    /// bytes that were gone through, lost ones included. Fails only where nothing can be read at all, or with `Stopped`.
    pub async fn salvage(
        &self,
        only: Option<&[String]>,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Salvaged, RepositoryError> {
        let mut out =
            Salvaged { manifest: Manifest { collections: Vec::new(), ..self.manifest().clone() }, losses: Vec::new() };
        let (mut documents, mut bytes) = (0, 0);
        let wanted = |entry: &&CollectionEntry| only.is_none_or(|names| names.contains(&entry.name));
        for entry in self.manifest().collections.iter().filter(wanted) {
            let mut sieve = Sieve::new(self, entry);
            for list in &entry.content.chunk_lists {
                if stop() {
                    return Err(RepositoryError::Stopped);
                }
                sieve.list(entry, list).await?;
                (documents, bytes) = (documents + list.documents, bytes + list.raw_bytes);
                progress(documents, bytes);
            }
            let (content, loss) = sieve.finish(entry);
            out.manifest.collections.push(CollectionEntry { content, ..entry.clone() });
            out.losses.extend(loss);
        }
        Ok(out)
    }
}

impl<'a> Sieve<'a> {
    fn new(reader: &'a BackupReader, entry: &CollectionEntry) -> Self {
        let key = reader.fetcher.vault.domain_keys().content.clone();
        Self {
            reader,
            hasher: ContentHasher::new(key, entry.content_order),
            kept: CollectionContent {
                documents: 0,
                raw_bytes: 0,
                content_hash: String::new(),
                chunk_lists: Vec::new(),
            },
            lost: 0,
            problems: BTreeSet::new(),
        }
    }

    async fn list(&mut self, entry: &CollectionEntry, list: &ListRef) -> Result<(), RepositoryError> {
        let chunks = match self.reader.fetcher.vault.read_list(list).await {
            Ok(chunks) => chunks,
            Err(error) => return self.lose(list.documents, error),
        };
        let mut whole: Vec<ListEntry> = Vec::with_capacity(chunks.len());
        let mut reads = std::pin::pin!(self.reader.read(chunks.clone()));
        for chunk in &chunks {
            let Some(read) = reads.next().await else { break };
            match read {
                Ok(read) => {
                    let (key, order) = (self.reader.fetcher.vault.domain_keys().content.clone(), entry.content_order);
                    let pool = &self.reader.fetcher.vault.pool;
                    let part = pool.run(move || ContentPart::of(&key, order, &read.bytes)).await?;
                    self.hasher.add(&part, chunk.documents)?;
                    whole.push(chunk.clone());
                }
                Err(error) => self.lose(u64::from(chunk.documents), error)?,
            }
        }
        let kept = if whole.len() == chunks.len() {
            list.clone()
        } else {
            list::inline(&self.reader.fetcher.vault.domain_keys().list_id, &whole)
        };
        self.kept.documents += kept.documents;
        self.kept.raw_bytes += kept.raw_bytes;
        if kept.chunks > 0 {
            self.kept.chunk_lists.push(kept);
        }
        Ok(())
    }

    /// A disk that can't be read any more is as good as a damaged object: the storage has been asked several times by now.
    fn lose(&mut self, documents: u64, error: RepositoryError) -> Result<(), RepositoryError> {
        let is_loss = error.damage().is_some() || matches!(error, RepositoryError::Storage { .. });
        if !is_loss {
            return Err(error);
        }
        self.lost += documents;
        if self.problems.len() < PROBLEMS_TOLD {
            self.problems.insert(error.to_string());
        }
        Ok(())
    }

    fn finish(self, entry: &CollectionEntry) -> (CollectionContent, Option<Loss>) {
        let Self { hasher, kept, lost, problems, .. } = self;
        let loss = (lost > 0).then(|| Loss {
            collection: entry.name.clone(),
            lost,
            kept: kept.documents,
            problems: problems.into_iter().collect(),
        });
        (CollectionContent { content_hash: hasher.finish(), ..kept }, loss)
    }
}
