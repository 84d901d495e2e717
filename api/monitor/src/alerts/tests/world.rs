//! A monitor's port with a store behind it, or one that hangs.

use crate::{
    Access, Door, Lock, Monitor, Registry,
    open::{AlertSource, Desk},
    serve,
    write::Chain,
};
use async_trait::async_trait;
use bson::DateTime;
use lucid_core::alert::{Command, Fence, Finding, Raise, Sighting, Transition, raise, transition};
use lucid_http::{Anonymous, Directory, Hosts, Token};
use lucid_ports::{
    AlertFilter, AlertOutcome, AlertPage, Alerts, DueAlert, Problems, Raised, Reached, StoreError,
    members::{Snapshot, Terms},
    memory::MemoryStore,
};
use lucid_schemas::alert::{Alert, AlertId, ResolvedBy, Severity};
use serde_json::Value;
use std::{future::pending, net::TcpListener, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use zeroize::Zeroizing;

pub const TOKEN: &str = "a-secret-of-the-tests";

/// A monitor's port, and the store behind it.
pub struct World {
    url: String,
    pub store: Arc<MemoryStore>,
    pub source: AlertSource,
    _stop: DropGuard,
}

impl World {
    pub fn new() -> Self {
        let world = Self::without_store();
        world.source.reached(world.desk());
        world
    }

    pub fn without_store() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (source, store) = (AlertSource::default(), Arc::new(MemoryStore::new()));
        let (_, snapshot) = watch::channel(Snapshot::default());
        let (_, jobs) = watch::channel(Err("not asked yet".to_owned()));
        let (problems, interval) = (Problems::default(), Duration::from_secs(30));
        let (_, host) = watch::channel(None);
        let (alerts, registry) = (source.clone(), Registry::new());
        let (_, terms) = watch::channel(Terms::every(interval));
        let (stream, compat, lock) = (Reached::default(), false, Lock::Open);
        let monitor =
            Monitor { snapshot, jobs, host, problems, interval, terms, stream, alerts, compat, registry, lock };
        let token = Token::new(Zeroizing::new(TOKEN.into()), "/run/lucid-ops/token".into());
        let access = Access {
            hosts: Hosts::default(),
            node: "pi-1".into(),
            token,
            tokens: Directory::of(store.clone()),
            anonymous: Anonymous::default(),
            tls: None,
        };
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, Door::Monitor, monitor, access, stop.clone()));
        Self { url, store, source, _stop: stop.drop_guard() }
    }

    pub fn desk(&self) -> Desk {
        let chain = Chain::new(self.store.clone(), self.store.clone(), "monitor:pi-1".into());
        Desk { alerts: self.store.clone(), silences: self.store.clone(), chain }
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>, token: Option<&str>) -> (u16, Value) {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request =
            token.iter().fold(request, |request, token| request.header("authorization", format!("Bearer {token}")));
        let request = body.iter().fold(request, |request, _| request.header("content-type", "application/json"));
        let request = request.body(body.map(Value::to_string).unwrap_or_default()).expect("a request");
        let asked = tokio::task::spawn_blocking(move || {
            let config = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
            let agent: ureq::Agent = config.build().into();
            let mut answer = agent.run(request).expect("an answer");
            let text = answer.body_mut().read_to_string().expect("text");
            (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
        });
        asked.await.expect("asked")
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, None, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, Some(body), Some(TOKEN)).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.send("DELETE", path, None, Some(TOKEN)).await
    }

    pub async fn raised(&self, rule: &str, label: (&str, &str), severity: Severity) -> Alert {
        match self.store.raise_alert(&raised(rule, label, severity)).await.expect("raised") {
            Raised::New(alert) => *alert,
            other => panic!("{other:?}"),
        }
    }

    pub async fn resolved(&self, alert: &Alert) {
        let command = Command::Resolve { fence: fence(), how: ResolvedBy::Condition, ended_at: None };
        let next = transition(alert, &command, "monitor:a", &uuid::Uuid::new_v4().to_string()).expect("lawful");
        assert!(matches!(self.store.apply_alert(&next).await.expect("applied"), AlertOutcome::Won(_)));
    }
}

pub fn fence() -> Fence {
    let token = lucid_schemas::alert::Token { generation: 1, epoch: 1 };
    Fence { token, deadline: DateTime::MAX }
}

pub fn finding(rule: &str, (name, value): (&str, &str), severity: Severity) -> Finding {
    Finding {
        id: AlertId::compose(DateTime::now(), uuid::Uuid::new_v4().as_u64_pair().0),
        rule: rule.into(),
        labels: [(name.to_owned(), value.to_owned())].into(),
        severity,
        starts_at: DateTime::from_millis(1_736_388_000_000),
        starts_at_uncertain: false,
        incident: None,
        previous: None,
        sighting: Sighting {
            value: Some(12.5),
            summary: format!("{rule} of {value}"),
            rules_version: 1,
            times: 1,
            flapping: false,
        },
        notify: Vec::new(),
    }
}

pub fn raised(rule: &str, label: (&str, &str), severity: Severity) -> Raise {
    raise(&finding(rule, label, severity), fence(), "monitor:a", &uuid::Uuid::new_v4().to_string())
}

/// A store whose primary has vanished without a word.
pub struct Hanging;

#[async_trait]
impl Alerts for Hanging {
    async fn raise_alert(&self, _: &Raise) -> Result<Raised, StoreError> {
        pending().await
    }
    async fn apply_alert(&self, _: &Transition) -> Result<AlertOutcome, StoreError> {
        pending().await
    }
    async fn alert(&self, _: &AlertId) -> Result<Option<Alert>, StoreError> {
        pending().await
    }
    async fn alert_ids_with_prefix(&self, _: &AlertId, _: u32) -> Result<Vec<AlertId>, StoreError> {
        pending().await
    }
    async fn open_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        pending().await
    }
    async fn list_alerts(&self, _: &AlertFilter) -> Result<AlertPage, StoreError> {
        pending().await
    }
    async fn due_alerts(&self, _: u32) -> Result<Vec<DueAlert>, StoreError> {
        pending().await
    }
    async fn forget_alerts(&self, _: i64, _: u32) -> Result<u64, StoreError> {
        pending().await
    }
}
