//! One domain of an open repository: its storage, its keys, and reading what is one record.

use std::sync::Arc;

use bytes::Bytes;

use crate::inventory::is_believed;
use crate::keys::{DomainKeys, FIRST_KEY_ID, Keys};
use crate::limits::RECORD_OBJECT_BYTES;
use crate::list::{self, ListEntry};
use crate::names::{is_hex, unhex};
use crate::object_name::{Folder, ListName, resealed_with};
use crate::pool::Pool;
use crate::record::{RecordType, key_id_of, with_key_id};
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
    /// Whether they may keep sums in chunk lists: likewise.
    pub(crate) sums: bool,
}

impl Vault {
    pub(crate) fn domain_keys(&self) -> &DomainKeys {
        self.keys.domain(self.domain).expect("a vault is made for domains that have keys")
    }

    /// A vault for single records of the sealed domain.
    pub(crate) fn sealed(store: Store, keys: Arc<Keys>) -> Self {
        let (domain, opener) = (Domain::Sealed, Arc::new(Opener::new(keys.clone(), Domain::Sealed)));
        let (pool, chunk) = (Pool::new(), ChunkSizes::default());
        Self { domain, store, keys, opener, pool, chunk, deltas: false, sums: false }
    }

    /// The same storage with the keys of what belongs to no domain: the sealed one's wherever there are keys.
    pub(crate) fn of_whole_repository(&self) -> Self {
        let domain = if self.keys.ring().is_some() { Domain::Sealed } else { Domain::Plain };
        let opener = Arc::new(Opener::new(self.keys.clone(), domain));
        let (store, keys, pool) = (self.store.clone(), self.keys.clone(), self.pool.clone());
        Self { domain, store, keys, opener, pool, chunk: self.chunk, deltas: self.deltas, sums: self.sums }
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

    /// Opens a record on the pool; `Damaged` names the object. Where its name says which master it is sealed with, that must be so.
    pub(crate) async fn open_record(
        &self,
        object: &str,
        record: Bytes,
        record_type: RecordType,
        id: [u8; 32],
    ) -> Result<Vec<u8>, RepositoryError> {
        let (opener, key_id) = (self.opener.clone(), key_id_of(&record));
        if self.domain == Domain::Sealed && self.keys.is_retired(key_id) {
            return Err(self.retired(object, &record, record_type, id));
        }
        if resealed_with(object).is_some_and(|named| named != key_id) {
            return Err(RepositoryError::damaged(object, "it is sealed with another master key than its name says"));
        }
        let raw = self.pool.run(move || opener.open(&record, record_type, &id)).await?;
        raw.map_err(|problem| RepositoryError::damaged(object, problem))
    }

    /// Why a record can't be opened whose header names a master key that was given up: because of that, unless it is the header that is
    /// damaged. What is retired is removed, so that must not be mixed up.
    fn retired(&self, object: &str, record: &Bytes, record_type: RecordType, id: [u8; 32]) -> RepositoryError {
        let opens_with = |key_id: u32| self.opener.open(&with_key_id(record, key_id), record_type, &id).is_ok();
        let masters = self.keys.ring().into_iter().flat_map(|ring| &ring.masters);
        if masters.into_iter().any(|(key_id, _)| opens_with(*key_id)) {
            return RepositoryError::damaged(object, "its header names another master key than it is sealed with");
        }
        RepositoryError::RetiredKey { object: object.into(), key_id: key_id_of(record) }
    }

    /// The body of an object that is one record, with the bytes as stored. Of what older masters have sealed, only what counted when
    /// the newest came.
    pub(crate) async fn read_named(
        &self,
        object: &str,
        record_type: RecordType,
    ) -> Result<(Vec<u8>, Bytes), RepositoryError> {
        let stored = self.store.read(object, RECORD_OBJECT_BYTES).await?;
        let raw = self.open_record(object, stored.clone(), record_type, self.name_id(object)).await?;
        if let Some(inventory) = self.keys.inventory()
            && self.domain == Domain::Sealed
            && is_believed(record_type)
        {
            inventory.check(self, object, &stored).await?;
        }
        Ok((raw, stored))
    }

    /// The name under which this repository's writers store a chunk list now: it says which master the list is sealed with, so that
    /// nothing new refers to what an older one has sealed.
    pub(crate) fn list_name(&self, id: &str, writer: Option<&str>) -> String {
        ListName { id, writer, key_id: self.list_key_id() }.object(self.domain)
    }

    /// The master that the names of new chunk lists say.
    pub(crate) fn list_key_id(&self) -> u32 {
        if self.domain == Domain::Sealed { self.keys.newest_key_id() } else { FIRST_KEY_ID }
    }

    /// The entries of a chunk list, from within its reference or from any object of it that is sound.
    pub(crate) async fn read_list(&self, reference: &ListRef) -> Result<Vec<ListEntry>, RepositoryError> {
        Ok(self.find_list(reference).await?.0)
    }

    /// The entries of a chunk list, and whether they are another object's than the one that is referred to: what is of the same content
    /// will do as well. The newest master's comes first.
    pub(crate) async fn find_list(&self, reference: &ListRef) -> Result<(Vec<ListEntry>, bool), RepositoryError> {
        if let Some(inline) = &reference.inline {
            let object = Folder::Lists.object(self.domain, &reference.id);
            return Ok((self.decode_list(&object, reference, &inline.bytes)?, false));
        }
        let named = self.list_names(reference);
        let mut failed = None;
        for object in &named {
            match self.read_list_at(object, reference).await {
                // Of two troubles, that a list is missing under one name tells less than that it is damaged under another.
                Err(RepositoryError::Missing { .. }) if failed.is_some() => {}
                Err(error) if error.damage().is_some() => failed = Some(error),
                read => return Ok((read?, false)),
            }
        }
        for (object, _) in self.store.list(&Folder::Lists.of(self.domain)).await? {
            let is_same = ListName::parse(self.domain, &object).is_some_and(|list| list.id == reference.id);
            if is_same && !named.contains(&object) {
                match self.read_list_at(&object, reference).await {
                    Err(error) if error.damage().is_some() => {}
                    read => return Ok((read?, true)),
                }
            }
        }
        Err(failed.expect("there is a name for each master"))
    }

    /// The entries of a chunk list that is an object of this name.
    pub(crate) async fn read_list_at(
        &self,
        object: &str,
        reference: &ListRef,
    ) -> Result<Vec<ListEntry>, RepositoryError> {
        let id = list_id_of(object, reference)?;
        let stored = self.store.read(object, RECORD_OBJECT_BYTES).await?;
        let body = self.open_record(object, stored, RecordType::List, id).await?;
        self.decode_list(object, reference, &body)
    }

    /// The names that the object of a reference may have, the newest master's first.
    fn list_names(&self, ListRef { id, writer, .. }: &ListRef) -> Vec<String> {
        let ring = self.keys.ring().filter(|_| self.domain == Domain::Sealed);
        let mut key_ids: Vec<u32> =
            ring.map_or(vec![FIRST_KEY_ID], |ring| ring.masters.iter().map(|(id, _)| *id).collect());
        key_ids.sort_unstable_by_key(|key_id| std::cmp::Reverse(*key_id));
        let named = |key_id| ListName { id, writer: writer.as_deref(), key_id }.object(self.domain);
        key_ids.into_iter().map(named).collect()
    }

    fn decode_list(&self, object: &str, reference: &ListRef, body: &[u8]) -> Result<Vec<ListEntry>, RepositoryError> {
        let damaged = |problem: &str| RepositoryError::damaged(object, problem);
        let id = list_id_of(object, reference)?;
        if list::list_id(&self.domain_keys().list_id, body) != id {
            return Err(damaged("its content isn't what its name says"));
        }
        list::decode(body, reference).ok_or_else(|| damaged("it doesn't agree with what refers to it"))
    }
}

fn list_id_of(object: &str, ListRef { id, writer, .. }: &ListRef) -> Result<[u8; 32], RepositoryError> {
    if writer.as_deref().is_some_and(|writer| !is_hex::<16>(writer)) {
        return Err(RepositoryError::damaged(object, "that is no writer of a list"));
    }
    unhex(id).ok_or_else(|| RepositoryError::damaged(object, "that is no list id"))
}
