//! Snapshots that come to their end, workers that come late, and commits that fail: what of it counts for whom.

use super::{
    sample::make,
    snapshot::snapshots,
    world::{World, backup, wait_for},
};
use bson::{Document, doc};
use lucid_ports::JobError;
use lucid_schemas::{Kind, State};
use mongodb::Client;
use std::{
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

async fn set_window(client: &Client, seconds: i32) {
    let set = doc! { "setParameter": 1, "minSnapshotHistoryWindowInSeconds": seconds };
    client.database("admin").run_command(set).await.expect("set");
}

/// Makes every snapshot of until now unreadable.
async fn expire(client: &Client, name: &str) {
    let database = client.database(name);
    let now = database.run_command(doc! { "ping": 1 }).await.expect("a pong");
    let at = now.get_timestamp("operationTime").expect("a time");
    set_window(client, 0).await;
    let read = doc! { "find": "users", "limit": 1, "readConcern": { "level": "snapshot", "atClusterTime": at } };
    while database.run_command(read.clone()).await.is_ok() {
        let scratch = client.database("rt_scratch").collection::<Document>("writes");
        scratch.insert_one(doc! {}).await.expect("inserted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    set_window(client, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_predecessors_expired_snapshot_does_not_count() {
    let world = World::start(1).await;
    if world.deployment.is_none() {
        // The window of a set that others use isn't ours to change.
        return;
    }
    let source = world.database("source").await;
    make(&world.client, &source).await;
    let job = world.job(backup(&source));
    let mut claim = job.claim();
    let token = claim.token();
    claim.at_record = Box::new(move |_| token.cancel());
    assert_eq!(world.run(&job, &claim).await, Err(JobError::Stopped));
    expire(&world.client, &source).await;

    let mut successor = job.claim();
    let calls = AtomicUsize::new(0);
    let (client, name) = (world.client.clone(), source.clone());
    successor.at_record = Box::new(move |_| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            wait_for(expire(&client, &name));
        }
    });
    world.run(&job, &successor).await.expect("one expiry of its own is no reason to give up");
    assert_eq!(snapshots(&job), 3);

    // Twice in one attempt: the window is too small.
    let job = world.job(backup(&source));
    let mut claim = job.claim();
    let (client, name) = (world.client.clone(), source.clone());
    claim.at_record = Box::new(move |_| wait_for(expire(&client, &name)));
    let Err(JobError::Failed(failure)) = world.run(&job, &claim).await else {
        panic!("it must be refused");
    };
    assert_eq!(failure.code, "snapshot_window_too_small");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_worker_that_sleeps_does_not_overwrite_what_its_successor_keeps() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    make(&world.client, &source).await;
    let job = world.job(backup(&source));
    let mut claim = job.claim();
    let (reached, mut is_reached) = tokio::sync::mpsc::unbounded_channel::<()>();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    claim.at_put = Box::new(move |_| {
        let _ = reached.send(());
        let _ = tokio::task::block_in_place(|| wait.lock().expect("unpoisoned").recv());
    });
    let handler = world.handler(Kind::Backup);
    let sleeper = tokio::spawn(async move { handler.run(&claim).await });
    is_reached.recv().await.expect("it keeps a list");

    let mut successor = job.claim();
    let token = successor.token();
    successor.at_record = Box::new(move |_| token.cancel());
    // A write, so that both snapshots differ.
    let later = world.client.database(&source).collection::<Document>("sessions");
    later.insert_one(doc! { "_id": "later" }).await.expect("inserted");
    assert_eq!(world.run(&job, &successor).await, Err(JobError::Stopped));
    go_on.send(()).expect("it waits");
    assert_eq!(sleeper.await.expect("no panic"), Err(JobError::Stopped));

    world.run(&job, &job.claim()).await.expect("a backup");
    assert_eq!(snapshots(&job), 1, "the successor's snapshot is gone on with");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_manifest_that_is_refused_leaves_the_job_before_its_point_of_no_return() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    make(&world.client, &source).await;
    let job = world.job(backup(&source));
    let mut claim = job.claim();
    // A newer version prunes the repository in the meantime.
    let generations = world.folder.join("generations");
    let made = generations.clone();
    claim.at_phase = Box::new(move |phase| {
        if phase == "commit" {
            std::fs::create_dir_all(&made).expect("made");
            std::fs::write(made.join("1"), "of that version").expect("written");
        }
    });
    assert!(matches!(world.run(&job, &claim).await, Err(JobError::Failed(_))));
    assert_eq!(job.job().head.state, State::Running);
    std::fs::remove_dir_all(generations).expect("removed");
    assert!(world.repository.manifests().await.expect("manifests").is_empty());
    world.stop().await;
}
