//! How the service is.

use crate::world::{World, failure};
use actix_web::http::Method;
use lucid_core::Command;
use std::sync::atomic::Ordering;

fn problems(body: &serde_json::Value) -> String {
    body["problems"].to_string()
}

#[actix_web::test]
async fn a_service_with_a_worker_and_a_monitor_is_healthy() {
    let world = World::new().await;
    world.worker(&["main"]).await;
    world.evaluated().await;
    world.backup().await;
    let reply = world.get("/health").await;
    assert_eq!((reply.status, reply.body["status"].as_str()), (200, Some("healthy")), "{}", reply.body);
    assert!(reply.body["evaluated_at"].is_string(), "{}", reply.body);
    assert_eq!(reply.body["open_jobs"]["queued"], 1);
    assert_eq!(reply.body["workers"][0]["repositories"][0], "main");
    assert_eq!(world.send(Method::HEAD, "/health", &[], b"").await.status, 200);
}

#[actix_web::test]
async fn a_monitor_holds_its_job_for_long_and_is_alive() {
    let world = World::new().await;
    world.evaluated().await;
    world.store.twin.advance(std::time::Duration::from_secs(20));
    world.worker(&["main"]).await;
    world.monitor().await;
    let reply = world.get("/health").await;
    assert_eq!(reply.body["status"], "healthy", "{}", reply.body);
    assert_eq!(reply.body["workers"].as_array().map(Vec::len), Some(1), "it runs no job that anybody asks for");
}

#[actix_web::test]
async fn without_a_monitor_nobody_knows() {
    let world = World::new().await;
    world.worker(&["main"]).await;
    let reply = world.get("/health").await;
    assert_eq!((reply.status, reply.body["status"].as_str()), (503, Some("unknown")));
    assert!(problems(&reply.body).contains("start `lucid-ops monitor`"), "{}", reply.body);
    world.evaluated().await;
    assert_eq!(world.get("/health?fail=degraded").await.status, 200);
    world.store.twin.advance(std::time::Duration::from_secs(100));
    world.worker(&["main"]).await;
    let reply = world.get("/health").await;
    assert_eq!((reply.status, reply.body["status"].as_str()), (503, Some("unknown")));
    assert!(problems(&reply.body).contains("has said nothing for 10"), "{}", reply.body);
}

#[actix_web::test]
async fn what_somebody_should_look_at_is_named() {
    let world = World::new().await;
    world.evaluated().await;
    let reply = world.get("/health").await;
    assert_eq!((reply.status, reply.body["status"].as_str()), (200, Some("degraded")));
    assert_eq!(world.get("/health?fail=degraded").await.status, 503);
    assert!(problems(&reply.body).contains("no worker is alive"));
    world.worker(&["offsite"]).await;
    let blocked = world.backup().await;
    let epoch = world.commit(&blocked).await;
    let fail = Command::Fail { epoch, error: failure(false), retry_in_ms: 0, out_of_time: false };
    world.store.act(&blocked, &fail).await;
    world.backup().await;
    world.backup().await;
    let body = world.get("/health").await.body;
    assert!(problems(&body).contains(&format!("{blocked} is blocked past its point of no return: the disk is full")));
    assert!(problems(&body).contains("2 queued jobs wait: no live worker reaches repository 'main'"), "{body}");
}

#[actix_web::test]
async fn what_a_worker_says_of_itself_is_told() {
    let world = World::new().await;
    world.evaluated().await;
    world.worker_with(&["main"], &["repository 'main' is away: mount it"]).await;
    let body = world.get("/health").await.body;
    assert_eq!(body["status"], "degraded");
    assert!(problems(&body).contains("worker w: repository 'main' is away: mount it"), "{body}");
    let listed = world.get("/workers").await.body;
    assert_eq!(listed["workers"][0]["problems"][0], "repository 'main' is away: mount it");
}

#[actix_web::test]
async fn of_a_service_without_its_store_nobody_knows() {
    let world = World::new().await;
    world.store.away.store(true, Ordering::SeqCst);
    let reply = world.get("/health").await;
    assert_eq!((reply.status, reply.body["status"].as_str()), (503, Some("unknown")));
    assert!(problems(&reply.body).contains("no primary"));
}

#[actix_web::test]
async fn a_held_job_without_a_live_worker_is_named() {
    let world = World::new().await;
    let id = world.backup().await;
    world.claim(&id).await;
    assert!(!problems(&world.get("/health").await.body).contains("isn't alive"), "it may not have said so yet");
    world.store.twin.advance(std::time::Duration::from_secs(20));
    let body = world.get("/health").await.body;
    assert!(problems(&body).contains(&format!("{id} is running and held by ")), "{body}");
    world.state.problems.set("index", "the index 'unique_key' is missing");
    let body = world.get("/health").await.body;
    assert!(problems(&body).contains("the index 'unique_key' is missing"), "{body}");
}

#[actix_web::test]
async fn a_process_lives_whatever_it_reaches_and_is_ready_while_it_reaches_its_store() {
    let world = World::new().await;
    for path in ["/livez", "/readyz"] {
        let reply = world.anonymous(Method::GET, path, &[], b"").await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        assert_eq!(world.send(Method::HEAD, path, &[], b"").await.status, 200, "{path}");
    }
    world.store.away.store(true, Ordering::SeqCst);
    assert_eq!(world.get("/livez").await.status, 200, "starting it anew would mend nothing");
    let reply = world.get("/readyz").await;
    assert_eq!(reply.status, 503);
    assert!(reply.body.to_string().contains("no primary"), "{}", reply.body);
    world.store.away.store(false, Ordering::SeqCst);
    assert_eq!(world.get("/readyz").await.status, 200);
}
