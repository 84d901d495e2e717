//! What the engine's database lacks is made anew under live nodes: an index, the jobs, all of it.

use crate::support::World;
use bson::{Document, doc};
use lucid_schemas::collections::{OPS, UNIQUE_KEY};
use mongodb::Database;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "still not: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn has_index(ops: &Database, name: &str) -> bool {
    ops.collection::<Document>(OPS).list_index_names().await.is_ok_and(|names| names.iter().any(|other| other == name))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_under_live_nodes_is_made_anew() {
    let world = World::start(1).await;
    world.client().database("here").collection("c").insert_one(doc! { "x": 1 }).await.expect("inserted");
    let (_api_process, api) = world.api();
    let ops = world.client().database("lucid_ops");
    let problems = || api.get("/health").1["problems"].to_string();

    // An index, and in the meantime two jobs that it would have kept apart. Paused before there is a worker: one that runs
    // sees a pause only within a second, and would have ended the first job by then.
    let jobs = ops.collection::<Document>(OPS);
    api.call("POST", "/queues/backup/pause", Some(&json!({ "reason": "a test" })));
    let (_worker, _) = world.worker(&[]);
    let body = json!({ "database": "here", "job": { "unique_key": "nightly" } });
    let first = api.accepted("/backup", &body);
    jobs.drop_index(UNIQUE_KEY).await.expect("dropped");
    let second = api.accepted("/backup", &body);
    until("duplicates are named", || async {
        let said = problems();
        said.contains("'user/nightly'") && said.contains(&first) && said.contains(&second)
    })
    .await;
    let (late, late_name) = world.worker(&[]);
    assert!(!late_name.is_empty(), "a node starts nevertheless");
    drop(late);
    api.call("DELETE", &format!("/jobs/{first}"), None);
    until("the index is there again", || has_index(&ops, UNIQUE_KEY)).await;
    until("nobody complains of it", || async { !problems().contains("index") }).await;
    let (status, twice) = api.call("POST", "/backup", Some(&body));
    assert_eq!(status, 409, "{twice}");

    // The jobs, then everything.
    for all in [false, true] {
        if all {
            ops.drop().await.expect("dropped");
        } else {
            jobs.drop().await.expect("dropped");
        }
        until("everything is there again", || async {
            let (status, _) = api.call("POST", "/backup", Some(&json!({ "database": "here" })));
            has_index(&ops, UNIQUE_KEY).await && status == 202
        })
        .await;
        api.call("POST", "/queues/backup/resume", None);
        let id = api.accepted("/backup", &json!({ "database": "here" }));
        api.succeeded(&id).await;
        let foreign = doc! { "_id": "x", "unique_key": "nightly" };
        assert!(jobs.insert_one(foreign).await.is_err(), "the validator is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_program_has_defined_is_left_alone() {
    let world = World::start(1).await;
    let ops = world.client().database("lucid_ops");
    let (_worker, _) = world.worker(&[]);
    let later = doc! { "$set": { "schema": 1_000 } };
    let migrations = ops.collection::<Document>("migrations");
    migrations.update_one(doc! { "_id": "definitions" }, later).await.expect("set");
    let (_api_process, api) = world.api();
    until("it says so", || async {
        let problems: Value = api.get("/health").1["problems"].clone();
        problems.to_string().contains("worker ") && problems.to_string().contains("have number 1000")
    })
    .await;
    // Now that the worker has seen it: its next looks, every fifteen seconds, change nothing.
    ops.collection::<Document>(OPS).drop_index(UNIQUE_KEY).await.expect("dropped");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!has_index(&ops, UNIQUE_KEY).await);
}
