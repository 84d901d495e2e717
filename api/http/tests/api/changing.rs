//! Ending jobs and letting them go on, from any node.

use crate::world::{World, failure};
use lucid_core::Command;
use lucid_http::ApiState;
use lucid_ports::Store;
use lucid_schemas::EventBody;
use serde_json::json;

fn claim() -> Command {
    Command::Claim { worker: "w".into(), lease_ms: 30_000, slots: Vec::new() }
}

#[actix_web::test]
async fn a_queued_job_is_canceled_at_once() {
    let world = World::new().await;
    let id = world.backup().await;
    let reply = world.delete(&format!("/backup/{id}")).await;
    assert_eq!((reply.status, reply.body["state"].as_str()), (202, Some("canceled")));
}

#[actix_web::test]
async fn a_running_job_is_canceled_through_another_node_and_asking_twice_is_asking_once() {
    let world = World::new().await;
    let id = world.backup().await;
    world.claim(&id).await;
    let mut options = world.state.options.clone();
    options.node = "pi-2".into();
    let elsewhere = World { store: world.store.clone(), state: ApiState { options, ..world.state.clone() } };
    let first = elsewhere.delete(&format!("/backup/{id}")).await;
    assert_eq!((first.status, first.body["state"].as_str()), (202, Some("canceling")));
    let second = world.delete(&format!("/jobs/{id}")).await;
    assert_eq!((second.status, &second.body), (202, &first.body));
    let events = world.get(&format!("/jobs/{id}/events")).await.body;
    assert_eq!(events["events"][2]["type"], "cancel_requested");
    assert_eq!(events["events"][2]["by"], "token:local@pi-2");
    assert_eq!(events["events"].as_array().map(Vec::len), Some(3));
}

#[actix_web::test]
async fn a_cancel_meets_the_job_as_it_is_now() {
    let world = World::new().await;
    let id = world.backup().await;
    // A worker claims between the read and the write.
    world.store.others.lock().expect("unpoisoned").push(claim());
    let reply = world.delete(&format!("/backup/{id}")).await;
    assert_eq!((reply.status, reply.body["state"].as_str()), (202, Some("canceling")));
    // The worker finishes between the read and the write.
    let id = world.backup().await;
    let epoch = world.claim(&id).await;
    let result = crate::store::backup_result();
    world.store.others.lock().expect("unpoisoned").push(Command::Succeed { epoch, result });
    let reply = world.delete(&format!("/backup/{id}")).await;
    assert_eq!((reply.status, reply.body["type"].as_str()), (409, Some("already-ended")));
}

#[actix_web::test]
async fn what_cannot_be_canceled_says_why() {
    let world = World::new().await;
    let ended = world.good_backup().await;
    let committing = world.backup().await;
    world.commit(&committing).await;
    for (id, kind) in [(ended, "already-ended"), (committing, "past-point-of-no-return")] {
        let before = world.get(&format!("/jobs/{id}")).await.body;
        for path in [format!("/backup/{id}"), format!("/jobs/{id}")] {
            let reply = world.delete(&path).await;
            assert_eq!((reply.status, reply.body["type"].as_str()), (409, Some(kind)), "{}", reply.body);
        }
        assert_eq!(world.get(&format!("/jobs/{id}")).await.body, before);
    }
}

#[actix_web::test]
async fn only_a_backup_is_canceled_as_one() {
    let world = World::new().await;
    let id = world.good_backup().await;
    let verify = world.post("/verify", &json!({ "backup": id })).await.id();
    assert_eq!(world.delete(&format!("/backup/{verify}")).await.status, 404);
    let reply = world.delete(&format!("/jobs/{verify}")).await;
    assert_eq!((reply.status, reply.body["state"].as_str()), (202, Some("canceled")));
}

#[actix_web::test]
async fn a_blocked_job_goes_on_when_an_operator_says_so() {
    let world = World::new().await;
    let id = world.backup().await;
    let resume = format!("/jobs/{id}/resume");
    let reply = world.post_text(&resume, "").await;
    assert_eq!((reply.status, reply.body["type"].as_str()), (409, Some("wrong-state")));
    let epoch = world.commit(&id).await;
    let fail = Command::Fail { epoch, error: failure(false), retry_in_ms: 0, out_of_time: false };
    world.store.act(&id, &fail).await;
    let blocked = world.get(&format!("/jobs/{id}")).await.body;
    assert_eq!(blocked["state"], "blocked");
    assert!(blocked["waiting_for"].as_str().expect("a hint").contains(&format!("jobs resume {id}")));
    let reply = world.post_text(&resume, "").await;
    assert_eq!((reply.status, reply.body["state"].as_str()), (202, Some("committing")));
}

