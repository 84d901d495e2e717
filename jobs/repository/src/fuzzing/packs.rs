//! What says which chunk is where: trailers, footers, index objects, and the table made of them.

use std::cell::Cell;

use super::chosen;
use crate::footer::{self, DeltaLink, MAX_DEPTH, PackEntry};
use crate::index::{Copy, Gather};
use crate::limits::CHUNK_RECORD_BYTES;
use crate::pack_listing::{self, PackListing};
use crate::{Domain, names};

pub(super) fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    match choice % 4 {
        0 => footer(bytes),
        1 => index(bytes),
        2 => linked(bytes),
        _ => {
            if let Some(length) = footer::read_trailer(bytes) {
                assert!(bytes.ends_with(&footer::trailer(length)));
            }
        }
    }
}

pub(super) fn footer(body: &[u8]) {
    let Some(entries) = footer::decode_whole(body) else { return };
    assert_eq!(footer::encode(&entries), body);
    assert!(u32::try_from(footer::chunks_end(&entries)).is_ok());
    assert!(entries.iter().all(|entry| u64::from(entry.record_bytes) <= CHUNK_RECORD_BYTES));
}

pub(super) fn index(body: &[u8]) {
    let Some(listings) = pack_listing::decode(body) else { return };
    assert_eq!(pack_listing::encode(&listings), body);
    table(&listings);
}

/// Chains of deltas, written so that a few bytes make one: chunk, depth, base.
fn linked(bytes: &[u8]) {
    let entry = |offset: u32, [id, depth, base]: [u8; 3]| PackEntry {
        id: [id % 16; 32],
        offset,
        record_bytes: 1,
        raw_bytes: 1,
        documents: 1,
        delta: (depth % 9 > 0).then_some(DeltaLink { depth: depth % 9, place: 1, base: [base % 16; 32] }),
    };
    let entries: Vec<_> = (0..).zip(bytes.as_chunks().0).map(|(offset, bytes)| entry(offset, *bytes)).collect();
    table(&[PackListing { name: "a".into(), stored_bytes: 0, entries }]);
}

/// Looks up every chunk of a table, with all that it builds on, and counts how much work that is.
fn table(listings: &[PackListing]) {
    let mut gather = Gather::default();
    for (number, listing) in listings.iter().enumerate() {
        gather.add(Domain::Plain, listing, (number % 3 > 0).then_some("fuzzed"), 0);
    }
    let index = gather.finish();
    let all: Vec<_> = (0..index.copy_count()).map(|place| *index.copy(place)).collect();
    let links = all.iter().filter(|copy| index.link(copy).is_some()).count();
    let with_bases = index.with_bases(all.iter().map(|copy| copy.id).collect());
    assert!(with_bases.len() <= all.len() + links, "each chunk and each base once");
    for copy in all.iter().take(8) {
        for there in [true, false] {
            let asked = Cell::new(0);
            let is_there = |copy: &Copy| {
                asked.set(asked.get() + 1);
                there || index.depth(copy) > 0
            };
            let found = index.resolvable(&copy.id, MAX_DEPTH + 1, &is_there).is_some();
            assert!(found || !index.resolves(copy, &|copy| there || index.depth(copy) > 0), "{}", names::hex(&copy.id));
            assert!(asked.get() <= all.len() * usize::from(MAX_DEPTH + 1), "{} for {}", asked.get(), all.len());
        }
    }
    assert_eq!(index.by_pack(&vec![true; index.packs.len()]).iter().map(Vec::len).sum::<usize>(), all.len());
}

fn some_entries() -> Vec<PackEntry> {
    let full = PackEntry { id: [1; 32], offset: 0, record_bytes: 10, raw_bytes: 3, documents: 2, delta: None };
    let link = |depth, base| Some(DeltaLink { depth, place: 1, base: [base; 32] });
    let second = PackEntry { id: [2; 32], offset: 10, delta: link(1, 1), ..full };
    vec![full, second, PackEntry { id: [3; 32], offset: 20, delta: link(2, 2), ..full }]
}

pub(super) fn some_footer() -> Vec<u8> {
    footer::encode(&some_entries())
}

pub(super) fn some_index() -> Vec<u8> {
    let listing = |number: u32| PackListing {
        name: format!("backup_1.1.{}.{number:06}", names::hex(&[0xab; 16])),
        stored_bytes: 77,
        entries: some_entries(),
    };
    pack_listing::encode(&[listing(1), listing(2)])
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let chain: Vec<u8> = (0..9).flat_map(|depth| [depth, depth, depth.max(1) - 1]).collect();
    let many: Vec<u8> = chain.as_chunks::<3>().0.iter().flat_map(|entry| [*entry; 9]).flatten().collect();
    vec![
        chosen(0, &some_footer()),
        chosen(1, &some_index()),
        chosen(2, &chain),
        chosen(2, &many),
        chosen(3, &footer::trailer(77)),
    ]
}

pub(super) fn distrust(body: &[u8]) {
    let Some(packs) = crate::distrust::decode(body) else { return };
    assert_eq!(crate::distrust::decode(&crate::distrust::encode(&packs)), Some(packs));
}
