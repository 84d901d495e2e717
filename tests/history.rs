//! The history is readable in mongosh or Compass: the queries of the README answer.

use crate::support::World;
use bson::{DateTime, Document, doc};
use futures::TryStreamExt;
use serde_json::json;
use std::{path::Path, time::Duration};

#[tokio::test(flavor = "multi_thread")]
async fn one_query_each_answers_what_failed_what_happened_and_what_ran_where() {
    let world = World::start(1).await;
    let here = world.client().database("here");
    here.collection("rows").insert_one(doc! { "_id": 1 }).await.expect("inserted");
    let (_api_process, api) = world.api();
    let (_worker, name) = world.worker(&[]);
    let good = api.accepted("/backup", &json!({ "database": "here" }));
    api.succeeded(&good).await;
    for object in std::fs::read_dir(world.repository_path().join("sealed/packs")).expect("packs").flatten() {
        std::fs::remove_file(object.path()).expect("removed");
    }
    let bad = api.accepted("/verify", &json!({ "backup": good }));
    api.await_job(&bad, Duration::from_secs(60), |job| job.state == "failed").await;

    let ops = world.client().database("lucid_ops");
    let day = 86_400_000;
    let midnight = DateTime::from_millis(DateTime::now().timestamp_millis() / day * day);
    let failed_today = doc! { "state": "failed", "finished_at": { "$gte": midnight } };
    assert_eq!(ids(&ops, "ops", failed_today, doc! { "_id": 1 }).await, std::slice::from_ref(&bad));

    let life = ids(&ops, "ops_events", doc! { "job": &good }, doc! { "seq": 1 }).await;
    let expected: Vec<_> = (1..=life.len()).map(|seq| format!("{good}:{seq}")).collect();
    assert_eq!(life, expected);
    assert!(life.len() >= 5, "enqueued, claimed, snapshot_taken, commit_started, succeeded: {life:?}");

    let node = name.split('/').next().expect("host/process");
    let by = bson::Regex { pattern: cstring(&format!("^{node}/")), options: cstring("") };
    let ran = ids(&ops, "ops_events", doc! { "type": "claimed", "by": by }, doc! { "at": -1 }).await;
    assert_eq!(ran, [format!("{bad}:2"), format!("{good}:2")]);

    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).expect("a README");
    for query in [
        "state: \"failed\", finished_at: { $gte:",
        "db.ops_events.find({ job:",
        "db.ops_events.find({ type: \"claimed\", by: /^pi-2",
    ] {
        assert!(readme.contains(query), "the README has lost the query {query}");
    }
}

fn cstring(text: &str) -> bson::raw::CString {
    text.try_into().expect("no NUL")
}

async fn ids(ops: &mongodb::Database, collection: &str, filter: Document, sort: Document) -> Vec<String> {
    let found = ops.collection::<Document>(collection).find(filter).sort(sort).await.expect("a cursor");
    let documents: Vec<Document> = found.try_collect().await.expect("documents");
    documents.iter().map(|document| document.get_str("_id").expect("an id").to_owned()).collect()
}
