//! Key slots: the key ring, wrapped by a key file or a passphrase (format, section 3).

use argon2::{Algorithm, Argon2, Block, Params, Version};
use bson::{Binary, DateTime, RawDocument, rawdoc};
use lucid_cipher::{Cipher, NONCE_BYTES, TAG_BYTES};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::config::binary;
use crate::envelope::{self, EnvelopeType};
use crate::keys::{FIRST_KEY_ID, Key, KeyRing, derive, random};
use crate::limits::LABEL_BYTES;
use crate::names::{hex, is_hex};
use crate::{PassphraseCost, RepositoryError, RepositoryId, Secret, SlotInfo, SlotKind};

/// Folder of the slots.
pub(crate) const SLOTS: &str = "keys";
/// A slot's key comes from its own random salt and seals this one thing.
const NONCE: [u8; NONCE_BYTES] = [0; NONCE_BYTES];

/// What opens a slot, read from its file or given by a person.
#[derive(Clone)]
pub(crate) enum SlotSecret {
    KeyFile(Key),
    Passphrase(Secret),
}

/// The clear part of a slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Slot {
    repository: Binary,
    id: Binary,
    kind: SlotKind,
    label: String,
    created_at: DateTime,
    salt: Binary,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argon2id: Option<PassphraseCost>,
    /// Of the newest master in its ring.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    key_id: u32,
    /// The hash of that master's inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inventory: Option<Binary>,
}

fn first() -> u32 {
    FIRST_KEY_ID
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_first(key_id: &u32) -> bool {
    *key_id == FIRST_KEY_ID
}

/// A slot as stored.
#[derive(Clone)]
pub(crate) struct StoredSlot {
    name: String,
    slot: Slot,
    covered: Vec<u8>,
    wrapped: Vec<u8>,
    /// What somebody says of it who knows the root key.
    mac: Option<Vec<u8>>,
}

/// Whether this is the full name of a slot; whatever else lies in the folder isn't ours.
pub(crate) fn is_slot_name(name: &str) -> bool {
    name.strip_prefix(SLOTS).and_then(|name| name.strip_prefix('/')).is_some_and(is_hex::<8>)
}

impl SlotSecret {
    fn kind(&self) -> SlotKind {
        match self {
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::Passphrase(_) => SlotKind::Passphrase,
        }
    }
}

impl Slot {
    /// A new slot for this secret.
    pub(crate) fn new(
        repository: &RepositoryId,
        secret: &SlotSecret,
        (label, ring): (&str, &KeyRing),
        cost: PassphraseCost,
    ) -> Result<Self, RepositoryError> {
        if let SlotSecret::Passphrase(passphrase) = secret
            && passphrase.reveal().is_empty()
        {
            return Err(RepositoryError::Slot { reason: "the passphrase is empty".into() });
        }
        if label.len() > LABEL_BYTES {
            return Err(RepositoryError::Slot { reason: format!("the label is longer than {LABEL_BYTES} bytes") });
        }
        Ok(Self {
            repository: binary(repository.as_bytes()),
            id: binary(&random::<8>()?),
            kind: secret.kind(),
            label: label.into(),
            created_at: DateTime::now(),
            salt: binary(&random::<32>()?),
            argon2id: (secret.kind() == SlotKind::Passphrase).then_some(cost),
            key_id: ring.newest(),
            inventory: ring.inventory.map(|hash| binary(&hash)),
        })
    }

    /// Name of its object.
    pub(crate) fn name(&self) -> String {
        format!("{SLOTS}/{}", hex(&self.id.bytes))
    }

    /// The object's bytes. Slow for a passphrase.
    pub(crate) fn seal(&self, secret: &SlotSecret, ring: &KeyRing) -> Result<Vec<u8>, RepositoryError> {
        let internal = |reason: String| RepositoryError::Internal { what: "key slot", reason };
        let slot = bson::serialize_to_raw_document_buf(self).map_err(|error| internal(error.to_string()))?;
        let key = self.key(secret).map_err(|reason| RepositoryError::Slot { reason })?;
        let mut wrapped = ring.encode();
        let tag = Cipher::new(&key).seal(&NONCE, &associated(slot.as_bytes()), &mut wrapped);
        wrapped.extend(tag.map_err(|_| internal("a key ring of 64 GiB".into()))?);
        let repository = self.repository.bytes.as_slice().try_into().map(RepositoryId::from_bytes);
        let repository = repository.map_err(|_| internal("of no repository".into()))?;
        let mac = ring.vouch(&repository, &self.name(), &[slot.as_bytes(), &wrapped]);
        let body = rawdoc! { "slot": slot, "wrapped": binary(&wrapped), "mac": binary(&mac) };
        Ok(envelope::wrap(EnvelopeType::Slot, body.as_bytes()))
    }

    /// The newest master's id in its ring.
    pub(crate) fn key_id(&self) -> u32 {
        self.key_id
    }

    pub(crate) fn info(&self) -> SlotInfo {
        SlotInfo { id: hex(&self.id.bytes), kind: self.kind, label: self.label.clone(), created_at: self.created_at }
    }

    fn key(&self, secret: &SlotSecret) -> Result<Key, String> {
        let input = match secret {
            SlotSecret::KeyFile(key) => key.clone(),
            SlotSecret::Passphrase(passphrase) => self.stretch(passphrase)?,
        };
        Ok(derive(input.as_ref(), &self.salt.bytes, &[b"slot", &self.repository.bytes]))
    }

    fn stretch(&self, passphrase: &Secret) -> Result<Key, String> {
        let cost = self.argon2id.ok_or("no cost for the passphrase")?;
        // The cost is read before anything is authenticated: bound it, or a planted slot eats the machine.
        let work = u64::from(cost.memory_kib) * u64::from(cost.iterations);
        if cost.memory_kib > 2 << 20 || cost.iterations > 64 || cost.lanes > 64 || work > 8 << 20 {
            return Err(format!("a passphrase cost of {cost:?} is out of bounds"));
        }
        let params = Params::new(cost.memory_kib, cost.iterations, cost.lanes, Some(32));
        let params = params.map_err(|error| error.to_string())?;
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(params.block_count()).map_err(|error| error.to_string())?;
        blocks.resize(params.block_count(), Block::new());
        stretch_in(&mut blocks, params, passphrase.reveal().as_bytes(), &self.salt.bytes)
    }
}

/// Stretches a passphrase in this memory, which tells nothing of it afterwards: the last blocks are as good as the key.
fn stretch_in(blocks: &mut [Block], params: Params, passphrase: &[u8], salt: &[u8]) -> Result<Key, String> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = Zeroizing::new([0; 32]);
    let stretched = argon2.hash_password_into_with_memory(passphrase, salt, out.as_mut(), &mut *blocks);
    blocks.iter_mut().zeroize();
    stretched.map(|()| out).map_err(|error| error.to_string())
}

