//! Alerts from end to end: what goes wrong is a document that tells its story, in health, and over when it is over; whoever writes it.

use crate::support::{Api, World, data, process::Process};
use bson::{Document, doc};
use futures::TryStreamExt;
use lucid_embedded::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    time::{Duration, Instant},
};

const WITHIN: Duration = Duration::from_secs(200);

/// A monitor with short rounds and a short lease, and what it shows to people.
pub fn monitor(world: &World, more: &[&str]) -> (Process, Api) {
    let (process, people, _) = monitor_and_metrics(world, more);
    (process, people)
}

/// The same, and what it shows to Prometheus.
pub fn monitor_and_metrics(world: &World, more: &[&str]) -> (Process, Api, Api) {
    let (repository, token_file) = (world.repository(), world.token_file());
    let mut arguments = vec!["monitor", "--listen", "127.0.0.1:0", "--metrics-port", "0", "--monitoring-interval", "1"];
    arguments.extend(["--lease-ms", "3000", "--repository", &repository, "--token-file", &token_file]);
    arguments.extend(more);
    let mut process = Process::start(&arguments, &world.uri());
    let metrics = Api::to_read(process.await_line("metrics on "));
    let people = Api::to_read(process.await_line("listening on "));
    (process, people, metrics)
}

pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(begun.elapsed() < WITHIN, "not {what}: {seen}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub async fn until_status(api: &Api, wanted: &str) -> Value {
    until(wanted, async || match api.get("/health").1 {
        health if health["status"] == wanted => Ok(health),
        health => Err(health.to_string()),
    })
    .await
}

/// The alerts of a rule, as anybody finds them in Compass; newest last.
pub async fn alerts(world: &World, rule: &str) -> Vec<Document> {
    let ops = world.client().database("lucid_ops").collection::<Document>("ops");
    let found = ops.find(doc! { "kind": "alert", "rule": rule }).sort(doc! { "created_at": 1 }).await.expect("found");
    found.try_collect().await.expect("alerts")
}

/// What happened to an alert, as the view tells it.
async fn story(world: &World, id: &str) -> Vec<String> {
    let events = world.client().database("lucid_ops").collection::<Document>("ops_events");
    let found = events.find(doc! { "alert": id, "class": "alert" }).sort(doc! { "seq": 1 }).await.expect("found");
    let all: Vec<Document> = found.try_collect().await.expect("events");
    all.iter().map(|event| event.get_str("type").expect("a type").to_owned()).collect()
}

/// Makes one byte of each pack another one, or puts it back.
pub fn flip_packs(world: &World) {
    fn each(folder: &std::path::Path) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                each(&path);
            } else if path.to_string_lossy().contains("/packs/") {
                let mut bytes = fs::read(&path).expect("a pack");
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                let mut permissions = fs::metadata(&path).expect("there").permissions();
                std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
                fs::set_permissions(&path, permissions).expect("set");
                fs::write(&path, bytes).expect("written");
            }
        }
    }
    each(&world.repository_path());
}

pub async fn verified(api: &Api, backup: &str, wanted: &str) {
    let id = api.accepted("/verify", &json!({ "backup": backup }));
    let job = api.await_job(&id, WITHIN, |job| matches!(job.state.as_str(), "succeeded" | "failed")).await;
    assert_eq!(job.state, wanted, "{job:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_an_alert_until_it_is_mended_whoever_holds_the_claim() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 300).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    assert_eq!(api.get("/health").1["status"], "unknown", "no monitor has looked yet");
    let (mut one, first) = monitor(&world, &[]);
    let (mut other, second) = monitor(&world, &[]);
    for port in [&api, &first, &second] {
        until_status(port, "healthy").await;
    }
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;
    flip_packs(&world);
    verified(&api, &backup, "failed").await;
    for port in [&api, &first, &second] {
        let health = until_status(port, "critical").await;
        assert!(health["problems"].to_string().contains("backups of 'lucid' failed"), "{health}");
        assert_eq!(port.get("/health").0, 503);
    }
    let found = alerts(&world, "verification_failed").await;
    let id = found[0].get_str("_id").expect("an id").to_owned();
    assert_eq!((found.len(), found[0].get_str("state").expect("a state")), (1, "raised"));

    // Whoever writes is gone: the other one goes on with the same alert.
    let monitors = world.client().database("lucid_ops").collection::<Document>("ops");
    let held = monitors.find_one(doc! { "kind": "monitor", "state": "running" }).await.expect("found").expect("one");
    let holder = held.get_str("worker").expect("a worker").to_owned();
    let (killed, left) =
        if holder.contains(&format!("/{}-", one.id())) { (&mut one, &second) } else { (&mut other, &first) };
    killed.signal(Signal::SIGKILL);
    until("taken over", async || {
        let held = monitors.find_one(doc! { "kind": "monitor", "state": "running" }).await.expect("found");
        let worker = held.and_then(|held| held.get_str("worker").ok().map(str::to_owned));
        if worker.as_ref().is_some_and(|worker| *worker != holder) { Ok(()) } else { Err(format!("{worker:?}")) }
    })
    .await;
    flip_packs(&world);
    verified(&api, &backup, "succeeded").await;
    for port in [&api, left] {
        until_status(port, "healthy").await;
    }
    let found = alerts(&world, "verification_failed").await;
    assert_eq!((found.len(), found[0].get_str("state").expect("a state")), (1, "resolved"), "{found:?}");
    assert_eq!(story(&world, &id).await, ["raised", "resolved"]);

    // Nobody looks any more.
    for monitor in [&mut one, &mut other] {
        monitor.signal(Signal::SIGKILL);
    }
    let health = until_status(&api, "unknown").await;
    assert!(health["problems"].to_string().contains("has said nothing for"), "{health}");
    assert!(!api.verb(&["health"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_monitors_that_find_nothing_make_all_before_one_of_them_writes() {
    let options = |dir| lucid_embedded::Options::new(dir).parameter("enableTestCommands", "1");
    let world = World::start_with(options).await;
    // A server that is slow for a while, as just after an election.
    let slow = doc! { "failCommands": ["createIndexes"], "errorCode": 50, "appName": "lucid-ops" };
    let fail_point = doc! { "configureFailPoint": "failCommand", "mode": { "times": 4 }, "data": slow };
    world.client().database("admin").run_command(fail_point).await.expect("test commands are on");
    let (_one, first) = monitor(&world, &[]);
    let (_other, second) = monitor(&world, &[]);
    for port in [&first, &second] {
        until_status(port, "healthy").await;
    }
    let ops = world.client().database("lucid_ops").collection::<Document>("ops");
    let first = doc! { "kind": "monitor", "spec.generation": 1 };
    assert_eq!(ops.count_documents(first).await.expect("counted"), 1, "two who ask for one get one");
    let indexes = ops.list_index_names().await.expect("listed");
    assert!(indexes.iter().any(|name| name == "unique_key"), "{indexes:?}");
}
