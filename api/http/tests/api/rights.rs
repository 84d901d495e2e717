//! What may be done without the API's token, and what may not.

use crate::{
    errors::is_problem,
    world::{TOKEN, World},
};
use actix_web::http::Method;
use lucid_ports::{Enqueue, Store};
use lucid_schemas::{JobId, Kind, Request};
use serde_json::{Value, json};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[actix_web::test]
async fn an_account_without_the_token_changes_nothing_that_is_there() {
    let world = World::new().await;
    let good = world.good_backup().await;
    let open = world.backup().await;
    let before = world.jobs().await;
    let schedule = json!({ "name": "nightly", "cron": "0 2 * * *", "spec": { "database": "lucid" } });
    let asked: Vec<(Method, String, Option<Value>)> = vec![
        (Method::POST, "/restore".into(), Some(json!({ "backup": good, "replace": true }))),
        (Method::POST, "/restore".into(), Some(json!({ "backup": good, "database": "beside" }))),
        (Method::POST, "/prune".into(), Some(json!({ "keep": { "last": 1 }, "at_once": true }))),
        (Method::POST, "/copy".into(), Some(json!({ "to": "main" }))),
        (Method::POST, "/reencrypt".into(), Some(json!({}))),
        (Method::POST, "/verify".into(), Some(json!({ "backup": good, "level": "drill" }))),
        (Method::POST, "/backup".into(), Some(json!({ "database": "lucid", "encryption": false }))),
        (Method::DELETE, format!("/backup/{open}"), None),
        (Method::DELETE, format!("/jobs/{open}"), None),
        (Method::POST, format!("/jobs/{open}/resume"), None),
        (Method::POST, format!("/jobs/{open}/give-up"), Some(json!({ "reason": "mine counts" }))),
        (Method::POST, "/queues/backup/pause".into(), Some(json!({}))),
        (Method::POST, "/queues/backup/resume".into(), None),
        (Method::POST, "/schedules".into(), Some(schedule.clone())),
        (Method::PUT, "/schedules/nightly".into(), Some(schedule)),
        (Method::DELETE, "/schedules/nightly".into(), None),
        (Method::POST, "/schedules/nightly/pause".into(), None),
        (Method::POST, "/schedules/nightly/resume".into(), None),
        (Method::POST, "/schedules/nightly/run".into(), None),
    ];
    for (method, path, body) in asked {
        let text = body.map(|body| body.to_string()).unwrap_or_default();
        let reply = world.anonymous(method.clone(), &path, &JSON, text.as_bytes()).await;
        is_problem(&reply, 401, &format!("{method} {path} {text}"));
    }
    assert_eq!(world.jobs().await, before);
    assert_eq!(world.get(&format!("/jobs/{open}")).await.body["state"], "queued");
    assert_eq!(world.get("/schedules").await.body["schedules"], json!([]));
}

#[actix_web::test]
async fn a_refusal_says_where_the_token_is_and_never_what_it_is() {
    let world = World::new().await;
    let shown = format!("Bearer {TOKEN}");
    let headers: [&[(&str, &str)]; 6] = [
        &[],
        &[("authorization", "Bearer guessed")],
        &[("authorization", "Bearer ")],
        // A proxy's own password is none of ours.
        &[("authorization", "Basic guessed")],
        &[("authorization", TOKEN)],
        &[("authorization", &shown), ("authorization", "Bearer guessed")],
    ];
    for headers in headers {
        let reply = world.anonymous(Method::POST, "/queues/backup/resume", headers, b"").await;
        is_problem(&reply, 401, &format!("{headers:?}"));
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        let said = reply.body.to_string();
        assert!(said.contains("/run/lucid-ops/token") && said.contains("Authorization: Bearer"), "{said}");
        assert!(!said.contains("guessed") && !said.contains(TOKEN), "{said}");
    }
    let basic = [("authorization", "Basic bHVjaWQ6c2VjcmV0")];
    assert_eq!(world.anonymous(Method::GET, "/jobs", &basic, b"").await.status, 200);
}

