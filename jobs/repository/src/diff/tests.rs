//! Differences are told exactly, and only chunks that differ are read.

use std::collections::BTreeSet;

use bson::{RawDocumentBuf, doc};

use super::{Change, CollectionDiff, IndexDiff};
use crate::support::{Scratch, back_up, documents, read};
use crate::{ContentOrder, Domain, Manifest, RepositoryError};

fn id(document: &[u8]) -> i64 {
    RawDocumentBuf::from_bytes(document.to_vec()).expect("BSON").get_i64("_id").expect("an id")
}

async fn diff(scratch: &Scratch, older: &Manifest, newer: &Manifest) -> Vec<CollectionDiff> {
    scratch.repository.diff(older, newer, None).await.expect("compared")
}

async fn told(scratch: &Scratch, older: &Manifest, newer: &Manifest) -> BTreeSet<(char, i64)> {
    let mut told = BTreeSet::new();
    let mut tell = |_: &str, change: Change, document: &[u8]| -> Result<(), RepositoryError> {
        let sign = match change {
            Change::Added => '+',
            Change::Removed => '-',
            Change::Changed => '~',
        };
        assert!(told.insert((sign, id(document))), "told twice");
        Ok(())
    };
    scratch.repository.diff(older, newer, Some(&mut tell)).await.expect("compared");
    told
}

/// The same documents but for a few near the end.
fn later(people: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut later = people.to_vec();
    later.drain(5_990..5_992);
    later[5_980] = documents(5_980..5_981, 400, "changed").remove(0);
    later.extend(documents(6_000..6_003, 400, "a"));
    later
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_told_by_id_and_common_chunks_arent_read() {
    let scratch = Scratch::new().await;
    let people = documents(0..6_000, 400, "a");
    let later = later(&people);
    let (old, ..) =
        back_up(&scratch.repository, "old", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    let pack = scratch.path().join(scratch.objects("sealed/packs").remove(0));
    let (new, ..) = back_up(&scratch.repository, "new", Domain::Sealed, &[("people", ContentOrder::Any, &later)]).await;
    let expected = BTreeSet::from([('-', 5_990), ('-', 5_991), ('~', 5_980), ('+', 6_000), ('+', 6_001), ('+', 6_002)]);
    assert_eq!(told(&scratch, &old, &new).await, expected);
    // The first chunk, which both have, is burnt.
    let mut bytes = std::fs::read(&pack).expect("read");
    bytes[500] ^= 1;
    std::fs::write(&pack, bytes).expect("written");
    assert!(read(&scratch.repository, &old, "people").await.is_err());
    let found = diff(&scratch, &old, &new).await.remove(0);
    assert_eq!((found.added, found.removed, found.changed), (3, 2, 1));
    let back = diff(&scratch, &new, &old).await.remove(0);
    assert_eq!((back.added, back.removed, back.changed), (2, 3, 1));
    assert!(diff(&scratch, &old, &old).await.iter().all(CollectionDiff::is_same));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_common_takes_several_passes_and_is_told_completely() {
    let scratch = Scratch::new().await;
    let (people, others) = (documents(0..1_000, 100, "a"), documents(500..1_500, 100, "b"));
    let collections: &[(&str, _, &[Vec<u8>])] = &[("people", ContentOrder::Any, &people)];
    let (old, ..) = back_up(&scratch.repository, "old", Domain::Sealed, collections).await;
    let (plain, ..) = back_up(&scratch.repository, "plain", Domain::Plain, collections).await;
    let (new, ..) =
        back_up(&scratch.repository, "new", Domain::Sealed, &[("people", ContentOrder::Any, &others)]).await;
    let signs = |sign: char, ids: std::ops::Range<i64>| ids.map(move |id| (sign, id));
    let expected = signs('-', 0..500).chain(signs('~', 500..1_000)).chain(signs('+', 1_000..1_500)).collect();
    assert_eq!(told(&scratch, &old, &new).await, expected);
    let across = diff(&scratch, &old, &plain).await;
    assert!(across[0].is_same(), "the same documents in the other domain: {across:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_options_indexes_and_order_are_told() {
    let scratch = Scratch::new().await;
    let few = documents(0..10, 100, "a");
    let mut turned = few.clone();
    turned.reverse();
    let any = ContentOrder::Any;
    let (mut old, ..) = back_up(
        &scratch.repository,
        "old",
        Domain::Sealed,
        &[("gone", any, &few), ("log", ContentOrder::Exact, &few), ("people", any, &few)],
    )
    .await;
    let (mut new, ..) = back_up(
        &scratch.repository,
        "new",
        Domain::Sealed,
        &[("log", ContentOrder::Exact, &turned), ("new", any, &few), ("people", any, &turned)],
    )
    .await;
    let raw = |document: bson::Document| RawDocumentBuf::try_from(&document).expect("BSON");
    old.collections[2].indexes.push(raw(doc! { "name": "mail", "key": { "mail": 1 } }));
    old.collections[2].indexes.push(raw(doc! { "name": "age", "key": { "age": 1 } }));
    new.collections[2].indexes.push(raw(doc! { "name": "mail", "key": { "mail": 1 }, "unique": true }));
    new.collections[2].options = raw(doc! { "secretOption": "people", "capped": true });
    let found = diff(&scratch, &old, &new).await;
    let changes: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.collection, one.added, one.removed)).collect();
    let expected = [
        ("gone", Some(Change::Removed), 0, 10),
        ("log", None, 0, 0),
        ("new", Some(Change::Added), 10, 0),
        ("people", None, 0, 0),
    ];
    assert_eq!(changes, expected);
    assert!(found[1].reordered && !found[3].reordered && !found[3].is_same());
    assert_eq!(found[3].options, ["capped", "validator"]);
    let index = |name: &str, change| IndexDiff { name: name.into(), change };
    assert_eq!(found[3].indexes, [index("mail", Change::Changed), index("age", Change::Removed)]);
}
