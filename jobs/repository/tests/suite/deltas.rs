//! Chunks that resemble those of the backup before are stored as their difference.

use std::collections::HashMap;

use crate::support::*;
use lucid_repository::*;

/// A backup of one collection that builds on an earlier one.
async fn back_up_after(
    repository: &Repository,
    job: &str,
    earlier: &Manifest,
    people: &[Vec<u8>],
) -> (Manifest, WriteStats) {
    let writer = repository.begin(job, 1, Domain::Sealed, Compression::default()).await.expect("begins");
    let mut collection = writer.collection_after(ContentOrder::Any, &earlier.collections[0].content);
    for batch in batches(people) {
        collection.push(batch).await.expect("pushed");
    }
    let content = collection.finish().await.expect("finished");
    writer.finish().await.expect("finished");
    let manifest = manifest(job, 1, Domain::Sealed, vec![entry("people", ContentOrder::Any, content)]);
    writer.write_manifest(&manifest).await.expect("committed");
    (manifest, writer.stats())
}

async fn first(scratch: &Scratch, people: &[Vec<u8>]) -> (Manifest, u64) {
    let collections: &[(&str, _, &[Vec<u8>])] = &[("people", ContentOrder::Any, people)];
    let (manifest, _, stats) = back_up(&scratch.repository, "night_00", Domain::Sealed, collections).await;
    (manifest, stats.stored_bytes)
}

/// One document in a hundred, others each night, becomes another one of the same id.
fn update(people: &mut [Vec<u8>], night: u32) {
    for (id, document) in (0..).zip(people.iter_mut()) {
        let mixed = (id * 0x9E37_79B9 + i64::from(night) * 0x85EB_CA6B) >> 7;
        if mixed.rem_euclid(100) == 0 {
            *document = documents(id..=id, 400 + night as usize, &format!("night {night}")).remove(0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_costs_what_changed() {
    let original = documents(0..40_000, 400, "a");
    let mut updated = original.clone();
    update(&mut updated, 1);
    let mut appended = original.clone();
    appended.extend(documents(40_000..40_400, 400, "a"));
    let deleted: Vec<_> =
        (0..).zip(&original).filter(|(id, _)| (id * 7919) % 100 != 3).map(|(_, d)| d.clone()).collect();
    for (what, people, per_mille) in [("append", appended, 40), ("update", updated, 20), ("delete", deleted, 200)] {
        // Where chunks end is chance, and there are only some thirty of them: one that lost its end in a deletion, and is stored whole,
        // is three per cent. The bounds are generous; `tests/bench mixed` has the goals.
        let scratch = Scratch::at(super::PLACE).await;
        let (before, full_bytes) = first(&scratch, &original).await;
        let (after, stats) = back_up_after(&scratch.repository, "night_01", &before, &people).await;
        assert!(stats.stored_bytes * 1000 <= full_bytes * per_mille, "{what}: {} of {full_bytes}", stats.stored_bytes);
        for (manifest, people) in [(&before, &original), (&after, &people)] {
            assert_eq!(&read(&scratch.repository, manifest, "people").await.expect("sound"), people, "{what}");
            assert_eq!(scratch.verify(manifest, VerifyLevel::Data).await, [], "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_nights_cost_less_than_another_full_backup() {
    let scratch = Scratch::at(super::PLACE).await;
    let mut people = documents(0..6_000, 400, "a");
    let (mut manifest, full_bytes) = first(&scratch, &people).await;
    let mut nights = vec![(manifest.clone(), people.clone())];
    let (mut stored_bytes, mut chunks_new, mut chunks_delta) = (full_bytes, 0, 0);
    for night in 1..=30 {
        update(&mut people, night);
        let (next, stats) = back_up_after(&scratch.repository, &format!("night_{night:02}"), &manifest, &people).await;
        chunks_new += stats.chunks_new;
        chunks_delta += stats.chunks_delta;
        stored_bytes += stats.stored_bytes;
        manifest = next;
        nights.push((manifest.clone(), people.clone()));
    }
    assert!(stored_bytes < 2 * full_bytes, "{stored_bytes} against {full_bytes}");
    // By chance the last chunk is a few documents and not worth a delta, or both ends of a chunk move and nothing resembles it.
    assert!(chunks_delta * 100 >= chunks_new * 95, "{chunks_delta} of {chunks_new}");
    for (manifest, people) in &nights {
        assert_eq!(&read(&scratch.repository, manifest, "people").await.expect("sound"), people);
        for level in [VerifyLevel::Structure, VerifyLevel::Data] {
            assert_eq!(scratch.verify(manifest, level).await, [], "{}", manifest.job);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_asked_for_chunks_are_stored_whole() {
    let scratch = Scratch::at(super::PLACE).await;
    let mut people = documents(0..6_000, 400, "a");
    let (before, _) = first(&scratch, &people).await;
    update(&mut people, 1);
    let whole = Repository::open(&scratch.location().without_deltas(), &scratch.key()).await.expect("opens");
    let (after, stats) = back_up_after(&whole, "night_01", &before, &people).await;
    assert!(stats.chunks_new > 0 && stats.chunks_delta == 0, "{stats:?}");
    assert_eq!(read(&whole, &after, "people").await.expect("sound"), people);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_a_base_costs_those_on_it_and_is_mended_by_the_next_backup() {
    for deleted in [true, false] {
        let scratch = Scratch::at(super::PLACE).await;
        let mut people = documents(0..6_000, 400, "a");
        let (before, _) = first(&scratch, &people).await;
        let pack = scratch.objects("sealed/packs").remove(0);
        update(&mut people, 1);
        let (after, stats) = back_up_after(&scratch.repository, "night_01", &before, &people).await;
        assert!(stats.chunks_delta > 0);
        let path = scratch.path().join(&pack);
        if deleted {
            std::fs::remove_file(&path).expect("there");
        } else {
            let mut bytes = std::fs::read(&path).expect("there");
            bytes[1_000] ^= 1;
            std::fs::write(&path, bytes).expect("written");
        }
        for manifest in [&before, &after] {
            let findings = scratch.verify(manifest, VerifyLevel::Data).await;
            let lost: HashMap<_, _> =
                findings.iter().map(|finding| (&finding.object, finding.lost_documents)).collect();
            let few = lost[&pack].expect("told");
            assert!(findings.iter().all(|finding| finding.needed && finding.object == pack), "{findings:?}");
            assert_eq!(few == 6_000, deleted, "{few} documents");
            assert!(few > 0 && read(&scratch.repository, manifest, "people").await.is_err());
        }
        let structure = scratch.verify(&after, VerifyLevel::Structure).await;
        assert_eq!(structure.is_empty(), !deleted, "{structure:?}");
        if deleted {
            // Nothing is built on what isn't there.
            let (mended, stats) = back_up_after(&scratch.repository, "night_02", &after, &people).await;
            assert_eq!((stats.chunks_known, stats.chunks_delta), (0, 0));
            for manifest in [&mended, &after] {
                assert_eq!(scratch.verify(manifest, VerifyLevel::Data).await, []);
                assert_eq!(read(&scratch.repository, manifest, "people").await.expect("sound"), people);
            }
        }
    }
}
