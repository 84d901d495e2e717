//! What no honest object exceeds. Sizes and nesting are bounded before anything is read into memory or parsed: someone who can
//! write to the folder must not be able to exhaust or crash who reads it.

use std::ops::RangeInclusive;

use bson::{RawBsonRef, RawDocument};
use serde::de::DeserializeOwned;

use crate::RepositoryError;
use crate::record::{OVERHEAD_BYTES, RecordType};

/// The config, or a key slot.
pub(crate) const UNSEALED_BYTES: u64 = 4 << 10;
/// A key slot's label: with it, a slot stays far below [`UNSEALED_BYTES`].
pub(crate) const LABEL_BYTES: usize = 256;
/// An object that is one record: index, chunk list, manifest. With padding.
pub(crate) const RECORD_OBJECT_BYTES: u64 = ((256 + 16) << 20) + OVERHEAD_BYTES as u64;
/// The footer record of a pack.
pub(crate) const FOOTER_RECORD_BYTES: u32 = 64 << 20;
/// A chunk record, with padding; the largest document of a server is half as large.
pub(crate) const CHUNK_RECORD_BYTES: u64 = ((32 + 2) << 20) + OVERHEAD_BYTES as u64;
/// Levels of documents in a config or slot.
pub(crate) const UNSEALED_DEPTH: usize = 8;
/// Levels of documents in a manifest: a server takes fewer than 200 in what it stores, and a few more are around that.
pub(crate) const MANIFEST_DEPTH: usize = 210;

/// Bytes of a record of this type when decompressed.
pub(crate) fn raw_bytes(record_type: RecordType) -> u32 {
    match record_type {
        RecordType::Chunk | RecordType::Delta => 32 << 20,
        RecordType::Footer
        | RecordType::Index
        | RecordType::List
        | RecordType::Manifest
        | RecordType::Generation
        | RecordType::Pin
        | RecordType::Distrust
        | RecordType::Master
        | RecordType::Owner
        | RecordType::Inventory
        | RecordType::Forgotten => 256 << 20,
    }
}

/// Whether a document is well-formed and has at most this many levels. Needs no stack of its own, unlike a deserializer.
pub(crate) fn is_shallow(document: &RawDocument, depth: usize) -> bool {
    let mut waiting = vec![(document, 1)];
    while let Some((document, level)) = waiting.pop() {
        if level > depth {
            return false;
        }
        for element in document {
            let inner = match element {
                Err(_) => return false,
                Ok((_, RawBsonRef::Document(inner))) => Ok(inner),
                Ok((_, RawBsonRef::Array(inner))) => RawDocument::from_bytes(inner.as_bytes()),
                Ok((_, RawBsonRef::JavaScriptCodeWithScope(code))) => Ok(code.scope),
                Ok(_) => continue,
            };
            match inner {
                Ok(inner) => waiting.push((inner, level + 1)),
                Err(_) => return false,
            }
        }
    }
    true
}

#[cfg(test)]
pub(crate) fn nested(levels: usize) -> bson::RawDocumentBuf {
    let mut inner = bson::rawdoc! {};
    for _ in 1..levels {
        inner = bson::rawdoc! { "a": inner };
    }
    inner
}

/// The body of a small record, which says its own `format`: what it is called, and those that this program reads.
pub(crate) fn decode<T: DeserializeOwned>(
    object: &str,
    body: &[u8],
    (what, formats): (&str, RangeInclusive<i32>),
) -> Result<T, RepositoryError> {
    let damaged = |problem: String| RepositoryError::damaged(object, problem);
    let raw = RawDocument::from_bytes(body).map_err(|error| damaged(error.to_string()))?;
    let found = raw.get_i32("format").unwrap_or_default();
    if !formats.contains(&found) {
        let needs = format!("{what} format {found}");
        return Err(RepositoryError::UnsupportedVersion { object: object.into(), needs });
    }
    if !is_shallow(raw, UNSEALED_DEPTH) {
        return Err(damaged("it isn't BSON, or nested too deeply".into()));
    }
    bson::deserialize_from_slice(body).map_err(|error| damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_in_documents_arrays_and_scopes() {
        assert!(is_shallow(&nested(8), 8));
        assert!(!is_shallow(&nested(9), 8));
        let scope = bson::RawJavaScriptCodeWithScope { code: "x".into(), scope: nested(8) };
        let around = bson::rawdoc! { "b": [nested(7)], "c": scope };
        assert!(is_shallow(&around, 9));
        assert!(!is_shallow(&around, 8));
    }
}
