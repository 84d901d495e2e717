//! Bodies that are BSON: manifests, generations, pins, owners, inventories, and what became of manifests.

use std::collections::BTreeSet;

use bson::{DateTime, RawDocument, RawDocumentBuf, doc, rawdoc, serialize_to_vec};

use super::chosen;
use crate::generation::{self, Close, Doom, Numbered};
use crate::limits::{MANIFEST_DEPTH, is_shallow};
use crate::prune::pins::reason_of;
use crate::{
    Candidate, CollectionContent, CollectionEntry, CollectionKind, ContentOrder, Domain, ListRef, MANIFEST_FORMAT,
    Manifest, ReadOrder, RetentionPolicy, Scope, judge,
};
use crate::{forgotten, inventory, ownership};

pub(super) fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    match choice % 6 {
        0 => manifest(bytes),
        1 => generation(bytes),
        2 => pin(bytes),
        3 => owner(bytes),
        4 => inventory(bytes),
        _ => forgotten(bytes),
    }
}

pub(super) fn manifest(body: &[u8]) {
    let Ok(manifest) = Manifest::decode("fuzzed", body) else { return };
    let raw = RawDocument::from_bytes(body).expect("it was read");
    assert!(is_shallow(raw, MANIFEST_DEPTH));
    let again = serialize_to_vec(&manifest).expect("what was read can be written");
    assert_eq!(Manifest::decode("again", &again).expect("what was written can be read"), manifest);
    let contents = manifest.collections.iter().map(|collection| &collection.content);
    // As readers add them up; this is built with checks for overflow.
    let of_lists = contents.clone().flat_map(|content| &content.chunk_lists).map(|list| list.documents).sum::<u64>();
    assert!(contents.map(|content| content.documents).sum::<u64>().checked_add(of_lists).is_some());
    let at = Candidate {
        key: manifest.job.clone(),
        job: manifest.job,
        cluster: manifest.cluster,
        database: manifest.database,
        selected: manifest.selected,
        copied: manifest.copied_from.is_some(),
        at: manifest.started_at,
        increment: 0,
        held: None,
        orphaned: None,
    };
    let other = Candidate { at: manifest.finished_at, key: "other".into(), ..at.clone() };
    let policy = RetentionPolicy { last: 1, hourly: 1, daily: 1, weekly: 1, monthly: 1, yearly: 1, days: u32::MAX };
    let scope = Scope { cluster: at.cluster.clone().unwrap_or_default(), unknown: true, now: at.at, forget_many: true };
    assert_eq!(judge(&policy, &scope, &[at, other]).verdicts.len(), 2);
}

pub(super) fn generation(body: &[u8]) {
    let number = RawDocument::from_bytes(body).ok().and_then(|body| body.get_i64("generation").ok());
    part::<Doom>(number.unwrap_or(1), body);
    part::<Close>(number.unwrap_or(1), body);
}

fn part<T: Numbered + serde::Serialize + PartialEq + std::fmt::Debug>(number: i64, body: &[u8]) {
    let Ok(part) = generation::decode::<T>("fuzzed", number, body) else { return };
    assert_eq!(part.number(), number);
    let again = serialize_to_vec(&part).expect("what was read can be written");
    assert_eq!(generation::decode::<T>("again", number, &again).expect("what was written can be read"), part);
}

pub(super) fn pin(body: &[u8]) {
    assert!(reason_of(body).len() <= body.len());
}

pub(super) fn owner(body: &[u8]) {
    let Ok(owner) = ownership::decode("fuzzed", body) else { return };
    let again = serialize_to_vec(&owner).expect("what was read can be written");
    assert_eq!(ownership::decode("again", &again).expect("what was written can be read"), owner);
}

pub(super) fn inventory(body: &[u8]) {
    let Ok(objects) = inventory::decode("fuzzed", body) else { return };
    let again = inventory::encode(&objects).expect("what was read can be written");
    assert_eq!(inventory::decode("again", &again).expect("what was written can be read"), objects);
}

pub(super) fn forgotten(body: &[u8]) {
    let Ok(forgotten) = forgotten::decode("fuzzed", body) else { return };
    let again = serialize_to_vec(&forgotten).expect("what was read can be written");
    assert_eq!(forgotten::decode("again", &again).expect("what was written can be read"), forgotten);
}

