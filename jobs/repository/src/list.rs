//! Chunk lists: which chunks a collection consists of (format, section 7).

use bson::{Document, RawDocumentBuf};

use crate::ListRef;
use crate::batch::{documents, id_of};
use crate::bytes_reader::BytesReader;
use crate::config::binary;
use crate::content::Sum;
use crate::keys::Key;
use crate::names::hex;

/// Lists end by content once they have this many entries.
const MIN_ENTRIES: usize = 5_000;
/// Lists end here at the latest.
const MAX_ENTRIES: usize = 20_000;
/// Lists up to this many entries are kept inline.
const INLINE_ENTRIES: u32 = 8;
/// Longer `_id` values aren't kept.
const MAX_ID_BYTES: usize = 1024;
/// Set in the number of entries where each has a sum.
const WITH_SUMS: u32 = 1 << 31;

/// One chunk of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListEntry {
    pub(crate) id: [u8; 32],
    pub(crate) documents: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) first: IdValue,
    pub(crate) last: IdValue,
    /// What its documents add to the content hash, so that whoever has the chunk needn't hash each of them again. None where their order
    /// counts, and in repositories without the feature `sums`.
    pub(crate) sum: Option<Sum>,
}

/// BSON type and value of an `_id`; type 0 where it isn't kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct IdValue(u8, Vec<u8>);

impl IdValue {
    /// Of the first and last document of a chunk.
    pub(crate) fn ends(chunk: &[u8]) -> (Self, Self) {
        let mut all = documents(chunk);
        let first = all.next();
        let last = all.last().or(first);
        (Self::of(first), Self::of(last))
    }

    /// Whether it says which document it is.
    pub(crate) fn is_kept(&self) -> bool {
        self.0 != 0
    }

    /// As `{ _id: ... }`.
    pub(crate) fn to_document(&self) -> Option<RawDocumentBuf> {
        let Self(kind, value) = self;
        // Length, type, name, value, end.
        let length = i32::try_from(4 + 1 + 4 + value.len() + 1).ok()?;
        let bytes = [&length.to_le_bytes()[..], &[*kind], b"_id\0", value, &[0]].concat();
        let document = self.is_kept().then(|| RawDocumentBuf::from_bytes(bytes).ok())??;
        Document::try_from(&*document).is_ok().then_some(document)
    }

