//! Keys and how they are derived (format, section 4). Nothing here is ever shown or stored in clear.

use std::fmt;
use std::sync::Arc;

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::inventory::Inventory;
use crate::{Domain, RepositoryError, RepositoryId};

/// A 32-byte key, wiped when it goes.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Id of the master key that version 1 creates.
pub(crate) const FIRST_KEY_ID: u32 = 1;

const PREFIX: &[u8] = b"lucid-archive/1 ";

/// One key from another.
pub(crate) fn derive(input: &[u8], salt: &[u8], info: &[&[u8]]) -> Key {
    let mut out = Zeroizing::new([0; 32]);
    let mut parts = vec![PREFIX];
    parts.extend(info);
    Hkdf::<Sha256>::new(Some(salt), input)
        .expand_multi_info(&parts, out.as_mut())
        .expect("32 bytes are fewer than HKDF's limit");
    out
}

/// Bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], RepositoryError> {
    let mut out = [0; N];
    getrandom::fill(&mut out)
        .map_err(|error| RepositoryError::Internal { what: "randomness", reason: error.to_string() })?;
    Ok(out)
}

/// What a key slot protects: the root key and the master keys.
pub(crate) struct KeyRing {
    pub(crate) root: Key,
    pub(crate) masters: Vec<(u32, Key)>,
    /// The hash of the inventory of the newest master, which says what of the older ones counts; no part of what is wrapped.
    pub(crate) inventory: Option<[u8; 32]>,
    /// Whether marks and slots of its repository count only if somebody vouches for them who knows the root key; no part either.
    pub(crate) vouched: bool,
}

impl KeyRing {
    pub(crate) fn generate() -> Result<Self, RepositoryError> {
        let masters = vec![(FIRST_KEY_ID, Zeroizing::new(random()?))];
        Ok(Self { root: Zeroizing::new(random()?), masters, inventory: None, vouched: true })
    }

    /// The highest key id: what is written is sealed with its master.
    pub(crate) fn newest(&self) -> u32 {
        self.masters.iter().map(|(id, _)| *id).max().unwrap_or(0)
    }

    /// Whether it holds the same keys.
    pub(crate) fn is(&self, other: &Self) -> bool {
        bool::from(self.encode().ct_eq(&other.encode()))
    }

    /// The same keys once more.
    pub(crate) fn copy(&self) -> Self {
        let (root, masters) = (self.root.clone(), self.masters.clone());
        Self { root, masters, inventory: self.inventory, vouched: self.vouched }
    }

    /// The same ring with a new master, which is the newest; its id is above this one, too.
    pub(crate) fn rotated(&self, above: u32) -> Result<Self, RepositoryError> {
        let id = self.newest().max(above).checked_add(1).ok_or_else(|| RepositoryError::Internal {
            what: "rotation",
            reason: "a mark in masters/ has the highest key id there is: this program didn't put it there; remove it"
                .into(),
        })?;
        let mut ring = self.copy();
        ring.masters.push((id, Zeroizing::new(random()?)));
        ring.inventory = None;
        Ok(ring)
    }

    /// The same ring with its newest master alone.
    pub(crate) fn newest_alone(&self) -> Self {
        let mut ring = self.copy();
        ring.masters.retain(|(id, _)| *id == self.newest());
        ring.inventory = None;
        ring
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(36 + 36 * self.masters.len()));
        out.extend_from_slice(self.root.as_ref());
        let count = u32::try_from(self.masters.len()).expect("a handful of masters");
        out.extend_from_slice(&count.to_le_bytes());
        for (id, master) in &self.masters {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(master.as_ref());
        }
        out
    }

    /// `None` if the bytes aren't a ring; they were authenticated, so that is a newer format.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (root, rest) = bytes.split_first_chunk::<32>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        if count == 0 || rest.len() != count.checked_mul(36)? {
            return None;
        }
        let masters = rest.chunks_exact(36).map(|master| {
            let (id, key) = master.split_first_chunk::<4>()?;
            Some((u32::from_le_bytes(*id), Zeroizing::new(<[u8; 32]>::try_from(key).ok()?)))
        });
        let masters = masters.collect::<Option<_>>()?;
        Some(Self { root: Zeroizing::new(*root), masters, inventory: None, vouched: false })
    }

    pub(crate) fn config_key(&self, repository: &RepositoryId) -> Key {
        derive(self.root.as_ref(), repository.as_bytes(), &[b"config"])
    }

    fn vouch_key(&self, repository: &RepositoryId) -> Key {
        derive(self.root.as_ref(), repository.as_bytes(), &[b"vouch"])
    }

    /// What nobody can say of an unsealed object with this content who doesn't know the root key.
    pub(crate) fn vouch(&self, repository: &RepositoryId, object: &str, content: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.vouch_key(repository));
        hasher.update(object.as_bytes());
        for part in content {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// Whether an unsealed object counts that says this of itself: any does where nobody vouches.
    pub(crate) fn believes(
        &self,
        repository: &RepositoryId,
        object: &str,
        content: &[&[u8]],
        said: Option<&[u8]>,
    ) -> bool {
        !self.vouched || said.is_some_and(|said| self.vouch(repository, object, content).ct_eq(said).into())
    }
}

