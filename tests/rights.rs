//! Each service with a user of its own: what it needs is allowed, and nothing else.

use crate::{
    monitor::{monitor_with, until, until_scraped},
    support::{Api, World, process::run, users},
};
use bson::{Document, doc};
use lucid_mongo::doctor::{Rights, rights};
use lucid_schemas::{
    collections::OPS,
    roles::{Places, Privileges, Resource, Service, privileges},
};
use mongodb::Client;
use serde_json::{Value, json};
use std::time::Duration;

/// What a worker of `lucid_worker` runs.
const READING: [&str; 2] = ["--kinds", "backup,verify,prune,copy,reencrypt"];
const RESTORING: [&str; 2] = ["--kinds", "restore"];
const WITHIN: Duration = Duration::from_secs(60);

/// A world with every kind of collection in `lucid`, whose services have users of their own.
async fn world() -> World {
    let mut world = World::start(1).await;
    lucid_sample::load(&world.client(), "lucid", 300).await.expect("a sample");
    if world.uri_of(Service::Api) == world.uri() {
        world.give_users().await;
    }
    world
}

async fn done(api: &Api, path: &str, body: Value) -> lucid_schemas::http::JobView {
    let id = api.accepted(path, &body);
    api.succeeded(&id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_is_done_by_users_with_their_own_role_only() {
    let mut world = world().await;
    let far = format!("far=file://{}", world.dir().join("far").display());
    world.init_repository(&far);
    let (_api_process, api) = world.api();
    let (_reader, reader) = world.worker_of(Service::Worker, &[&READING[..], &["--repository", &far]].concat());
    let backup = done(&api, "/backup", json!({ "database": "lucid" })).await.job_id;
    done(&api, "/verify", json!({ "backup": backup })).await;

    // A drill waits for who may restore, and it is said so.
    let drill = api.accepted("/verify", &json!({ "backup": backup, "level": "drill" }));
    let waits = api.await_job(&drill, WITHIN, |job| job.waiting_for.is_some()).await;
    let said = waits.waiting_for.unwrap_or_default();
    assert!(waits.state == "queued" && said.contains("restore, as a drill does"), "{said}");
    let (restoring, restorer) = world.worker_of(Service::Restore, &RESTORING);
    assert_eq!(api.succeeded(&drill).await.worker.as_deref(), Some(&*restorer));
    let beside = done(&api, "/restore", json!({ "backup": backup, "database": "copy" })).await;
    assert_eq!(beside.worker.as_deref(), Some(&*restorer));
    done(&api, "/restore", json!({ "backup": backup, "database": "copy", "replace": true })).await;
    let compared = lucid_sample::compare(&world.client(), "lucid", "copy").await.expect("compared");
    assert!(compared.is_empty(), "{compared:?}");

    let copied = done(&api, "/copy", json!({ "backup": backup, "to": "far" })).await;
    assert_eq!(copied.worker.as_deref(), Some(&*reader));
    done(&api, "/prune", json!({ "keep": { "last": 1 }, "repository": "main" })).await;
    done(&api, "/reencrypt", json!({ "repository": "main" })).await;
    steer(&api).await;
    // Nobody may restore any more, and that is told of the next drill, too.
    restoring.stop();
    api.accepted("/verify", &json!({ "backup": backup, "level": "drill" }));
    let rules = world.dir().join("rules.json");
    std::fs::write(&rules, r#"{ "no_worker": { "for_seconds": 0 } }"#).expect("written");
    let (_monitor, people, metrics) = monitor_with(&world, &["--rules-file", &rules.display().to_string()]);
    let monitors = Api::new(people.url.clone(), &world.token_file());
    watch(&monitors, &metrics).await;
    // What the upkeep of each does every quarter of a minute.
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert!(world.refused().is_empty(), "nothing was refused to any service");
}

/// Schedules, pauses, cancels and idempotency keys.
async fn steer(api: &Api) {
    let verb = |arguments: &[&str]| {
        let output = api.verb(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    verb(&["schedules", "set", "nightly", "--cron", "0 2 * * *", "--database", "lucid"]);
    verb(&["schedules", "run", "nightly"]);
    verb(&["schedules", "remove", "nightly"]);
    verb(&["queues", "pause", "backup"]);
    let key = [("idempotency-key", "\"once\"")];
    let ask = || api.call_with("POST", "/backup", Some(&json!({ "database": "lucid" })), &key);
    let (first, second) = (ask(), ask());
    assert_eq!((first.0, &first.1["job_id"]), (202, &second.1["job_id"]), "{first:?} {second:?}");
    let id = first.1["job_id"].as_str().expect("a job");
    verb(&["jobs", "cancel", id]);
    api.await_job(id, WITHIN, |job| job.state == "canceled").await;
    verb(&["queues", "resume", "backup"]);
    for path in ["/jobs", "/backups", "/workers", "/queues", "/schedules", "/jobs/audit", "/jobs/export"] {
        let (status, answer) = api.get(path);
        assert_eq!(status, 200, "{path}: {answer}");
    }
}

/// The monitor sees the set, the jobs and the sizes, and writes alerts and silences.
async fn watch(monitors: &Api, metrics: &Api) {
    until_scraped(
        metrics,
        &["mongodb_collection_size_bytes{database=\"lucid\"", "mongodb_replset_member_state{", "ops_workers_able{"],
    )
    .await;
    let silence =
        json!({ "matchers": [{ "on": "rule", "value": "member_down" }], "for_seconds": 600, "comment": "why" });
    let (status, made) = monitors.call("POST", "/silences", Some(&silence));
    assert_eq!(status, 201, "{made}");
    until("told who is missing", || {
        let (_, told) = monitors.get("/alerts");
        let alerts = told["alerts"].as_array().into_iter().flatten();
        let is_written = |alert: &&Value| alert["rule"] == "no_worker" && alert["labels"]["kind"] == "restore";
        alerts.clone().find(is_written).map(drop).ok_or_else(|| told.to_string())
    })
    .await;
}

async fn client(world: &World, service: Service) -> Client {
    Client::with_uri_str(world.uri_of(service)).await.expect("a client")
}

/// Runs a command that MongoDB must refuse for want of a right.
async fn refused(client: &Client, database: &str, command: Document) {
    let said = client.database(database).run_command(command.clone()).await.map(drop);
    let error = said.expect_err(&format!("{database}: {command}"));
    let code = match error.kind.as_ref() {
        mongodb::error::ErrorKind::Command(error) => error.code,
        other => panic!("{command}: {other:?}"),
    };
    assert_eq!(code, 13, "{command}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_services_business_is_refused_to_it() {
    let mut world = world().await;
    let ops = "lucid_ops";
    let event = doc! { "update": OPS, "updates": [{ "q": {}, "u": { "$set": { "x": 1 } } }] };
    let delete = |collection: &str| doc! { "delete": collection, "deletes": [{ "q": {}, "limit": 0 }] };
    let user = doc! { "createUser": "eve", "pwd": "x", "roles": ["root"] };
    let insert = doc! { "insert": "rows", "documents": [{ "_id": 1 }] };

    let api = client(&world, Service::Api).await;
    refused(&api, "lucid", doc! { "find": "rows" }).await;
    refused(&api, "lucid", insert.clone()).await;
    refused(&api, ops, delete(OPS)).await;
    refused(&api, ops, doc! { "drop": OPS }).await;
    refused(&api, ops, doc! { "dropDatabase": 1 }).await;
    refused(&api, ops, doc! { "collMod": OPS, "validationLevel": "off" }).await;
    refused(&api, ops, doc! { "collMod": "ops_events", "viewOn": "workers", "pipeline": [] }).await;
    let expiring = doc! { "name": "gone", "key": { "created_at": 1 }, "expireAfterSeconds": 0 };
    refused(&api, ops, doc! { "createIndexes": OPS, "indexes": [expiring] }).await;
    refused(&api, "admin", user.clone()).await;

    let worker = client(&world, Service::Worker).await;
    worker.database("lucid").run_command(doc! { "listCollections": 1 }).await.expect("it reads databases");
    refused(&worker, "lucid", insert.clone()).await;
    refused(&worker, "lucid", doc! { "update": "rows", "updates": [{ "q": {}, "u": { "$set": { "x": 1 } } }] }).await;
    refused(&worker, "lucid", delete("rows")).await;
    refused(&worker, "lucid", doc! { "drop": "rows" }).await;
    refused(&worker, "lucid", doc! { "create": "other" }).await;
    refused(&worker, "admin", user.clone()).await;

    let restore = client(&world, Service::Restore).await;
    refused(&restore, "admin", user.clone()).await;
    refused(&restore, "admin", doc! { "find": "system.users" }).await;
    let more = doc! { "grantRolesToUser": Service::Restore.user(), "roles": ["root"] };
    refused(&restore, "admin", more).await;

    let monitor = client(&world, Service::Monitor).await;
    refused(&monitor, "lucid", doc! { "find": "rows" }).await;
    refused(&monitor, "lucid", insert.clone()).await;
    refused(&monitor, "admin", user.clone()).await;

    let migration = client(&world, Service::Migration).await;
    migration.database("lucid").run_command(insert.clone()).await.expect("it changes what it is for");
    refused(&migration, "other", insert).await;
    refused(&migration, ops, event).await;
    refused(&migration, "admin", user).await;
    assert!(world.refused().len() > 15, "what is refused is seen in the logs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_the_rights_for_backups_cant_restore() {
    let mut world = world().await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker_of(Service::Worker, &[]);
    let backup = done(&api, "/backup", json!({ "database": "lucid" })).await.job_id;
    let id = api.accepted("/restore", &json!({ "backup": backup, "database": "copy" }));
    let ended = api.await_job(&id, WITHIN, |job| job.finished_at.is_some()).await;
    let error = serde_json::to_value(&ended).expect("JSON")["error"].clone();
    assert_eq!((ended.state.as_str(), &error["code"]), ("failed", &json!("mongodb_refuses")), "{ended:#?}");
    assert!(error["message"].as_str().is_some_and(|said| said.contains("deploy/privileges.md")), "{error}");
    let databases = world.client().list_database_names().await.expect("listed");
    assert!(!databases.contains(&"copy".to_owned()), "{databases:?}");
    assert!(!world.refused().is_empty(), "that is what was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_may_not_make_what_is_missing_says_who_does() {
    let mut world = world().await;
    world.client().database("lucid_ops").collection::<Document>("silences").drop().await.expect("dropped");
    let (_api_process, api) = world.api();
    let (_, health) = api.get("/health");
    let said = health.to_string();
    assert!(said.contains("silences") && said.contains("lucid-ops bootstrap"), "{said}");
    let told = users::bootstrap(&mut world.deployment);
    assert_eq!(
        world
            .client()
            .database("lucid_ops")
            .list_collection_names()
            .await
            .expect("listed")
            .iter()
            .filter(|name| *name == "silences")
            .count(),
        1,
        "{told}"
    );
    world.refused();
}

/// Each privilege of a role, alone.
fn singles(service: Service) -> Vec<(Resource, String)> {
    let all = privileges(service, &Places::default());
    all.iter().flat_map(|(resource, actions)| actions.iter().map(|action| (resource.clone(), action.clone()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_each_privilege_that_is_taken_away_and_each_that_is_too_many() {
    let world = world().await;
    let admin = world.client().database("admin");
    let change = async |verb: &str, service: Service, (resource, action): &(Resource, String)| {
        let privilege = doc! { "resource": resource.to_document(), "actions": [action] };
        admin.run_command(doc! { verb: service.role(), "privileges": [privilege] }).await.expect("changed");
    };
    for service in Service::ALL {
        let client = client(&world, service).await;
        let look = async || rights(&client, service, &Places::default()).await.expect("told");
        assert_eq!(look().await, Rights::default(), "{service:?} has what it needs, and no more");
        for single in singles(service) {
            change("revokePrivilegesFromRole", service, &single).await;
            let missing = look().await.missing;
            // What a wider resource still allows isn't missing.
            let wider = singles(service)
                .into_iter()
                .any(|other| other.1 == single.1 && other.0 != single.0 && other.0.covers(&single.0));
            let named = missing.get(&single.0).is_some_and(|actions| actions.iter().eq([&single.1]));
            assert!(named != wider && missing.len() == usize::from(!wider), "{service:?} {single:?}: {missing:?}");
            change("grantPrivilegesToRole", service, &single).await;
        }
        let more = (Resource::Database("other".into()), "dropDatabase".to_owned());
        if service != Service::Restore {
            change("grantPrivilegesToRole", service, &more).await;
            assert_eq!(look().await.superfluous, Privileges::from([(more.0.clone(), [more.1.clone()].into())]));
            change("revokePrivilegesFromRole", service, &more).await;
        }
    }
    // And the same as a verb, for people and programs.
    let doctor = |service: Service, more: &[&str]| {
        let arguments = [&["doctor", "--as", service.as_str(), "--json"], more].concat();
        let output = run(&arguments, &[("MONGODB_URI", &world.uri_of(service))]);
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).expect("JSON"))
    };
    let right = |report: &Value, about: &str, verdict: &str| {
        let findings = report["findings"].as_array().into_iter().flatten();
        let is_it = |finding: &&Value| finding["about"] == about && finding["verdict"] == verdict;
        findings.clone().find(is_it).map(|finding| finding["said"].to_string())
    };
    for service in Service::ALL.into_iter().filter(|service| *service != Service::Migration) {
        let (_, report) = doctor(service, &[]);
        assert!(right(&report, "rights", "right").is_some(), "{service:?}: {report}");
        assert!(
            right(&report, "snapshot window", "right").is_some() && right(&report, "oplog", "warning").is_some(),
            "{report}"
        );
    }
    let taken = (Resource::Any, "find".to_owned());
    change("revokePrivilegesFromRole", Service::Worker, &taken).await;
    let (code, report) = doctor(Service::Worker, &["--secret", &world.key_file()]);
    let said = right(&report, "right missing", "wrong").unwrap_or_default();
    assert!(code == Some(1) && said.contains("find on every database"), "{report}");
    assert!(right(&report, &format!("secret {}", world.key_file()), "right").is_some(), "{report}");
    assert!(!report.to_string().contains(&users::password(Service::Worker)), "no password is told");
}

#[test]
fn a_kind_that_no_worker_runs_is_refused_by_name() {
    for word in ["backups", "monitor", ""] {
        let output = run(&["worker", "--repository", "main=file:///nowhere", "--kinds", word], &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains("backup, restore, verify"), "{said}");
    }
}
