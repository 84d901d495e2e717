//! Which path leads where, and serving them: everything to look at on one port, and the metrics alone on that of Prometheus.

use crate::{Lock, Monitor, alerts, begin, expose::Exposition, health::health, stats::stats};
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, Responder,
    http::{Method, StatusCode, header::WWW_AUTHENTICATE},
    web,
};
use lucid_http::{
    Anonymous, ApiError, Caller, Directory, Gate, Hosts, Right, Throttle, Tls, Token,
    entry::{Entry, look, look_at_all, mount, on, open, rights_of},
    probe::{self, readiness},
};
use std::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Answers come from memory, so one is enough.
const THREADS: usize = 1;
const CONNECTIONS_MAX: usize = 256;
const STOP_WITHIN_SECONDS: u64 = 1;
/// The encoder's format, and what every string of ours is.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why the monitor can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener can't be used.
    #[error("the monitor can't be served: {0}")]
    Io(#[from] std::io::Error),
    /// The table of metrics is broken, which is a defect.
    #[error("the table of metrics is broken: {0}")]
    Table(#[from] prometheus::Error),
}

/// What is shown at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Health, statistics, metrics.
    Monitor,
    /// The metrics alone, for Prometheus.
    Metrics,
}

/// Who may speak to the monitor, and what he may do.
#[derive(Debug, Clone)]
pub struct Access {
    /// The names under which it is called, besides addresses and `localhost`.
    pub hosts: Hosts,
    /// This node's name; what is done is signed with it.
    pub node: String,
    /// What its holder may do everything with: that of the API of this node.
    pub token: Token,
    /// The tokens of the store, once that is reached.
    pub tokens: Directory,
    /// What somebody may do who shows no token.
    pub anonymous: Anonymous,
    /// Over what the monitor is spoken to; the metrics have a rule of their own.
    pub tls: Option<Tls>,
}

/// Serves until `stop`.
///
/// # Errors
/// Where the listener can't be used.
pub async fn serve(
    listener: TcpListener,
    door: Door,
    monitor: Monitor,
    access: Access,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let lock = match door {
        Door::Metrics => monitor.lock.clone(),
        // Whoever enters there has shown what he may.
        Door::Monitor => Lock::Open,
    };
    let exposition = web::Data::new(Exposition::new(monitor.clone(), lock)?);
    let Access { hosts, node, token, tokens, anonymous, tls } = access;
    let tls = tls.map(|tls| tls.config()).transpose()?;
    let throttle = Throttle::new(monitor.problems.clone());
    let calm = AbortOnDropHandle::new(tokio::spawn(throttle.clone().watch()));
    let (monitor, hosts) = (web::Data::new(monitor), web::Data::new(hosts));
    let gate = web::Data::new(Gate::new(node, token, tokens, anonymous, throttle));
    let app = move || {
        let scope = web::scope("").app_data(hosts.clone()).app_data(gate.clone());
        let scope = scope.app_data(monitor.clone()).app_data(exposition.clone());
        App::new().configure(|config| mount(config, scope, entries(door)))
    };
    let server = HttpServer::new(app)
        .workers(THREADS)
        .max_connections(CONNECTIONS_MAX)
        .shutdown_signal(stop.cancelled_owned())
        .shutdown_timeout(STOP_WITHIN_SECONDS);
    let server = match tls {
        Some(tls) if door == Door::Monitor => server.listen_rustls_0_23(listener, tls)?,
        _ => server.listen(listener)?,
    };
    let served = server.run().await;
    drop(calm);
    Ok(served?)
}

/// Every route of a port, and what it needs.
fn entries(door: Door) -> Vec<Entry> {
    use Right::{Operate, OperateAll};
    match door {
        // It has a lock of its own.
        Door::Metrics => vec![open("/metrics", show_metrics)],
        Door::Monitor => vec![
            look_at_all("/metrics", show_metrics),
            look("/health", show_health),
            look_at_all("/stats", show_stats),
            open("/livez", probe::live),
            open("/readyz", ready),
            on(Method::POST, "/monitor", OperateAll, begin::begin),
            look("/alerts", alerts::list),
            on(Method::POST, "/alerts/test", OperateAll, alerts::test),
            look("/alerts/{alert_id}", alerts::show),
            on(Method::POST, "/alerts/{alert_id}/acknowledge", Operate, alerts::acknowledge),
            on(Method::POST, "/alerts/{alert_id}/resolve", Operate, alerts::resolve),
            on(Method::POST, "/alerts/{alert_id}/silence", Operate, alerts::of_alert),
            look("/silences", alerts::list_silences),
            on(Method::POST, "/silences", Operate, alerts::make),
            look("/silences/{silence_id}", alerts::show_silence),
            on(Method::DELETE, "/silences/{silence_id}", Operate, alerts::end),
        ],
    }
}

/// Method, path and right of every route of a port.
pub fn routes(door: Door) -> Vec<(String, &'static str, Right)> {
    rights_of(&entries(door))
}

async fn show_metrics(request: HttpRequest, exposition: web::Data<Exposition>) -> Result<HttpResponse, ApiError> {
    if !exposition.lock.admits(request.headers()) {
        let asked = (WWW_AUTHENTICATE, "Basic realm=\"metrics\"");
        return Ok(HttpResponse::Unauthorized().insert_header(asked).body("the metrics need a password\n"));
    }
    let text = exposition.text().map_err(|error| ApiError::Broken(format!("the metrics are broken: {error}")))?;
    Ok(HttpResponse::Ok().content_type(TEXT).body(text))
}

/// 503 where it is critical, or nobody knows; with `?fail=degraded` also where somebody should look.
async fn show_health(caller: Caller, request: HttpRequest, monitor: web::Data<Monitor>) -> impl Responder {
    let mut health = health(&monitor.seen());
    let fails = health.status.fails(request.query_string() == "fail=degraded");
    if !caller.scope().is_all() && !health.problems.is_empty() {
        health.problems = vec!["somebody should look at it: what is wrong is told to tokens without a scope".into()];
    }
    HttpResponse::build(if fails { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }).json(health)
}

async fn show_stats(monitor: web::Data<Monitor>) -> impl Responder {
    HttpResponse::Ok().json(stats(&monitor.seen()))
}

/// It knows something.
async fn ready(monitor: web::Data<Monitor>) -> impl Responder {
    readiness(monitor.seen().looked_seconds_ago().map(drop).ok_or_else(|| "no member was looked at yet".into()))
}

#[cfg(test)]
mod tests;