#[actix_web::test]
async fn a_blocked_job_is_given_up_when_an_operator_says_so() {
    let world = World::new().await;
    let good = world.good_backup().await;
    let id = world.post("/restore", &json!({ "backup": good, "replace": true })).await.id();
    let give_up = format!("/jobs/{id}/give-up");
    let early = world.post(&give_up, &json!({})).await;
    assert_eq!((early.status, early.body["type"].as_str()), (409, Some("wrong-state")), "{}", early.body);
    let job = world.store.load(&id).await.expect("read").expect("there");
    let slots = lucid_core::slots::lacking(&job);
    world.store.act(&id, &Command::Claim { worker: "w".into(), lease_ms: 30_000, slots }).await;
    let fact = EventBody::SwapStarted { entries: 2, list_hash: "h".into() };
    world.store.act(&id, &Command::Commit { epoch: 1, fact }).await;
    let error = failure(false);
    world.store.act(&id, &Command::Fail { epoch: 1, error, retry_in_ms: 0, out_of_time: false }).await;
    let blocked = world.get(&format!("/jobs/{id}")).await.body;
    assert!(blocked["waiting_for"].as_str().expect("a hint").contains(&format!("jobs give-up {id}")), "{blocked}");

    // Another restore there would wait for ever; what only looks, and what goes elsewhere, is taken.
    let again = world.post("/restore", &json!({ "backup": good, "replace": true })).await;
    assert_eq!((again.status, again.body["type"].as_str()), (409, Some("excluded")), "{}", again.body);
    assert!(again.body["detail"].as_str().expect("a detail").contains(id.as_str()), "{}", again.body);
    for body in
        [json!({ "backup": good, "database": "beside" }), json!({ "backup": good, "replace": true, "dry_run": true })]
    {
        assert_eq!(world.post("/restore", &body).await.status, 202, "{body}");
    }

    let odd = world.post(&give_up, &json!({ "reason": "two\nlines" })).await;
    assert_eq!(odd.status, 422, "{}", odd.body);
    for _ in 0..2 {
        let reply = world.post(&give_up, &json!({ "reason": "the other one counts" })).await;
        assert_eq!((reply.status, reply.body["state"].as_str()), (202, Some("canceling")), "{}", reply.body);
    }
    let events = world.get(&format!("/jobs/{id}/events")).await.body;
    let last = events["events"].as_array().and_then(|events| events.last()).expect("events");
    assert_eq!((&last["type"], &last["data"]["reason"]), (&json!("given_up"), &json!("the other one counts")));
}

#[actix_web::test]
async fn what_waited_for_a_backup_is_asked_for_again_as_it_would_be_now() {
    let world = World::new().await;
    world.store.bind_repository(&crate::world::repository("offsite")).await.expect("bound");
    let asks = [("/verify", json!({})), ("/copy", json!({ "to": "offsite" }))];
    for (path, mut body) in asks {
        let backup = world.backup().await;
        body["backup"] = json!(backup);
        let waiting = world.post(path, &body).await.id();
        let ended = world.delete(&format!("/jobs/{waiting}")).await;
        assert_eq!(ended.body["state"], "canceled", "{}", ended.body);
        let early = world.post_text(&format!("/jobs/{waiting}/retry"), "").await;
        assert_eq!((early.status, &early.body["after"]), (202, &json!(backup)), "{}", early.body);
        world.succeed(&backup).await;
        let late = world.post_text(&format!("/jobs/{waiting}/retry"), "").await;
        assert_eq!((late.status, late.body["state"].as_str()), (202, Some("queued")), "{}", late.body);
        assert!(late.body["spec"]["manifest"]["key"].is_string(), "{}", late.body);
    }
}

#[actix_web::test]
async fn a_key_of_a_request_is_none_of_a_schedule() {
    let world = World::new().await;
    let body = json!({ "database": "lucid", "job": { "unique_key": "schedule/nightly" } });
    let id = world.post("/backup", &body).await.id();
    let stored = world.store.twin.document(&id).expect("stored");
    assert_eq!(stored.get_str("unique_key").ok(), Some("user/schedule/nightly"));
    let twice = world.post("/backup", &body).await;
    assert_eq!(twice.status, 409);
    assert!(twice.body["detail"].as_str().is_some_and(|said| said.contains("'schedule/nightly'")), "{}", twice.body);
}
