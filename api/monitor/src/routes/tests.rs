//! What answers where, to whom, and how fast.

use super::*;
use crate::{Registry, open::AlertSource, seen::tests::sample};
use lucid_ports::{
    Problems, Reached,
    members::{Member, Snapshot, Terms},
};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// What opens the port of these tests.
const TOKEN: &str = "a-secret-of-the-tests";

/// A port, and what is behind it: members of a set that this sends, and no store.
fn served(door: Door) -> (String, watch::Sender<Snapshot>, CancellationToken) {
    served_behind(door, Lock::Open)
}

/// The same behind a lock.
fn served_behind(door: Door, lock: Lock) -> (String, watch::Sender<Snapshot>, CancellationToken) {
    served_to(door, lock, Directory::default(), Anonymous::default())
}

/// The same to people with these tokens.
fn served_to(
    door: Door,
    lock: Lock,
    tokens: Directory,
    anonymous: Anonymous,
) -> (String, watch::Sender<Snapshot>, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("non-blocking");
    let address = listener.local_addr().expect("bound");
    let (members, snapshot) = watch::channel(Snapshot::default());
    let (_, jobs) = watch::channel(Err("not asked yet".to_owned()));
    let (_, host) = watch::channel(None);
    let (_, terms) = watch::channel(Terms::every(Duration::from_secs(30)));
    let monitor = Monitor {
        snapshot,
        jobs,
        host,
        problems: Problems::default(),
        interval: Duration::from_secs(30),
        terms,
        stream: Reached::default(),
        alerts: AlertSource::default(),
        compat: false,
        registry: Registry::new(),
        lock,
    };
    let stop = CancellationToken::new();
    let token = Token::new(Zeroizing::new(TOKEN.into()), "/run/lucid-ops/token".into());
    let access =
        Access { hosts: Hosts::new(["pi-1".to_owned()]), node: "pi-1".into(), token, tokens, anonymous, tls: None };
    tokio::spawn(serve(listener, door, monitor, access, stop.clone()));
    (format!("http://{address}"), members, stop)
}

async fn get(url: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    ask("GET", url, path, headers).await
}

async fn ask(method: &str, url: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    let request = ureq::http::Request::builder().method(method).uri(format!("{url}{path}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(()).expect("a request");
    let asked = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.run(request).expect("an answer");
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or("").to_owned();
        (answer.status().as_u16(), kind, answer.body_mut().read_to_string().expect("text"))
    });
    asked.await.expect("asked")
}

mod matrix;

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_password_prometheus_alone_reads() {
    let lock = || Lock::password("sesame".to_owned().into());
    let (url, _members, stop) = served_behind(Door::Metrics, lock());
    // "prometheus:sesame", and "prometheus:wrong".
    let basic = |given: &'static str| [("authorization", given)];
    assert_eq!(get(&url, "/metrics", &basic("Basic cHJvbWV0aGV1czpzZXNhbWU=")).await.0, 200);
    for headers in [&basic("Basic cHJvbWV0aGV1czp3cm9uZw==")[..], &[]] {
        let (status, _, body) = get(&url, "/metrics", headers).await;
        assert_eq!(status, 401);
        assert!(!body.contains("ops_build_info"), "{body}");
    }
    stop.cancel();
    let (url, _members, stop) = served_behind(Door::Monitor, lock());
    assert_eq!(get(&url, "/metrics", &[]).await.0, 200, "that port is of this machine alone");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_monitor_answers_before_it_knows_anything_and_says_so() {
    let (url, members, stop) = served(Door::Monitor);
    let (status, _, body) = get(&url, "/health", &[]).await;
    assert_eq!(status, 503);
    assert!(body.contains("\"status\":\"unknown\""), "{body}");
    assert_eq!(get(&url, "/readyz", &[]).await.0, 503);
    assert_eq!(get(&url, "/livez", &[]).await.0, 200);
    members.send_modify(|now| drop(now.members.insert("a:1".into(), Some(sample(Ok(Member::default()))))));
    assert_eq!(get(&url, "/readyz", &[]).await.0, 200);
    let (status, _, body) = get(&url, "/health", &[]).await;
    assert_eq!(status, 503);
    assert!(body.contains("\"status\":\"unknown\""), "nothing is known of alerts: {body}");
    let (status, kind, body) = get(&url, "/stats", &[]).await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    assert!(body.contains("\"a:1\"") && body.contains("\"problem\":\"not asked yet\""), "{body}");
    assert_eq!(get(&url, "/nowhere", &[]).await.0, 404);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_of_prometheus_has_metrics_and_nothing_else() {
    let (url, _members, stop) = served(Door::Metrics);
    let (status, kind, body) = get(&url, "/metrics", &[]).await;
    assert_eq!((status, kind.as_str()), (200, TEXT));
    assert!(body.contains("# TYPE ops_build_info gauge\n"), "{body}");
    for path in ["/health", "/stats", "/livez", "/"] {
        assert_eq!(get(&url, path, &[]).await.0, 404, "{path}");
    }
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_another_site_reads_anything() {
    for door in [Door::Monitor, Door::Metrics] {
        let (url, _members, stop) = served(door);
        assert_eq!(get(&url, "/metrics", &[("host", "evil.example")]).await.0, 421, "{door:?}");
        assert_eq!(get(&url, "/metrics", &[("origin", "http://evil.example")]).await.0, 403, "{door:?}");
        assert_eq!(get(&url, "/metrics", &[("host", "pi-1:9216")]).await.0, 200, "{door:?}");
        stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_scrape_waits_for_a_member_that_hangs() {
    let (url, members, stop) = served(Door::Metrics);
    members.send_modify(|now| drop(now.members.insert("a:1".into(), Some(sample(Err("no answer".into()))))));
    let begun = Instant::now();
    for _ in 0..200 {
        let (status, _, body) = get(&url, "/metrics", &[]).await;
        assert_eq!(status, 200);
        assert!(body.contains("mongodb_up{member=\"a:1\"} 0"), "{body}");
    }
    // Nothing is asked of anybody, so this is far below what one member's patience would be.
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    stop.cancel();
}
