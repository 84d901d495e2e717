//! What an index object says: packs and their chunks (format, section 6).

use crate::bytes_reader::BytesReader;
use crate::footer::{self, PackEntry};
use crate::object_name::is_writers_own;

/// Packs in an index object, at most.
const INDEX_PACKS: usize = 256;
/// Chunks in an index object, at most, unless one pack has more: some 20 MB, far below what a record may hold.
const INDEX_ENTRIES: usize = 250_000;

/// A pack and its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackListing {
    /// Without the folder.
    pub(crate) name: String,
    pub(crate) stored_bytes: u64,
    pub(crate) entries: Vec<PackEntry>,
}

/// So many of the first packs as one index object takes, at least one if there is any.
pub(crate) fn first_that_fit(listings: &[PackListing]) -> &[PackListing] {
    let mut entries = 0;
    let fits = |listing: &&PackListing| {
        entries += listing.entries.len();
        entries <= INDEX_ENTRIES
    };
    let count = listings.iter().take(INDEX_PACKS).take_while(fits).count();
    &listings[..count.max(1).min(listings.len())]
}

/// All of them, in the order of the index objects that take them.
pub(crate) fn that_fit(mut listings: &[PackListing]) -> impl Iterator<Item = &[PackListing]> {
    std::iter::from_fn(move || {
        let (some, rest) = listings.split_at(first_that_fit(listings).len());
        listings = rest;
        (!some.is_empty()).then_some(some)
    })
}

/// The body of an index object.
pub(crate) fn encode(listings: &[PackListing]) -> Vec<u8> {
    let count = u32::try_from(listings.len()).expect("a few hundred packs");
    let mut out = count.to_le_bytes().to_vec();
    for listing in listings {
        let length = u16::try_from(listing.name.len()).expect("names are short");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(listing.name.as_bytes());
        out.extend_from_slice(&listing.stored_bytes.to_le_bytes());
        out.extend_from_slice(&footer::encode(&listing.entries));
    }
    out
}

/// Reads the body of an index object.
pub(crate) fn decode(body: &[u8]) -> Option<Vec<PackListing>> {
    let mut bytes = BytesReader(body);
    let mut listings = Vec::new();
    for _ in 0..bytes.u32()? {
        let length = usize::from(bytes.u16()?);
        let name = std::str::from_utf8(bytes.slice(length)?).ok()?.to_owned();
        let stored_bytes = bytes.u64()?;
        let entries = footer::decode(&mut bytes)?;
        // Without either, listings would take far more memory than bytes.
        if entries.is_empty() && !is_writers_own(&name) {
            return None;
        }
        listings.push(PackListing { name, stored_bytes, entries });
    }
    bytes.0.is_empty().then_some(listings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_survives_its_encoding() {
        let entry = PackEntry { id: [1; 32], offset: 0, record_bytes: 10, raw_bytes: 3, documents: 2, delta: None };
        let listing = |name: &str| PackListing { name: name.into(), stored_bytes: 77, entries: vec![entry] };
        let listings = vec![listing("a.1.b.000001"), listing("a.1.b.000002")];
        let body = encode(&listings);
        assert_eq!(decode(&body), Some(listings));
        for length in 0..body.len() {
            assert_eq!(decode(&body[..length]), None);
        }
    }

    #[test]
    fn an_index_object_takes_many_packs_but_not_many_chunks() {
        let entry = PackEntry { id: [1; 32], offset: 0, record_bytes: 10, raw_bytes: 3, documents: 2, delta: None };
        let listing = |chunks: usize| PackListing { name: "a".into(), stored_bytes: 77, entries: vec![entry; chunks] };
        let counts = |listings: &[PackListing]| that_fit(listings).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(counts(&vec![listing(1); 600]), [256, 256, 88]);
        assert_eq!(
            counts(&[listing(100_000), listing(150_000), listing(1), listing(300_000), listing(1)]),
            [2, 1, 1, 1]
        );
        assert_eq!(counts(&[]), [0; 0]);
    }

    #[test]
    fn only_a_pack_with_a_packs_name_may_be_listed_as_emptied() {
        let emptied = |name: String| vec![PackListing { name, stored_bytes: 77, entries: Vec::new() }];
        let named_well = emptied(format!("a.1.{}.000001", "0".repeat(32)));
        assert_eq!(decode(&encode(&named_well)), Some(named_well));
        assert_eq!(decode(&encode(&emptied("a".into()))), None);
    }
}
