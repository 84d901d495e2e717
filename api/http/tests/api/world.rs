//! The world of one test: a store, a catalog, and calls of the API as a client makes them.

use crate::store::{TestCatalog, TestStore, backup_result};
use actix_web::{
    App,
    http::{Method, header::HeaderMap},
    test,
    web::Bytes,
};
use bson::DateTime;
use lucid_core::{
    Command,
    alert::{Fence, Finding, Sighting, raise},
};
use lucid_http::{ApiOptions, ApiState, Streams, Token, configure, secret::mint};
use lucid_ports::{Alerts, Enqueue, JobFilter, NewToken, Problems, Raised, Reach, Store, Tokens, WorkerCard};
use lucid_schemas::{
    EventBody, JobId, Kind, MonitorSpec, Progress, RepositoryName,
    access::{Role, TokenName},
    alert::{self, Alert, AlertId, Severity},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use zeroize::Zeroizing;

/// What opens the API of these tests.
pub const TOKEN: &str = "a-secret-of-the-tests";
/// Where accounts of this machine come from, and where others do.
pub const HERE: &str = "127.0.0.1";
pub const ELSEWHERE: &str = "192.0.2.7";

pub struct World {
    pub store: Arc<TestStore>,
    pub state: ApiState,
}

/// What came back.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The fields that a problem document blames.
    pub fn blamed(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().into_iter().flatten();
        errors.filter_map(|error| error["field"].as_str()).collect()
    }

    pub fn id(&self) -> JobId {
        self.body["job_id"].as_str().expect("a job id").parse().expect("an id")
    }
}

pub fn repository(name: &str) -> RepositoryName {
    RepositoryName { name: name.into(), id: format!("id-of-{name}") }
}

impl World {
    /// A replica set with a database, and the repository `main`.
    pub async fn new() -> Self {
        let store = Arc::new(TestStore::default());
        store.bind_repository(&repository("main")).await.expect("bound");
        let catalog = TestCatalog(
            [
                ("lucid", vec!["authentication", "recent", "sessions"]),
                ("shop", vec!["orders"]),
                ("crashed", vec!["__lucid_staging_1_1_1"]),
                ("admin", vec!["users"]),
            ]
            .into(),
        );
        let token = Token::new(Zeroizing::new(TOKEN.into()), "/run/lucid-ops/token".into());
        let state = ApiState {
            problems: Problems::default(),
            store: store.clone(),
            alerts: Arc::clone(&store.twin) as _,
            archive: store.clone(),
            tokens: Arc::clone(&store.twin) as _,
            schedules: store.clone(),
            history: Arc::clone(&store.twin) as _,
            streams: Streams::default(),
            catalog: Arc::new(catalog),
            options: ApiOptions::new("pi-1".into(), "lucid_ops".into(), token),
        };
        Self { store, state }
    }

