//! Asking for backups, restores and verifications.

use crate::world::World;
use bson::DateTime;
use lucid_ports::{Enqueue, Store};
use lucid_schemas::{ConcurrencyKey, Fate, FateState, JobId, Kind, Request, Spec, VerifyLevel};
use serde_json::json;

/// The body of the mission's own example.
const MISSION: &str = r#"{
    "database": "lucid",
    "collections": ["sessions", "authentication"],
    "compression": true,
    "encryption": true
  }"#;

#[actix_web::test]
async fn the_missions_own_request_makes_a_job() {
    let world = World::new().await;
    let reply = world.post_text("/backup", MISSION).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    let id = reply.id();
    assert_eq!(reply.header("location"), format!("/backup/{id}"));
    assert!(id.as_str().starts_with("backup_20"), "{id}");
    assert_eq!(reply.body["state"], "queued");
    assert_eq!(reply.body["requested_by"], "token:local@pi-1");
    let job = world.store.load(&id).await.expect("read").expect("the job");
    let Spec::Backup(spec) = &job.request.spec else { panic!("another kind") };
    assert_eq!(spec.collections.as_deref(), Some(["sessions", "authentication"].map(String::from).as_slice()));
    assert!(spec.compression && spec.encryption);
    let repository = job.request.requires.repository.expect("a repository");
    assert_eq!((repository.name.as_str(), repository.id.as_str()), ("main", "id-of-main"));
    assert_eq!(job.request.max_attempts, 5);
}

#[actix_web::test]
async fn defaults_come_from_the_configuration() {
    let mut world = World::new().await;
    world.state.options.compression_default = false;
    world.state.options.encryption_default = false;
    let reply = world.post("/backup", &json!({ "database": "lucid" })).await;
    assert_eq!(reply.body["spec"]["compression"], false);
    assert_eq!(reply.body["spec"]["encryption"], false);
    let reply = world.post("/backup", &json!({ "database": "lucid", "compression": true })).await;
    assert_eq!(reply.body["spec"]["compression"], true);
}

#[actix_web::test]
async fn what_is_not_there_is_not_backed_up() {
    let world = World::new().await;
    for (body, field, word) in [
        (json!({ "database": "unknown" }), "database", "no database 'unknown'"),
        // Leftovers of a restore that broke off are nothing to copy.
        (json!({ "database": "crashed" }), "database", "no database 'crashed'"),
        (json!({ "database": "lucid", "collections": ["sessions", "sesions"] }), "collections[1]", "'sesions'"),
        (json!({ "database": "lucid", "repository": "offsite" }), "repository", "known: main"),
    ] {
        let reply = world.post("/backup", &body).await;
        assert_eq!((reply.status, reply.blamed()), (422, vec![field]), "{body}");
        assert!(reply.body["detail"].as_str().expect("a detail").contains(word), "{}", reply.body);
    }
    assert_eq!(world.jobs().await, 0);
}

#[actix_web::test]
async fn all_that_is_wrong_is_said_at_once() {
    let world = World::new().await;
    let body = json!({ "database": "lucid", "collections": ["a$b", "sessions", "nope"], "repository": "x" });
    let reply = world.post("/backup", &body).await;
    assert_eq!(reply.blamed(), ["collections[0]", "collections[2]", "repository"]);
}

#[actix_web::test]
async fn a_restore_goes_to_where_it_hurts_nobody() {
    let world = World::new().await;
    let id = world.good_backup().await;
    let reply = world.post("/restore", &json!({ "backup": id, "database": "lucid_restored" })).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    assert_eq!(reply.header("location"), format!("/jobs/{}", reply.id()));
    let job = world.store.load(&reply.id()).await.expect("read").expect("the job");
    let Spec::Restore(spec) = &job.request.spec else { panic!("another kind") };
    assert_eq!((spec.manifest.key.as_str(), spec.manifest.hash.as_str()), ("manifests/x", "ff"));
    assert_eq!((&spec.backup, spec.replace, spec.dry_run), (&id, false, false));
    // The database of the backup exists; so does its name as the default.
    for body in [json!({ "backup": id }), json!({ "backup": id, "database": "lucid", "replace": false })] {
        let reply = world.post("/restore", &body).await;
        assert_eq!((reply.status, reply.blamed()), (422, vec!["database"]), "{body}");
        assert!(reply.body["detail"].as_str().expect("a detail").contains("replace: true"));
    }
    let reply = world.post("/restore", &json!({ "backup": id, "replace": true })).await;
    assert_eq!((reply.status, reply.body["spec"]["database"].as_str()), (202, Some("lucid")));
    let reply = world.post("/restore", &json!({ "backup": id, "database": "crashed" })).await;
    assert_eq!(reply.status, 202, "leftovers of a restore don't make a database: {}", reply.body);
}

