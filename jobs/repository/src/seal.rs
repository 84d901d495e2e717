//! Sealing and opening records (format, section 5).
//!
//! Invariant: no nonce is used twice with a key. A sealer owns a writer id that nobody else ever has, and counts.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lucid_cipher::{Cipher, NONCE_BYTES};
use subtle::ConstantTimeEq;

use crate::compression::{compress, decompress};
use crate::keys::{Keys, random};
use crate::record::{BodyCompression, HEADER_BYTES, Header, OVERHEAD_BYTES, RecordType, Suite, TAG_BYTES};
use crate::{Domain, RepositoryError, limits, padding};

/// Records per writer key.
const LIMIT: u64 = 1 << 32;
/// Ciphers kept by an opener; one per writer whose records are read.
const CACHED_CIPHERS: usize = 1024;

/// Seals what one writer writes.
pub(crate) struct Sealer {
    keys: Arc<Keys>,
    key_id: u32,
    writer: [u8; 32],
    /// None in the plain domain.
    cipher: Option<Cipher>,
    counter: AtomicU64,
}

impl Sealer {
    /// A sealer with a writer id of its own. Seals with the newest master key.
    pub(crate) fn new(keys: Arc<Keys>, domain: Domain) -> Result<Self, RepositoryError> {
        Self::with_writer(keys, domain, random()?)
    }

    pub(crate) fn with_writer(keys: Arc<Keys>, domain: Domain, writer: [u8; 32]) -> Result<Self, RepositoryError> {
        let key_id = keys.newest_key_id();
        Self::with_key(keys, (domain, key_id), writer)
    }

    /// Seals with the master of this id (of no account in the plain domain): for what says again what that one has sealed.
    pub(crate) fn with_key(
        keys: Arc<Keys>,
        (domain, key_id): (Domain, u32),
        writer: [u8; 32],
    ) -> Result<Self, RepositoryError> {
        let key_id = if domain == Domain::Sealed { key_id } else { 0 };
        let cipher = match domain {
            Domain::Plain => None,
            Domain::Sealed => {
                let key = keys.writer_key(key_id, &writer).ok_or_else(|| no_key("this repository has none"))?;
                Some(Cipher::new(&key))
            }
        };
        Ok(Self { keys, key_id, writer, cipher, counter: AtomicU64::new(0) })
    }

    /// Of the master key that it seals with; 0 in the plain domain.
    pub(crate) fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The writer's id.
    pub(crate) fn writer(&self) -> &[u8; 32] {
        &self.writer
    }

    /// The record of these bytes.
    pub(crate) fn seal(
        &self,
        record_type: RecordType,
        id: &[u8; 32],
        raw: &[u8],
        level: Option<i32>,
    ) -> Result<Vec<u8>, RepositoryError> {
        // What readers would refuse isn't written.
        let limit = limits::raw_bytes(record_type);
        let raw_bytes = u32::try_from(raw.len()).ok().filter(|bytes| *bytes <= limit);
        let raw_bytes = raw_bytes
            .ok_or_else(|| RepositoryError::TooLarge { what: record_type.name(), limit_bytes: limit.into() })?;
        let compressed = compress(raw, level)?;
        let body = compressed.as_deref().unwrap_or(raw);
        let compression = if compressed.is_some() { BodyCompression::Zstd } else { BodyCompression::None };
        self.seal_body(record_type, id, raw_bytes, (compression, &[body]))
    }

    /// The record of a chunk of so many bytes as a delta.
    pub(crate) fn seal_delta(
        &self,
        id: &[u8; 32],
        raw_bytes: u32,
        base: &[u8; 32],
        frame: &[u8],
    ) -> Result<Vec<u8>, RepositoryError> {
        self.seal_body(RecordType::Delta, id, raw_bytes, (BodyCompression::ZstdPrefix, &[base, frame]))
    }

    fn seal_body(
        &self,
        record_type: RecordType,
        id: &[u8; 32],
        raw_bytes: u32,
        (compression, parts): (BodyCompression, &[&[u8]]),
    ) -> Result<Vec<u8>, RepositoryError> {
        let content_bytes: usize = parts.iter().map(|part| part.len()).sum();
        // In the plain domain all is in clear.
        let pad =
            self.cipher.as_ref().and(self.keys.domain(Domain::Sealed)).filter(|_| padding::is_padded(record_type));
        let padding_bytes = pad.map(|keys| padding::bytes(&keys.pad, id, content_bytes));
        let body_bytes = content_bytes + padding_bytes.unwrap_or(0);
        let header = Header {
            record_type,
            suite: if self.cipher.is_some() { Suite::Aes256Gcm } else { Suite::Checked },
            compression,
            padded: padding_bytes.is_some(),
            key_id: self.key_id,
            body_bytes: u32::try_from(body_bytes).expect("hardly larger than raw"),
            raw_bytes,
            nonce: self.next_nonce()?,
            writer: self.writer,
            id: *id,
        };
        let mut out = Vec::with_capacity(body_bytes + OVERHEAD_BYTES);
        let encoded = header.encode();
        out.extend_from_slice(&encoded);
        for part in parts {
            out.extend_from_slice(part);
        }
        if let Some(bytes) = padding_bytes {
            padding::append(&mut out, bytes);
        }
        let associated = associated(&self.keys, &encoded);
        let tag: [u8; TAG_BYTES] = match &self.cipher {
            Some(cipher) => cipher
                .seal(&header.nonce, &associated, &mut out[HEADER_BYTES..])
                .map_err(|_| no_key("a record of 64 GiB"))?,
            None => check(&self.keys, &associated, &out[HEADER_BYTES..]),
        };
        out.extend_from_slice(&tag);
        Ok(out)
    }

