//! Schedules with real workers, an API and a replica set: each occurrence once, whoever dies; policies, pauses, clocks.

mod story;
mod trouble;

use crate::support::{Api, World};
use bson::{DateTime, Document, doc};
use futures::TryStreamExt;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const MINUTE_MS: i64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(90);

/// The primary's clock, as a client sees it.
async fn now(world: &World) -> DateTime {
    let hello = world.client().database("admin").run_command(doc! { "hello": 1 }).await.expect("a primary");
    *hello.get_datetime("localTime").expect("a time")
}

/// So many whole minutes ago.
async fn minutes_ago(world: &World, minutes: i64) -> String {
    let minute = now(world).await.timestamp_millis() / MINUTE_MS - minutes;
    DateTime::from_millis(minute * MINUTE_MS).try_to_rfc3339_string().expect("a time")
}

/// Sets a field of a schedule beside those of `body`.
fn with(body: &Value, field: &str, value: impl Into<Value>) -> Value {
    let mut body = body.clone();
    body[field] = value.into();
    body
}

/// A backup of `lucid` every minute.
fn every_minute() -> Value {
    json!({ "name": "often", "cron": "* * * * *", "spec": { "database": "lucid" } })
}

/// A database to back up, small enough that nobody waits for it.
async fn lucid(world: &World) {
    let sessions = world.client().database("lucid").collection::<Document>("sessions");
    sessions.insert_one(doc! { "_id": 1 }).await.expect("inserted");
}

fn put(api: &Api, body: &Value) -> Value {
    let name = body["name"].as_str().expect("a name");
    let (status, answer) = api.call("PUT", &format!("/schedules/{name}"), Some(body));
    assert!(matches!(status, 200 | 201), "{status}: {answer}");
    answer
}

fn schedule(api: &Api, name: &str) -> Value {
    let (status, answer) = api.get(&format!("/schedules/{name}"));
    assert_eq!(status, 200, "{answer}");
    answer
}

/// How many jobs each planned minute of a schedule has: ids tell their minute, and events who asked.
async fn made(world: &World, name: &str) -> BTreeMap<String, usize> {
    let jobs = world.client().database("lucid_ops").collection::<Document>("ops");
    let found = jobs.find(doc! { "requested_by": format!("schedule:{name}") }).await.expect("found");
    let found: Vec<Document> = found.try_collect().await.expect("read");
    let mut made = BTreeMap::new();
    for job in found {
        let id = job.get_str("_id").expect("an id");
        *made.entry(id["backup_".len()..id.len() - "_7k3fq2m8ab".len()].to_owned()).or_default() += 1;
    }
    made
}

/// Waits until the schedule is as wanted.
async fn until(api: &Api, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let schedule = schedule(api, name);
        if wanted(&schedule) {
            return schedule;
        }
        assert!(begun.elapsed() < PATIENCE, "still not as wanted: {schedule}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
