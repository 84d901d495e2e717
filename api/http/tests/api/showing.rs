//! Showing jobs, their events, and lists of them.

use crate::world::World;
use bson::DateTime;
use lucid_core::Command;
use lucid_ports::Store;
use lucid_schemas::{
    Kind, State,
    http::{BackupPage, BackupView, EventList, JobPage},
};
use serde_json::{Value, json};
use std::time::Duration;

fn parsed<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).expect("the documented shape")
}

#[actix_web::test]
async fn a_backup_is_found_by_a_prefix_that_fits_only_it() {
    let world = World::new().await;
    let id = world.good_backup().await;
    let verify = world.post("/verify", &json!({ "backup": id })).await.id();
    let shorter = &id.as_str()[.."backup_20250109_020000".len()];
    for prefix in [id.as_str(), shorter, "backup", "ba"] {
        let reply = world.get(&format!("/backup/{prefix}")).await;
        assert_eq!((reply.status, &reply.body["job_id"]), (200, &json!(id)), "{prefix}");
    }
    let view: BackupView = parsed(world.get(&format!("/backup/{id}")).await.body);
    assert_eq!((view.database.as_str(), view.consistent, view.documents), ("lucid", Some(true), Some(120_000)));
    assert_eq!(view.job.result.expect("a result")["snapshot_time"], json!({ "t": 5, "i": 6 }));
    // Jobs of other kinds are shown elsewhere.
    assert_eq!(world.get(&format!("/backup/{verify}")).await.status, 404);
    assert_eq!(world.get(&format!("/jobs/{verify}")).await.status, 200);
}

#[actix_web::test]
async fn a_prefix_that_fits_several_names_them() {
    let world = World::new().await;
    let (one, other) = (world.backup().await, world.backup().await);
    for reply in [world.get("/backup/backup_").await, world.get("/jobs/b").await, world.delete("/jobs/b").await] {
        assert_eq!((reply.status, reply.body["type"].as_str()), (409, Some("ambiguous-id")));
        let detail = reply.body["detail"].as_str().expect("a detail");
        assert!(detail.contains(one.as_str()) && detail.contains(other.as_str()), "{detail}");
    }
}

#[actix_web::test]
async fn what_does_not_exist_is_not_found() {
    let world = World::new().await;
    world.backup().await;
    for path in [
        "/jobs/backup_20200101_000000_0123456789",
        "/jobs/restore",
        "/backup/restore",
        "/jobs/..%2Fx",
        "/jobs/$where",
        "/jobs/backup_x/events",
    ] {
        let reply = world.get(path).await;
        assert_eq!((reply.status, reply.body["type"].as_str()), (404, Some("not-found")), "{path}");
    }
}

#[actix_web::test]
async fn lists_are_paged_newest_first() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.good_backup().await.to_string());
        world.store.twin.advance(Duration::from_secs(1));
    }
    world.post("/verify", &json!({ "backup": ids[0] })).await;
    let mut seen = Vec::new();
    let mut path = "/backups?limit=2".to_owned();
    loop {
        let page: BackupPage = parsed(world.get(&path).await.body);
        seen.extend(page.backups.into_iter().map(|backup| backup.job.job_id));
        match page.next {
            Some(next) => path = format!("/backups?limit=2&after={next}"),
            None => break,
        }
    }
    assert!(seen.iter().eq(ids.iter().rev()), "{seen:?}");
    let all: JobPage = parsed(world.get("/jobs").await.body);
    assert_eq!((all.jobs.len(), all.next), (6, None));
    let some: JobPage = parsed(world.get("/jobs?kind=verify&state=queued").await.body);
    assert_eq!(some.jobs.len(), 1);
    let none: JobPage = parsed(world.get("/jobs?kind=restore").await.body);
    assert_eq!(none.jobs.len(), 0);
}