    fn next_nonce(&self) -> Result<[u8; NONCE_BYTES], RepositoryError> {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        if counter >= LIMIT {
            return Err(no_key("2^32 records are the most that one writer may seal"));
        }
        let mut nonce = [0; NONCE_BYTES];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        Ok(nonce)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

/// What a delta chunk holds.
pub(crate) struct SealedDelta {
    /// Chunk id of the base.
    pub(crate) base: [u8; 32],
    pub(crate) frame: Vec<u8>,
    /// Length of the chunk.
    pub(crate) raw_bytes: u32,
}

/// By key id and writer id.
type Ciphers = HashMap<(u32, [u8; 32]), Arc<Cipher>>;

/// Opens records of one domain.
pub(crate) struct Opener {
    keys: Arc<Keys>,
    domain: Domain,
    ciphers: Mutex<Ciphers>,
}

impl Opener {
    pub(crate) fn new(keys: Arc<Keys>, domain: Domain) -> Self {
        Self { keys, domain, ciphers: Mutex::default() }
    }

    /// The raw bytes of a record of this type and id; the text says why they can't be had.
    pub(crate) fn open(&self, record: &[u8], record_type: RecordType, id: &[u8; 32]) -> Result<Vec<u8>, String> {
        let (header, body) = self.open_body(record, record_type, id)?;
        unpack(body, &header)
    }

    /// A delta chunk of this id, not yet applied to its base.
    pub(crate) fn open_delta(&self, record: &[u8], id: &[u8; 32]) -> Result<SealedDelta, String> {
        let (header, mut frame) = self.open_body(record, RecordType::Delta, id)?;
        let base = *frame.first_chunk().ok_or("a delta chunk names no base")?;
        frame.drain(..32);
        Ok(SealedDelta { base, frame, raw_bytes: header.raw_bytes })
    }

    /// What was sealed, still compressed.
    fn open_body(&self, record: &[u8], record_type: RecordType, id: &[u8; 32]) -> Result<(Header, Vec<u8>), String> {
        let header = Header::decode(record)?;
        if header.record_bytes() != record.len() as u64 {
            return Err("its length doesn't match".into());
        }
        if header.record_type != record_type || header.id != *id {
            return Err("another record is in its place".into());
        }
        if header.raw_bytes > limits::raw_bytes(record_type) {
            return Err(format!("it claims {} bytes, more than are possible", header.raw_bytes));
        }
        let (encoded, rest) = record.split_at(HEADER_BYTES);
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or("too short for a record")?;
        let associated = associated(&self.keys, encoded);
        let mut body = body.to_vec();
        match (self.domain, header.suite) {
            (Domain::Sealed, Suite::Aes256Gcm) => self
                .cipher(&header)?
                .open(&header.nonce, &associated, &mut body, tag)
                .map_err(|_| "it isn't what was sealed")?,
            (Domain::Plain, Suite::Checked) => {
                if !bool::from(check(&self.keys, &associated, &body).ct_eq(tag)) {
                    return Err("its checksum doesn't match".into());
                }
            }
            _ => return Err(format!("it isn't protected as the {} domain demands", self.domain)),
        }
        if header.padded {
            padding::strip(&mut body)?;
        }
        Ok((header, body))
    }

    fn cipher(&self, header: &Header) -> Result<Arc<Cipher>, String> {
        let mut ciphers = self.ciphers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cipher) = ciphers.get(&(header.key_id, header.writer)) {
            return Ok(cipher.clone());
        }
        let key = self.keys.writer_key(header.key_id, &header.writer);
        let key = key.ok_or_else(|| format!("master key {} is unknown", header.key_id))?;
        let cipher = Arc::new(Cipher::new(&key));
        if ciphers.len() >= CACHED_CIPHERS {
            ciphers.clear();
        }
        ciphers.insert((header.key_id, header.writer), cipher.clone());
        Ok(cipher)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener({})", self.domain)
    }
}

/// What a record's tag covers beside its body.
pub(crate) fn associated(keys: &Keys, header: &[u8]) -> Vec<u8> {
    [b"lucid-archive/1".as_slice(), keys.repository.as_bytes(), header].concat()
}

/// The tag of a record of the plain domain.
pub(crate) fn check(keys: &Keys, associated: &[u8], body: &[u8]) -> [u8; TAG_BYTES] {
    let hash = blake3::Hasher::new_keyed(&keys.check).update(associated).update(body).finalize();
    *hash.as_bytes().first_chunk().expect("a hash is longer")
}

/// The raw bytes of a body that was opened.
fn unpack(body: Vec<u8>, header: &Header) -> Result<Vec<u8>, String> {
    let raw_bytes = usize::try_from(header.raw_bytes).map_err(|error| error.to_string())?;
    match header.compression {
        BodyCompression::None if body.len() == raw_bytes => Ok(body),
        BodyCompression::None => Err("its raw length doesn't match".into()),
        BodyCompression::Zstd => decompress(&body, raw_bytes),
        BodyCompression::ZstdPrefix => Err("it can't be read without its base".into()),
    }
}

fn no_key(reason: &str) -> RepositoryError {
    RepositoryError::Internal { what: "sealing", reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::RepositoryId;
    use crate::keys::KeyRing;

    fn keys() -> Arc<Keys> {
        let ring = KeyRing::generate().expect("randomness");
        Arc::new(Keys::new(RepositoryId::from_bytes([9; 16]), Some(ring), &[8; 32]))
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let keys = keys();
        for domain in [Domain::Sealed, Domain::Plain] {
            let sealer = Sealer::new(keys.clone(), domain).expect("keys");
            let opener = Opener::new(keys.clone(), domain);
            for level in [None, Some(3)] {
                let raw = b"abcabcabcabcabcabcabcabcabcabcabcabcabcabc";
                let record = sealer.seal(RecordType::Chunk, &[1; 32], raw, level).expect("sealed");
                assert_eq!(opener.open(&record, RecordType::Chunk, &[1; 32]).as_deref(), Ok(raw.as_slice()));
                for bit in 0..record.len() * 8 {
                    let mut bad = record.clone();
                    bad[bit / 8] ^= 1 << (bit % 8);
                    assert!(opener.open(&bad, RecordType::Chunk, &[1; 32]).is_err(), "{domain} bit {bit}");
                }
                assert!(opener.open(&record, RecordType::List, &[1; 32]).is_err());
                assert!(opener.open(&record, RecordType::Chunk, &[2; 32]).is_err());
                assert!(opener.open(&record[..record.len() - 1], RecordType::Chunk, &[1; 32]).is_err());
            }
        }
    }

    #[test]
    fn domains_and_repositories_do_not_mix() {
        let keys = keys();
        let plain = Sealer::new(keys.clone(), Domain::Plain).expect("keys");
        let record = plain.seal(RecordType::Chunk, &[1; 32], b"x", None).expect("sealed");
        assert!(Opener::new(keys.clone(), Domain::Sealed).open(&record, RecordType::Chunk, &[1; 32]).is_err());
        let other = Arc::new(Keys::new(RepositoryId::from_bytes([7; 16]), None, &[8; 32]));
        assert!(Opener::new(other, Domain::Plain).open(&record, RecordType::Chunk, &[1; 32]).is_err());
    }

    #[test]
    fn no_nonce_is_used_twice_by_a_writer() {
        let keys = keys();
        let sealer = Sealer::new(keys.clone(), Domain::Sealed).expect("keys");
        let nonces = Mutex::new(HashSet::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let record = sealer.seal(RecordType::Chunk, &[0; 32], b"x", None).expect("sealed");
                        let header = Header::decode(&record).expect("a record");
                        assert!(nonces.lock().expect("no panic").insert(header.nonce));
                    }
                });
            }
        });
        assert_ne!(sealer.writer(), Sealer::new(keys, Domain::Sealed).expect("keys").writer());
    }

    #[test]
    fn what_claims_to_be_huge_is_not_decompressed_and_not_written() {
        let keys = keys();
        let sealer = Sealer::new(keys.clone(), Domain::Plain).expect("keys");
        let opener = Opener::new(keys.clone(), Domain::Plain);
        let limit = limits::raw_bytes(RecordType::Chunk);
        let huge = vec![0; limit as usize + 1];
        let refused = sealer.seal(RecordType::Chunk, &[1; 32], &huge, Some(3));
        assert!(matches!(refused, Err(RepositoryError::TooLarge { .. })));
        // Anyone can make a record of the plain domain: its check key is no secret.
        let mut record = sealer.seal(RecordType::Index, &[1; 32], &huge, Some(3)).expect("fits");
        record[5] = RecordType::Chunk as u8;
        let end = record.len() - TAG_BYTES;
        let tag = check(&keys, &associated(&keys, &record[..HEADER_BYTES]), &record[HEADER_BYTES..end]);
        record[end..].copy_from_slice(&tag);
        let problem = opener.open(&record, RecordType::Chunk, &[1; 32]).expect_err("refused");
        assert!(problem.contains("more than are possible"), "{problem}");
    }

    #[test]
    fn a_writer_stops_before_its_nonces_run_out() {
        let sealer = Sealer::new(keys(), Domain::Sealed).expect("keys");
        sealer.counter.store(LIMIT - 1, Ordering::Relaxed);
        assert!(sealer.seal(RecordType::Chunk, &[0; 32], b"x", None).is_ok());
        assert!(sealer.seal(RecordType::Chunk, &[0; 32], b"x", None).is_err());
    }
}