impl StoredSlot {
    /// Reads a slot whose checksum holds.
    pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<Self, RepositoryError> {
        let damaged = |problem: String| RepositoryError::damaged(name, problem);
        let body = envelope::unwrap(name, EnvelopeType::Slot, bytes)?;
        let inner: &RawDocument = body.get_document("slot").map_err(|_| damaged("no field slot".into()))?;
        let slot: Slot = bson::deserialize_from_slice(inner.as_bytes()).map_err(|error| damaged(error.to_string()))?;
        if slot.name() != name {
            return Err(damaged("it is another slot".into()));
        }
        let wrapped = body.get_binary("wrapped").map_err(|_| damaged("no field wrapped".into()))?;
        let mac = body.get_binary("mac").ok().map(|mac| mac.bytes.to_vec());
        Ok(Self { name: name.into(), slot, covered: inner.as_bytes().to_vec(), wrapped: wrapped.bytes.to_vec(), mac })
    }

    /// Whether it is one for a secret of this kind.
    pub(crate) fn is_for(&self, secret: &SlotSecret) -> bool {
        self.slot.kind == secret.kind()
    }

    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Whether it belongs to this repository; an interrupted init leaves others.
    pub(crate) fn is_of(&self, repository: &RepositoryId) -> bool {
        self.slot.repository.bytes == repository.as_bytes()
    }

    /// Whether what it claims counts for who has this ring.
    pub(crate) fn is_believed(&self, repository: &RepositoryId, ring: &KeyRing) -> bool {
        ring.believes(repository, &self.name, &[&self.covered, &self.wrapped], self.mac.as_deref())
    }

