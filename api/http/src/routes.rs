//! Which path leads where, and serving them.

use crate::{
    ApiState, Gate, Hosts, Right, Tls, change,
    entry::{Entry, look, mount, on, open, rights_of},
    health, jobs, probe, queues, request, schedules, stream, whoami, whole,
};
use actix_web::{
    App, HttpServer,
    http::Method,
    web::{self, ServiceConfig},
};
use std::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Enough for an API that hands everything to MongoDB, and small on a small node.
const THREADS: usize = 2;
const STOP_WITHIN_SECONDS: u64 = 5;

/// Why the API can't be served.
#[derive(Debug, thiserror::Error)]
#[error("the API can't be served: {0}")]
pub struct ServeError(#[from] std::io::Error);

/// Every route there is, and what it needs.
fn entries() -> Vec<Entry> {
    use Right::{Administer, Operate, OperateAll, Read, Request};
    vec![
        look("/health", health::health),
        open("/livez", probe::live),
        open("/readyz", probe::ready),
        look("/whoami", whoami::show),
        on(Method::POST, "/backup", Request, request::backup),
        on(Method::POST, "/restore", Operate, request::restore),
        on(Method::POST, "/verify", Request, request::verify),
        on(Method::POST, "/prune", Administer, request::prune),
        on(Method::POST, "/copy", Operate, request::copy),
        on(Method::POST, "/reencrypt", Administer, request::reencrypt),
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
        on(Method::POST, "/queues/{kind}/pause", OperateAll, queues::pause),
        on(Method::POST, "/queues/{kind}/resume", OperateAll, queues::resume),
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
    rights_of(&entries())
}

/// Puts the routes into an application.
pub fn configure(state: ApiState) -> impl Fn(&mut ServiceConfig) + Clone {
    let gate = state.gate();
    configured(state, gate)
}

fn configured(state: ApiState, gate: Gate) -> impl Fn(&mut ServiceConfig) + Clone {
    let hosts = web::Data::new(Hosts::new(state.options.host_names()));
    let gate = web::Data::new(gate);
    let state = web::Data::new(state);
    move |config| {
        let scope = web::scope("").app_data(hosts.clone()).app_data(gate.clone()).app_data(state.clone());
        mount(config, scope, entries());
    }
}

/// Serves until `stop`, over TLS where there is any; then answers what is under way, for a few seconds at most.
///
/// # Errors
/// Where the listener can't be used.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    tls: Option<Tls>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let streams = state.streams.clone();
    let stopped = async move {
        stop.cancelled_owned().await;
        // Otherwise they would be waited for.
        streams.end();
    };
    let connections = state.options.connections_max.div_ceil(THREADS);
    let gate = state.gate();
    let calm = AbortOnDropHandle::new(tokio::spawn(gate.throttle.clone().watch()));
    let configure = configured(state, gate);
    let server = HttpServer::new(move || App::new().configure(configure.clone()))
        .workers(THREADS)
        .max_connections(connections)
        .shutdown_signal(stopped)
        .shutdown_timeout(STOP_WITHIN_SECONDS);
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls.config()?)?,
        None => server.listen(listener)?,
    };
    let served = server.run().await;
    drop(calm);
    Ok(served?)
}
