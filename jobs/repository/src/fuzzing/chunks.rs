//! Chunks: their documents, the lists that name them, and deltas.

use bson::RawDocument;
use bytes::Bytes;

use super::{chosen, keys};
use crate::batch::{count_documents, documents, id_of};
use crate::content::{ContentHasher, ContentPart, Sum};
use crate::cutter::Cutter;
use crate::limits::{self, is_shallow};
use crate::list::{self, IdValue, ListEntry};
use crate::record::RecordType;
use crate::{ChunkSizes, ContentOrder, DocumentBatch, Domain, RawChunk, delta};

pub(super) fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    match choice % 5 {
        0 => documents_of(bytes),
        1 => batch(bytes),
        2 => list(bytes),
        3 => applied(bytes),
        _ => differing(bytes),
    }
}

pub(super) fn documents_of(bytes: &[u8]) {
    let all: Vec<_> = documents(bytes).collect();
    assert!(bytes.starts_with(&all.concat()));
    let whole = all.iter().map(|document| document.len()).sum::<usize>() == bytes.len();
    assert_eq!(count_documents(bytes).is_some(), whole);
    for document in &all {
        let id = id_of(document);
        assert!(id.is_none_or(|(_, value)| value.len() < document.len()));
        // Where the whole of it is BSON, others find the same.
        if let Ok(raw) = RawDocument::from_bytes(document)
            && is_shallow(raw, 100)
        {
            let theirs = raw.get("_id").ok().flatten();
            assert_eq!(theirs.map(|value| value.element_type() as u8), id.map(|(kind, _)| kind), "{raw:?}");
        }
    }
    let (first, last) = IdValue::ends(bytes);
    assert!(!(all.is_empty() && (first.is_kept() || last.is_kept())));
    let keys = keys();
    let content = &keys.domain(Domain::Plain).expect("keys").content;
    for order in [ContentOrder::Any, ContentOrder::Exact] {
        let (mut one, mut other) =
            (ContentHasher::new(content.clone(), order), ContentHasher::new(content.clone(), order));
        for document in &all {
            one.push(document);
        }
        let documents = u32::try_from(all.len()).expect("small");
        other.add(&ContentPart::of(content, order, bytes), documents).expect("of one order");
        assert_eq!(one.finish(), other.finish());
    }
    let chunk = RawChunk { documents: 0, bytes: Bytes::copy_from_slice(bytes) };
    assert!(chunk.documents().eq(all));
}

/// Offsets, then the buffer that they point into.
fn batch(input: &[u8]) {
    let Some((count, rest)) = input.split_first() else { return };
    let Some((offsets, buffer)) = rest.split_at_checked(usize::from(*count) * 4) else { return };
    let number = |bytes: [u8; 2]| u32::from(u16::from_le_bytes(bytes));
    let offsets: Vec<_> =
        offsets.as_chunks().0.iter().map(|[a, b, c, d]| (number([*a, *b]), number([*c, *d]))).collect();
    let batch = DocumentBatch { bytes: Bytes::copy_from_slice(buffer), offsets };
    let sizes = ChunkSizes { min_bytes: 16, avg_bytes: 64, max_bytes: 256 };
    let mut cutter = Cutter::new(sizes, keys().domain(Domain::Plain).expect("keys").cut.clone());
    let Ok(mut drafts) = cutter.push(&batch) else { return };
    drafts.extend(cutter.finish());
    let expected: Vec<u8> =
        batch.offsets.iter().flat_map(|at| batch.document(*at).expect("it was taken").to_vec()).collect();
    let mut cut = Vec::new();
    for draft in drafts {
        let chunk = draft.assemble();
        assert_eq!(count_documents(&chunk), Some(draft.documents));
        assert!(draft.documents == 1 || draft.raw_bytes <= sizes.max_bytes);
        cut.extend(chunk);
    }
    assert_eq!(cut, expected);
}

pub(super) fn list(body: &[u8]) {
    let Some(entries) = list::decode_alone(body) else { return };
    assert_eq!(list::encode(&entries), body);
    let reference = list::inline(&keys().domain(Domain::Plain).expect("keys").list_id, &entries);
    assert_eq!(list::decode(body, &reference), Some(entries));
    let other = crate::ListRef { documents: reference.documents + 1, ..reference };
    assert_eq!(list::decode(body, &other), None);
}

/// Length of a base, length of the chunk, the base, then a frame as somebody might have written it.
fn applied(input: &[u8]) {
    let Some(([a, b, raw_bytes @ ..], rest)) = input.split_first_chunk::<6>() else { return };
    let Some((base, frame)) = rest.split_at_checked(usize::from(u16::from_le_bytes([*a, *b]))) else { return };
    // Longer ones are refused when the record is opened.
    let raw_bytes = (u32::from_le_bytes(*raw_bytes) % (limits::raw_bytes(RecordType::Delta) + 1)) as usize;
    if let Ok(raw) = delta::apply(base, frame, raw_bytes) {
        assert_eq!(raw.len(), raw_bytes);
    }
}

/// A base and a chunk, whose difference must bring the chunk back.
fn differing(input: &[u8]) {
    let Some(([a, b], rest)) = input.split_first_chunk::<2>() else { return };
    let Some((base, raw)) = rest.split_at_checked(usize::from(u16::from_le_bytes([*a, *b]))) else { return };
    let frame = delta::diff(base, raw).expect("it can be told");
    assert_eq!(delta::apply(base, &frame, raw.len()).as_deref(), Ok(raw));
    assert!(delta::apply(base, &frame, raw.len() + 1).is_err());
}

pub(super) fn some_documents() -> Vec<u8> {
    let raw = |document| bson::serialize_to_vec(&document).expect("BSON");
    let first = bson::doc! { "_id": 1, "a": "text", "b": { "_id": 2 }, "c": [1.5, null, true] };
    let second = bson::doc! { "x": bson::Regex { pattern: bson::raw::cstr!("p").into(), options: bson::raw::cstr!("i").into() }, "_id": bson::oid::ObjectId::from_bytes([1; 12]) };
    [raw(first), raw(second), raw(bson::doc! {})].concat()
}

pub(super) fn some_list() -> Vec<u8> {
    let (first, last) = IdValue::ends(&some_documents());
    let entry = ListEntry { id: [1; 32], documents: 3, raw_bytes: 99, first, last, sum: Some(Sum::default()) };
    list::encode(&[entry.clone(), ListEntry { id: [2; 32], first: IdValue::default(), ..entry }])
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let documents = some_documents();
    let offset = |start: usize, length: usize| {
        [start, length].map(|number| u16::try_from(number).expect("small").to_le_bytes()).concat()
    };
    let lengths: Vec<_> = crate::batch::documents(&documents).map(<[u8]>::len).collect();
    let offsets = [offset(0, lengths[0]), offset(lengths[0], lengths[1])].concat();
    let (base, raw) = (documents.as_slice(), [documents.as_slice(), b"and more"].concat());
    let head = |raw: usize| u32::try_from(raw).expect("small").to_le_bytes();
    let length = u16::try_from(base.len()).expect("small").to_le_bytes();
    let frame = delta::diff(base, &raw).expect("made");
    vec![
        chosen(0, &documents),
        chosen(1, &[&[2], offsets.as_slice(), &documents].concat()),
        chosen(2, &some_list()),
        chosen(3, &[&length, head(raw.len()).as_slice(), base, &frame].concat()),
        chosen(4, &[&length, base, &raw].concat()),
    ]
}
