//! The history, seen live and as a whole: nothing is missing from it and nothing is told twice, whatever restarts in
//! between; and what was changed behind its back is found.

use crate::support::{Api, World, data};
use bson::{Document, doc};
use lucid_client::sse::{Message, Messages};
use lucid_embedded::Signal;
use lucid_schemas::collections::OPS;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{BufReader, Read},
    process::Output,
    time::Duration,
};

const DOCUMENTS: u32 = 40_000;

fn address(api: &Api) -> String {
    api.url.strip_prefix("http://").expect("an address").to_owned()
}

/// Runs a verb on a thread of its own.
fn verb(arguments: &[&str], api: &Api) -> tokio::task::JoinHandle<Output> {
    let api = api.clone();
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        api.verb(&arguments)
    })
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The events of all jobs, as one client hears them.
struct Listener {
    messages: Messages<BufReader<Box<dyn Read>>>,
}

impl Listener {
    fn open(api: &Api, last_id: Option<&str>) -> Self {
        let request = ureq::get(format!("{}/events", api.url)).header("accept", "text/event-stream");
        let request = last_id.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        let reader: Box<dyn Read> = Box::new(request.call().expect("a stream").into_body().into_reader());
        Self { messages: Messages::new(BufReader::new(reader)) }
    }

    fn next(&mut self) -> Message {
        self.messages.read().expect("readable").expect("the stream goes on")
    }

    /// What is told until this job has ended: job and number of each event, and the place after that.
    fn until_end_of(&mut self, id: &str) -> (Vec<(String, i64)>, String) {
        let mut told = Vec::new();
        loop {
            let message = self.next();
            let event: Value = serde_json::from_str(&message.data).expect("JSON");
            let job = event["job_id"].as_str().unwrap_or_else(|| panic!("no event: {message:?}")).to_owned();
            let is_end = job == id && message.event == "canceled";
            told.push((job, event["seq"].as_i64().expect("a number")));
            if is_end {
                return (told, self.messages.last_id().expect("a place").to_owned());
            }
        }
    }
}

/// A job that is ended at once: two events.
fn short_job(api: &Api) -> String {
    let id = api.accepted("/backup", &json!({ "database": "much" }));
    let (status, answer) = api.call("DELETE", &format!("/jobs/{id}"), None);
    assert!((200..300).contains(&status), "{answer}");
    id
}

/// What is told of such jobs.
fn both_events(ids: &[String]) -> Vec<(String, i64)> {
    ids.iter().flat_map(|id| [(id.clone(), 1), (id.clone(), 2)]).collect()
}

