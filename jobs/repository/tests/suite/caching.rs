//! Deltas in a bucket: only with a cache on a local disk, which may be lost or damaged at any time.

use std::fs;
use std::path::PathBuf;

use crate::support::*;
use lucid_repository::*;

/// A thousandth of the documents is changed each night.
fn night(number: usize) -> Vec<Vec<u8>> {
    let mut people = documents(0..12_000, 400, "a");
    for (id, document) in
        (0..).zip(people.iter_mut()).skip(number).step_by(1_000).take(if number == 0 { 0 } else { 12 })
    {
        *document = documents(id..=id, 410, "changed").remove(0);
    }
    people
}

async fn back_up_night(repository: &Repository, number: usize) -> (Manifest, WriteStats) {
    let job = format!("night_{number}");
    let writer = repository.begin(&job, 1, Domain::Sealed, Compression::default()).await.expect("begins");
    let earlier = repository.newest_manifest(("secretdatabase", None), Domain::Sealed).await.expect("lists");
    let mut collection = match &earlier {
        Some(earlier) => writer.collection_after(ContentOrder::Any, &earlier.collections[0].content),
        None => writer.collection(ContentOrder::Any),
    };
    for batch in batches(&night(number)) {
        collection.push(batch).await.expect("pushed");
    }
    let content = collection.finish().await.expect("finished");
    writer.finish().await.expect("finished");
    let manifest = manifest(&job, 1, Domain::Sealed, vec![entry("people", ContentOrder::Any, content)]);
    writer.write_manifest(&manifest).await.expect("committed");
    (manifest, writer.stats())
}

fn cached(scratch: &Scratch) -> Vec<PathBuf> {
    let folder = scratch.folder.path().join("cache").join(scratch.repository.id().to_string());
    let found = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("listed").path());
    found.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_makes_deltas_and_its_loss_costs_nothing_else() {
    let scratch = Scratch::at(Place::S3).await;
    let (first, full) = back_up_night(&scratch.repository, 0).await;
    assert_eq!(cached(&scratch).len(), scratch.objects("sealed/packs").len(), "what was written is kept");
    let (second, stats) = back_up_night(&scratch.repository, 1).await;
    assert!(stats.chunks_delta >= 8 && stats.stored_bytes * 10 < full.stored_bytes, "{stats:?}");
    // Every pack in it is damaged.
    for pack in cached(&scratch) {
        let length = fs::metadata(&pack).expect("there").len();
        fs::write(&pack, vec![7; usize::try_from(length).expect("small")]).expect("written");
    }
    let (third, stats) = back_up_night(&scratch.repository, 2).await;
    assert!(stats.chunks_delta >= 8, "{stats:?}");
    // It is gone, and there is nothing in its place.
    fs::remove_dir_all(scratch.folder.path().join("cache")).expect("removed");
    let again = Repository::open(&scratch.location(), &scratch.key()).await.expect("opens");
    let (fourth, stats) = back_up_night(&again, 3).await;
    assert!(stats.chunks_delta >= 8, "{stats:?}");
    // Fetched whole, once; so the bucket isn't asked for it the next time.
    assert!(!cached(&scratch).is_empty());
    for (number, manifest) in [first, second, third, fourth].iter().enumerate() {
        assert_eq!(read(&again, manifest, "people").await.expect("sound"), night(number), "night {number}");
        assert_eq!(scratch.verify(manifest, VerifyLevel::Data).await, [], "night {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_changed_chunks_are_stored_whole() {
    let scratch = Scratch::at(Place::S3).await;
    let settings = scratch.server.as_ref().expect("a server").settings();
    let bare = Location::parse("s3://bucket/repo").expect("valid").with_settings(settings);
    let bare = Repository::open(&bare, &scratch.key()).await.expect("opens");
    back_up_night(&bare, 0).await;
    let (second, stats) = back_up_night(&bare, 1).await;
    assert!(stats.chunks_delta == 0 && stats.chunks_new >= 8, "{stats:?}");
    assert_eq!(read(&bare, &second, "people").await.expect("sound"), night(1));
}
