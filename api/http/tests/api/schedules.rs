//! Schedules through the API.

use crate::{
    errors::is_problem,
    world::{Reply, World},
};
use actix_web::http::Method;
use bson::DateTime;
use lucid_ports::{ScheduleStore, Store};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// It is ten in the morning of 24 November 2026.
async fn world() -> World {
    let world = World::new().await;
    world.store.twin.set_now(DateTime::parse_rfc3339_str("2026-11-24T10:00:00Z").expect("a time"));
    world
}

fn nightly() -> Value {
    json!({ "name": "nightly", "cron": "0 2 * * *", "timezone": "Europe/Berlin", "spec": { "database": "lucid" } })
}

/// `nightly` with other fields; `null` removes one.
#[allow(clippy::needless_pass_by_value)] // It is always given a literal.
fn with(changes: Value) -> Value {
    let mut body = nightly();
    for (field, value) in changes.as_object().expect("fields") {
        match value {
            Value::Null => drop(body.as_object_mut().expect("an object").remove(field)),
            value => body[field] = value.clone(),
        }
    }
    body
}

async fn put(world: &World, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let mut headers = headers.to_vec();
    headers.push(("content-type", "application/json"));
    world.send(Method::PUT, path, &headers, body.to_string().as_bytes()).await
}

async fn act(world: &World, path: &str) -> Reply {
    world.send(Method::POST, path, &[], b"").await
}

#[actix_web::test]
async fn a_schedule_lives_through_the_api() {
    let world = world().await;
    let made = world.post("/schedules", &nightly()).await;
    assert_eq!((made.status, made.header("location"), made.header("etag")), (201, "/schedules/nightly", "\"1\""));
    let shown = world.get("/schedules/nightly").await;
    assert_eq!((shown.status, &shown.body), (200, &made.body));
    let expected = json!({
        "name": "nightly", "version": 1, "kind": "backup", "cron": "0 2 * * *", "timezone": "Europe/Berlin",
        "spec": { "database": "lucid", "compression": true, "encryption": true, "require_consistent": false,
                  "repository": "main" },
        "paused": false, "missed": "once", "missed_limit": 24, "overlap": "skip",
        "high_water": "2026-11-24T10:00:00.000Z",
        "next": ["2026-11-25T01:00:00.000Z", "2026-11-26T01:00:00.000Z", "2026-11-27T01:00:00.000Z"],
        "next_local": ["2026-11-25 02:00 +01:00", "2026-11-26 02:00 +01:00", "2026-11-27 02:00 +01:00"],
        "created_by": "token:local@pi-1", "created_at": "2026-11-24T10:00:00.000Z",
        "updated_by": "token:local@pi-1", "updated_at": "2026-11-24T10:00:00.000Z",
    });
    assert_eq!(shown.body, expected);
    let taken = world.post("/schedules", &nightly()).await;
    is_problem(&taken, 409, "taken");
    assert_eq!(taken.body["type"], "taken");
    let list = world.get("/schedules").await;
    assert_eq!(list.body["schedules"][0]["next"], json!(["2026-11-25T01:00:00.000Z"]));
    assert_eq!(world.delete("/schedules/nightly").await.status, 204);
    is_problem(&world.delete("/schedules/nightly").await, 404, "gone");
    is_problem(&world.get("/schedules/nightly").await, 404, "gone");
    assert_eq!(world.get("/schedules").await.body, json!({ "schedules": [] }));
}