    fn of(document: Option<&[u8]>) -> Self {
        match document.and_then(id_of) {
            Some((kind, value)) if value.len() <= MAX_ID_BYTES => Self(kind, value.to_vec()),
            _ => Self::default(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let length = u16::try_from(self.1.len()).expect("at most 1,024 bytes");
        out.push(self.0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.1);
    }

    fn decode(bytes: &mut BytesReader<'_>) -> Option<Self> {
        let (kind, length) = (bytes.u8()?, usize::from(bytes.u16()?));
        Some(Self(kind, bytes.slice(length)?.to_vec()))
    }
}

/// A finished list, not yet stored.
pub(crate) struct List {
    pub(crate) reference: ListRef,
    pub(crate) id: [u8; 32],
    /// The bytes to store as an object; none if the reference holds them inline.
    pub(crate) body: Option<Vec<u8>>,
}

/// Gathers the entries of a collection into lists.
#[derive(Debug, Default)]
pub(crate) struct ListBuilder {
    entries: Vec<ListEntry>,
}

impl ListBuilder {
    /// Adds an entry; returns the list that it completes.
    pub(crate) fn push(&mut self, key: &Key, entry: ListEntry) -> Option<List> {
        let hash = u64::from_le_bytes(*entry.id.first_chunk().expect("ids are longer"));
        self.entries.push(entry);
        let ends = self.entries.len() >= MIN_ENTRIES && hash.is_multiple_of(MIN_ENTRIES as u64);
        if ends || self.entries.len() >= MAX_ENTRIES { self.finish(key) } else { None }
    }

    /// The last list, if there are entries.
    pub(crate) fn finish(&mut self, key: &Key) -> Option<List> {
        let entries = std::mem::take(&mut self.entries);
        (!entries.is_empty()).then(|| List::new(key, &entries))
    }
}

/// These entries as a list held inline, however many they are; only for manifests that are never stored.
pub(crate) fn inline(key: &Key, entries: &[ListEntry]) -> ListRef {
    let body = encode(entries);
    ListRef { inline: Some(binary(&body)), ..List::new(key, entries).reference }
}

impl List {
    fn new(key: &Key, entries: &[ListEntry]) -> Self {
        let body = encode(entries);
        let id = list_id(key, &body);
        let chunks = u32::try_from(entries.len()).expect("at most 20,000");
        let inline = (chunks <= INLINE_ENTRIES).then(|| binary(&body));
        let reference = ListRef {
            id: hex(&id),
            writer: None,
            chunks,
            documents: entries.iter().map(|entry| u64::from(entry.documents)).sum(),
            raw_bytes: entries.iter().map(|entry| u64::from(entry.raw_bytes)).sum(),
            inline,
        };
        Self { body: reference.inline.is_none().then_some(body), reference, id }
    }
}

/// The id of a list with this body.
pub(crate) fn list_id(key: &Key, body: &[u8]) -> [u8; 32] {
    blake3::keyed_hash(key, body).into()
}

/// The body of a list.
pub(crate) fn encode(entries: &[ListEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + entries.len() * 104);
    let count = u32::try_from(entries.len()).expect("at most 20,000");
    let with_sums = !entries.is_empty() && entries.iter().all(|entry| entry.sum.is_some());
    out.extend_from_slice(&(if with_sums { count | WITH_SUMS } else { count }).to_le_bytes());
    for entry in entries {
        out.extend_from_slice(&entry.id);
        out.extend_from_slice(&entry.documents.to_le_bytes());
        out.extend_from_slice(&entry.raw_bytes.to_le_bytes());
        entry.first.encode(&mut out);
        entry.last.encode(&mut out);
        let sum = entry.sum.filter(|_| with_sums);
        out.extend(sum.into_iter().flat_map(Sum::to_bytes));
    }
    out
}

/// The entries of a list, if the body is one and agrees with what refers to it.
pub(crate) fn decode(body: &[u8], reference: &ListRef) -> Option<Vec<ListEntry>> {
    let entries = decode_alone(body)?;
    let chunks = entries.len() as u64;
    let documents: u64 = entries.iter().map(|entry| u64::from(entry.documents)).sum();
    let raw_bytes: u64 = entries.iter().map(|entry| u64::from(entry.raw_bytes)).sum();
    let told = (u64::from(reference.chunks), reference.documents, reference.raw_bytes);
    (told == (chunks, documents, raw_bytes)).then_some(entries)
}

/// The entries of a list, whatever refers to it.
pub(crate) fn decode_alone(body: &[u8]) -> Option<Vec<ListEntry>> {
    let mut bytes = BytesReader(body);
    let told = bytes.u32()?;
    let (count, with_sums) = (told & !WITH_SUMS, told & WITH_SUMS != 0);
    let mut entries = Vec::with_capacity(body.len() / 46);
    for _ in 0..count {
        entries.push(ListEntry {
            id: bytes.array()?,
            documents: bytes.u32()?,
            raw_bytes: bytes.u32()?,
            first: IdValue::decode(&mut bytes)?,
            last: IdValue::decode(&mut bytes)?,
            sum: if with_sums { Some(Sum::from_bytes(&bytes.array()?)) } else { None },
        });
    }
    // An empty list has one form only.
    (bytes.0.is_empty() && (count > 0 || !with_sums)).then_some(entries)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use zeroize::Zeroizing;

    use super::*;

    fn entry(number: u64) -> ListEntry {
        let id = *blake3::hash(&number.to_le_bytes()).as_bytes();
        let (first, last) = (IdValue(0x10, vec![1, 2, 3, 4]), IdValue::default());
        ListEntry { id, documents: 1, raw_bytes: 20, first, last, sum: Some(Sum::from_bytes(&id)) }
    }

    fn lists(numbers: impl Iterator<Item = u64>) -> Vec<List> {
        let key: Key = Zeroizing::new([2; 32]);
        let mut builder = ListBuilder::default();
        let mut out: Vec<_> = numbers.filter_map(|number| builder.push(&key, entry(number))).collect();
        out.extend(builder.finish(&key));
        out
    }

    #[test]
    fn lists_survive_their_encoding_and_small_ones_are_inline() {
        let all = lists(0..9);
        let body = all[0].body.as_deref().expect("an object");
        assert_eq!(decode(body, &all[0].reference), Some((0..9).map(entry).collect()));
        assert_eq!(decode(&body[..body.len() - 1], &all[0].reference), None);
        let mut other = all[0].reference.clone();
        other.documents += 1;
        assert_eq!(decode(body, &other), None);
        assert!(lists(0..8)[0].body.is_none());
        assert!(lists(0..0).is_empty());
    }

    #[test]
    fn sums_are_there_for_all_or_for_none() {
        let with: Vec<_> = (0..9).map(entry).collect();
        let without: Vec<_> = with.iter().map(|entry| ListEntry { sum: None, ..entry.clone() }).collect();
        let mixed = [&with[..8], &without[8..]].concat();
        assert_eq!(decode_alone(&encode(&without)), Some(without.clone()));
        assert_eq!(decode_alone(&encode(&mixed)), Some(without));
        assert_eq!(encode(&with).len(), encode(&mixed).len() + 9 * 32);
        assert_eq!(decode_alone(&WITH_SUMS.to_le_bytes()), None, "an empty list has one form");
        assert_eq!(decode_alone(&0u32.to_le_bytes()), Some(Vec::new()));
    }

    #[test]
    fn a_new_chunk_in_front_leaves_later_lists_as_they_are() {
        let before: HashSet<_> = lists(0..100_000).iter().map(|list| list.id).collect();
        let after = lists(std::iter::once(1 << 40).chain(0..100_000));
        let new = after.iter().filter(|list| !before.contains(&list.id)).count();
        assert!(after.len() > 5 && new <= 3, "{new} of {} lists are new", after.len());
    }

    #[test]
    fn the_ends_of_a_chunk_are_its_first_and_last_id() {
        let raw = |value: &str| bson::serialize_to_vec(&bson::doc! { "_id": value }).expect("BSON");
        let (first, last) = IdValue::ends(&[raw("a"), raw("b"), raw("c")].concat());
        assert_eq!((first.0, last.0, first.1.get(4), last.1.get(4)), (2, 2, Some(&b'a'), Some(&b'c')));
        assert_eq!(first.to_document().map(RawDocumentBuf::into_bytes), Some(raw("a")));
        let (first, last) = IdValue::ends(&raw(&"x".repeat(2000)));
        assert_eq!((first, last), (IdValue::default(), IdValue::default()));
        assert_eq!(IdValue::default().to_document(), None);
        assert_eq!(IdValue(0x10, vec![1]).to_document(), None, "cut short");
    }
}
