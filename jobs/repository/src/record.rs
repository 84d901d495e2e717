//! The header of a record (format, section 5).

use lucid_cipher::NONCE_BYTES;
pub(crate) use lucid_cipher::TAG_BYTES;

/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 96;
/// What a record adds to its body.
pub(crate) const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

const MAGIC: &[u8; 4] = b"LUCR";
const VERSION: u8 = 1;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordType {
    Chunk = 1,
    /// A chunk stored as its difference from another one.
    Delta = 2,
    Footer = 3,
    Index = 4,
    List = 5,
    Manifest = 6,
    /// What a prune has doomed, or which manifests it honoured.
    Generation = 7,
    /// Why a backup is pinned.
    Pin = 8,
    /// Packs that were found damaged.
    Distrust = 9,
    /// Which master key is in force.
    Master = 10,
    /// Which cluster prunes.
    Owner = 11,
    /// What counted when a master key was replaced.
    Inventory = 12,
    /// What became of a manifest that was removed.
    Forgotten = 13,
}

impl RecordType {
    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::Delta => "delta chunk",
            Self::Footer => "pack footer",
            Self::Index => "index object",
            Self::List => "chunk list",
            Self::Manifest => "manifest",
            Self::Generation => "generation",
            Self::Pin => "pin",
            Self::Distrust => "record of distrust",
            Self::Master => "master key's mark",
            Self::Owner => "owner",
            Self::Inventory => "inventory",
            Self::Forgotten => "record of what was forgotten",
        }
    }
}

/// How a record is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    /// Not encrypted, with a keyed checksum.
    Checked = 0,
    /// AES-256-GCM.
    Aes256Gcm = 1,
}

/// How a record's body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyCompression {
    None = 0,
    Zstd = 1,
    /// With another chunk as prefix; so are delta chunks, and nothing else.
    ZstdPrefix = 2,
}

/// Set in the number of the compression where the body ends with padding.
const PADDED: u8 = 0x80;

/// The header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) record_type: RecordType,
    pub(crate) suite: Suite,
    pub(crate) compression: BodyCompression,
    /// Whether the body ends with padding.
    pub(crate) padded: bool,
    pub(crate) key_id: u32,
    pub(crate) body_bytes: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) nonce: [u8; NONCE_BYTES],
    pub(crate) writer: [u8; 32],
    pub(crate) id: [u8; 32],
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..4].copy_from_slice(MAGIC);
        out[4] = VERSION;
        out[5] = self.record_type as u8;
        out[6] = self.suite as u8;
        out[7] = self.compression as u8 | if self.padded { PADDED } else { 0 };
        out[8..12].copy_from_slice(&self.key_id.to_le_bytes());
        out[12..16].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[16..20].copy_from_slice(&self.raw_bytes.to_le_bytes());
        out[20..32].copy_from_slice(&self.nonce);
        out[32..64].copy_from_slice(&self.writer);
        out[64..].copy_from_slice(&self.id);
        out
    }

    /// Reads a header; the text says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or("too short for a record")?;
        if &bytes[..4] != MAGIC {
            return Err("no record where one should be".into());
        }
        if bytes[4] != VERSION {
            return Err(format!("record version {} is unknown", bytes[4]));
        }
        let header = Self {
            record_type: record_type(bytes[5])?,
            suite: match bytes[6] {
                0 => Suite::Checked,
                1 => Suite::Aes256Gcm,
                other => return Err(format!("suite {other} is unknown")),
            },
            compression: match bytes[7] & !PADDED {
                0 => BodyCompression::None,
                1 => BodyCompression::Zstd,
                2 => BodyCompression::ZstdPrefix,
                other => return Err(format!("compression {other} is unknown")),
            },
            padded: bytes[7] & PADDED != 0,
            key_id: u32_at(bytes, 8),
            body_bytes: u32_at(bytes, 12),
            raw_bytes: u32_at(bytes, 16),
            nonce: *array_at(bytes, 20),
            writer: *array_at(bytes, 32),
            id: *array_at(bytes, 64),
        };
        let (delta, prefix) =
            (header.record_type == RecordType::Delta, header.compression == BodyCompression::ZstdPrefix);
        if delta == prefix { Ok(header) } else { Err("a prefix is for delta chunks, and they have one".into()) }
    }

    /// Length of the whole record.
    pub(crate) fn record_bytes(&self) -> u64 {
        u64::from(self.body_bytes) + OVERHEAD_BYTES as u64
    }
}

/// Which master a record says that it is sealed with; 0 for none, and for what is no record.
pub(crate) fn key_id_of(record: &[u8]) -> u32 {
    Header::decode(record).map_or(0, |header| header.key_id)
}

/// The same record as if it said that it is sealed with this master.
pub(crate) fn with_key_id(record: &[u8], key_id: u32) -> Vec<u8> {
    let mut out = record.to_vec();
    if let Some(place) = out.get_mut(8..12) {
        place.copy_from_slice(&key_id.to_le_bytes());
    }
    out
}

fn record_type(number: u8) -> Result<RecordType, String> {
    Ok(match number {
        1 => RecordType::Chunk,
        2 => RecordType::Delta,
        3 => RecordType::Footer,
        4 => RecordType::Index,
        5 => RecordType::List,
        6 => RecordType::Manifest,
        7 => RecordType::Generation,
        8 => RecordType::Pin,
        9 => RecordType::Distrust,
        10 => RecordType::Master,
        11 => RecordType::Owner,
        12 => RecordType::Inventory,
        13 => RecordType::Forgotten,
        other => return Err(format!("record type {other} is unknown")),
    })
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(*array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> &[u8; N] {
    bytes[at..].first_chunk().expect("fields lie within the header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_its_encoding() {
        let header = Header {
            record_type: RecordType::List,
            suite: Suite::Aes256Gcm,
            compression: BodyCompression::Zstd,
            padded: false,
            key_id: 1,
            body_bytes: 2,
            raw_bytes: 3,
            nonce: [4; 12],
            writer: [5; 32],
            id: [6; 32],
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for at in [0, 4, 5, 6, 7] {
            let mut bad = bytes;
            bad[at] ^= 0x40;
            assert!(Header::decode(&bad).is_err(), "byte {at}");
        }
        assert!(Header::decode(&bytes[..95]).is_err());
    }
}
