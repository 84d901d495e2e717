//! `POST /monitor`: monitoring begins anew, with other terms, or after a person ended it.

use crate::{
    Monitor,
    alerts::{desk, not_changed},
};
use actix_web::{HttpResponse, web};
use lucid_http::{Answer, ApiError, Body};
use lucid_schemas::kinds::monitor::{INTERVAL_LONGEST, INTERVAL_SHORTEST};
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeginBody {
    /// Seconds from one round to the next; this monitor's own where absent.
    interval_seconds: Option<i32>,
}

/// What was begun.
#[derive(Debug, Serialize)]
struct Begun {
    /// The monitor job.
    job_id: String,
    /// Seconds from one round to the next.
    interval_seconds: i32,
}

/// Asks for the next monitor job; whoever holds the one before hands on to it.
pub(crate) async fn begin(monitor: web::Data<Monitor>, body: Body<BeginBody>) -> Answer {
    let own = i32::try_from(monitor.interval.as_secs()).unwrap_or(INTERVAL_LONGEST);
    let interval_seconds = body.0.interval_seconds.unwrap_or(own);
    if !(INTERVAL_SHORTEST..=INTERVAL_LONGEST).contains(&interval_seconds) {
        let problem = format!("must be from {INTERVAL_SHORTEST} to {INTERVAL_LONGEST}");
        return Err(ApiError::field("interval_seconds", problem));
    }
    let asked = async { Ok(desk(&monitor)?.chain.ask_next(interval_seconds).await?) };
    let job = asked.await.map_err(not_changed)?;
    tracing::info!(%job, interval_seconds, "monitoring begins anew");
    Ok(HttpResponse::Accepted().json(Begun { job_id: job.to_string(), interval_seconds }))
}
