//! Which path leads where, and serving them.

use crate::{ApiError, ApiState, change, guard, health, jobs, queues, request, schedules, stream, whole};
use actix_web::{
    App, HttpRequest, HttpServer, Resource, Route,
    guard::{Any, Get, Guard, Head},
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

/// Puts the routes into an application.
pub fn configure(state: ApiState) -> impl Fn(&mut ServiceConfig) + Clone {
    let state = web::Data::new(state);
    move |config| {
        let routes = web::scope("")
            .app_data(state.clone())
            .wrap(from_fn(guard::guard))
            .service(resource("/health", "GET", [get().to(health::health)]))
            .service(resource("/backup", "POST", [web::post().to(request::backup)]))
            .service(resource("/restore", "POST", [web::post().to(request::restore)]))
            .service(resource("/verify", "POST", [web::post().to(request::verify)]))
            .service(resource("/prune", "POST", [web::post().to(request::prune)]))
            .service(resource("/copy", "POST", [web::post().to(request::copy)]))
            .service(resource("/reencrypt", "POST", [web::post().to(request::reencrypt)]))
            .service(resource("/backups", "GET", [get().to(jobs::list_backups)]))
            .service(resource(
                "/backup/{job_id}",
                "GET, DELETE",
                [get().to(jobs::show_backup), web::delete().to(change::cancel_backup)],
            ))
            .service(resource("/jobs", "GET", [get().to(jobs::list)]))
            .service(resource("/jobs/audit", "GET", [web::get().to(whole::audit)]))
            .service(resource("/jobs/export", "GET", [web::get().to(whole::export)]))
            .service(resource("/events", "GET", [web::get().to(stream::events)]))
            .service(resource(
                "/jobs/{job_id}",
                "GET, DELETE",
                [get().to(jobs::show), web::delete().to(change::cancel)],
            ))
            .service(resource("/jobs/{job_id}/events", "GET", [get().to(stream::job_events)]))
            .service(resource("/jobs/{job_id}/resume", "POST", [web::post().to(change::resume)]))
            .service(resource("/jobs/{job_id}/retry", "POST", [web::post().to(change::retry)]))
            .service(resource("/queues", "GET", [get().to(queues::list)]))
            .service(resource("/queues/{kind}/pause", "POST", [web::post().to(queues::pause)]))
            .service(resource("/queues/{kind}/resume", "POST", [web::post().to(queues::resume)]))
            .service(resource("/workers", "GET", [get().to(queues::workers)]))
            .configure(schedule_routes)
            .default_service(web::to(unknown));
        config.service(routes);
    }
}

fn schedule_routes(config: &mut ServiceConfig) {
    config
        .service(resource("/schedules", "GET, POST", [get().to(schedules::list), web::post().to(schedules::create)]))
        .service(resource(
            "/schedules/{name}",
            "GET, PUT, DELETE",
            [get().to(schedules::show), web::put().to(schedules::replace), web::delete().to(schedules::remove)],
        ))
        .service(resource("/schedules/{name}/pause", "POST", [web::post().to(schedules::pause)]))
        .service(resource("/schedules/{name}/resume", "POST", [web::post().to(schedules::resume)]))
        .service(resource("/schedules/{name}/run", "POST", [web::post().to(schedules::run)]));
}

/// `GET`, and `HEAD` as every reader of `GET` may expect.
fn get() -> Route {
    struct Reading;
    impl Guard for Reading {
        fn check(&self, context: &actix_web::guard::GuardContext<'_>) -> bool {
            Any(Get()).or(Head()).check(context)
        }
    }
    web::route().guard(Reading)
}

fn resource<const N: usize>(path: &str, allowed: &'static str, routes: [Route; N]) -> Resource {
    routes
        .into_iter()
        .fold(web::resource(path.to_owned()), Resource::route)
        .default_service(web::to(move || async move { Err::<String, _>(ApiError::Method { allowed }) }))
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
    let configure = configure(state);
    let server = HttpServer::new(move || App::new().configure(configure.clone()))
        .workers(THREADS)
        .shutdown_signal(stopped)
        .shutdown_timeout(STOP_WITHIN_SECONDS)
        .listen(listener)?
        .run();
    Ok(server.await?)
}
