//! Filling packs and storing them, a few at once.
//!
//! Invariant: a pack is in the ledger only once it is durable.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::RepositoryError;
use crate::footer::{self, DeltaLink, PackEntry};
use crate::ledger::Ledger;
use crate::object_name::{Folder, WriterNames};
use crate::pack_listing::PackListing;
use crate::record::RecordType;
use crate::seal::Sealer;
use crate::vault::Vault;

/// A pack is closed at this size.
const PACK_BYTES: u64 = 16 << 20;

/// Takes sealed chunks and makes packs of them.
#[derive(Debug)]
pub(crate) struct Packer {
    pub(crate) vault: Arc<Vault>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) names: WriterNames,
    ledger: Mutex<Ledger>,
    open: tokio::sync::Mutex<OpenPack>,
    /// Packs on their way to the storage; one more being filled makes the memory that packs take.
    uploads: Arc<Semaphore>,
    uploads_max: u32,
}

#[derive(Debug, Default)]
struct OpenPack {
    /// Packs closed so far.
    closed: u32,
    entries: Vec<PackEntry>,
    records: Vec<Bytes>,
    bytes: u64,
}

/// A chunk that was sealed.
pub(crate) struct SealedChunk {
    pub(crate) id: [u8; 32],
    pub(crate) record: Bytes,
    pub(crate) raw_bytes: u32,
    pub(crate) documents: u32,
    pub(crate) delta: Option<DeltaLink>,
}

impl Packer {
    pub(crate) fn new(vault: Arc<Vault>, sealer: Arc<Sealer>, names: WriterNames) -> Arc<Self> {
        let uploads_max = vault.store.writes_at_once().max(1);
        let uploads = Arc::new(Semaphore::new(uploads_max as usize));
        let (ledger, open) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { vault, sealer, names, ledger, open, uploads, uploads_max })
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a chunk. Waits while too many packs are on their way.
    pub(crate) async fn append(self: &Arc<Self>, chunk: SealedChunk) -> Result<(), RepositoryError> {
        let mut open = self.open.lock().await;
        open.push(chunk)?;
        if open.bytes >= PACK_BYTES { self.close(&mut open).await } else { Ok(()) }
    }

    /// Closes the open pack and waits until all packs are durable. Even if it fails, nothing is on its way afterwards.
    pub(crate) async fn flush(self: &Arc<Self>) -> Result<(), RepositoryError> {
        let mut open = self.open.lock().await;
        let closed = if open.entries.is_empty() { Ok(()) } else { self.close(&mut open).await };
        drop(open);
        let _all_done = self.uploads.acquire_many(self.uploads_max).await.expect("never closed");
        closed.and(self.ledger().check())
    }

    /// Whether every chunk that was appended is durable.
    pub(crate) async fn is_flushed(&self) -> bool {
        self.open.lock().await.entries.is_empty() && self.uploads.available_permits() == self.uploads_max as usize
    }

    /// Starts storing the open pack. The turn is awaited first, so that dropping this future loses nothing.
    async fn close(self: &Arc<Self>, open: &mut OpenPack) -> Result<(), RepositoryError> {
        let turn = self.uploads.clone().acquire_owned().await.expect("never closed");
        self.ledger().check()?;
        let closed = open.closed + 1;
        let pack = mem::replace(open, OpenPack { closed, ..OpenPack::default() });
        tokio::spawn(self.clone().upload(pack, self.names.pack(closed), turn));
        Ok(())
    }

    async fn upload(self: Arc<Self>, pack: OpenPack, name: String, turn: OwnedSemaphorePermit) {
        match self.store(pack, name).await {
            Ok(listing) => self.ledger().stored(listing),
            Err(error) => self.ledger().fail(&error),
        }
        drop(turn);
    }

    async fn store(&self, mut pack: OpenPack, name: String) -> Result<PackListing, RepositoryError> {
        let object = Folder::Packs.object(self.vault.domain, &name);
        let (id, body) = (self.vault.name_id(&object), footer::encode(&pack.entries));
        let sealed = self.vault.seal_record(&self.sealer, RecordType::Footer, id, body).await?;
        let footer_bytes = u32::try_from(sealed.len()).expect("a footer is small");
        pack.records.push(sealed);
        pack.records.push(Bytes::copy_from_slice(&footer::trailer(footer_bytes)));
        let stored_bytes = pack.records.iter().map(|record| record.len() as u64).sum();
        self.vault.store.create_pack(&object, &pack.records).await?;
        Ok(PackListing { name, stored_bytes, entries: pack.entries })
    }
}

impl OpenPack {
    fn push(&mut self, chunk: SealedChunk) -> Result<(), RepositoryError> {
        let too_large = |_| RepositoryError::Internal { what: "pack", reason: "4 GiB or more".into() };
        self.entries.push(PackEntry {
            id: chunk.id,
            offset: u32::try_from(self.bytes).map_err(too_large)?,
            record_bytes: u32::try_from(chunk.record.len()).map_err(too_large)?,
            raw_bytes: chunk.raw_bytes,
            documents: chunk.documents,
            delta: chunk.delta,
        });
        self.bytes += chunk.record.len() as u64;
        self.records.push(chunk.record);
        Ok(())
    }
}
