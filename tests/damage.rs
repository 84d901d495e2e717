//! Damage through the whole product: `verify` fails and names object and collection; `restore` refuses before it touches
//! the target. (The matrix of every region of every object is in the repository's own tests.)

use crate::support::{Api, World, data};
use bson::{Document, doc};
use lucid_schemas::http::JobView;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Files of the repository in a folder of this name.
fn objects(root: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(objects(&path, kind));
        } else if path.parent().and_then(Path::file_name).is_some_and(|name| name == kind) {
            found.push(path);
        }
    }
    found
}

async fn ended(api: &Api, id: &str) -> JobView {
    api.await_job(id, Duration::from_secs(60), |job| matches!(job.state.as_str(), "succeeded" | "failed")).await
}

/// Verifies and restores; both must fail, and the target must be untouched.
async fn both_refuse(world: &World, api: &Api, backup: &str, object: &Path, damage: &str) {
    let name = object.file_name().expect("a name").to_string_lossy().into_owned();
    for level in ["structure", "data"] {
        // A flipped byte inside a pack is what only reading it can find.
        if level == "structure" && damage == "flip" && object.to_string_lossy().contains("packs") {
            continue;
        }
        let verify = ended(api, &api.accepted("/verify", &json!({ "backup": backup, "level": level }))).await;
        assert_eq!(verify.state, "failed", "{damage} {name} at level {level}");
        let error = verify.error.expect("an error");
        let message = &error.message;
        assert!(message.contains(&name), "{damage} {name} at level {level}: {message}");
        // What isn't there isn't damaged.
        if damage == "remove" && object.to_string_lossy().contains("manifests") {
            assert_eq!(error.code, "backup_missing", "{message}");
            continue;
        }
        let found = verify.result.expect("findings are data");
        let objects = found["findings"].as_array().expect("a list").iter().map(|finding| &finding["object"]);
        let is_named = |object: &serde_json::Value| object.as_str().is_some_and(|object| object.contains(&name));
        assert!(objects.into_iter().any(is_named), "{damage} {name} at level {level}: {found}");
    }
    let body = json!({ "backup": backup, "database": "target", "replace": true });
    let restore = ended(api, &api.accepted("/restore", &body)).await;
    // A damaged index can be rebuilt from the packs: then the restore is right, and nothing was lost.
    let target = world.client().database("target").collection::<Document>("rows");
    let count = target.count_documents(doc! {}).await.expect("a count");
    if restore.state == "failed" {
        assert_eq!(count, 1, "{damage} {name}: the target was touched");
    } else {
        assert!(name.contains("index") || object.to_string_lossy().contains("index"), "{damage} {name}: {restore:#?}");
        assert_eq!(count, 3_000);
        target.delete_many(doc! { "_id": { "$ne": 0 } }).await.expect("back to one");
    }
    let staging = world.client().database("target").list_collection_names().await.expect("names");
    assert_eq!(staging, ["rows"], "{damage} {name}: staging is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_is_found_and_stops_a_restore() {
    let world = World::start(1).await;
    data::rows(&world, "source", 3_000).await;
    let target = world.client().database("target").collection::<Document>("rows");
    target.insert_one(doc! { "_id": 0 }).await.expect("inserted");
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let backup = api.accepted("/backup", &json!({ "database": "source" }));
    api.succeeded(&backup).await;

    let root = world.repository_path();
    for kind in ["packs", "index", "manifests"] {
        let object = objects(&root, kind).pop().unwrap_or_else(|| panic!("no {kind}"));
        let whole = fs::read(&object).expect("readable");
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for (damage, bytes) in
            [("flip", Some(flipped)), ("truncate", Some(whole[..whole.len() - 7].to_vec())), ("remove", None)]
        {
            // Objects are write-once and read-only: they are replaced, not changed.
            fs::remove_file(&object).expect("removed");
            if let Some(bytes) = bytes {
                fs::write(&object, bytes).expect("written");
            }
            both_refuse(&world, &api, &backup, &object, damage).await;
            let _ = fs::remove_file(&object);
            fs::write(&object, &whole).expect("put back");
        }
    }
    let verify = api.accepted("/verify", &json!({ "backup": backup }));
    api.succeeded(&verify).await;
}
