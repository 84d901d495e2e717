//! Alerts and silences as clients see them: with the store there, away, and hanging.

mod document;
mod scope;
pub(crate) mod world;

use crate::{
    open::{Desk, Found, From, OpenAlerts},
    retention::{KEPT_MS, forget_over},
};
use lucid_core::alert::{Command, transition};
use lucid_ports::{Alerts, Raised, memory::MemoryStore};
use lucid_schemas::alert::{ResolvedBy, Severity};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use world::{Hanging, World, fence, raised};

fn ids(list: &Value) -> Vec<&str> {
    let alerts = list["alerts"].as_array().unwrap_or_else(|| panic!("{list}"));
    alerts.iter().filter_map(|alert| alert["alert_id"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_is_listed_newest_first_and_filtered() {
    let world = World::new();
    let lag = world.raised("lag", ("member", "pi-2"), Severity::Warning).await;
    world.store.advance(Duration::from_secs(1));
    let overdue = world.raised("backup_overdue", ("database", "$shop"), Severity::Critical).await;
    world.store.advance(Duration::from_secs(1));
    let over = world.raised("lag", ("member", "pi-3"), Severity::Warning).await;
    world.resolved(&over).await;
    let (status, list) = world.get("/alerts").await;
    assert_eq!((status, ids(&list)), (200, vec![overdue.id().as_str(), lag.id().as_str()]));
    assert_eq!((&list["from"], &list["next"], &list["age_seconds"]), (&json!("store"), &Value::Null, &Value::Null));
    let first = &list["alerts"][0];
    for (field, expected) in [
        ("state", json!("raised")),
        ("severity", json!("critical")),
        ("rule", json!("backup_overdue")),
        ("summary", json!("backup_overdue of $shop")),
        ("labels", json!({ "database": "$shop" })),
        ("fingerprint", json!(overdue.origin.fingerprint.as_str())),
        ("value", json!(12.5)),
        ("starts_at", json!("2025-01-09T02:00:00.000Z")),
        ("occurrences", json!(1)),
        ("events", Value::Null),
    ] {
        assert_eq!(first[field], expected, "{field}: {first}");
    }
    for (query, expected) in [
        ("severity=warning", vec![&lag]),
        ("rule=backup_overdue", vec![&overdue]),
        ("state=acknowledged", vec![]),
        ("state=resolved", vec![&over]),
        ("state=open,resolved&rule=lag", vec![&over, &lag]),
        ("limit=1", vec![&overdue]),
    ] {
        let (status, list) = world.get(&format!("/alerts?{query}")).await;
        let expected: Vec<_> = expected.iter().map(|alert| alert.id().as_str()).collect();
        assert_eq!((status, ids(&list)), (200, expected), "{query}");
    }
    for states in ["open", "open,resolved"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let (_, page) = world.get(&format!("/alerts?state={states}&limit=1{after}")).await;
            seen.extend(ids(&page).into_iter().map(str::to_owned));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let all = [&over, &overdue, &lag].map(|alert| alert.id().to_string());
        assert_eq!(seen, if states == "open" { &all[1..] } else { &all[..] }, "{states}");
    }
    assert_eq!(world.get("/alerts?state=over").await.0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_token_acknowledges_and_resolves_and_is_named() {
    let world = World::new();
    let alert = world.raised("lag", ("member", "pi-2"), Severity::Warning).await;
    let path = |verb: &str| format!("/alerts/{}{verb}", alert.id());
    let (acknowledge, resolve) = (path("/acknowledge"), path("/resolve"));
    let body = json!({ "for_seconds": 3_600, "comment": "$I look" });
    for (path, token) in [(&acknowledge, None), (&resolve, None), (&acknowledge, Some("guessed"))] {
        let (status, said) = world.send("POST", path, Some(&body), token).await;
        assert_eq!((status, &said["type"]), (401, &json!("no-token")), "{path}");
    }
    assert_eq!(world.get(&path("")).await.1["state"], "raised", "who hasn't changes nothing");
    for wrong in [
        json!({ "for_seconds": 0 }),
        json!({ "for_seconds": 1_000_000_000 }),
        json!({ "comment": "a\nb" }),
        json!({ "until": 5 }),
    ] {
        assert_eq!(world.post(&acknowledge, &wrong).await.0, 422, "{wrong}");
    }
    let (status, known) = world.post(&acknowledge, &body).await;
    assert_eq!(
        (status, &known["state"], &known["acknowledged_by"]),
        (200, &json!("acknowledged"), &json!("token:local@pi-1"))
    );
    assert!(known["acknowledged_until"].is_string(), "{known}");
    let last = &known["events"][1];
    assert_eq!((&last["type"], &last["by"]), (&json!("acknowledged"), &json!("token:local@pi-1")));
    assert_eq!(last["data"], json!({ "for_ms": 3_600_000, "comment": "$I look" }));
    assert_eq!(ids(&world.get("/alerts?state=acknowledged").await.1), [alert.id().as_str()]);
    let (status, over) = world.post(&resolve, &json!({})).await;
    assert_eq!((status, &over["state"], &over["resolved_by"]), (200, &json!("resolved"), &json!("operator")));
    let (status, said) = world.post(&acknowledge, &json!({})).await;
    assert_eq!((status, &said["type"]), (409, &json!("wrong-state")));
    let detail = said["detail"].as_str().expect("a detail");
    assert!(detail.contains("resolved") && detail.contains("operator") && detail.contains("20"), "{detail}");
    let shown = world.get(&path("")).await.1;
    assert_eq!(shown["events"].as_array().expect("events").len(), 3, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_found_by_a_prefix_that_fits_no_other() {
    let world = World::new();
    let one = world.raised("lag", ("member", "pi-2"), Severity::Warning).await;
    let whole = one.id().as_str();
    let (status, shown) = world.get(&format!("/alerts/{}", &whole[..whole.len() - 2])).await;
    assert_eq!((status, &shown["alert_id"]), (200, &json!(whole)));
    world.raised("lag", ("member", "pi-3"), Severity::Warning).await;
    let (status, said) = world.get("/alerts/alert_2").await;
    assert_eq!((status, &said["type"]), (409, &json!("ambiguous-id")), "{said}");
    for (id, why) in
        [("alert_1", "there is no alert"), ("backup_2", "not an alert's id"), ("%24ne", "not an alert's id")]
    {
        let (status, said) = world.get(&format!("/alerts/{id}")).await;
        assert!(status == 404 && said["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{id}: {said}");
    }
    assert_eq!(world.get(&format!("/alerts/{whole}?events=1")).await.0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_made_shown_with_what_it_silences_and_ended() {
    let world = World::new();
    let alert = world.raised("backup_overdue", ("database", "a.b $shop\u{1b}"), Severity::Critical).await;
    let other = world.raised("lag", ("member", "pi-2"), Severity::Warning).await;
    let matchers =
        json!([{ "on": "rule", "value": "backup_overdue" }, { "on": "severity", "value": "warning", "not": true }]);
    let wanted = json!({ "matchers": matchers, "for_seconds": 3_600, "comment": "disks are changed" });
    assert_eq!(world.send("POST", "/silences", Some(&wanted), None).await.0, 401);
    let (status, made) = world.post("/silences", &wanted).await;
    assert_eq!((status, &made["active"], &made["by"]), (201, &json!(true), &json!("token:local@pi-1")), "{made}");
    assert_eq!(made["matchers"], matchers);
    let list = world.get("/alerts").await.1;
    for listed in list["alerts"].as_array().expect("alerts") {
        let quiet = listed["alert_id"] == alert.id().as_str();
        let expected = if quiet { made["silence_id"].clone() } else { Value::Null };
        assert_eq!(listed["silenced_by"]["silence_id"], expected, "{listed}");
    }
    assert_eq!(list["alerts"].as_array().map(Vec::len), Some(2), "what is silenced is shown: {list}");
    assert!(!alert.id().as_str().is_empty() && !other.id().as_str().is_empty());

    let path = format!("/alerts/{}/silence", alert.id());
    let (status, own) = world.post(&path, &json!({ "for_seconds": 600, "comment": "known" })).await;
    assert_eq!(status, 201, "{own}");
    let about =
        json!([{ "on": "rule", "value": "backup_overdue" }, { "on": "labels.database", "value": "a.b $shop\u{1b}" }]);
    assert_eq!(own["matchers"], about, "it is about just what the alert is about");
    let (_, silences) = world.get("/silences").await;
    let ids: Vec<_> =
        silences["silences"].as_array().expect("silences").iter().map(|one| one["silence_id"].clone()).collect();
    assert_eq!(ids, [own["silence_id"].clone(), made["silence_id"].clone()], "by when they end");

    let id = made["silence_id"].as_str().expect("an id");
    assert_eq!(world.send("DELETE", &format!("/silences/{id}"), None, None).await.0, 401);
    let (status, ended) = world.delete(&format!("/silences/{}", &id[..id.len() - 1])).await;
    assert_eq!((status, &ended["active"], &ended["ended_by"]), (200, &json!(false), &json!("token:local@pi-1")));
    assert_eq!(world.delete(&format!("/silences/{id}")).await.1["ended_at"], ended["ended_at"], "once");
    assert_eq!(world.get(&format!("/silences/{id}")).await.1["ended_by"], "token:local@pi-1");
    assert_eq!(world.get("/silences").await.1["silences"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.delete("/silences/silence_1").await.0, 404);
    assert_eq!(world.delete("/silences/alert_1").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_without_reason_end_or_subject_is_refused() {
    let world = World::new();
    let rule = json!([{ "on": "rule", "value": "lag" }]);
    for (body, field) in [
        (json!({ "matchers": rule, "for_seconds": 3_600 }), "comment"),
        (json!({ "matchers": rule, "for_seconds": 3_600, "comment": "" }), "comment"),
        (json!({ "matchers": rule, "comment": "x" }), "until"),
        (json!({ "matchers": rule, "comment": "x", "for_seconds": 2_592_001 }), "for_seconds"),
        (json!({ "matchers": [], "comment": "x", "for_seconds": 3_600 }), "matchers"),
        (
            json!({ "matchers": [{ "on": "rule", "value": "lag", "not": true }], "comment": "x", "for_seconds": 3_600 }),
            "matchers",
        ),
        (json!({ "matchers": [{ "on": "id", "value": "x" }], "comment": "x", "for_seconds": 3_600 }), "matchers[0].on"),
        (json!({ "matchers": rule, "comment": "x", "for_seconds": 3_600, "by": "root" }), "by"),
    ] {
        let (status, said) = world.post("/silences", &body).await;
        assert_eq!((status, &said["errors"][0]["field"]), (422, &json!(field)), "{body}: {said}");
    }
    assert_eq!(world.get("/silences").await.1["silences"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_looking_is_answered_from_memory_and_changing_is_refused() {
    let world = World::without_store();
    for path in ["/alerts", "/silences", "/alerts/alert_1"] {
        let (status, said) = world.get(path).await;
        assert_eq!((status, &said["type"]), (503, &json!("store-unavailable")), "{path}: {said}");
    }
    let alert = world.raised("lag", ("member", "pi-2"), Severity::Warning).await;
    let found = Found {
        rule: "no_primary".into(),
        labels: [("set".to_owned(), "rs0".to_owned())].into(),
        severity: Severity::Critical,
        since_ms: 1_736_388_000_000,
        summary: "the set has no primary".into(),
        value: None,
    };
    let open = OpenAlerts {
        stored: vec![alert.clone()],
        found: vec![found],
        silences: Vec::new(),
        from: From::Memory,
        at: tokio::time::Instant::now(),
    };
    world.source.tell(open);
    let (status, list) = world.get("/alerts").await;
    assert_eq!((status, &list["from"]), (200, &json!("memory")), "{list}");
    assert!(list["age_seconds"].as_f64().is_some() && list["problem"].is_string(), "{list}");
    let [unwritten, stored] = &list["alerts"].as_array().expect("alerts")[..] else { panic!("{list}") };
    assert_eq!((&unwritten["rule"], &unwritten["alert_id"]), (&json!("no_primary"), &Value::Null));
    assert_eq!(stored["alert_id"], alert.id().as_str());
    assert_eq!(ids(&world.get("/alerts?severity=warning").await.1), [alert.id().as_str()]);
    assert_eq!(world.get("/alerts?state=resolved").await.0, 503, "what is over is known to the store alone");
    let shown = world.get(&format!("/alerts/{}", alert.id())).await.1;
    assert_eq!((&shown["told"]["from"], &shown["events"][0]["type"]), (&json!("memory"), &json!("raised")));
    let rule = json!([{ "on": "rule", "value": "lag" }]);
    for (path, body) in [
        (format!("/alerts/{}/acknowledge", alert.id()), json!({})),
        (format!("/alerts/{}/resolve", alert.id()), json!({})),
        (format!("/alerts/{}/silence", alert.id()), json!({ "for_seconds": 60, "comment": "x" })),
        ("/silences".to_owned(), json!({ "matchers": rule, "for_seconds": 60, "comment": "x" })),
    ] {
        let (status, said) = world.post(&path, &body).await;
        let detail = said["detail"].as_str().unwrap_or_default();
        assert!(status == 503 && detail.contains("primary") && detail.contains("/health"), "{path}: {status} {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers_holds_up_nobody() {
    let world = World::new();
    let alert = world.raised("lag", ("member", "pi-2"), Severity::Warning).await;
    assert_eq!(world.get("/alerts").await.1["from"], "store");
    world.source.reached(Desk { alerts: Arc::new(Hanging), ..world.desk() });
    let begun = Instant::now();
    let (status, list) = world.get("/alerts").await;
    assert_eq!((status, &list["from"], ids(&list)), (200, &json!("memory"), vec![alert.id().as_str()]), "{list}");
    let age = list["age_seconds"].as_f64().expect("an age");
    assert!(age >= begun.elapsed().as_secs_f64() / 2.0, "as old as what the store told before: {age}");
    assert_eq!(world.post(&format!("/alerts/{}/resolve", alert.id()), &json!({})).await.0, 503);
}

#[tokio::test]
async fn what_was_over_long_ago_is_forgotten() {
    let store = Arc::new(MemoryStore::new());
    let mut last = None;
    for _ in 0..2 {
        let Raised::New(alert) =
            store.raise_alert(&raised("lag", ("member", "pi-2"), Severity::Warning)).await.expect("raised")
        else {
            panic!("the one before is over")
        };
        let command = Command::Resolve { fence: fence(), how: ResolvedBy::Condition, ended_at: None };
        let next = transition(&alert, &command, "monitor:a", &uuid::Uuid::new_v4().to_string()).expect("lawful");
        store.apply_alert(&next).await.expect("applied");
        store.advance(Duration::from_secs(1));
        last = Some(alert);
    }
    store.advance(Duration::from_millis(KEPT_MS.unsigned_abs() - 60_000));
    assert_eq!(forget_over(&*store, &*store).await.expect("done"), (0, 0), "not yet");
    store.advance(Duration::from_secs(120));
    assert_eq!(forget_over(&*store, &*store).await.expect("done"), (1, 0), "the newest about the same stays");
    let last = last.expect("two");
    assert!(store.alert(last.id()).await.expect("read").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_told_of_a_test_and_that_it_is_over() {
    let world = World::new();
    let (url, mut heard) = receiver();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("channels.toml");
    let dead = "[channels.dead]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\n";
    std::fs::write(&file, format!("[channels.chat]\nkind = \"webhook\"\nurl = \"{url}\"\n{dead}")).expect("written");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    let chat = json!({ "channel": "chat" });
    let (status, said) = world.post("/alerts/test", &chat).await;
    assert!(status == 404 && said["detail"].as_str().is_some_and(|said| said.contains("it has none")), "{said}");
    let channels = lucid_notify::Channels::open(file, lucid_schemas::zones::installed()).expect("channels");
    world.source.tells_over(channels);
    assert_eq!(world.send("POST", "/alerts/test", Some(&chat), None).await.0, 401);
    assert!(heard.try_recv().is_err(), "who has no token has nobody told");
    assert_eq!(world.post("/alerts/test", &chat).await, (200, json!({ "channel": "chat", "sent": 2 })));
    for wanted in ["firing", "resolved"] {
        let body = heard.recv().await.expect("it was told");
        assert_eq!(body["status"], wanted, "{body}");
    }
    let (status, said) = world.post("/alerts/test", &json!({ "channel": "dead" })).await;
    assert_eq!((status, &said["type"]), (502, &json!("channel-failed")), "{said}");
    let (status, said) = world.post("/alerts/test", &json!({ "channel": "mail" })).await;
    assert!(status == 404 && said["detail"].as_str().is_some_and(|said| said.contains("chat")), "{said}");
    assert_eq!(world.get("/alerts?state=open,resolved").await.1["alerts"], json!([]), "nothing is written");
}

/// The other end of a webhook: what it is told.
fn receiver() -> (String, tokio::sync::mpsc::UnboundedReceiver<Value>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
    let (say, heard) = tokio::sync::mpsc::unbounded_channel();
    let app = move || {
        let say = say.clone();
        let hear = move |body: actix_web::web::Json<Value>| {
            let said = say.send(body.0).is_ok();
            async move { said.to_string() }
        };
        actix_web::App::new().default_service(actix_web::web::to(hear))
    };
    let server = actix_web::HttpServer::new(app).workers(1).disable_signals().listen(listener).expect("a listener");
    tokio::spawn(server.run());
    (url, heard)
}
