//! Every way of asking wrongly is answered with a problem document, and changes nothing.

use crate::world::{Reply, World};
use actix_web::http::Method;
use serde_json::json;
use std::sync::atomic::Ordering;

/// What must be true of every refusal.
pub fn is_problem(reply: &Reply, status: u16, what: &str) {
    assert_eq!(reply.status, status, "{what}: {}", reply.body);
    assert_eq!(reply.header("content-type"), "application/problem+json", "{what}");
    assert_eq!(reply.header("cache-control"), "no-store", "{what}");
    assert_eq!(reply.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(reply.body["status"], status, "{what}");
    for field in ["type", "title", "detail"] {
        assert!(!reply.body[field].as_str().unwrap_or_default().is_empty(), "{what}: no {field}");
    }
}

#[actix_web::test]
async fn bodies_that_are_none_are_told_apart() {
    let world = World::new().await;
    let json = [("content-type", "application/json")];
    for body in ["", "{", "{\"database\":\"lucid\"", "{\"database\":\"lucid\"} x", "\u{feff}{}"] {
        let reply = world.post_text("/backup", body).await;
        is_problem(&reply, 400, body);
    }
    let reply = world.send(Method::POST, "/backup", &json, b"{\"database\":\"\xff\"}").await;
    is_problem(&reply, 400, "not UTF-8");
    let nested = "[".repeat(50_000);
    is_problem(&world.post_text("/backup", &nested).await, 400, "deeply nested");
    let large = format!("{{\"database\":\"{}\"}}", "x".repeat(70_000));
    is_problem(&world.post_text("/backup", &large).await, 413, "large");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let reply = world.send(Method::POST, "/backup", &[("content-type", kind)], b"{\"database\":\"lucid\"}").await;
        is_problem(&reply, 415, kind);
    }
    let reply = world.send(Method::POST, "/backup", &[], b"{\"database\":\"lucid\"}").await;
    is_problem(&reply, 415, "no content type");
    assert_eq!(world.jobs().await, 0);
    let charset = [("content-type", "application/json; charset=utf-8")];
    let reply = world.send(Method::POST, "/backup", &charset, b"{\"database\":\"lucid\"}").await;
    assert_eq!(reply.status, 202, "{}", reply.body);
}

#[actix_web::test]
async fn unknown_paths_methods_and_queries_are_named() {
    let world = World::new().await;
    let id = world.backup().await;
    for path in ["/", "/nothing", "/backup/", "/jobs/x/y/z", "//health"] {
        is_problem(&world.get(path).await, 404, path);
    }
    for (method, path, allowed) in [
        (Method::GET, "/backup".to_owned(), "POST"),
        (Method::PUT, format!("/backup/{id}"), "GET, DELETE"),
        (Method::POST, "/health".to_owned(), "GET"),
        (Method::DELETE, "/jobs".to_owned(), "GET"),
        (Method::GET, format!("/jobs/{id}/resume"), "POST"),
        (Method::OPTIONS, "/backup".to_owned(), "POST"),
    ] {
        let reply = world.send(method.clone(), &path, &[], b"").await;
        is_problem(&reply, 405, &path);
        assert_eq!(reply.header("allow"), allowed, "{method} {path}");
    }
    for (path, field) in [
        ("/jobs?limt=5".to_owned(), "limt"),
        ("/jobs?limit=0".to_owned(), "limit"),
        ("/jobs?limit=501".to_owned(), "limit"),
        ("/jobs?state=done".to_owned(), "state"),
        ("/jobs?kind=dump".to_owned(), "kind"),
        ("/jobs?after=backup_20200101_000000_0123456789".to_owned(), "after"),
        ("/backups?kind=backup".to_owned(), "kind"),
        (format!("/jobs/{id}?verbose=1"), "verbose"),
    ] {
        let reply = world.get(&path).await;
        is_problem(&reply, 422, &path);
        assert_eq!(reply.blamed(), [field], "{path}");
    }
    let reply = world.delete(&format!("/jobs/{id}?dry_run=true")).await;
    is_problem(&reply, 422, "a query that nobody reads");
    let job = world.get(&format!("/jobs/{id}")).await.body;
    assert_eq!((&job["state"], &job["version"]), (&json!("queued"), &json!(1)), "nothing was changed");
}

#[actix_web::test]
async fn pages_of_other_sites_are_turned_away() {
    let world = World::new().await;
    let id = world.backup().await;
    let path = format!("/jobs/{id}");
    for (headers, status) in [
        // A name of somebody else's that resolves to this machine.
        (vec![("host", "evil.example:8089")], 421),
        (vec![("host", "127.0.0.1:8089"), ("origin", "http://evil.example")], 403),
        (vec![("host", "127.0.0.1:8089"), ("origin", "null")], 403),
        (vec![("host", "127.0.0.1:8089"), ("origin", "http://127.0.0.1:3000")], 403),
    ] {
        let reply = world.send(Method::DELETE, &path, &headers, b"").await;
        is_problem(&reply, status, &format!("{headers:?}"));
        let reply = world.send(Method::POST, &format!("{path}/resume"), &headers, b"").await;
        is_problem(&reply, status, &format!("{headers:?}"));
    }
    assert_eq!(world.get(&path).await.body["version"], 1);
    let own = [("host", "127.0.0.1:8089"), ("origin", "http://127.0.0.1:8089")];
    assert_eq!(world.send(Method::DELETE, &path, &own, b"").await.status, 202);
    for host in ["localhost:8089", "pi-1:8089", "[::1]:8089"] {
        assert_eq!(world.send(Method::GET, "/jobs", &[("host", host)], b"").await.status, 200, "{host}");
    }
}

#[actix_web::test]
async fn without_the_store_everything_is_503_and_says_when_to_come_back() {
    let world = World::new().await;
    let id = world.backup().await;
    world.store.away.store(true, Ordering::SeqCst);
    let body = json!({ "database": "lucid" });
    for reply in [
        world.post("/backup", &body).await,
        world.post("/verify", &json!({ "backup": id })).await,
        world.get("/jobs").await,
        world.get("/backups").await,
        world.get(&format!("/jobs/{id}")).await,
        world.get(&format!("/jobs/{id}/events")).await,
        world.delete(&format!("/backup/{id}")).await,
    ] {
        is_problem(&reply, 503, "away");
        assert_eq!(reply.header("retry-after"), "2");
        assert_eq!(reply.body["type"], "store-unavailable");
    }
    world.store.away.store(false, Ordering::SeqCst);
    assert_eq!(world.jobs().await, 1);
}