#[actix_web::test]
async fn what_was_asked_for_without_the_token_is_taken_back_without_it_and_nothing_else() {
    let world = World::new().await;
    let good = world.good_backup().await;
    let own = ask(&world, "/backup", &json!({ "database": "lucid" })).await;
    assert_eq!(world.get(&format!("/jobs/{own}")).await.body["requested_by"], "anonymous:pi-1");
    let proof = ask(&world, "/verify", &json!({ "backup": good })).await;
    for path in [format!("/backup/{own}"), format!("/jobs/{proof}")] {
        let reply = world.anonymous(Method::DELETE, &path, &[], b"").await;
        assert_eq!((reply.status, reply.body["state"].as_str()), (202, Some("canceled")), "{path}: {}", reply.body);
    }
    // With the token one may end what anybody asked for.
    let other = ask(&world, "/backup", &json!({ "database": "lucid" })).await;
    assert_eq!(world.delete(&format!("/backup/{other}")).await.status, 202);
    // The previous program didn't say who had asked.
    for by in ["api:pi-1", "schedule:nightly", "token:local@pi-1 for schedule:nightly", "", "Anonymous:pi-1"] {
        let job = signed(&world, by).await;
        let reply = world.anonymous(Method::DELETE, &format!("/jobs/{job}"), &[], b"").await;
        is_problem(&reply, 401, by);
        assert!(reply.body["detail"].as_str().expect("a detail").contains(job.as_str()), "{}", reply.body);
        assert_eq!(world.get(&format!("/jobs/{job}")).await.body["state"], "queued");
    }
    // Nobody says in a body who he is.
    let body = json!({ "database": "lucid", "requested_by": "anonymous:me" }).to_string();
    is_problem(&world.anonymous(Method::POST, "/backup", &JSON, body.as_bytes()).await, 422, "signed by himself");
}

#[actix_web::test]
async fn asking_again_needs_what_asking_needs() {
    let world = World::new().await;
    let good = world.good_backup().await;
    for (path, body, free) in [
        ("/backup", json!({ "database": "lucid" }), true),
        ("/verify", json!({ "backup": good }), true),
        ("/backup", json!({ "database": "lucid", "encryption": false }), false),
        ("/verify", json!({ "backup": good, "level": "drill" }), false),
        ("/restore", json!({ "backup": good, "database": "beside" }), false),
        ("/prune", json!({}), false),
    ] {
        let first = world.post(path, &body).await;
        assert_eq!(first.status, 202, "{body}: {}", first.body);
        world.delete(&format!("/jobs/{}", first.id())).await;
        let (retry, before) = (format!("/jobs/{}/retry", first.id()), world.jobs().await);
        let reply = world.anonymous(Method::POST, &retry, &[], b"").await;
        if free {
            assert_eq!(reply.status, 202, "{body}: {}", reply.body);
            assert_eq!(reply.body["requested_by"], "anonymous:pi-1");
            world.delete(&format!("/jobs/{}", reply.id())).await;
        } else {
            is_problem(&reply, 401, &body.to_string());
            assert_eq!(world.jobs().await, before, "{body}");
        }
        assert_eq!(world.post_text(&retry, "").await.status, 202, "{body}");
    }
}

#[actix_web::test]
async fn a_key_that_somebody_guesses_is_not_yet_his() {
    let world = World::new().await;
    let body = json!({ "database": "lucid" }).to_string();
    let headers = [JSON[0], ("idempotency-key", "nightly-7")];
    let guessed = world.anonymous(Method::POST, "/backup", &headers, body.as_bytes()).await;
    let mine = world.send(Method::POST, "/backup", &headers, body.as_bytes()).await;
    assert_eq!((guessed.status, mine.status), (202, 202), "{} {}", guessed.body, mine.body);
    assert_ne!(guessed.id(), mine.id(), "what he asked for he may end");
    let again = world.send(Method::POST, "/backup", &headers, body.as_bytes()).await;
    assert_eq!(again.id(), mine.id());
}

/// Asks for a job without the token.
async fn ask(world: &World, path: &str, body: &Value) -> JobId {
    let reply = world.anonymous(Method::POST, path, &JSON, body.to_string().as_bytes()).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    reply.id()
}

/// A backup that this one asked for.
async fn signed(world: &World, by: &str) -> JobId {
    let like = world.backup().await;
    let like = world.store.load(&like).await.expect("read").expect("there").request;
    let id = JobId::compose(Kind::Backup, bson::DateTime::now(), uuid::Uuid::new_v4().as_u64_pair().0);
    let request = Request { id, requested_by: by.into(), ..like };
    let enqueue = Enqueue { request, delay_ms: 0, run_at: None, write: uuid::Uuid::new_v4().to_string() };
    world.store.enqueue(&enqueue).await.expect("enqueued").id().clone()
}