#[actix_web::test]
async fn what_is_shown_can_be_put_back_and_edits_name_their_version() {
    let world = world().await;
    world.post("/schedules", &nightly()).await;
    let mut body = world.get("/schedules/nightly").await.body;
    for field in
        ["next", "next_local", "problem", "last", "high_water", "created_by", "created_at", "updated_by", "updated_at"]
    {
        body.as_object_mut().expect("an object").remove(field);
    }
    let same = put(&world, "/schedules/nightly", &[], &body).await;
    assert_eq!((same.status, &same.body["version"]), (200, &json!(1)), "nothing was changed: {}", same.body);
    body["missed"] = json!("all");
    body["missed_limit"] = json!(7);
    let edited = put(&world, "/schedules/nightly", &[("if-match", "\"1\"")], &body).await;
    assert_eq!((edited.status, edited.header("etag")), (200, "\"2\""), "{}", edited.body);
    assert_eq!((&edited.body["missed"], &edited.body["missed_limit"]), (&json!("all"), &json!(7)));
    let stale = put(&world, "/schedules/nightly", &[], &body).await;
    is_problem(&stale, 412, "the body still says version 1");
    is_problem(&put(&world, "/schedules/nightly", &[("if-match", "\"1\"")], &nightly()).await, 412, "header");
    is_problem(&world.send(Method::DELETE, "/schedules/nightly", &[("if-match", "\"1\"")], b"").await, 412, "delete");
    is_problem(&world.send(Method::POST, "/schedules/nightly/pause", &[("if-match", "7")], b"").await, 412, "pause");
    let other = put(&world, "/schedules/nightly", &[("if-match", "\"2\"")], &body).await;
    assert_eq!(other.blamed(), ["version"], "two versions at once");
    is_problem(
        &put(&world, "/schedules/nobody", &[("if-match", "1")], &with(json!({ "name": null }))).await,
        412,
        "none",
    );
    assert_eq!(world.get("/schedules/nightly").await.body["version"], 2);
    let made = put(&world, "/schedules/weekly", &[], &with(json!({ "name": null, "cron": "@weekly" }))).await;
    assert_eq!((made.status, &made.body["next"][0]), (201, &json!("2026-11-28T23:00:00.000Z")));
}

#[actix_web::test]
async fn other_times_and_a_resume_make_up_for_nothing() {
    let world = world().await;
    world.post("/schedules", &with(json!({ "high_water": "2026-11-20T00:00:00+01:00" }))).await;
    let mark = async || world.get("/schedules/nightly").await.body["high_water"].clone();
    assert_eq!(mark().await, "2026-11-19T23:00:00.000Z", "as asked");
    put(&world, "/schedules/nightly", &[], &with(json!({ "overlap": "allow" }))).await;
    assert_eq!(mark().await, "2026-11-19T23:00:00.000Z", "an edit of something else");
    let paused = act(&world, "/schedules/nightly/pause").await;
    assert_eq!((paused.status, &paused.body["paused"], &paused.body["next"]), (200, &json!(true), &json!([])));
    assert_eq!(act(&world, "/schedules/nightly/pause").await.body["version"], paused.body["version"], "twice is once");
    put(&world, "/schedules/nightly", &[], &nightly()).await;
    let still = world.get("/schedules/nightly").await.body;
    assert_eq!((&still["paused"], &still["overlap"]), (&json!(true), &json!("skip")), "an edit doesn't wake it");
    assert_eq!(mark().await, "2026-11-19T23:00:00.000Z", "a pause moves no mark");
    let resumed = act(&world, "/schedules/nightly/resume").await;
    assert_eq!((&resumed.body["paused"], mark().await), (&json!(false), json!("2026-11-24T10:00:00.000Z")));
    put(&world, "/schedules/nightly", &[], &with(json!({ "high_water": "2026-11-20T00:00:00Z" }))).await;
    put(&world, "/schedules/nightly", &[], &with(json!({ "timezone": "UTC" }))).await;
    assert_eq!(mark().await, "2026-11-24T10:00:00.000Z", "other times begin now");
    let ahead = with(json!({ "timezone": "UTC", "high_water": "2026-12-24T00:00:00Z" }));
    let ahead = put(&world, "/schedules/nightly", &[], &ahead).await.body;
    assert!(ahead["problem"].as_str().expect("a problem").contains("does nothing before 2026-12-24"), "{ahead}");
    assert_eq!(ahead["next"][0], "2026-12-24T02:00:00.000Z");
    let health = world.get("/health").await.body;
    assert!(health["problems"].to_string().contains("does nothing before 2026-12-24"), "{health}");
}

#[actix_web::test]
async fn run_now_is_an_ordinary_job() {
    let world = world().await;
    world.post("/schedules", &with(json!({ "spec": { "database": "lucid", "collections": ["sessions"] } }))).await;
    act(&world, "/schedules/nightly/pause").await;
    let run = act(&world, "/schedules/nightly/run").await;
    assert_eq!(run.status, 202, "{}", run.body);
    assert_eq!(run.header("location"), format!("/backup/{}", run.id()));
    assert_eq!(run.body["requested_by"], "token:local@pi-1 for schedule:nightly");
    assert_eq!(run.body["spec"]["collections"], json!(["sessions"]));
    let again = act(&world, "/schedules/nightly/run").await;
    is_problem(&again, 409, "its last job is open");
    assert!(again.body["detail"].as_str().expect("a detail").contains(run.id().as_str()), "{}", again.body);
    world.succeed(&run.id()).await;
    assert_eq!(act(&world, "/schedules/nightly/run").await.status, 202);
    for verb in ["pause", "resume", "run"] {
        is_problem(&act(&world, &format!("/schedules/nobody/{verb}")).await, 404, verb);
        is_problem(&world.get(&format!("/schedules/nightly/{verb}")).await, 405, verb);
    }
}

