//! Pausing and resuming kinds of jobs on every node, and the workers.

use crate::{Answer, ApiError, ApiState, Caller, around, body::Body, json, query};
use actix_web::{HttpRequest, HttpResponse, web};
use lucid_ports::Pause;
use lucid_schemas::{
    Kind, Stamp,
    run::{PauseBody, QueueList, QueueView, WorkerList},
};

type State = web::Data<ApiState>;

const REASON_CHARACTERS_MAX: usize = 200;

/// `GET /queues`.
pub(crate) async fn list(state: State, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let paused = state.store.paused().await?;
    let queues = Kind::ALL.map(|kind| view(kind, paused.iter().find(|pause| pause.kind == kind)));
    Ok(HttpResponse::Ok().json(QueueList { queues: queues.to_vec() }))
}

/// `POST /queues/{kind}/pause`: jobs of the kind aren't begun; those that run go on.
pub(crate) async fn pause(state: State, caller: Caller, request: HttpRequest, body: Body<PauseBody>) -> Answer {
    let kind = kind(&request)?;
    let reason = reason(body.0.reason)?;
    state.store.pause(&Pause { kind, by: caller.name, reason, at: None }).await?;
    tracing::info!(%kind, "paused");
    let paused = state.store.paused().await?;
    Ok(HttpResponse::Ok().json(view(kind, paused.iter().find(|pause| pause.kind == kind))))
}

/// Why somebody does something, for people; empty where he doesn't say.
pub(crate) fn reason(given: Option<String>) -> Result<String, ApiError> {
    let reason = given.unwrap_or_default();
    if reason.chars().count() > REASON_CHARACTERS_MAX || reason.chars().any(char::is_control) {
        let problem = format!("must be at most {REASON_CHARACTERS_MAX} characters on one line");
        return Err(ApiError::field("reason", problem));
    }
    Ok(reason)
}

/// `POST /queues/{kind}/resume`; asking twice is the same as asking once.
pub(crate) async fn resume(state: State, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let kind = kind(&request)?;
    if state.store.unpause(kind).await? {
        tracing::info!(%kind, "resumed");
    }
    Ok(HttpResponse::Ok().json(view(kind, None)))
}

/// `GET /workers`.
pub(crate) async fn workers(state: State, caller: Caller, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let mut around = state.workers().await?;
    if !caller.scope().is_all() {
        around.withhold_problems();
    }
    Ok(HttpResponse::Ok().json(WorkerList { workers: around.workers.iter().map(around::worker).collect() }))
}

fn kind(request: &HttpRequest) -> Result<Kind, ApiError> {
    let word = request.match_info().query("kind");
    word.parse().map_err(|_| {
        let known = Kind::ALL.map(Kind::as_str).join(", ");
        ApiError::NotFound(format!("there is no queue '{}'; there are {known}", crate::body::shortened(word)))
    })
}

fn view(kind: Kind, pause: Option<&Pause>) -> QueueView {
    QueueView {
        kind: kind.to_string(),
        paused: pause.is_some(),
        by: pause.map(|pause| pause.by.clone()),
        reason: pause.map(|pause| pause.reason.clone()).filter(|reason| !reason.is_empty()),
        since: pause.and_then(|pause| pause.at).map(|at| json::time(Stamp::At(at))),
    }
}
