//! What container managers ask: whether a process runs, and whether it can be of use now. How the service is, is another question: see
//! `GET /health`.

use crate::{Answer, ApiState, health::ANSWER_WITHIN};
use actix_web::{HttpResponse, Responder, web};

const OK: &str = "ok\n";

/// `GET /livez`: the process runs and answers, whatever it can reach.
pub async fn live() -> impl Responder {
    OK
}

/// The answer of a `GET /readyz`: 200, or 503 with the reason why this process is of no use yet.
pub fn readiness(ready: Result<(), String>) -> HttpResponse {
    match ready {
        Ok(()) => HttpResponse::Ok().body(OK),
        Err(reason) => HttpResponse::ServiceUnavailable().body(format!("{reason}\n")),
    }
}

/// `GET /readyz` of the API: whether the store can be reached.
pub(crate) async fn ready(state: web::Data<ApiState>) -> Answer {
    let store = state.store.clone();
    // A task of its own: calls of the store aren't broken off, only no longer waited for.
    let asked = tokio::spawn(async move { store.ping().await });
    let ready = match tokio::time::timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err(error))) => Err(format!("the job store can't be reached: {error}")),
        Ok(Err(broken)) => Err(format!("the question to the job store broke off: {broken}")),
        Err(_elapsed) => Err(format!("the job store didn't answer within {} s", ANSWER_WITHIN.as_secs())),
    };
    Ok(readiness(ready))
}
