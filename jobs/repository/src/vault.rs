//! One domain of an open repository: its storage, its keys, and reading what is one record.

use std::sync::Arc;

use bytes::Bytes;

use crate::keys::{DomainKeys, Keys};
use crate::limits::RECORD_OBJECT_BYTES;
use crate::list::{self, ListEntry};
use crate::names::unhex;
use crate::object_name::Folder;
use crate::pool::Pool;
use crate::record::RecordType;
use crate::seal::{Opener, Sealer};
use crate::store::Store;
use crate::{ChunkSizes, Domain, ListRef, RepositoryError};

/// zstd level of everything but chunks.
const METADATA_LEVEL: Option<i32> = Some(3);

/// One domain.
#[derive(Debug)]
pub(crate) struct Vault {
    pub(crate) domain: Domain,
    pub(crate) store: Store,
    pub(crate) keys: Arc<Keys>,
    pub(crate) opener: Arc<Opener>,
    pub(crate) pool: Pool,
    pub(crate) chunk: ChunkSizes,
    /// Whether writers may store deltas: the config's features say so.
    pub(crate) deltas: bool,
}

impl Vault {
    pub(crate) fn domain_keys(&self) -> &DomainKeys {
        self.keys.domain(self.domain).expect("a vault is made for domains that have keys")
    }

    /// The same storage with the keys of what belongs to no domain: the sealed one's wherever there are keys.
    pub(crate) fn of_whole_repository(&self) -> Self {
        let domain = if self.keys.ring().is_some() { Domain::Sealed } else { Domain::Plain };
        let opener = Arc::new(Opener::new(self.keys.clone(), domain));
        let (store, keys, pool) = (self.store.clone(), self.keys.clone(), self.pool.clone());
        Self { domain, store, keys, opener, pool, chunk: self.chunk, deltas: self.deltas }
    }

    /// The record id of an object that is named, not addressed by content.
    pub(crate) fn name_id(&self, object: &str) -> [u8; 32] {
        blake3::keyed_hash(&self.domain_keys().name, object.as_bytes()).into()
    }

    /// Seals anything but a chunk, on the pool.
    pub(crate) async fn seal_record(
        &self,
        sealer: &Arc<Sealer>,
        record_type: RecordType,
        id: [u8; 32],
        body: Vec<u8>,
    ) -> Result<Bytes, RepositoryError> {
        let sealer = sealer.clone();
        let record = self.pool.run(move || sealer.seal(record_type, &id, &body, METADATA_LEVEL)).await??;
        Ok(record.into())
    }

    /// Opens a record on the pool; `Damaged` names the object.
    pub(crate) async fn open_record(
        &self,
        object: &str,
        record: Bytes,
        record_type: RecordType,
        id: [u8; 32],
    ) -> Result<Vec<u8>, RepositoryError> {
        let opener = self.opener.clone();
        let raw = self.pool.run(move || opener.open(&record, record_type, &id)).await?;
        raw.map_err(|problem| RepositoryError::damaged(object, problem))
    }

    /// The body of an object that is one record, with the bytes as stored.
    pub(crate) async fn read_named(
        &self,
        object: &str,
        record_type: RecordType,
    ) -> Result<(Vec<u8>, Bytes), RepositoryError> {
        let stored = self.store.read(object, RECORD_OBJECT_BYTES).await?;
        let raw = self.open_record(object, stored.clone(), record_type, self.name_id(object)).await?;
        Ok((raw, stored))
    }

    /// The entries of a chunk list, from its object or from within its reference.
    pub(crate) async fn read_list(&self, reference: &ListRef) -> Result<Vec<ListEntry>, RepositoryError> {
        let object = Folder::Lists.object(self.domain, &reference.id);
        let damaged = |problem: &str| RepositoryError::damaged(&*object, problem);
        let id: [u8; 32] = unhex(&reference.id).ok_or_else(|| damaged("that is no list id"))?;
        let body = if let Some(inline) = &reference.inline {
            inline.bytes.clone()
        } else {
            let stored = self.store.read(&object, RECORD_OBJECT_BYTES).await?;
            self.open_record(&object, stored, RecordType::List, id).await?
        };
        if list::list_id(&self.domain_keys().list_id, &body) != id {
            return Err(damaged("its content isn't what its name says"));
        }
        list::decode(&body, reference).ok_or_else(|| damaged("it doesn't agree with what refers to it"))
    }
}