    /// One request with these headers, and the token.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let shown = format!("Bearer {TOKEN}");
        self.anonymous(method, path, &[headers, &[("authorization", &shown)]].concat(), body).await
    }

    /// One request of an account of this machine with exactly these headers.
    pub async fn anonymous(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.from(HERE, method, path, headers, body).await
    }

    /// The same from this address.
    pub async fn from(&self, peer: &str, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let app = test::init_service(App::new().configure(configure(self.state.clone()))).await;
        let request = headers
            .iter()
            .fold(test::TestRequest::default(), |request, header| request.append_header(*header))
            .peer_addr(SocketAddr::new(peer.parse().expect("an address"), 40_000))
            .method(method)
            .uri(path)
            .set_payload(body.to_vec())
            .to_request();
        let answer = test::call_service(&app, request).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let is_endless = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let bytes = if is_endless { Bytes::new() } else { test::read_body(answer).await };
        let text = || if bytes.is_empty() { Value::Null } else { String::from_utf8_lossy(&bytes).into_owned().into() };
        Reply { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()) }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], b"").await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], b"").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_text(path, &body.to_string()).await
    }

    pub async fn post_text(&self, path: &str, body: &str) -> Reply {
        let headers = [("content-type", "application/json")];
        self.send(Method::POST, path, &headers, body.as_bytes()).await
    }

    /// A header with a new token of the store.
    pub async fn token(&self, name: &str, role: Role, databases: &[&str], expires_in_ms: Option<i64>) -> String {
        let name: TokenName = name.parse().expect("a name");
        let (shown, hash) =
            mint(&name, uuid::Uuid::new_v4().as_bytes().repeat(2).as_slice().try_into().expect("32 bytes"));
        let databases = (!databases.is_empty()).then(|| databases.iter().map(ToString::to_string).collect());
        let (by, write) = ("cli:tests@pi-1".to_owned(), uuid::Uuid::new_v4().to_string());
        let new = NewToken { name, hash, role, databases, expires_in_ms, by, write };
        self.store.twin.add_token(&new).await.expect("asked").expect("made");
        format!("Bearer {}", shown.as_str())
    }

    /// One request with this header, from elsewhere.
    pub async fn with(&self, authorization: &str, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let headers = [("authorization", authorization), ("content-type", "application/json")];
        let body = body.map(Value::to_string).unwrap_or_default();
        self.from(ELSEWHERE, method, path, &headers, body.as_bytes()).await
    }

    /// A new backup of `lucid`.
    pub async fn backup(&self) -> JobId {
        self.backup_of("lucid").await
    }

    /// A new backup of a database.
    pub async fn backup_of(&self, database: &str) -> JobId {
        let reply = self.post("/backup", &json!({ "database": database })).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        reply.id()
    }

    pub async fn claim(&self, id: &JobId) -> i64 {
        let claim = Command::Claim { worker: "w".into(), lease_ms: 30_000, slots: Vec::new() };
        self.store.act(id, &claim).await.head.epoch
    }

    /// Takes the job past its point of no return.
    pub async fn commit(&self, id: &JobId) -> i64 {
        let epoch = self.claim(id).await;
        let fact = EventBody::CommitStarted {};
        self.store.act(id, &Command::Commit { epoch, fact }).await;
        epoch
    }

    pub async fn succeed(&self, id: &JobId) {
        let epoch = self.claim(id).await;
        let result = backup_result();
        self.store.act(id, &Command::Succeed { epoch, result }).await;
    }

    /// A backup that ended well.
    pub async fn good_backup(&self) -> JobId {
        let id = self.backup().await;
        self.succeed(&id).await;
        id
    }

    /// A worker that is alive.
    pub async fn worker(&self, repositories: &[&str]) {
        self.worker_with(repositories, &[]).await;
    }

    /// A worker that is alive, and says that something is wrong.
    pub async fn worker_with(&self, repositories: &[&str], problems: &[&str]) {
        let repositories = repositories.iter().map(|name| repository(name)).collect();
        let reach = Reach { kinds: Kind::ALL.to_vec(), repositories, ..Reach::default() };
        self.announce("w", reach, problems).await;
    }

    /// The worker of a monitor is alive.
    pub async fn monitor(&self) {
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.is_internal()).collect();
        self.announce("m", Reach { kinds, ..Reach::default() }, &[]).await;
    }

    async fn announce(&self, name: &str, reach: Reach, problems: &[&str]) {
        let card = WorkerCard {
            name: name.into(),
            version: "0.1.0".into(),
            capacity: 2,
            running: 0,
            reach,
            clock_skew_ms: None,
            counts: [("claim_attempts".to_owned(), 12), ("claimed".to_owned(), 10)].into(),
            problems: problems.iter().map(ToString::to_string).collect(),
            seen_at: None,
        };
        self.store.announce(&card).await.expect("announced");
    }

    /// A monitor has just evaluated.
    pub async fn evaluated(&self) {
        let id = JobId::compose(Kind::Monitor, self.store.clock().await.expect("a clock"), 1);
        let request = MonitorSpec::sample().request(id.clone(), "monitor:pi-1");
        let enqueue = Enqueue { request, delay_ms: 0, run_at: None, write: "monitor".into() };
        self.store.enqueue(&enqueue).await.expect("enqueued");
        self.monitor().await;
        let claim = Command::Claim { worker: "m".into(), lease_ms: 30_000, slots: Vec::new() };
        let held = self.store.act(&id, &claim).await;
        let token = held.lease.expect("a lease").token;
        let progress = Progress { phase: "evaluate".into(), ..Progress::default() };
        self.store.renew(&id, held.head.epoch, &token, 30_000, Some(&progress)).await.expect("renewed");
    }

    /// A monitor has found something.
    pub async fn alert(&self) -> Alert {
        let now = self.store.clock().await.expect("a clock");
        let finding = Finding {
            id: AlertId::compose(now, 1),
            rule: "no_worker".into(),
            labels: [("kind".to_owned(), "backup".to_owned())].into(),
            severity: Severity::Critical,
            starts_at: now,
            starts_at_uncertain: false,
            incident: None,
            previous: None,
            sighting: Sighting { value: None, summary: "none".into(), rules_version: 1, times: 1, flapping: false },
            notify: Vec::new(),
        };
        let deadline = DateTime::from_millis(now.timestamp_millis() + 30_000);
        let fence = Fence { token: alert::Token { generation: 1, epoch: 1 }, deadline };
        match self.store.twin.raise_alert(&raise(&finding, fence, "monitor:pi-1", "birth")).await.expect("raised") {
            Raised::New(alert) => *alert,
            other => panic!("{other:?}"),
        }
    }

    /// A person says that it is over.
    pub async fn resolve(&self, alert: &Alert) {
        let over = lucid_core::alert::Command::ResolveByHand { comment: "mended".into() };
        let next = lucid_core::alert::transition(alert, &over, "me", "over").expect("lawful");
        self.store.twin.apply_alert(&next).await.expect("applied");
    }

    /// Every job that there is.
    pub async fn jobs(&self) -> usize {
        let filter = JobFilter { limit: 1_000, ..JobFilter::default() };
        self.store.list(&filter).await.expect("listed").jobs.len()
    }
}

/// The failure of a test's worker.
pub fn failure(retryable: bool) -> lucid_schemas::Failure {
    lucid_schemas::Failure { code: "disk_full".into(), message: "the disk is full".into(), retryable }
}