#[actix_web::test]
async fn a_page_goes_on_though_the_last_job_of_the_one_before_is_gone() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.backup().await.to_string());
        world.store.twin.advance(Duration::from_secs(1));
    }
    let first: JobPage = parsed(world.get("/jobs?limit=2").await.body);
    let next = first.next.expect("there is more");
    let older = world.get(&format!("/jobs?after={}", ids[1])).await;
    assert_eq!(older.body["jobs"].as_array().map(Vec::len), Some(1), "an id alone will do, as before");
    world.delete(&format!("/jobs/{}", ids[1])).await;
    world.store.twin.advance(Duration::from_secs(1));
    let forgotten = world.store.forget(Kind::Backup, State::Canceled, 0, 9).await.expect("forgotten");
    assert_eq!(forgotten, 1);
    let second: JobPage = parsed(world.get(&format!("/jobs?limit=2&after={next}")).await.body);
    let shown: Vec<_> = second.jobs.iter().map(|job| job.job_id.as_str()).collect();
    assert_eq!((shown, second.next), (vec![ids[0].as_str()], None));
}

#[actix_web::test]
async fn a_job_shows_what_it_was_asked_for_with_and_why_it_was_canceled() {
    let world = World::new().await;
    let first = world.backup().await;
    let in_an_hour = world.store.twin.now().timestamp_millis() / 1_000 * 1_000 + 3_600_123;
    let run_at = DateTime::from_millis(in_an_hour).try_to_rfc3339_string().expect("a time");
    let asked = json!({ "database": "lucid", "job": {
        "after": first, "on": "failed", "labels": ["nvme"], "unique_key": "nightly", "timeout_seconds": 60, "priority": 3,
    } });
    let job = world.post("/backup", &asked).await.body;
    assert_eq!((&job["after"], &job["on"]), (&json!(first), &json!("failed")), "{job}");
    assert_eq!(
        (&job["labels"], &job["unique_key"], &job["timeout_seconds"]),
        (&json!(["nvme"]), &json!("nightly"), &json!(60))
    );
    let id = job["job_id"].as_str().expect("an id").parse().expect("an id");
    let settle = Command::Settle { dependency: Some(State::Succeeded), result: None };
    world.store.act(&id, &settle).await;
    let canceled = world.get(&format!("/jobs/{id}")).await.body;
    assert_eq!((&canceled["state"], &canceled["after"]), (&json!("canceled"), &json!(first)));
    let why = canceled["canceled"].as_str().expect("why");
    assert!(
        why.contains(first.as_str()) && why.contains("ended as succeeded") && why.contains("if it failed"),
        "{why}"
    );

    let later = world.post("/backup", &json!({ "database": "lucid", "job": { "run_at": run_at } })).await.body;
    assert_eq!(later["run_at"].as_str(), Some(run_at.as_str()), "to the millisecond");
    let later = later["job_id"].as_str().expect("an id");
    let ended = world.delete(&format!("/jobs/{later}")).await.body;
    assert_eq!(ended["canceled"], "token:local@pi-1 asked for its end");
    let past = json!({ "database": "lucid", "job": { "run_at": "1999-01-09T02:00:00Z" } });
    let past = world.post("/backup", &past).await.body;
    assert_eq!(past["run_at"], past["created_at"], "due at once, and before nobody who asked earlier");
}

#[actix_web::test]
async fn the_life_of_a_job_is_told_in_order() {
    let world = World::new().await;
    let id = world.good_backup().await;
    let list: EventList = parsed(world.get(&format!("/jobs/{id}/events")).await.body);
    assert_eq!(list.job_id, id.to_string());
    let told: Vec<_> = list.events.iter().map(|event| (event.seq, event.kind.as_str())).collect();
    assert_eq!(told, [(1, "enqueued"), (2, "claimed"), (3, "succeeded")]);
    assert_eq!(
        list.events[1].data,
        json!({ "epoch": 1, "attempt": 1, "slots": ["cluster#63", "database:lucid#7", "repository:id-of-main#31"], "takeover": false })
    );
    assert!(list.events.iter().all(|event| event.at.ends_with('Z') && event.at.len() == 24));
}

#[actix_web::test]
async fn workers_are_shown_with_what_they_have_counted() {
    let world = World::new().await;
    world.worker(&["main"]).await;
    let shown = world.get("/workers").await.body;
    let worker = &shown["workers"][0];
    assert_eq!((worker["capacity"].as_i64(), worker["repositories"][0].as_str()), (Some(2), Some("main")), "{shown}");
    assert_eq!(worker["counts"], serde_json::json!({ "claim_attempts": 12, "claimed": 10 }), "{shown}");
}