pub(super) fn some_manifest() -> Vec<u8> {
    let list = |writer, inline| ListRef { id: "ab".repeat(32), writer, chunks: 1, documents: 2, raw_bytes: 3, inline };
    let lists =
        vec![list(None, None), list(Some("cd".repeat(16)), None), list(None, Some(crate::config::binary(&[1, 2, 3])))];
    let content = CollectionContent { documents: 4, raw_bytes: 6, content_hash: "any:4:00".into(), chunk_lists: lists };
    let entry = CollectionEntry {
        name: "people".into(),
        kind: CollectionKind::TimeSeries,
        options: rawdoc! { "validator": { "a": { "$gt": 1 } } },
        uuid: Some(bson::Uuid::from_bytes([7; 16])),
        indexes: vec![rawdoc! { "v": 2, "key": { "_id": 1 }, "name": "_id_" }],
        read_at: Some(bson::Timestamp { time: 3, increment: 4 }),
        at_snapshot: true,
        read_order: ReadOrder::Id,
        content_order: ContentOrder::Exact,
        content,
        stored: None,
    };
    let manifest = Manifest {
        format: MANIFEST_FORMAT,
        job: "backup_1".into(),
        epoch: 1,
        domain: Domain::Sealed,
        generation: 2,
        database: "lucid".into(),
        selected: Some(vec!["people".into()]),
        copied_from: None,
        cluster: Some("cluster-1".into()),
        former_hashes: Vec::new(),
        started_at: DateTime::from_millis(1),
        finished_at: DateTime::from_millis(2),
        snapshot_time: None,
        server_version: "7.0.0".into(),
        fcv: "7.0".into(),
        member: "host:27017".into(),
        consistent: true,
        collections: vec![entry],
    };
    serialize_to_vec(&manifest).expect("BSON")
}

fn some_generation(of: &str, names: &[&str]) -> Vec<u8> {
    let names: BTreeSet<&str> = names.iter().copied().collect();
    let names: Vec<&str> = names.into_iter().collect();
    serialize_to_vec(&doc! { "format": 1, "generation": 7i64, "created_at": DateTime::from_millis(1), of: names })
        .expect("BSON")
}

pub(super) fn some_doom() -> Vec<u8> {
    some_generation("objects", &["sealed/packs/a", "sealed/lists/b"])
}

pub(super) fn some_owner() -> Vec<u8> {
    serialize_to_vec(&doc! { "format": 1, "cluster": "a-1", "since": DateTime::from_millis(1) }).expect("BSON")
}

pub(super) fn some_inventory() -> Vec<u8> {
    let objects = [("sealed/manifests/a".to_owned(), Some([7; 32])), ("sealed/manifests/b".to_owned(), None)];
    inventory::encode(&objects.into()).expect("small")
}

pub(super) fn some_forgotten() -> Vec<u8> {
    serialize_to_vec(&doc! {
        "format": 1,
        "manifest": "sealed/manifests/a",
        "hash": "ab".repeat(32),
        "job": "backup_1",
        "database": "lucid",
        "at": DateTime::from_millis(1),
        "cluster": "a-1",
        "forgotten_at": DateTime::from_millis(2),
        "by": "prune_1",
        "reason": "no rule keeps it",
        "lost": true,
    })
    .expect("BSON")
}

pub(super) fn some_pin() -> Vec<u8> {
    serialize_to_vec(&doc! { "reason": "before the upgrade", "pinned_at": DateTime::from_millis(1) }).expect("BSON")
}

/// A document of so many levels.
fn nested(levels: usize) -> RawDocumentBuf {
    let mut bytes = b"\x05\0\0\0\0".to_vec();
    for _ in 1..levels {
        let length = u32::try_from(bytes.len() + 8).expect("small").to_le_bytes();
        bytes = [&length, b"\x03a\0".as_slice(), &bytes, b"\0"].concat();
    }
    RawDocumentBuf::from_bytes(bytes).expect("BSON")
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut deep = rawdoc! { "format": 1, "generation": 7i64, "reason": "deep" };
    deep.append(bson::raw::cstr!("deep"), nested(300));
    let mut endless = Manifest::decode("seed", &some_manifest()).expect("sound");
    endless.collections[0].content.chunk_lists.iter_mut().for_each(|list| list.documents = i64::MAX.cast_unsigned());
    endless.collections[0].content.documents = i64::MAX.cast_unsigned();
    let mut seeds = vec![
        chosen(0, &some_manifest()),
        chosen(0, &serialize_to_vec(&endless).expect("BSON")),
        chosen(1, &some_doom()),
        chosen(1, &some_generation("honoured", &["sealed/manifests/a"])),
        chosen(2, &some_pin()),
        chosen(3, &some_owner()),
        chosen(4, &some_inventory()),
        chosen(5, &some_forgotten()),
    ];
    seeds.extend((0..6).map(|choice| chosen(choice, deep.as_bytes())));
    seeds
}