/// Something to ask for, and a repository that is known, but no worker.
async fn quiet(world: &World) {
    let (worker, _) = world.worker(&[]);
    assert!(worker.stop().success());
    world.client().database("much").collection("rows").insert_one(doc! { "_id": 1 }).await.expect("inserted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_job_is_told_whole_although_the_api_restarts_and_the_primary_steps_down() {
    let world = World::start_with(|dir| data::with_fail_points(dir).members(3)).await;
    data::rows(&world, "much", DOCUMENTS).await;
    data::slow_down(&world, "getMore", 500).await;
    let (first, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let id = api.accepted("/backup", &json!({ "database": "much" }));
    let watching = verb(&["jobs", "watch", "--json", &id], &api);
    let read = verb(&["jobs", "watch", &id], &api);
    api.await_job(&id, Duration::from_secs(60), data::copying).await;
    first.signal(Signal::SIGKILL);
    drop(first);
    let (second, api) = world.api_at(&address(&api));
    world.deployment.step_down().await.expect("another primary");
    api.succeeded(&id).await;
    assert!(second.stop().success());
    // Who missed the end finds it at the next one.
    let (_third, api) = world.api_at(&address(&api));

    let watched = watching.await.expect("it ran");
    assert!(watched.status.success(), "{}", String::from_utf8_lossy(&watched.stderr));
    let told = lines(&watched);
    let (progress, events): (Vec<_>, Vec<_>) = told.into_iter().partition(|told| told["type"] == "progress");
    let expected: Vec<Value> =
        api.events(&id).events.iter().map(|event| serde_json::to_value(event).expect("a view")).collect();
    assert_eq!(events, expected, "each event once, in order");
    assert!(expected.len() >= 5, "{expected:?}");
    assert!(progress.iter().any(|told| told["documents"].as_i64() > Some(0)), "{progress:?}");
    let read = read.await.expect("it ran");
    let text = String::from_utf8_lossy(&read.stdout).into_owned();
    assert!(read.status.success() && text.contains("commit_started") && text.contains(" documents, "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_all_jobs_go_on_after_the_last_one_through_another_api() {
    let world = World::start(1).await;
    quiet(&world).await;
    let (first, api) = world.api();
    let mut listener = Listener::open(&api, None);
    let ids: Vec<String> = (0..3).map(|_| short_job(&api)).collect();
    let (told, place) = listener.until_end_of(&ids[1]);
    assert_eq!(told, both_events(&ids[..2]));
    first.signal(Signal::SIGKILL);
    drop((first, listener));

    // What happened while nobody listened is told by an API that wasn't there, and then what goes on to happen.
    let (_second, api) = world.api();
    let mut later = ids[2..].to_vec();
    later.extend((0..3).map(|_| short_job(&api)));
    let mut again = Listener::open(&api, Some(&place));
    later.push(short_job(&api));
    let (told, place) = again.until_end_of(later.last().expect("a job"));
    assert_eq!(told, both_events(&later));
    // An API that was there all along has the same places.
    let (_other, other) = world.api();
    let last = short_job(&other);
    for api in [&api, &other] {
        assert_eq!(Listener::open(api, Some(&place)).until_end_of(&last).0, both_events(std::slice::from_ref(&last)));
    }
}

/// Lets the server say once that the history a stream asks for is gone, as after an oplog was too small.
async fn lose_history(world: &World, command: &str) {
    let fail_point = doc! {
        "configureFailPoint": "failCommand",
        "mode": { "times": 1 },
        "data": { "failCommands": [command], "errorCode": 286, "appName": "lucid-ops" },
    };
    world.client().database("admin").run_command(fail_point).await.expect("test commands are on");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_servers_own_history_is_lost_the_client_is_told_so() {
    let world = World::start_with(data::with_fail_points).await;
    quiet(&world).await;
    let (_process, api) = world.api();
    let mut listener = Listener::open(&api, None);
    let (_, place) = listener.until_end_of(&short_job(&api));
    // The API's own stream breaks: whoever listens catches up, and notices nothing.
    lose_history(&world, "getMore").await;
    let ids = [short_job(&api), short_job(&api)];
    assert_eq!(listener.until_end_of(&ids[1]).0, both_events(&ids));

    let of_nowhere = format!("8260000000{}", &place[10..]);
    for made_up in [of_nowhere.as_str(), "82", "00FF", "FFFF", &"82AB".repeat(200)] {
        starts_anew(&api, made_up);
    }
    // A good place, from before the break: the server itself has to be asked, and doesn't know any more.
    lose_history(&world, "aggregate").await;
    starts_anew(&api, &place);
    let last = short_job(&api);
    let told = Listener::open(&api, Some(&place)).until_end_of(&last).0;
    assert!(told.len() > 2 && told.starts_with(&both_events(&ids)), "it knew all the time: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_only_a_later_program_can_read_cuts_nobody_off() {
    let world = World::start(1).await;
    quiet(&world).await;
    let (_process, api) = world.api();
    let mut listener = Listener::open(&api, None);
    let later = doc! {
        "_id": "alert_20270115_080000_0000000001", "kind": "alert", "state": "raised", "open": true, "version": 1_i64,
        "unique_key": "alert/later", "events": [{ "seq": 1_i64, "type": "escalated", "data": {} }],
    };
    let ops = world.client().database("lucid_ops").collection::<Document>(OPS);
    ops.insert_one(later).bypass_document_validation(true).await.expect("inserted");
    let id = short_job(&api);
    assert_eq!(listener.until_end_of(&id).0, both_events(&[id]), "the same listener goes on");
}

fn starts_anew(api: &Api, place: &str) {
    let mut listener = Listener::open(api, Some(place));
    assert_eq!(listener.next().event, "reset", "{place}");
    let id = short_job(api);
    assert_eq!(listener.until_end_of(&id).0, both_events(&[id]), "a clean start");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_finds_what_was_changed_behind_the_engines_back() {
    let world = World::start(1).await;
    quiet(&world).await;
    let (_process, api) = world.api();
    let ids: Vec<String> = (0..4).map(|_| short_job(&api)).collect();
    let whole = verb(&["jobs", "audit"], &api).await.expect("it ran");
    let text = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(whole.status.success() && text == "4 jobs, 8 events: every one is what its events say\n", "{text}");

    let ops = world.client().database("lucid_ops").collection::<Document>(OPS);
    let change = async |id: &str, update: Document| {
        assert_eq!(ops.update_one(doc! { "_id": id }, update).await.expect("updated").modified_count, 1);
    };
    change(&ids[0], doc! { "$set": { "state": "succeeded" } }).await;
    change(&ids[2], doc! { "$set": { "schema": 77 } }).await;
    change(&ids[3], doc! { "$set": { "spec.database": "other" } }).await;
    let audit = verb(&["jobs", "audit", "--json"], &api).await.expect("it ran");
    assert_eq!(audit.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&audit.stdout).expect("JSON");
    let named = |list: &str| -> BTreeSet<&str> {
        found[list].as_array().into_iter().flatten().filter_map(|found| found["job_id"].as_str()).collect()
    };
    assert_eq!(named("violations"), BTreeSet::from([ids[0].as_str(), ids[3].as_str()]), "{found}");
    assert_eq!(named("unreadable"), BTreeSet::from([ids[2].as_str()]), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_thousands_of_jobs_is_complete_and_lists_find_them() {
    const JOBS: usize = 3_000;
    let world = World::start(1).await;
    quiet(&world).await;
    let (_process, api) = world.api();
    let id = short_job(&api);
    let ops = world.client().database("lucid_ops").collection::<Document>(OPS);
    let pattern = ops.find_one(doc! { "_id": &id }).await.expect("read").expect("there");
    let numbered = |number: usize| {
        let mut job = pattern.clone();
        job.insert("_id", format!("backup_20200101_000000_{number:010}"));
        job.insert("requested_by", format!("token:ci-{number:04}"));
        job
    };
    let mut expected: BTreeSet<String> = BTreeSet::from([id]);
    for batch in (0..JOBS).collect::<Vec<_>>().chunks(500) {
        let jobs: Vec<_> = batch.iter().map(|number| numbered(*number)).collect();
        expected.extend(jobs.iter().map(|job| job.get_str("_id").expect("an id").to_owned()));
        ops.insert_many(jobs).await.expect("inserted");
    }
    let export = verb(&["jobs", "export"], &api).await.expect("it ran");
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    let told: Vec<String> = lines(&export).iter().map(|job| job["_id"].as_str().expect("an id").to_owned()).collect();
    assert!(told.iter().eq(&expected), "{} of {} jobs, in order", told.len(), expected.len());

    let list = async |arguments: &[&str]| {
        let listed = verb(&[&["jobs", "list", "--json"], arguments].concat(), &api).await.expect("it ran");
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let page: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        (page["jobs"].as_array().map_or(0, Vec::len), page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(list(&["--all"]).await, (JOBS + 1, None));
    let (shown, next) = list(&["--limit", "2"]).await;
    assert_eq!(shown, 2);
    let rest = list(&["--all", "--after", &next.expect("there is more")]).await;
    assert_eq!(rest, (JOBS - 1, None));
    assert_eq!(list(&["--text", "CI-012", "--state", "canceled,failed", "--all"]).await, (10, None));
    assert_eq!(list(&["--since", "2999-01-01T00:00:00Z"]).await, (0, None));
}
