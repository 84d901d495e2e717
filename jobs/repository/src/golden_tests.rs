//! Bytes that must never change: whoever breaks these breaks every repository there is.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::batch::documents;
use crate::content::ContentHasher;
use crate::keys::{KeyRing, Keys};
use crate::list::{IdValue, ListBuilder, ListEntry};
use crate::names::hex;
use crate::record::RecordType;
use crate::seal::{Opener, Sealer};
use crate::slot::{SlotSecret, StoredSlot};
use crate::{ContentOrder, Domain, RepositoryId, delta};

fn keys() -> Arc<Keys> {
    let ring = KeyRing {
        root: Zeroizing::new([0x11; 32]),
        masters: vec![(1, Zeroizing::new([0x22; 32]))],
        inventory: None,
        vouched: false,
    };
    Arc::new(Keys::new(RepositoryId::from_bytes([0x33; 16]), Some(ring), &[0x44; 32]))
}

fn chunk() -> Vec<u8> {
    let document = |id: i32| {
        bson::serialize_to_vec(&bson::doc! { "_id": id, "a": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }).expect("BSON")
    };
    [document(1), document(2)].concat()
}

fn fingerprint(bytes: &[u8]) -> String {
    hex(&blake3::hash(bytes).as_bytes()[..8])
}

#[test]
fn ids_and_hashes_stay() {
    let keys = keys();
    let chunk = chunk();
    let mut seen = Vec::new();
    for domain in [Domain::Sealed, Domain::Plain] {
        let of = keys.domain(domain).expect("both are there");
        let id: [u8; 32] = blake3::keyed_hash(&of.chunk_id, &chunk).into();
        seen.push(fingerprint(&id));
        let (first, last) = IdValue::ends(&chunk);
        let mut builder = ListBuilder::default();
        let raw_bytes = u32::try_from(chunk.len()).expect("small");
        assert!(builder.push(&of.list_id, ListEntry { id, documents: 2, raw_bytes, first, last, sum: None }).is_none());
        seen.push(fingerprint(&builder.finish(&of.list_id).expect("one").id));
        for order in [ContentOrder::Any, ContentOrder::Exact] {
            let mut hasher = ContentHasher::new(of.content.clone(), order);
            documents(&chunk).for_each(|document| hasher.push(document));
            seen.push(fingerprint(hasher.finish().as_bytes()));
        }
        seen.push(fingerprint(of.name.as_ref()) + &fingerprint(of.cut.as_ref()));
    }
    assert_eq!(seen, GOLDEN_IDS);
}

#[test]
fn sealed_bytes_stay() {
    let keys = keys();
    let mut seen = Vec::new();
    for domain in [Domain::Sealed, Domain::Plain] {
        let sealer = Sealer::with_writer(keys.clone(), domain, [0x55; 32]).expect("keys");
        sealer.seal(RecordType::Chunk, &[0x66; 32], b"the first takes nonce 0", None).expect("sealed");
        let record = sealer.seal(RecordType::Chunk, &[0x66; 32], &chunk(), None).expect("sealed");
        seen.push(fingerprint(&record));
    }
    assert_eq!(seen, GOLDEN_RECORDS);
}

#[test]
fn what_was_sealed_once_opens_for_ever() {
    let record = bytes(GOLDEN_COMPRESSED_RECORD);
    let opened = Opener::new(keys(), Domain::Sealed).open(&record, RecordType::Chunk, &[0x66; 32]);
    assert_eq!(opened, Ok(chunk()));
    let delta =
        Opener::new(keys(), Domain::Sealed).open_delta(&bytes(GOLDEN_DELTA_RECORD), &[0x66; 32]).expect("sound");
    assert_eq!(delta.base, [0x88; 32]);
    assert_eq!(delta::apply(&chunk(), &delta.frame, delta.raw_bytes as usize), Ok([chunk(), chunk()].concat()));
    let slot = StoredSlot::read(GOLDEN_SLOT_NAME, &bytes(GOLDEN_SLOT)).expect("sound");
    let ring = slot.open(&SlotSecret::KeyFile(Zeroizing::new([0x77; 32]))).expect("sound").expect("opens");
    assert_eq!((*ring.root, ring.masters), ([0x11; 32], vec![(1, Zeroizing::new([0x22; 32]))]));
}

fn bytes(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("digits");
    digits.chunks_exact(2).map(pair).collect()
}

const GOLDEN_IDS: [&str; 10] = [
    "0837b31b73f83a68",
    "e09f9135e61e7411",
    "8d19ee855d4ec671",
    "c2cd923385bb6b01",
    "92dfbb65e9320111afd42579fb98681c",
    "65e644601f8676df",
    "b585ff7f8ca49ecb",
    "5d0f17fb46912a8d",
    "108c47f6d33e3315",
    "fd7721abad72ce18fff44fcde97ab486",
];
/// The first one with padding; what was sealed without is opened below.
const GOLDEN_RECORDS: [&str; 2] = ["fd4d524217c00dea", "044be06d626adbc5"];
const GOLDEN_SLOT_NAME: &str = "keys/2016a365307d2de4";
const GOLDEN_SLOT: &str = "\
    4c55434f010200000c0100000c01000003736c6f74009b000000057265706f7369746f7279001000000000333333333333333333 \
    333333333333330569640008000000002016a365307d2de4026b696e6400090000006b65795f66696c6500026c6162656c000700 \
    0000676f6c64656e0009637265617465645f6174004e38570da20100000573616c740020000000006e6132316d8c681782298ef6 \
    1157e067bdf27bff4e4d85519e9085cddc574ce4000577726170706564005800000000ce10b94058666eb4db4fbbeca6dd3ed4b9 \
    9411cafffeef8cebc8e91bcfaa277d57b835d13f64d83f0d0b2c8cd0ceadd2171845d5cf0ce73f88f3708f469c71dad3e46f52ce \
    267e1dd24d815578d54a36f92d3aa0d80bc0fa0031555e4e310015a610a37c90a7fdae06075ffec64ec6532d5be86298b47be095";
const GOLDEN_COMPRESSED_RECORD: &str = "\
    4c55435201010101010000002c0000006c0000000000000000000000000000005555555555555555555555555555555555555555 \
    555555555555555555555555666666666666666666666666666666666666666666666666666666666666666615353b370939f66d \
    fbea98920154e5a7cbbddb08ee754c24bf3b3f239f94d77436118629b76555b5fc7a7a9a17ad0e5243042fe799c95c5ee8d173b0";
const GOLDEN_DELTA_RECORD: &str = "\
    4c55435201020102010000003c000000d80000000000000000000000000000025555555555555555555555555555555555555555 \
    555555555555555555555555666666666666666666666666666666666666666666666666666666666666666654c6cfe4100d38ce \
    a9a574e8268cab32bcf884a223f8a867da42ad36d240390221fb422fd00d736ced9a65704c95429b9ed5d9cf35009a69f9d600e2 \
    7910ee35fa67dc6e93ad8f6d99921d88";
