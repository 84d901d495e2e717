//! Copies and new master keys through the whole product: jobs that a worker runs, beside others that go on.

use crate::support::{Api, World, data, process::run};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path, process::Output};

fn told(arguments: &[&str]) -> String {
    said(&run(arguments, &[]))
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn backup(api: &Api) -> String {
    let id = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&id).await;
    id
}

fn far(world: &World) -> (String, String) {
    let far = format!("far=file://{}", world.dir().join("far").display());
    (far, world.dir().join("far.key").display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_go_to_another_repository_as_jobs_and_by_a_schedule() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 2_000).await;
    let (_api_process, api) = world.api();
    let (far, far_key) = far(&world);
    told(&["repo", "init", "--repository", &far, "--key-file", &far_key]);
    let keys = [world.key_file(), format!("far={far_key}")];
    // A worker that has one of the two repositories doesn't take the job; the API says why.
    let (near_worker, _) = world.worker(&[]);
    let first = backup(&api).await;
    let (status, refused) = api.call("POST", "/copy", Some(&json!({ "backup": first, "to": "far" })));
    assert_eq!((status, refused["errors"][0]["field"].as_str()), (422, Some("to")), "nobody knows it: {refused}");
    let (status, refused) = api.call("POST", "/copy", Some(&json!({ "backup": first, "to": "main" })));
    assert_eq!((status, refused["errors"][0]["field"].as_str()), (422, Some("to")), "{refused}");
    drop(near_worker);
    let (_worker, _) = world.worker(&["--repository", &far, "--key-file", &keys[1]]);

    let id = api.accepted("/copy", &json!({ "backup": first, "to": "far" }));
    let result = api.succeeded(&id).await.result.expect("a result");
    assert_eq!((&result["backups_copied"], &result["copied"][0]["backup"]), (&json!(1), &json!(first)), "{result}");
    // One that is asked for before its backup is made waits for it.
    let second = api.accepted("/backup", &json!({ "database": "lucid" }));
    let after = api.accepted("/copy", &json!({ "backup": second, "to": "far" }));
    assert_eq!(api.succeeded(&after).await.result.expect("a result")["backups_copied"], 1);
    backup(&api).await;
    let verb = |arguments: &[&str]| said(&api.verb(arguments));
    verb(&["schedules", "set", "offsite", "--cron", "0 4 * * *", "--copy-to", "far"]);
    verb(&["schedules", "run", "offsite"]);
    let said = verb(&["copy", "--all", "--to", "far", "--json"]);
    let ended: Value = serde_json::from_str(said.trim()).expect("JSON");
    let result = &ended["result"];
    let there = result["backups_copied"].as_i64().unwrap_or(0) + result["backups_there"].as_i64().unwrap_or(0);
    assert_eq!(there, 3, "{ended}");
    let listed = told(&["repo", "list", "--repository", &far, "--key-file", &far_key, "--json"]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
}

/// The master keys that the objects of a folder say they are sealed with (format, section 5).
fn masters(folder: &Path) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            found.extend(masters(&entry.path()));
        } else {
            let record = fs::read(entry.path()).expect("read");
            assert_eq!(&record[..4], b"LUCR", "{}", entry.path().display());
            found.insert(u32::from_le_bytes(*record[8..].first_chunk().expect("a header")));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_under_a_running_worker() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 2_000).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let first = backup(&api).await;
    let repository = ["--repository", &world.repository(), "--key-file", &world.key_file()];
    let key = |verb: &[&str]| told(&[&["repo", "key"], verb, &repository].concat());
    assert!(key(&["rotate"]).contains("master key 2 of 'main' is in force"));
    // The worker that had it open goes on, with the new master.
    let second = backup(&api).await;
    let sealed = world.repository_path().join("sealed");
    assert_eq!(masters(&sealed), BTreeSet::from([1, 2]));
    let early = run(&[&["repo", "key", "retire"], &repository[..]].concat(), &[]);
    assert!(String::from_utf8_lossy(&early.stderr).contains(&first), "{}", String::from_utf8_lossy(&early.stderr));

    let id = api.accepted("/reencrypt", &json!({}));
    let result = api.succeeded(&id).await.result.expect("a result");
    assert_eq!((&result["backups_sealed"], &result["needs_older"]), (&json!(1), &Value::Null), "{result}");
    assert!(key(&["retire"]).contains("Older ones open nothing any more"));
    for _ in 0..2 {
        let prune = api.accepted("/prune", &json!({ "keep": { "last": 9 }, "grace_hours": 0, "at_once": true }));
        api.succeeded(&prune).await;
    }
    assert_eq!(masters(&sealed), BTreeSet::from([2]));
    // The history names the first backup as it was; it is found, proven and restored all the same.
    for id in [&first, &second] {
        let verified = api.accepted("/verify", &json!({ "backup": id }));
        api.succeeded(&verified).await;
    }
    let restored = api.accepted("/restore", &json!({ "backup": first, "database": "again" }));
    api.succeeded(&restored).await;
    let rows = world.client().database("again").collection::<bson::Document>("rows");
    assert_eq!(rows.count_documents(bson::doc! {}).await.expect("counts"), 2_000);
}
