//! Documents on their way in and out.

use bytes::Bytes;

/// Some documents within one buffer, such as a raw server reply: nothing is copied per document.
#[derive(Clone, Debug, Default)]
pub struct DocumentBatch {
    /// The buffer.
    pub bytes: Bytes,
    /// Where each document is in it: start and length in bytes, in the order of reading.
    pub offsets: Vec<(u32, u32)>,
}

impl DocumentBatch {
    /// The document at these offsets, if it is within the buffer and looks like one.
    pub(crate) fn document(&self, (start, length): (u32, u32)) -> Option<&[u8]> {
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        let document = self.bytes.get(start..end)?;
        split_document(document)?.1.is_empty().then_some(document)
    }
}

/// The documents of one chunk, one right after the other.
#[derive(Clone, Debug)]
pub struct RawChunk {
    /// Number of documents.
    pub documents: u32,
    /// Their bytes. Every document's length is checked against the buffer.
    pub bytes: Bytes,
}

impl RawChunk {
    /// The documents in order.
    pub fn documents(&self) -> impl Iterator<Item = &[u8]> {
        documents(&self.bytes)
    }
}

/// Concatenated documents, one by one; ends early where the bytes aren't documents.
pub(crate) fn documents(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (document, rest) = split_document(bytes)?;
        bytes = rest;
        Some(document)
    })
}

/// How many documents these bytes are, if they are whole documents and nothing else.
pub(crate) fn count_documents(bytes: &[u8]) -> Option<u32> {
    let (mut count, mut length) = (0u32, 0);
    for document in documents(bytes) {
        count = count.checked_add(1)?;
        length += document.len();
    }
    (length == bytes.len()).then_some(count)
}

/// The first document and what follows it.
fn split_document(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(i32::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let (document, rest) = bytes.split_at_checked(length)?;
    (length >= 5 && document.last() == Some(&0)).then_some((document, rest))
}

/// Type and value bytes of the `_id` of a document, if it has one.
pub(crate) fn id_of(document: &[u8]) -> Option<(u8, &[u8])> {
    let mut rest = document.get(4..)?;
    loop {
        let (&kind, after) = rest.split_first()?;
        if kind == 0 {
            return None;
        }
        let end = after.iter().position(|byte| *byte == 0)?;
        let (key, value) = (&after[..end], &after[end + 1..]);
        let length = value_length(kind, value)?;
        if key == b"_id" {
            return Some((kind, value.get(..length)?));
        }
        rest = value.get(length..)?;
    }
}

/// Length of a BSON value of this type at the start of these bytes.
fn value_length(kind: u8, value: &[u8]) -> Option<usize> {
    let prefix = || usize::try_from(i32::from_le_bytes(*value.first_chunk()?)).ok();
    let text = |from: usize| value.get(from..)?.iter().position(|byte| *byte == 0).map(|end| from + end + 1);
    match kind {
        0x06 | 0x0A | 0x7F | 0xFF => Some(0),
        0x08 => Some(1),
        0x10 => Some(4),
        0x01 | 0x09 | 0x11 | 0x12 => Some(8),
        0x07 => Some(12),
        0x13 => Some(16),
        0x03 | 0x04 | 0x0F => prefix(),
        0x02 | 0x0D | 0x0E => prefix()?.checked_add(4),
        0x05 => prefix()?.checked_add(5),
        0x0C => prefix()?.checked_add(16),
        0x0B => text(text(0)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bson::{Bson, doc, oid::ObjectId};

    use super::*;

    fn raw(document: &bson::Document) -> Vec<u8> {
        bson::serialize_to_vec(document).expect("BSON")
    }

    #[test]
    fn finds_the_id_behind_every_type() {
        let before = doc! {
            "a": 1.5, "b": "text", "c": { "_id": 1 }, "d": [1, { "_id": 2 }], "e": bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![0, 1] },
            "f": Bson::Undefined, "g": ObjectId::new(), "h": true, "i": bson::DateTime::now(), "j": Bson::Null,
            "k": bson::Regex { pattern: bson::raw::cstr!("p").into(), options: bson::raw::cstr!("i").into() }, "l": Bson::JavaScriptCode("x".into()), "m": Bson::Symbol("s".into()),
            "n": Bson::JavaScriptCodeWithScope(bson::JavaScriptCodeWithScope { code: "x".into(), scope: doc! { "_id": 3 } }),
            "o": 1, "p": bson::Timestamp { time: 1, increment: 2 }, "q": 1i64, "r": bson::Decimal128::from_bytes([1; 16]), "s": Bson::MinKey, "t": Bson::MaxKey,
            "_id": 77i64,
        };
        assert_eq!(id_of(&raw(&before)), Some((0x12, 77i64.to_le_bytes().as_slice())));
        assert_eq!(id_of(&raw(&doc! { "x": 1 })), None);
        assert_eq!(id_of(&[]), None);
    }

    #[test]
    fn counts_whole_documents_only() {
        let two = [raw(&doc! { "_id": 1 }), raw(&doc! {})].concat();
        assert_eq!(count_documents(&two), Some(2));
        assert_eq!(count_documents(&two[..two.len() - 1]), None);
        assert_eq!(count_documents(&[two.as_slice(), &[0]].concat()), None);
        assert_eq!(count_documents(&[]), Some(0));
        let batch = DocumentBatch { bytes: two.into(), offsets: Vec::new() };
        assert!(batch.document((0, 14)).is_some());
        for bad in [(0, 13), (0, 15), (1, 14), (14, u32::MAX), (u32::MAX, 5)] {
            assert!(batch.document(bad).is_none(), "{bad:?}");
        }
    }
}
