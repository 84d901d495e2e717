//! Bad requests over the real API: a problem document that names the field, and nothing is enqueued or changed.

use crate::support::{Api, World};
use bson::{Document, doc};
use lucid_schemas::collections::OPS;
use serde_json::{Value, json};

async fn jobs(world: &World) -> u64 {
    let ops = world.client().database("lucid_ops").collection::<Document>(OPS);
    ops.count_documents(doc! {}).await.expect("a count")
}

fn refused(api: &Api, path: &str, body: &Value, status: u16, field: &str) {
    let (got, problem) = api.call("POST", path, Some(body));
    assert_eq!(got, status, "{path} {body}: {problem}");
    let fields: Vec<_> =
        problem["errors"].as_array().into_iter().flatten().map(|error| error["field"].clone()).collect();
    assert!(fields.contains(&json!(field)), "{path} {body}: no '{field}' in {problem}");
    assert_eq!(problem["status"], status, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_name_the_field_and_change_nothing() {
    let world = World::start(1).await;
    let client = world.client();
    client.database("here").collection("rows").insert_one(doc! { "_id": 1 }).await.expect("inserted");
    let (_api_process, api) = world.api();

    // Nobody has made the repository known yet.
    refused(&api, "/backup", &json!({ "database": "here" }), 422, "repository");
    let (_worker, _) = world.worker(&[]);
    let backup = api.accepted("/backup", &json!({ "database": "here" }));
    api.succeeded(&backup).await;
    let before = jobs(&world).await;
    bad_backups(&api);
    bad_restores(&api, &backup);
    assert_eq!(jobs(&world).await, before, "nothing was enqueued");
    let names = client.database("here").list_collection_names().await.expect("names");
    assert_eq!(names, ["rows"]);
}

fn bad_backups(api: &Api) {
    for name in ["", "../x", "a$b", "a\0b", "admin", "local", "config", "lucid_ops", "LUCID_OPS", "nowhere"] {
        refused(api, "/backup", &json!({ "database": name }), 422, "database");
    }
    refused(api, "/backup", &json!({ "database": "x".repeat(300) }), 422, "database");
    for name in ["", "../x", "a$b", "a\0b", "system.users", "missing"] {
        refused(api, "/backup", &json!({ "database": "here", "collections": ["rows", name] }), 422, "collections[1]");
    }
    refused(api, "/backup", &json!({ "database": "here", "collections": ["x".repeat(300)] }), 422, "collections[0]");
    refused(api, "/backup", &json!({ "database": "here", "collections": [] }), 422, "collections");
    refused(api, "/backup", &json!({ "database": "here", "colections": ["rows"] }), 422, "colections");
    refused(api, "/backup", &json!({ "database": 5 }), 422, "database");
    refused(api, "/backup", &json!({}), 422, "database");
    refused(api, "/backup", &json!({ "database": "here", "compression": "yes" }), 422, "compression");
    refused(api, "/backup", &json!({ "database": "here", "repository": "other" }), 422, "repository");
}

fn bad_restores(api: &Api, backup: &str) {
    refused(api, "/restore", &json!({ "backup": "backup_none" }), 422, "backup");
    refused(api, "/restore", &json!({ "backup": backup }), 422, "database");
    for name in ["admin", "local", "config", "lucid_ops", "../x", ""] {
        let body = json!({ "backup": backup, "database": name, "replace": true });
        refused(api, "/restore", &body, 422, "database");
    }
    refused(api, "/verify", &json!({ "backup": backup, "level": "deep" }), 422, "level");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_repository_nobody_reaches_waits_and_says_so() {
    let world = World::start(1).await;
    world.client().database("here").collection("rows").insert_one(doc! { "_id": 1 }).await.expect("inserted");
    let (_api_process, api) = world.api();
    let (worker, _) = world.worker(&[]);
    assert!(worker.stop().success());
    let id = api.accepted("/backup", &json!({ "database": "here" }));
    let job = api.job(&id);
    assert_eq!(job.state, "queued");
    assert!(job.waiting_for.as_deref().is_some_and(|why| why.contains("worker")), "{job:#?}");
    let (_, health) = api.get("/health");
    assert!(health["problems"].to_string().contains("no worker is alive"), "{health}");
    let (status, _) = api.call("DELETE", &format!("/backup/{id}"), None);
    assert_eq!((status, api.job(&id).state.as_str()), (202, "canceled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_missions_own_requests_work_as_written() {
    let world = World::start(1).await;
    let lucid = world.client().database("lucid");
    for name in ["sessions", "authentication", "other"] {
        lucid.collection(name).insert_one(doc! { "_id": name }).await.expect("inserted");
    }
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let body: Value = serde_json::from_str(
        r#"{
            "database": "lucid",
            "collections": ["sessions", "authentication"],
            "compression": true,
            "encryption": true
        }"#,
    )
    .expect("the mission's body");
    let id = api.accepted("/backup", &body);
    let done = api.succeeded(&id).await;
    assert_eq!(done.result.expect("a result")["documents"], 2);
    let prefix = &id[.."backup_20250109_020000".len()];
    let (status, shown) = api.get(&format!("/backup/{prefix}"));
    assert_eq!((status, &shown["job_id"]), (200, &json!(id)), "{shown}");
    let (status, listed) = api.get("/backups");
    assert_eq!((status, &listed["backups"][0]["job_id"]), (200, &json!(id)), "{listed}");
    assert_eq!(api.get("/health").1["status"], "unknown", "no monitor looks");
    assert_eq!(api.get("/backup/backup_19990101").0, 404);
    assert_eq!(api.call("DELETE", &format!("/backup/{id}"), None).0, 409, "it has ended");
}
