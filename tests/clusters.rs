//! Two clusters and one repository: production owns it, staging backs up a database of the same name into it, and neither gets in the
//! other's way.

use crate::support::{Api, World, data, process::run};
use bson::{Document, doc};
use serde_json::{Value, json};
use std::process::Output;

const NIGHTS: usize = 8;

async fn back_up(api: &Api, more: Value) -> String {
    let mut body = json!({ "database": "lucid" });
    body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    let id = api.accepted("/backup", &body);
    api.succeeded(&id).await;
    id
}

async fn prune(api: &Api, body: Value) -> Value {
    let id = api.accepted("/prune", &body);
    api.succeeded(&id).await.result.expect("a result")
}

/// A verb that needs the repository alone.
fn repo(world: &World, arguments: &[&str]) -> Output {
    let (repository, key, uri) = (world.repository(), world.key_file(), world.uri());
    let named = ["--repository", &repository, "--key-file", &key];
    run(&[&["repo"], arguments, &named].concat(), &[("MONGODB_URI", &uri)])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What `repo list` tells of each backup.
fn listed(world: &World) -> Vec<Value> {
    let output = repo(world, &["list", "--json"]);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn jobs(listed: &[Value], cluster: &str) -> Vec<String> {
    let of = listed.iter().filter(|entry| entry["cluster"] == cluster);
    sorted(of.map(|entry| entry["job"].as_str().expect("a job").to_owned()).collect())
}

/// Names begin with a second, and what follows is chance.
fn sorted(mut jobs: Vec<String>) -> Vec<String> {
    jobs.sort();
    jobs
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_of_two_clusters_forgets_nor_restores_what_the_other_made() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 300).await;
    let marks = world.client().database("lucid").collection::<Document>("of_staging");
    let (_api_process, production) = world.api();
    let (_worker, _) = world.worker(&[]);
    let first = back_up(&production, json!({})).await;
    // An engine with a history of its own is another cluster, with the same settings.
    let (_other_process, staging) = world.api_with(&["--listen", "127.0.0.1:0", "--ops-database", "staging"]);
    let (_other_worker, _) = world.worker(&["--ops-database", "staging"]);
    let (mut ours, mut theirs) = (vec![first], Vec::new());
    for night in 1..NIGHTS {
        ours.push(back_up(&production, json!({})).await);
        // Later in the night, and of other data.
        if night % 4 == 0 || night == NIGHTS - 1 {
            marks.insert_one(doc! { "_id": 1 }).await.expect("inserted");
            theirs.push(back_up(&staging, json!({})).await);
            marks.drop().await.expect("dropped");
        }
    }
    let all = listed(&world);
    let cluster_of = |job: &String| {
        let entry = all.iter().find(|entry| entry["job"] == **job).expect("listed");
        entry["cluster"].as_str().expect("a cluster").to_owned()
    };
    let (production_id, staging_id) = (cluster_of(&ours[0]), cluster_of(&theirs[0]));
    assert_ne!(production_id, staging_id);
    assert_eq!((jobs(&all, &production_id), jobs(&all, &staging_id)), (sorted(ours.clone()), sorted(theirs.clone())));

    // Night by night, and once with a rule that keeps one: all of theirs stay, and the newest of ours.
    assert_eq!(prune(&production, json!({ "keep": { "last": 7 } })).await["backups_removed"], 1, "the oldest");
    let keep_one = json!({ "keep": { "last": 1 }, "grace_hours": 0 });
    let careful = prune(&production, keep_one.clone()).await;
    assert_eq!(careful["backups_removed"], 0, "{careful}");
    assert_eq!(careful["spared"], json!([{ "database": "lucid", "backups": 7, "would_go": 6 }]), "{careful}");
    let scheduled =
        json!({ "kind": "prune", "cron": "0 5 * * *", "spec": { "keep": { "last": 1 }, "forget_many": true } });
    let (status, answer) = production.call("PUT", "/schedules/nightly", Some(&scheduled));
    assert_eq!((status, answer["errors"][0]["field"].as_str()), (422, Some("spec.forget_many")), "{answer}");
    let told = production.verb(&["prune", "--keep-last", "1", "--grace-hours", "0", "--forget-many"]);
    assert!(told.status.success() && said(&told).contains(&format!("2 of cluster {staging_id}")), "{}", said(&told));
    let left = listed(&world);
    assert_eq!(
        (jobs(&left, &production_id), jobs(&left, &staging_id)),
        (ours[NIGHTS - 1..].to_vec(), sorted(theirs.clone()))
    );

    latest_is_whole_and_ours(&world, &production, &production_id, (&ours[NIGHTS - 1], &theirs[1])).await;
}

async fn latest_is_whole_and_ours(world: &World, production: &Api, id: &str, (ours, theirs): (&str, &str)) {
    let part = back_up(production, json!({ "collections": ["rows"] })).await;
    let refused = repo(world, &["restore", "latest:lucid", "--to", "copy"]);
    let why = said(&refused);
    assert!(
        refused.status.code() == Some(2) && why.contains(ours) && why.contains(theirs) && !why.contains(&part),
        "{why}"
    );
    let restored = repo(world, &["restore", &format!("latest:lucid:{id}"), "--to", "copy", "--json"]);
    assert!(restored.status.success(), "{}", said(&restored));
    let result: Value = serde_json::from_slice(&restored.stdout).expect("JSON");
    assert_eq!((result["backup"].as_str(), result.get("partial")), (Some(ours), None), "{result}");
    let names = world.client().database("copy").list_collection_names().await.expect("names");
    assert_eq!(names, ["rows"], "nothing of staging's");
}
