//! Which path leads where, and serving them: everything to look at on one port, and the metrics alone on that of Prometheus.

use crate::{Monitor, expose::Exposition, health::health, stats::stats};
use actix_web::{
    App, FromRequest, Handler, HttpRequest, HttpResponse, HttpServer, Resource, Responder, Scope,
    guard::{Any, Get, Head},
    http::StatusCode,
    middleware::from_fn,
    web,
};
use lucid_http::{ApiError, Hosts, guard};
use std::net::TcpListener;
use tokio_util::sync::CancellationToken;

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

/// Serves until `stop`, by addresses, `localhost` and the names of `hosts` only.
///
/// # Errors
/// Where the listener can't be used.
pub async fn serve(
    listener: TcpListener,
    door: Door,
    monitor: Monitor,
    hosts: Hosts,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let exposition = web::Data::new(Exposition::new(monitor.clone())?);
    let (monitor, hosts) = (web::Data::new(monitor), web::Data::new(hosts));
    let app = move || {
        let scope = web::scope("").app_data(hosts.clone()).app_data(monitor.clone()).app_data(exposition.clone());
        let scope = resources(door).into_iter().fold(scope.wrap(from_fn(guard)), Scope::service);
        App::new().service(scope.default_service(web::to(unknown)))
    };
    let server = HttpServer::new(app)
        .workers(THREADS)
        .max_connections(CONNECTIONS_MAX)
        .shutdown_signal(stop.cancelled_owned())
        .shutdown_timeout(STOP_WITHIN_SECONDS)
        .listen(listener)?
        .run();
    Ok(server.await?)
}

/// One for each path.
fn resources(door: Door) -> Vec<Resource> {
    let metrics = look("/metrics", show_metrics);
    match door {
        Door::Metrics => vec![metrics],
        Door::Monitor => vec![
            metrics,
            look("/health", show_health),
            look("/stats", show_stats),
            look("/livez", live),
            look("/readyz", ready),
        ],
    }
}

/// A path to look at; nothing here can be changed.
fn look<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let route = web::route().guard(Any(Get()).or(Head())).to(handler);
    web::resource(path).route(route).default_service(web::to(refuse))
}

async fn show_metrics(exposition: web::Data<Exposition>) -> Result<HttpResponse, ApiError> {
    let text = exposition.text().map_err(|error| ApiError::Broken(format!("the metrics are broken: {error}")))?;
    Ok(HttpResponse::Ok().content_type(TEXT).body(text))
}

/// 503 where it is critical, or nobody knows; with `?fail=degraded` also where somebody should look.
async fn show_health(request: HttpRequest, monitor: web::Data<Monitor>) -> impl Responder {
    let health = health(&monitor.seen());
    let fails = health.status.fails(request.query_string() == "fail=degraded");
    HttpResponse::build(if fails { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }).json(health)
}

async fn show_stats(monitor: web::Data<Monitor>) -> impl Responder {
    HttpResponse::Ok().json(stats(&monitor.seen()))
}

/// The process runs.
async fn live() -> impl Responder {
    "ok\n"
}

/// It knows something.
async fn ready(monitor: web::Data<Monitor>) -> impl Responder {
    match monitor.seen().looked_seconds_ago() {
        Some(_) => HttpResponse::Ok().body("ok\n"),
        None => HttpResponse::ServiceUnavailable().body("no member was looked at yet\n"),
    }
}

async fn refuse() -> Result<String, ApiError> {
    Err(ApiError::Method { allowed: "GET".into() })
}

async fn unknown(request: HttpRequest) -> Result<String, ApiError> {
    let path: String = request.path().chars().take(80).collect();
    Err(ApiError::NotFound(format!("there is nothing at {path}")))
}

#[cfg(test)]
mod tests;
