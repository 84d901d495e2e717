//! Capped collections: order is content, and what was read never is more than fits.

use super::{
    sample::{assert_same, contents},
    world::World,
};
use bson::{Document, doc};

fn lines(numbers: std::ops::Range<i64>) -> impl Iterator<Item = Document> {
    numbers.map(|number| doc! { "_id": number, "pad": "x".repeat(500) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_capped_collection_that_is_written_all_the_time_fits_again() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    let database = world.client.database(&source);
    let create = doc! { "create": "log", "capped": true, "size": 2_000_000 };
    database.run_command(create).await.expect("made");
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let writing = tokio_util::sync::CancellationToken::new();
    let (stop, log) = (writing.clone(), database.collection::<Document>("log"));
    let writer = tokio::spawn(async move {
        let mut begun = Some(begun);
        for round in 0.. {
            log.insert_many(lines(round * 500..(round + 1) * 500)).await.expect("inserted");
            if round == 20 {
                begun.take().map(|begun| begun.send(()));
            }
            if stop.is_cancelled() {
                return;
            }
        }
    });
    has_begun.await.expect("it writes");
    let (backup, _) = world.back_up(&source).await;
    writing.cancel();
    writer.await.expect("no panic");
    let result = world.restore(&backup, &target).await.expect("a restore");
    assert!(result.get_array("trimmed").expect("told").is_empty(), "{result}");
    assert!(result.get_i64("documents").expect("told") > 2_000);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_longer_fits_is_told() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    let database = world.client.database(&source);
    for name in ["log", "empty"] {
        let create = doc! { "create": name, "capped": true, "size": 1_000_000 };
        database.run_command(create).await.expect("made");
    }
    database.collection("log").insert_many(lines(0..1_000)).await.expect("inserted");
    let shrink = doc! { "collMod": "log", "cappedSize": 200_000 };
    database.run_command(shrink).await.expect("shrunk");
    let (backup, _) = world.back_up(&source).await;
    let result = world.restore(&backup, &target).await.expect("a restore");
    assert_eq!(result.get_array("trimmed").expect("told").len(), 1);
    // The same happens in the source with the next insert.
    let newest = doc! { "_id": 1_000_i64, "pad": "x".repeat(500) };
    for name in [&source, &target] {
        let log = world.client.database(name).collection("log");
        log.insert_one(newest.clone()).await.expect("inserted");
    }
    assert_same(&contents(&world.client, &source).await, &contents(&world.client, &target).await);
    world.stop().await;
}
