//! The unsealed envelope of config, key slots and marks (format, section 3): read before it is known which key is the right one.

use bson::RawDocument;

use crate::RepositoryError;
use crate::limits::{self, UNSEALED_BYTES, UNSEALED_DEPTH};

const MAGIC: &[u8; 4] = b"LUCO";
const VERSION: u8 = 1;
const HEADER: usize = 12;

/// What an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnvelopeType {
    Config = 1,
    Slot = 2,
    Mark = 3,
}

/// Header, body and checksum.
pub(crate) fn wrap(kind: EnvelopeType, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a config or slot is small");
    let mut out = Vec::with_capacity(HEADER + body.len() + 32);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, kind as u8, 0, 0]);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(body);
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    out
}

/// The body of an envelope whose checksum holds, small and shallow enough to be parsed.
pub(crate) fn unwrap<'a>(
    object: &str,
    kind: EnvelopeType,
    bytes: &'a [u8],
) -> Result<&'a RawDocument, RepositoryError> {
    let damaged = |problem: &str| RepositoryError::damaged(object, problem);
    if bytes.len() as u64 > UNSEALED_BYTES {
        return Err(damaged("it is larger than any config or slot"));
    }
    let (content, checksum) = bytes.split_last_chunk::<32>().ok_or_else(|| damaged("too short"))?;
    if blake3::hash(content) != *checksum {
        return Err(damaged("its checksum doesn't match"));
    }
    let (header, body) = content.split_first_chunk::<HEADER>().ok_or_else(|| damaged("too short"))?;
    if &header[..4] != MAGIC {
        return Err(damaged("not an object of a repository"));
    }
    if header[4] != VERSION {
        let needs = format!("format version {}", header[4]);
        return Err(RepositoryError::UnsupportedVersion { object: object.into(), needs });
    }
    if header[5] != kind as u8 || header[8..12] != u32::try_from(body.len()).unwrap_or(0).to_le_bytes() {
        return Err(damaged("its header doesn't match"));
    }
    let body = RawDocument::from_bytes(body).map_err(|_| damaged("its body isn't BSON"))?;
    if limits::is_shallow(body, UNSEALED_DEPTH) {
        Ok(body)
    } else {
        Err(damaged("its body isn't BSON, or nested too deeply"))
    }
}