    /// The ring, if this secret opens the slot. Slow for a passphrase.
    pub(crate) fn open(&self, secret: &SlotSecret) -> Result<Option<KeyRing>, RepositoryError> {
        if !self.is_for(secret) {
            return Ok(None);
        }
        let key = self.slot.key(secret).map_err(|problem| RepositoryError::damaged(&*self.name, problem))?;
        let Some((wrapped, tag)) = self.wrapped.split_last_chunk::<TAG_BYTES>() else { return Ok(None) };
        let mut plain = Zeroizing::new(wrapped.to_vec());
        if Cipher::new(&key).open(&NONCE, &associated(&self.covered), &mut plain, tag).is_err() {
            return Ok(None);
        }
        let ring = KeyRing::decode(&plain).ok_or_else(|| RepositoryError::UnsupportedVersion {
            object: self.name.clone(),
            needs: "another kind of key ring".into(),
        })?;
        let inventory = self.slot.inventory.as_ref().and_then(|hash| hash.bytes.as_slice().try_into().ok());
        Ok(Some(KeyRing { inventory, ..ring }))
    }
}

fn associated(slot: &[u8]) -> Vec<u8> {
    [b"lucid-archive/1 slot", slot].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> PassphraseCost {
        PassphraseCost { memory_kib: 64, iterations: 1, lanes: 1 }
    }

    #[test]
    fn only_the_right_secret_opens_a_slot() {
        let repository = RepositoryId::from_bytes([3; 16]);
        let ring = KeyRing::generate().expect("randomness");
        let right = SlotSecret::Passphrase(Secret::new("correct horse"));
        let slot = Slot::new(&repository, &right, ("people", &ring), cheap()).expect("made");
        let bytes = slot.seal(&right, &ring).expect("sealed");
        let stored = StoredSlot::read(&slot.name(), &bytes).expect("read");
        assert!(stored.is_of(&repository));
        assert_eq!(stored.open(&right).expect("no damage").expect("opens").root, ring.root);
        let wrong = SlotSecret::Passphrase(Secret::new("battery staple"));
        assert!(stored.open(&wrong).expect("no damage").is_none());
        assert!(stored.open(&SlotSecret::KeyFile(Zeroizing::new([0; 32]))).expect("no damage").is_none());
        assert!(matches!(StoredSlot::read("keys/0000000000000000", &bytes), Err(RepositoryError::Damaged { .. })));
    }

    #[test]
    fn what_a_passphrase_was_stretched_in_is_wiped() {
        let params = || Params::new(64, 1, 1, Some(32)).expect("good");
        let is_wiped = |blocks: &[Block]| blocks.iter().all(|block| block.as_ref().iter().all(|word| *word == 0));
        let mut filled = vec![Block::new(); 64];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params());
        argon2.fill_memory(b"correct horse", &[7; 32], &mut *filled).expect("good");
        assert!(!is_wiped(&filled), "so there is something to wipe");
        let key = stretch_in(&mut filled, params(), b"correct horse", &[7; 32]).expect("stretched");
        assert!(is_wiped(&filled));
        let mut out = [0; 32];
        argon2.hash_password_into(b"correct horse", &[7; 32], &mut out).expect("stretched");
        assert_eq!(*key, out, "the same key as ever");
        // Also where it comes to nothing.
        argon2.fill_memory(b"correct horse", &[7; 32], &mut *filled).expect("good");
        assert!(stretch_in(&mut filled, params(), b"correct horse", b"short").is_err() && is_wiped(&filled));
    }

    #[test]
    fn an_absurd_cost_and_an_empty_passphrase_are_refused() {
        let repository = RepositoryId::from_bytes([3; 16]);
        let secret = SlotSecret::Passphrase(Secret::new("x"));
        let cost = PassphraseCost { memory_kib: u32::MAX, iterations: 1, lanes: 1 };
        let ring = KeyRing::generate().expect("randomness");
        let slot = Slot::new(&repository, &secret, ("", &ring), cost).expect("made");
        assert!(slot.seal(&secret, &ring).is_err());
        assert!(Slot::new(&repository, &SlotSecret::Passphrase(Secret::new("")), ("", &ring), cheap()).is_err());
    }
}