#[actix_web::test]
async fn a_verification_can_be_scheduled() {
    let world = world().await;
    let good = world.good_backup().await;
    let body = json!({ "name": "proof", "kind": "verify", "cron": "@weekly", "spec": { "backup": good.as_str() } });
    let made = world.post("/schedules", &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!((&made.body["kind"], &made.body["spec"]["level"]), (&json!("verify"), &json!("data")));
    let run = act(&world, "/schedules/proof/run").await;
    assert_eq!((run.status, &run.body["kind"], &run.body["repository"]), (202, &json!("verify"), &json!("main")));
}

/// Fields that replace those of a good body, and the field that the refusal blames.
const BAD: &[(&str, &str)] = &[
    (r#"{"name":null}"#, "name"),
    (r#"{"name":""}"#, "name"),
    (r#"{"name":"../x"}"#, "name"),
    (r#"{"name":"a b"}"#, "name"),
    (r#"{"name":"$now"}"#, "name"),
    (r#"{"name":"-x"}"#, "name"),
    (r#"{"name":"LONG"}"#, "name"),
    (r#"{"name":5}"#, "name"),
    (r#"{"cron":null}"#, "cron"),
    (r#"{"cron":""}"#, "cron"),
    (r#"{"cron":"0 2 * *"}"#, "cron"),
    (r#"{"cron":"0 0 2 * * *"}"#, "cron"),
    (r#"{"cron":"60 2 * * *"}"#, "cron"),
    (r#"{"cron":"0 24 * * *"}"#, "cron"),
    (r#"{"cron":"0 0 30 2 *"}"#, "cron"),
    (r#"{"cron":"@reboot"}"#, "cron"),
    (r#"{"cron":"every day"}"#, "cron"),
    (r#"{"cron":"LONG"}"#, "cron"),
    (r#"{"cron":["0 2 * * *"]}"#, "cron"),
    (r#"{"timezone":""}"#, "timezone"),
    (r#"{"timezone":"Berlin"}"#, "timezone"),
    (r#"{"timezone":"+01:00"}"#, "timezone"),
    (r#"{"timezone":"LONG"}"#, "timezone"),
    (r#"{"timezone":1}"#, "timezone"),
    (r#"{"kind":"restore"}"#, "kind"),
    (r#"{"kind":"dump"}"#, "kind"),
    (r#"{"kind":5}"#, "kind"),
    (r#"{"missed":"never"}"#, "missed"),
    (r#"{"missed":"ALL"}"#, "missed"),
    (r#"{"missed_limit":0}"#, "missed_limit"),
    (r#"{"missed_limit":1001}"#, "missed_limit"),
    (r#"{"missed_limit":9223372036854775807}"#, "missed_limit"),
    (r#"{"missed_limit":"7"}"#, "missed_limit"),
    (r#"{"overlap":"queue"}"#, "overlap"),
    (r#"{"overlap":true}"#, "overlap"),
    (r#"{"paused":"yes"}"#, "paused"),
    (r#"{"high_water":"now"}"#, "high_water"),
    (r#"{"high_water":"2026-11-24"}"#, "high_water"),
    (r#"{"high_water":"1970-01-01T00:00:00Z"}"#, "high_water"),
    (r#"{"high_water":"9999-01-01T00:00:00Z"}"#, "high_water"),
    (r#"{"version":1}"#, "version"),
    (r#"{"version":0}"#, "version"),
    (r#"{"crom":"0 2 * * *"}"#, "crom"),
    (r#"{"schedule":{}}"#, "schedule"),
    (r#"{"spec":null}"#, "spec"),
    (r#"{"spec":"lucid"}"#, "spec"),
    (r#"{"spec":{}}"#, "spec.database"),
    (r#"{"spec":{"database":5}}"#, "spec.database"),
    (r#"{"spec":{"database":"a$b"}}"#, "spec.database"),
    (r#"{"spec":{"database":"lucid_ops"}}"#, "spec.database"),
    (r#"{"spec":{"database":"nowhere"}}"#, "spec.database"),
    (r#"{"spec":{"database":"lucid","colections":[]}}"#, "spec.colections"),
    (r#"{"spec":{"database":"lucid","collections":[]}}"#, "spec.collections"),
    (r#"{"spec":{"database":"lucid","collections":["nowhere"]}}"#, "spec.collections[0]"),
    (r#"{"spec":{"database":"lucid","compression":"yes"}}"#, "spec.compression"),
    (r#"{"spec":{"database":"lucid","repository":"elsewhere"}}"#, "spec.repository"),
    (r#"{"kind":"verify"}"#, "spec.database"),
    (r#"{"kind":"verify","spec":{"backup":"backup_x"}}"#, "spec.backup"),
    (r#"{"kind":"verify","spec":{"backup":"backup_x","level":"all"}}"#, "spec.level"),
];

#[actix_web::test]
async fn every_bad_field_is_named_and_changes_nothing() {
    let world = world().await;
    for (changes, field) in BAD {
        let changes = changes.replace("LONG", &"x".repeat(300));
        let body = with(serde_json::from_str(&changes).expect("JSON"));
        let reply = world.post("/schedules", &body).await;
        is_problem(&reply, 422, &changes);
        assert_eq!(reply.blamed(), [*field], "{changes}: {}", reply.body);
        assert!(reply.body["detail"].as_str().expect("a detail").len() < 600, "{changes}");
    }
    for (text, field) in [
        (r#"{"name":"x","name":"y","cron":"@daily","spec":{"database":"lucid"}}"#, "name"),
        (r#"{"name":"x","cron":"@daily","spec":{"database":"lucid","database":"lucid"}}"#, "spec.database"),
        (r#"["nightly"]"#, "(body)"),
    ] {
        let reply = world.post_text("/schedules", text).await;
        is_problem(&reply, 422, text);
        assert_eq!(reply.blamed(), [field], "{text}");
    }
    let several = with(json!({ "cron": "x", "timezone": "y", "missed": "z", "spec": { "database": "$" } }));
    let reply = world.post("/schedules", &several).await;
    assert_eq!(reply.blamed(), ["cron", "timezone", "missed", "spec.database"], "all at once");
    assert_eq!(world.store.look().await.expect("a look").schedules, [], "nothing was made");
    world.post("/schedules", &nightly()).await;
    let before = world.get("/schedules/nightly").await.body;
    for (changes, field) in BAD.iter().filter(|(_, field)| !matches!(*field, "name" | "version")) {
        let changes = changes.replace("LONG", &"x".repeat(300));
        let body = with(serde_json::from_str(&changes).expect("JSON"));
        let reply = put(&world, "/schedules/nightly", &[], &body).await;
        is_problem(&reply, 422, &changes);
        assert_eq!(reply.blamed(), [*field], "{changes}");
    }
    let renamed = put(&world, "/schedules/nightly", &[], &with(json!({ "name": "weekly" }))).await;
    assert_eq!(renamed.blamed(), ["name"]);
    for tag in ["*", "\"x\"", "0", "-1", ""] {
        let reply = put(&world, "/schedules/nightly", &[("if-match", tag)], &nightly()).await;
        is_problem(&reply, 422, tag);
        assert_eq!(reply.blamed(), ["If-Match"], "{tag}");
    }
    assert_eq!(world.get("/schedules/nightly").await.body, before, "nothing was changed");
    assert_eq!(world.jobs().await, 0);
}

#[actix_web::test]
async fn without_the_store_nothing_is_answered_but_that() {
    let world = world().await;
    world.post("/schedules", &nightly()).await;
    world.store.away.store(true, Ordering::SeqCst);
    for reply in [
        world.get("/schedules").await,
        world.get("/schedules/nightly").await,
        world.post("/schedules", &nightly()).await,
        put(&world, "/schedules/nightly", &[], &nightly()).await,
        world.delete("/schedules/nightly").await,
        act(&world, "/schedules/nightly/pause").await,
        act(&world, "/schedules/nightly/run").await,
    ] {
        is_problem(&reply, 503, "away");
    }
    let unknown = world.get("/schedules?limit=5").await;
    is_problem(&unknown, 422, "a query that nobody reads");
    world.store.away.store(false, Ordering::SeqCst);
    assert_eq!(world.store.twin.ping().await.expect("asked"), "in memory, 0 jobs");
}
