//! A time-series collection that somebody writes to while it is replaced: what was written after the point of no return stays, and
//! nobody is kept from the end.

use super::{
    sample::{measure, series},
    world::{World, restore},
};
use bson::{DateTime, Document, doc};
use lucid_ports::JobError;
use lucid_schemas::State;
use mongodb::Database;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// One measurement of a sensor that is no other's.
async fn write(database: &Database, sensor: i64, n: i64) {
    let at = DateTime::from_millis(1_767_225_600_000 + n * 1_000);
    let measurement = doc! { "t": at, "m": { "s": sensor }, "v": n, "late": true };
    database.collection("metrics").insert_one(measurement).await.expect("inserted");
}

async fn count(database: &Database, filter: Document) -> u64 {
    database.collection::<Document>("metrics").count_documents(filter).await.expect("counted")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_measured_after_the_point_of_no_return_stays_and_is_told() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    let database = world.client.database(&source);
    series(&database, "metrics").await;
    let (backup, _) = world.back_up(&source).await;
    // More in the buckets of the backup, and buckets that it doesn't have.
    measure(&database, "metrics", 600..900).await;
    for sensor in [7, 8] {
        write(&database, sensor, 0).await;
    }
    let job = world.job(restore(&backup, &source));
    let mut claim = job.claim();
    claim.lease_looks = 0;
    assert_eq!(world.run(&job, &claim).await, Err(JobError::Stopped));
    assert_eq!(job.job().head.state, State::Committing);
    write(&database, 7, 1).await;
    write(&database, 0, 2).await;

    // It breaks off once more, after buckets have gone.
    let mut second = job.claim();
    second.lease_looks = 6;
    let _ = world.run(&job, &second).await;
    let result = world.run(&job, &job.claim()).await.expect("nothing that blocks");
    assert_eq!(result.get_array("written_meanwhile").expect("told"), &vec!["metrics (2 buckets)".into()]);
    // Both buckets are whole; the others are what they were.
    assert_eq!(count(&database, doc! { "m.s": 7 }).await, 2);
    assert_eq!(count(&database, doc! { "m.s": 0, "late": true }).await, 1);
    assert!(count(&database, doc! { "m.s": 0 }).await > 200);
    for (sensor, expected) in [(1, 200), (2, 200), (8, 0)] {
        assert_eq!(count(&database, doc! { "m.s": sensor }).await, expected, "sensor {sensor}");
    }
    assert!(world.staging(&source).await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn a_series_that_is_written_all_the_time_is_replaced_and_loses_nothing_of_that() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    let database = world.client.database(&source);
    series(&database, "metrics").await;
    let (backup, _) = world.back_up(&source).await;
    measure(&database, "metrics", 600..900).await;
    let job = world.job(restore(&backup, &source));
    let mut claim = job.claim();
    claim.lease_looks = 0;
    assert_eq!(world.run(&job, &claim).await, Err(JobError::Stopped));

    let ended = Arc::new(AtomicBool::new(false));
    let writers = (0..4).map(|writer: i64| {
        let (database, ended) = (database.clone(), Arc::clone(&ended));
        tokio::spawn(async move {
            let mut written = 0;
            while !ended.load(Ordering::Relaxed) {
                // Sensors of the backup, and one that it doesn't know.
                write(&database, writer, written).await;
                written += 1;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            written
        })
    });
    let writers: Vec<_> = writers.collect();
    for looks in [2, 5, 8] {
        let mut broken = job.claim();
        broken.lease_looks = looks;
        let _ = world.run(&job, &broken).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let result = world.run(&job, &job.claim()).await.expect("nothing that blocks");
    ended.store(true, Ordering::Relaxed);
    let (mut written, mut each) = (0, Vec::new());
    for writer in writers {
        each.push(writer.await.expect("no panic"));
        written += each.last().expect("one");
    }
    let late = i64::try_from(count(&database, doc! { "late": true }).await).expect("few");
    assert_eq!(late, written, "{each:?} were acknowledged; {result}");
    // Whatever the backup has is there.
    for sensor in 0..3 {
        let old = count(&database, doc! { "m.s": sensor, "late": { "$exists": false }, "v": { "$lt": 600 } }).await;
        assert_eq!(old, 200, "sensor {sensor}");
    }
    world.stop().await;
}
