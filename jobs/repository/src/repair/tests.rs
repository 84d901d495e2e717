//! What a repair does to a repository that was damaged in every way that readers make up for.

use std::fs;

use super::*;
use crate::support::{Scratch, back_up, batches, documents, entry, manifest, read};
use crate::{Compression, ContentOrder, Domain, Finding, Manifest, VerifyLevel};

type Documents = Vec<Vec<u8>>;

/// A backup of `people` in one pack, and one of some changes in another, as deltas.
async fn two_nights(scratch: &Scratch) -> [(Manifest, Documents); 2] {
    let before = documents(0..3_000, 400, "a");
    let collections: &[(&str, _, &[Vec<u8>])] = &[("people", ContentOrder::Any, &before)];
    let (first, _, _) = back_up(&scratch.repository, "night_1", Domain::Sealed, collections).await;
    let mut after = before.clone();
    after[1_000] = documents(1_000..1_001, 401, "b").remove(0);
    let writer = scratch.repository.begin("night_2", 1, Domain::Sealed, Compression::default()).await.expect("begins");
    let mut collection = writer.collection_after(ContentOrder::Any, &first.collections[0].content);
    for batch in batches(&after) {
        collection.push(batch).await.expect("pushed");
    }
    let content = collection.finish().await.expect("finished");
    writer.finish().await.expect("finished");
    assert!(writer.stats().chunks_delta > 0);
    let second = manifest("night_2", 1, Domain::Sealed, vec![entry("people", ContentOrder::Any, content)]);
    writer.write_manifest(&second).await.expect("committed");
    [(first, before), (second, after)]
}

async fn repair(scratch: &Scratch, dry_run: bool) -> Vec<(RepairKind, String)> {
    let steps = scratch.repository.repair(dry_run, &|_| (), &|| false).await.expect("repaired");
    let mut steps: Vec<_> = steps.into_iter().map(|step| (step.kind, step.object)).collect();
    steps.sort();
    steps
}

fn change(scratch: &Scratch, object: &str, what: impl FnOnce(&mut Vec<u8>)) {
    let path = scratch.path().join(object);
    let mut bytes = fs::read(&path).expect("there");
    what(&mut bytes);
    fs::write(path, bytes).expect("written");
}

fn pack_of(scratch: &Scratch, job: &str) -> String {
    let packs = scratch.objects("sealed/packs");
    packs.into_iter().find(|name| name.contains(&format!("/{job}."))).expect("there")
}

/// Where the record of a full chunk is on which no delta builds.
async fn unused_record(scratch: &Scratch) -> usize {
    let vault = scratch.repository.vaults().next().expect("a domain").clone();
    let (index, _) = Index::load(&vault).await.expect("loads");
    let entries: Vec<_> = index.by_pack(&[true, true]).concat();
    let bases: Vec<_> = entries.iter().filter_map(|entry| Some(entry.delta?.base)).collect();
    let unused =
        entries.iter().find(|entry| entry.delta.is_none() && !bases.contains(&entry.id)).expect("several chunks");
    unused.offset as usize
}

async fn findings(scratch: &Scratch, nights: &[(Manifest, Documents)]) -> Vec<Finding> {
    let mut all = Vec::new();
    for (manifest, _) in nights {
        all.extend(scratch.verify(manifest, VerifyLevel::Data).await);
    }
    all
}

