//! Records: header, tag, decompression, and whatever parser their type leads to.

use super::{bodies, chunks, keys, packs};
use crate::record::{BodyCompression, HEADER_BYTES, Header, RecordType, Suite};
use crate::seal::{Opener, Sealer, associated, check};
use crate::{Domain, delta, limits};

/// What was decompressed beyond this isn't parsed, so that inputs stay quick.
const PARSED_BYTES: usize = 1 << 20;

pub(super) fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    if choice % 2 == 0 {
        as_it_is(bytes);
    } else {
        forged(bytes);
    }
}

fn as_it_is(record: &[u8]) {
    let Ok(header) = Header::decode(record) else { return };
    assert_eq!(header.encode(), record[..HEADER_BYTES]);
    for domain in [Domain::Sealed, Domain::Plain] {
        let _ = Opener::new(keys(), domain).open(record, header.record_type, &header.id);
    }
}

/// The rest of the input as a record of the plain domain whose tag is right.
fn forged(input: &[u8]) {
    let Some((head, body)) = input.split_first_chunk::<6>() else { return };
    let [kind, compression, raw_bytes @ ..] = *head;
    let mut encoded = Header {
        record_type: RecordType::Chunk,
        suite: Suite::Checked,
        compression: BodyCompression::None,
        padded: false,
        key_id: 0,
        body_bytes: u32::try_from(body.len()).expect("inputs are small"),
        raw_bytes: u32::from_le_bytes(raw_bytes),
        nonce: [0; 12],
        writer: [7; 32],
        id: [8; 32],
    }
    .encode();
    (encoded[5], encoded[7]) = (kind, compression);
    let tag = check(&keys(), &associated(&keys(), &encoded), body);
    let record = [&encoded, body, &tag].concat();
    let Ok(header) = Header::decode(&record) else { return };
    let opener = Opener::new(keys(), Domain::Plain);
    if header.record_type == RecordType::Delta {
        let Ok(sealed) = opener.open_delta(&record, &[8; 32]) else { return };
        let _ = delta::apply(b"a base", &sealed.frame, sealed.raw_bytes as usize);
        return;
    }
    let Ok(raw) = opener.open(&record, header.record_type, &[8; 32]) else { return };
    assert!(raw.len() == header.raw_bytes as usize && header.raw_bytes <= limits::raw_bytes(header.record_type));
    if raw.len() <= PARSED_BYTES {
        body_of(header.record_type, &raw);
    }
}

fn body_of(record_type: RecordType, raw: &[u8]) {
    match record_type {
        RecordType::Chunk | RecordType::Delta => chunks::documents_of(raw),
        RecordType::Footer => packs::footer(raw),
        RecordType::Index => packs::index(raw),
        RecordType::List => chunks::list(raw),
        RecordType::Manifest => bodies::manifest(raw),
        RecordType::Generation => bodies::generation(raw),
        RecordType::Pin => bodies::pin(raw),
        RecordType::Distrust => packs::distrust(raw),
        // That it opens is all that it says.
        RecordType::Master => {}
        RecordType::Owner => bodies::owner(raw),
        RecordType::Inventory => bodies::inventory(raw),
        RecordType::Forgotten => bodies::forgotten(raw),
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let sealer = Sealer::with_writer(keys(), Domain::Plain, [7; 32]).expect("keys");
    let sealed = Sealer::with_writer(keys(), Domain::Sealed, [7; 32]).expect("keys");
    let seal = |record_type, raw: &[u8], level| sealer.seal(record_type, &[8; 32], raw, level).expect("sealed");
    let mut records = vec![sealed.seal(RecordType::Chunk, &[8; 32], b"sealed", None).expect("sealed")];
    for (record_type, raw) in [
        (RecordType::Chunk, chunks::some_documents()),
        (RecordType::Footer, packs::some_footer()),
        (RecordType::Index, packs::some_index()),
        (RecordType::List, chunks::some_list()),
        (RecordType::Manifest, bodies::some_manifest()),
        (RecordType::Generation, bodies::some_doom()),
        (RecordType::Pin, bodies::some_pin()),
        (RecordType::Owner, bodies::some_owner()),
        (RecordType::Inventory, bodies::some_inventory()),
        (RecordType::Forgotten, bodies::some_forgotten()),
    ] {
        records.extend([seal(record_type, &raw, None), seal(record_type, &raw, Some(3))]);
    }
    let frame = delta::diff(b"a base", b"a base and more").expect("made");
    records.push(sealer.seal_delta(&[8; 32], 15, &[9; 32], &frame).expect("sealed"));
    let forged = |record: &Vec<u8>| {
        let body = &record[HEADER_BYTES..record.len() - 16];
        [&[1, record[5], record[7]], &record[16..20], body].concat()
    };
    let mut seeds: Vec<_> = records.iter().map(forged).collect();
    seeds.extend(records.iter().map(|record| super::chosen(0, record)));
    seeds
}
