//! Which path leads where, and serving them.

use crate::{
    ApiError, ApiState, Hosts, Right, change, guard, health, jobs, queues, request, rights, schedules, stream, whole,
};
use actix_web::{
    App, FromRequest, Handler, HttpRequest, HttpServer, Resource, Responder, Route, Scope,
    guard::{Any, Get, Head},
    http::Method,
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use std::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Enough for an API that hands everything to MongoDB, and small on a small node.
const THREADS: usize = 2;
const STOP_WITHIN_SECONDS: u64 = 5;

/// Why the API can't be served.
#[derive(Debug, thiserror::Error)]
#[error("the API can't be served: {0}")]
pub struct ServeError(#[from] std::io::Error);

/// A route: where it leads, and what it needs.
struct Entry {
    method: Method,
    path: &'static str,
    right: Right,
    route: Route,
}

/// Every route there is, and what it needs: there is no way to make one that doesn't say.
fn entries() -> Vec<Entry> {
    use Right::{Operate, Read, Request};
    vec![
        look("/health", health::health),
        on(Method::POST, "/backup", Request, request::backup),
        on(Method::POST, "/restore", Operate, request::restore),
        on(Method::POST, "/verify", Request, request::verify),
        on(Method::POST, "/prune", Operate, request::prune),
        on(Method::POST, "/copy", Operate, request::copy),
        on(Method::POST, "/reencrypt", Operate, request::reencrypt),
        look("/backups", jobs::list_backups),
        look("/backup/{job_id}", jobs::show_backup),
        on(Method::DELETE, "/backup/{job_id}", Request, change::cancel_backup),
        look("/jobs", jobs::list),
        on(Method::GET, "/jobs/audit", Read, whole::audit),
        on(Method::GET, "/jobs/export", Read, whole::export),
        on(Method::GET, "/events", Read, stream::events),
        look("/jobs/{job_id}", jobs::show),
        on(Method::DELETE, "/jobs/{job_id}", Request, change::cancel),
        look("/jobs/{job_id}/events", stream::job_events),
        on(Method::POST, "/jobs/{job_id}/resume", Operate, change::resume),
        on(Method::POST, "/jobs/{job_id}/give-up", Operate, change::give_up),
        on(Method::POST, "/jobs/{job_id}/retry", Request, change::retry),
        look("/queues", queues::list),
        on(Method::POST, "/queues/{kind}/pause", Operate, queues::pause),
        on(Method::POST, "/queues/{kind}/resume", Operate, queues::resume),
        look("/workers", queues::workers),
        look("/schedules", schedules::list),
        on(Method::POST, "/schedules", Operate, schedules::create),
        look("/schedules/{name}", schedules::show),
        on(Method::PUT, "/schedules/{name}", Operate, schedules::replace),
        on(Method::DELETE, "/schedules/{name}", Operate, schedules::remove),
        on(Method::POST, "/schedules/{name}/pause", Operate, schedules::pause),
        on(Method::POST, "/schedules/{name}/resume", Operate, schedules::resume),
        on(Method::POST, "/schedules/{name}/run", Operate, schedules::run),
    ]
}

/// Method, path and right of every route.
pub fn table() -> Vec<(String, &'static str, Right)> {
    entries().iter().map(|entry| (entry.method.to_string(), entry.path, entry.right)).collect()
}

/// A route that shows something, also to `HEAD` as every reader of `GET` may expect.
fn look<F, Args>(path: &'static str, handler: F) -> Entry
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    entry(Method::GET, path, Right::Read, web::route().guard(Any(Get()).or(Head())).to(handler))
}

/// A route of this one method.
fn on<F, Args>(method: Method, path: &'static str, right: Right, handler: F) -> Entry
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let route = web::method(method.clone()).to(handler);
    entry(method, path, right, route)
}

fn entry(method: Method, path: &'static str, right: Right, route: Route) -> Entry {
    let admit = from_fn(move |request, next| rights::admit(right, request, next));
    Entry { method, path, right, route: route.wrap(admit) }
}

/// Puts the routes into an application.
pub fn configure(state: ApiState) -> impl Fn(&mut ServiceConfig) + Clone {
    let hosts = web::Data::new(Hosts::new(state.options.host_names()));
    let state = web::Data::new(state);
    move |config| {
        let scope = web::scope("").app_data(hosts.clone()).app_data(state.clone()).wrap(from_fn(guard));
        let scope = resources().into_iter().fold(scope, Scope::service);
        config.service(scope.default_service(web::to(unknown)));
    }
}

/// One for each path, in the order of the table; other methods are refused with those that it takes.
fn resources() -> Vec<Resource> {
    let mut paths: Vec<(&str, Vec<Entry>)> = Vec::new();
    for entry in entries() {
        match paths.iter_mut().find(|(path, _)| *path == entry.path) {
            Some((_, entries)) => entries.push(entry),
            None => paths.push((entry.path, vec![entry])),
        }
    }
    let resource = |(path, entries): (&str, Vec<Entry>)| {
        let allowed = entries.iter().map(|entry| entry.method.as_str()).collect::<Vec<_>>().join(", ");
        let refuse = move || {
            let allowed = allowed.clone();
            async move { Err::<String, _>(ApiError::Method { allowed }) }
        };
        let resource = entries.into_iter().fold(web::resource(path), |resource, entry| resource.route(entry.route));
        resource.default_service(web::to(refuse))
    };
    paths.into_iter().map(resource).collect()
}

async fn unknown(request: HttpRequest) -> Result<String, ApiError> {
    let path = crate::body::shortened(request.path());
    Err(ApiError::NotFound(format!("there is nothing at {path}")))
}

/// Serves until `stop`; then answers what is under way, for a few seconds at most.
///
/// # Errors
/// Where the listener can't be used.
pub async fn serve(listener: TcpListener, state: ApiState, stop: CancellationToken) -> Result<(), ServeError> {
    let streams = state.streams.clone();
    let stopped = async move {
        stop.cancelled_owned().await;
        // Otherwise they would be waited for.
        streams.end();
    };
    let connections = state.options.connections_max.div_ceil(THREADS);
    let configure = configure(state);
    let server = HttpServer::new(move || App::new().configure(configure.clone()))
        .workers(THREADS)
        .max_connections(connections)
        .shutdown_signal(stopped)
        .shutdown_timeout(STOP_WITHIN_SECONDS)
        .listen(listener)?
        .run();
    Ok(server.await?)
}