/// The keys of one domain that name and cut things; they never change.
pub(crate) struct DomainKeys {
    pub(crate) chunk_id: Key,
    pub(crate) list_id: Key,
    pub(crate) name: Key,
    pub(crate) cut: Key,
    pub(crate) content: Key,
    /// Draws how much records are padded.
    pub(crate) pad: Key,
}

impl DomainKeys {
    fn new(domain: Domain, input: &[u8; 32], repository: &RepositoryId) -> Self {
        let domain: &[u8] = match domain {
            Domain::Sealed => b"sealed ",
            Domain::Plain => b"plain ",
        };
        let key = |purpose: &[u8]| derive(input, repository.as_bytes(), &[domain, purpose]);
        Self {
            chunk_id: key(b"chunk-id"),
            list_id: key(b"list-id"),
            name: key(b"name"),
            cut: key(b"cut"),
            content: key(b"content"),
            pad: key(b"pad"),
        }
    }
}

/// All keys of an open repository.
pub(crate) struct Keys {
    pub(crate) repository: RepositoryId,
    ring: Option<KeyRing>,
    sealed: Option<DomainKeys>,
    plain: DomainKeys,
    pub(crate) check: Key,
    /// What older masters have sealed and counts; none where there are none, and where that isn't known.
    inventory: Option<Arc<Inventory>>,
}

impl Keys {
    pub(crate) fn new(repository: RepositoryId, ring: Option<KeyRing>, plain_seed: &[u8; 32]) -> Self {
        Self {
            repository,
            sealed: ring.as_ref().map(|ring| DomainKeys::new(Domain::Sealed, &ring.root, &repository)),
            ring,
            plain: DomainKeys::new(Domain::Plain, plain_seed, &repository),
            check: derive(plain_seed, repository.as_bytes(), &[b"plain check"]),
            inventory: None,
        }
    }

    /// The same keys, and what older masters have sealed that counts.
    pub(crate) fn with_inventory(self, inventory: Option<Arc<Inventory>>) -> Self {
        Self { inventory, ..self }
    }

    pub(crate) fn inventory(&self) -> Option<&Arc<Inventory>> {
        self.inventory.as_ref()
    }

    /// The keys of a domain; none for the sealed domain of a repository without encryption.
    pub(crate) fn domain(&self, domain: Domain) -> Option<&DomainKeys> {
        match domain {
            Domain::Sealed => self.sealed.as_ref(),
            Domain::Plain => Some(&self.plain),
        }
    }

    pub(crate) fn ring(&self) -> Option<&KeyRing> {
        self.ring.as_ref()
    }

    /// The newest master's id; 0 where there is none.
    pub(crate) fn newest_key_id(&self) -> u32 {
        self.ring.as_ref().map_or(0, KeyRing::newest)
    }

    /// Whether a master of this id was given up: what it has sealed can't be read any more, and nothing needs it.
    pub(crate) fn is_retired(&self, key_id: u32) -> bool {
        let ring = self.ring.iter().flat_map(|ring| &ring.masters);
        key_id != 0 && key_id < self.newest_key_id() && !ring.into_iter().any(|(id, _)| *id == key_id)
    }

    /// The key that seals what one writer writes; none if the master is unknown.
    pub(crate) fn writer_key(&self, key_id: u32, writer: &[u8; 32]) -> Option<Key> {
        let (_, master) = self.ring.as_ref()?.masters.iter().find(|(id, _)| *id == key_id)?;
        Some(derive(master.as_ref(), writer, &[b"writer", self.repository.as_bytes()]))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys(of {})", self.repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_survives_its_encoding_and_nothing_else_does() {
        let ring = KeyRing::generate().expect("randomness");
        let bytes = ring.encode();
        let back = KeyRing::decode(&bytes).expect("a ring");
        assert_eq!((back.root, back.masters), (ring.root, ring.masters));
        assert!(KeyRing::decode(&bytes[..bytes.len() - 1]).is_none());
        assert!(KeyRing::decode(&bytes[..36]).is_none());
    }

    #[test]
    fn every_purpose_has_its_own_key() {
        let seed = [7; 32];
        let ring = KeyRing {
            root: Zeroizing::new(seed),
            masters: vec![(1, Zeroizing::new(seed))],
            inventory: None,
            vouched: true,
        };
        let repository = RepositoryId::from_bytes([1; 16]);
        let (config, vouch) = (ring.config_key(&repository), ring.vouch_key(&repository));
        let keys = Keys::new(repository, Some(ring), &seed);
        let mut all = vec![*config, *vouch, *keys.check, *keys.writer_key(1, &[0; 32]).expect("known")];
        all.push(*keys.writer_key(1, &[1; 32]).expect("known"));
        for domain in [Domain::Sealed, Domain::Plain] {
            let of = keys.domain(domain).expect("both are there");
            all.extend([*of.chunk_id, *of.list_id, *of.name, *of.cut, *of.content, *of.pad]);
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(keys.writer_key(2, &[0; 32]).is_none());
    }
}