#[actix_web::test]
async fn a_restore_is_of_a_good_backup_and_of_what_is_in_it() {
    let world = World::new().await;
    let good = world.good_backup().await;
    let running = world.backup().await;
    let verify = world.post("/verify", &json!({ "backup": good })).await.id();
    let before = world.jobs().await;
    let to = "elsewhere";
    for (body, field) in [
        (json!({ "backup": "backup_20200101_000000_0123456789", "database": to }), "backup"),
        (json!({ "backup": "../x", "database": to }), "backup"),
        (json!({ "backup": "", "database": to }), "backup"),
        // Fits both backups.
        (json!({ "backup": "backup_", "database": to }), "backup"),
        (json!({ "backup": running, "database": to }), "backup"),
        (json!({ "backup": verify, "database": to }), "backup"),
        (json!({ "backup": good, "database": to, "collections": ["sessions", "absent"] }), "collections[1]"),
        (json!({ "backup": good, "database": to, "collections": [] }), "collections"),
        (json!({ "backup": good, "database": "admin", "replace": true }), "database"),
        (json!({ "backup": good, "database": "LOCAL", "replace": true }), "database"),
        (json!({ "backup": good, "database": "config", "replace": true }), "database"),
        (json!({ "backup": good, "database": "Lucid_Ops", "replace": true }), "database"),
    ] {
        let reply = world.post("/restore", &body).await;
        assert_eq!((reply.status, reply.blamed()), (422, vec![field]), "{body}: {}", reply.body);
    }
    assert_eq!(world.jobs().await, before);
    let views_too = json!({ "backup": good, "database": to, "collections": ["recent"] });
    assert_eq!(world.post("/restore", &views_too).await.status, 202);
}

#[actix_web::test]
async fn a_backup_that_is_no_more_is_told_as_such_and_asked_of_nothing() {
    let world = World::new().await;
    let id = world.good_backup().await;
    let at = DateTime::from_millis(1_736_388_000_000);
    let fate = Fate { state: FateState::Forgotten, at, by: "prune_7".into(), reason: "no rule keeps it".into() };
    world.store.note_fate(&id, &fate).await.expect("noted");
    let before = world.jobs().await;
    for (path, body) in [
        ("/restore", json!({ "backup": id, "database": "elsewhere" })),
        ("/verify", json!({ "backup": id })),
        ("/copy", json!({ "backup": id, "to": "main" })),
    ] {
        let reply = world.post(path, &body).await;
        let kind = reply.body["type"].as_str();
        assert_eq!((reply.status, kind), (410, Some("backup-forgotten")), "{path}: {}", reply.body);
        let detail = reply.body["detail"].as_str().expect("a detail");
        assert!(detail.contains("by prune_7 at 2025-01-09T02:00:00Z: no rule keeps it"), "{detail}");
    }
    assert_eq!(world.jobs().await, before);
    let (state, at) = ("forgotten", "2025-01-09T02:00:00.000Z");
    let told = json!({ "state": state, "at": at, "by": "prune_7", "reason": "no rule keeps it" });
    assert_eq!(world.get(&format!("/jobs/{id}")).await.body["fate"], told);
    assert_eq!(world.get("/backups").await.body["backups"][0]["fate"], told);
    assert_eq!(world.get(&format!("/jobs/{id}")).await.body["state"], "succeeded", "that it was made stays true");
}

#[actix_web::test]
async fn a_verification_is_deep_unless_told_otherwise() {
    let world = World::new().await;
    let id = world.good_backup().await;
    for (body, level) in [
        (json!({ "backup": id }), VerifyLevel::Data),
        (json!({ "backup": id, "level": "data" }), VerifyLevel::Data),
        (json!({ "backup": id, "level": "structure" }), VerifyLevel::Structure),
    ] {
        let reply = world.post("/verify", &body).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        let job = world.store.load(&reply.id()).await.expect("read").expect("the job");
        assert!(matches!(job.request.spec, Spec::Verify(spec) if spec.level == level), "{body}");
    }
    let reply = world.post("/verify", &json!({ "backup": id, "level": "deep" })).await;
    assert_eq!((reply.status, reply.blamed()), (422, vec!["level"]));
}

#[actix_web::test]
async fn a_job_says_what_it_waits_for() {
    let world = World::new().await;
    let id = world.backup().await;
    let waiting = async || {
        let job = world.get(&format!("/jobs/{id}")).await.body;
        job["waiting_for"].as_str().unwrap_or_default().to_owned()
    };
    assert!(waiting().await.starts_with("no worker is alive"), "{}", waiting().await);
    world.worker(&["offsite"]).await;
    assert!(waiting().await.contains("no live worker reaches repository 'main'"), "{}", waiting().await);
    world.worker(&["main"]).await;
    assert_eq!(waiting().await, "a worker is about to take it");
    world.claim(&id).await;
    assert_eq!(waiting().await, "");
}

#[actix_web::test]
async fn a_job_says_who_has_what_it_needs_to_itself() {
    let world = World::new().await;
    world.worker(&["main"]).await;
    let id = world.backup().await;
    world.claim(&id).await;
    let like = world.store.load(&id).await.expect("read").expect("the job").request;
    let wants = async |chance, key| {
        let id = JobId::compose(Kind::Backup, DateTime::now(), chance);
        let request = Request { id: id.clone(), unique_key: None, keys: vec![key], ..like.clone() };
        world
            .store
            .enqueue(&Enqueue { request, delay_ms: 0, run_at: None, write: format!("w{chance}") })
            .await
            .expect("enqueued");
        world.get(&format!("/jobs/{id}")).await.body["waiting_for"].as_str().unwrap_or_default().to_owned()
    };
    let database = || ConcurrencyKey::database("lucid");
    let said = wants(1, ConcurrencyKey::exclusive(database())).await;
    assert_eq!(said, format!("until it has database:lucid to itself: {id} must end first"));
    let shares = wants(2, ConcurrencyKey::shared(database())).await;
    assert_eq!(shares, "a worker is about to take it");
    let other = wants(3, ConcurrencyKey::exclusive(ConcurrencyKey::database("other"))).await;
    assert_eq!(other, "a worker is about to take it");
}