async fn is_whole(scratch: &Scratch, nights: &[(Manifest, Documents)]) {
    assert_eq!(findings(scratch, nights).await, []);
    for (manifest, people) in nights {
        assert!(read(&scratch.repository, manifest, "people").await.expect("sound") == *people, "{}", manifest.job);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_repository_is_left_as_it_is() {
    let scratch = Scratch::new().await;
    two_nights(&scratch).await;
    let before = scratch.objects("");
    assert_eq!((repair(&scratch, true).await, repair(&scratch, false).await), (Vec::new(), Vec::new()));
    assert_eq!(scratch.objects(""), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_made_again_and_what_cannot_be_read_of_it_goes() {
    let scratch = Scratch::new().await;
    let nights = two_nights(&scratch).await;
    let indexes = scratch.objects("sealed/index");
    change(&scratch, &indexes[0], |bytes| bytes[120] ^= 1);
    fs::remove_file(scratch.path().join(&indexes[1])).expect("there");
    assert!(!findings(&scratch, &nights).await.is_empty());
    let before = scratch.objects("");
    let said = repair(&scratch, true).await;
    assert_eq!(scratch.objects(""), before, "a dry run changes nothing");
    let [one, two] = ["night_1", "night_2"].map(|job| (RepairKind::Listed, pack_of(&scratch, job)));
    assert_eq!(said, [one, two, (RepairKind::Removed, indexes[0].clone())]);
    assert_eq!(repair(&scratch, false).await, said);
    is_whole(&scratch, &nights).await;
    assert_eq!(scratch.objects("sealed/index").len(), 1);
    assert_eq!(repair(&scratch, false).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_without_footer_is_read_record_by_record() {
    let scratch = Scratch::new().await;
    let nights = two_nights(&scratch).await;
    for index in scratch.objects("sealed/index") {
        fs::remove_file(scratch.path().join(index)).expect("there");
    }
    let packs = ["night_1", "night_2"].map(|job| pack_of(&scratch, job));
    // The deltas' footer first: the full ones' is needed for what they build on.
    change(&scratch, &packs[1], |bytes| bytes.truncate(bytes.len() - 30));
    assert!(read(&scratch.repository, &nights[1].0, "people").await.is_err());
    let done = repair(&scratch, false).await;
    assert_eq!(done, [(RepairKind::Listed, packs[0].clone()), (RepairKind::Salvaged, packs[1].clone())]);
    is_whole(&scratch, &nights).await;
    assert_eq!(repair(&scratch, false).await, []);
    // Nothing is in it that isn't elsewhere.
    fs::remove_file(scratch.path().join(&packs[1])).expect("there");
    is_whole(&scratch, &nights).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_whole_around_a_damaged_record_is_saved_and_bases_before_deltas() {
    let scratch = Scratch::new().await;
    let nights = two_nights(&scratch).await;
    let unused = unused_record(&scratch).await;
    let index = scratch.objects("sealed/index");
    for name in &index[1..] {
        fs::remove_file(scratch.path().join(name)).expect("there");
    }
    change(&scratch, &index[0], |bytes| bytes.truncate(60));
    let packs = ["night_1", "night_2"].map(|job| pack_of(&scratch, job));
    for pack in &packs {
        change(&scratch, pack, |bytes| {
            let end = bytes.len() - 10;
            bytes[end] ^= 1;
        });
    }
    // The header of a record on which nothing builds, so that even its length can't be told.
    change(&scratch, &packs[0], |bytes| bytes[unused + 2] ^= 1);
    let done = repair(&scratch, false).await;
    let left = |name: &String| (RepairKind::LeftAlone, name.clone());
    assert_eq!(done, [(RepairKind::Salvaged, packs[0].clone()), left(&index[0]), left(&packs[1])]);
    let done = repair(&scratch, false).await;
    assert_eq!(done, [(RepairKind::Salvaged, packs[1].clone()), (RepairKind::Removed, index[0].clone())]);
    let lost = findings(&scratch, &nights).await;
    let lost: u64 = lost.iter().filter_map(|finding| finding.lost_documents).sum();
    assert!(lost > 0 && lost < 3_000, "two nights lack one chunk: {lost}");
    assert_eq!(repair(&scratch, false).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn distrust_is_recorded_and_lifted_once_the_pack_is_sound_again() {
    let scratch = Scratch::new().await;
    let nights = two_nights(&scratch).await;
    let pack = pack_of(&scratch, "night_1");
    change(&scratch, &pack, |bytes| bytes[500] ^= 1);
    assert_eq!(repair(&scratch, true).await, [(RepairKind::Distrusted, pack.clone())]);
    assert!(scratch.objects("sealed/distrust").is_empty());
    assert_eq!(repair(&scratch, false).await, [(RepairKind::Distrusted, pack.clone())]);
    assert_eq!(scratch.objects("sealed/distrust").len(), 1);
    assert_eq!(repair(&scratch, false).await, []);
    // A record that can't be read is written again by whoever reads the pack.
    let record = scratch.objects("sealed/distrust").remove(0);
    change(&scratch, &record, |bytes| bytes[100] ^= 1);
    let tells = |found: Vec<Finding>| found.iter().any(|finding| finding.object == record && finding.wants_repair());
    assert!(tells(findings(&scratch, &nights[..1]).await));
    assert!(!tells(findings(&scratch, &nights[..1]).await));
    change(&scratch, &pack, |bytes| bytes[500] ^= 1);
    assert_eq!(repair(&scratch, false).await, [(RepairKind::Trusted, pack)]);
    assert!(scratch.objects("sealed/distrust").is_empty());
    is_whole(&scratch, &nights).await;
}
