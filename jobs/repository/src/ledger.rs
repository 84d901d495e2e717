//! What a writer has claimed, stored and counted so far.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::RepositoryError;
use crate::pack_listing::PackListing;

/// What a writer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteStats {
    /// Chunks that were new.
    pub chunks_new: u64,
    /// Chunks that were there already.
    pub chunks_known: u64,
    /// New chunks that were stored as deltas.
    pub chunks_delta: u64,
    /// BSON bytes of all documents stored or found.
    pub raw_bytes: u64,
    /// BSON bytes of the new chunks.
    pub new_chunk_raw_bytes: u64,
    /// Sealed bytes of the new chunks.
    pub new_chunk_stored_bytes: u64,
    /// Bytes of all objects written: packs, lists, index, manifest.
    pub stored_bytes: u64,
}

/// The first failure of a writer.
#[derive(Clone, Debug)]
struct Failure {
    reason: String,
    retryable: bool,
    away: bool,
    full: bool,
}

/// Bookkeeping of one writer.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Chunks that this writer was the first to meet: true once their pack is durable.
    fresh: HashMap<[u8; 32], bool>,
    pub(crate) stats: WriteStats,
    /// Packs that are durable and in no index object yet.
    pub(crate) unlisted: Vec<PackListing>,
    failure: Option<Failure>,
}

impl Ledger {
    /// Whether the caller is to store this chunk: true for the first to ask.
    pub(crate) fn claim(&mut self, id: &[u8; 32]) -> bool {
        let mut first = false;
        self.fresh.entry(*id).or_insert_with(|| {
            first = true;
            false
        });
        first
    }

    /// Whether this writer made this chunk durable.
    pub(crate) fn has_stored(&self, id: &[u8; 32]) -> bool {
        self.fresh.get(id).is_some_and(|durable| *durable)
    }

    /// A pack is durable.
    pub(crate) fn stored(&mut self, listing: PackListing) {
        self.stats.stored_bytes += listing.stored_bytes;
        for entry in &listing.entries {
            self.fresh.insert(entry.id, true);
        }
        self.unlisted.push(listing);
    }

    /// Ends this writer: what it claimed may never be stored.
    pub(crate) fn fail(&mut self, error: &RepositoryError) {
        let (retryable, away, full) = (error.is_retryable(), error.is_away(), error.is_full());
        self.failure.get_or_insert_with(|| Failure { reason: error.to_string(), retryable, away, full });
    }

    /// Fails if this writer has failed.
    pub(crate) fn check(&self) -> Result<(), RepositoryError> {
        match self.failure.clone() {
            None => Ok(()),
            Some(Failure { reason, retryable, away, full }) => {
                Err(RepositoryError::WriterFailed { reason, retryable, away, full })
            }
        }
    }
}
