//! A restore's swap against its worst enemies: a worker that stops right before a rename and wakes up much later, while
//! its successor has finished and users write to what was restored.

use crate::support::{World, world::LEASE_MS};
use bson::{Document, doc};
use lucid_embedded::{Options, Signal};
use mongodb::Client;
use serde_json::json;
use std::time::{Duration, Instant};

/// Longer than the lease, the takeover and the successor's work.
const RENAME_HELD_MS: u64 = LEASE_MS + 12_000;
/// Renames of the probe that every restore makes on empty collections of its own before it swaps.
const RENAMES_BEFORE_THE_SWAP: i32 = 3;
const SLEEPER: &str = "sleeper";

/// Lets the server hold the sleeper's renames before it does them: as if the worker had been stopped right before.
async fn hold_renames_of_the_sleeper(client: &Client) {
    let fail_point = doc! {
        "configureFailPoint": "failCommand",
        "mode": { "skip": RENAMES_BEFORE_THE_SWAP },
        "data": {
            "appName": SLEEPER,
            "failCommands": ["renameCollection"],
            "blockConnection": true,
            "blockTimeMS": i64::try_from(RENAME_HELD_MS).expect("small"),
        },
    };
    client.database("admin").run_command(fail_point).await.expect("test commands are on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_writes_after_the_swap_survives_a_worker_that_wakes_up_late() {
    let world = World::start_with(|dir| Options::new(dir).parameter("enableTestCommands", "1")).await;
    let client = world.client();
    let source = client.database("source").collection::<Document>("rows");
    source.insert_many((0..500).map(|number| doc! { "_id": number })).await.expect("inserted");
    let target = client.database("target").collection::<Document>("rows");
    target.insert_one(doc! { "_id": "old" }).await.expect("inserted");

    let (_api_process, api) = world.api();
    let (sleeper, sleeper_name) = world.worker_called(SLEEPER);
    let backup = api.accepted("/backup", &json!({ "database": "source" }));
    api.succeeded(&backup).await;

    hold_renames_of_the_sleeper(&client).await;
    let held = Instant::now();
    let body = json!({ "backup": backup, "database": "target", "replace": true });
    let restore = api.accepted("/restore", &body);
    api.await_job(&restore, Duration::from_secs(30), |job| job.state == "committing").await;
    sleeper.signal(Signal::SIGSTOP);
    assert_eq!(target.count_documents(doc! { "_id": "old" }).await.expect("a count"), 1, "not swapped yet");

    let (_successor, successor_name) = world.worker(&[]);
    let done = api.succeeded(&restore).await;
    assert!(held.elapsed() < Duration::from_millis(RENAME_HELD_MS), "the successor was too slow for this test");
    assert_ne!(done.worker.as_deref(), Some(sleeper_name.as_str()));
    assert_eq!(done.worker, Some(successor_name));
    target.insert_one(doc! { "_id": "mine" }).await.expect("a client writes");

    // The server lets the old rename go, and the old worker wakes up.
    tokio::time::sleep(Duration::from_millis(RENAME_HELD_MS).saturating_sub(held.elapsed())).await;
    sleeper.signal(Signal::SIGCONT);
    assert!(sleeper.stop().success());
    assert_eq!(
        target.count_documents(doc! { "_id": "mine" }).await.expect("a count"),
        1,
        "the client's write survives"
    );
    assert_eq!(target.count_documents(doc! {}).await.expect("a count"), 501);
    assert_eq!(api.job(&restore).version, done.version, "the old worker added nothing");
    let names = client.database("target").list_collection_names().await.expect("names");
    assert_eq!(names, ["rows"], "no staging is left");
}
