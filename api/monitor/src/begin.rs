//! `POST /monitor`: monitoring begins anew, with other terms, or after a person ended it.

use crate::{
    Monitor,
    alerts::{desk, not_changed},
};
use actix_web::{HttpResponse, web};
use lucid_http::{Answer, ApiError, Body};
use lucid_schemas::{MonitorSpec, kinds::monitor::INTERVAL_LONGEST};
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeginBody {
    /// Seconds from one round to the next; this monitor's own where absent.
    interval_seconds: Option<i32>,
    /// The databases whose collections are measured; all where absent.
    databases: Option<Vec<String>>,
    /// Whether it is told how long operations on each collection take.
    #[serde(default)]
    latency_by_collection: bool,
}

/// What was begun.
#[derive(Debug, Serialize)]
struct Begun {
    /// The monitor job.
    job_id: String,
    /// Seconds from one round to the next.
    interval_seconds: i32,
    /// The databases whose collections are measured; null: all.
    databases: Option<Vec<String>>,
    /// Whether it is told how long operations on each collection take.
    latency_by_collection: bool,
}

/// Asks for the next monitor job; whoever holds the one before hands on to it.
pub(crate) async fn begin(monitor: web::Data<Monitor>, body: Body<BeginBody>) -> Answer {
    let own = i32::try_from(monitor.interval.as_secs()).unwrap_or(INTERVAL_LONGEST);
    let BeginBody { interval_seconds, databases, latency_by_collection } = body.0;
    let terms = MonitorSpec { databases, latency_by_collection, ..MonitorSpec::every(interval_seconds.unwrap_or(own)) };
    let wrong = terms.check();
    if !wrong.is_empty() {
        return Err(ApiError::Invalid(wrong));
    }
    let asked = async { Ok(desk(&monitor)?.chain.ask_anew(&terms).await?) };
    let job = asked.await.map_err(not_changed)?;
    let MonitorSpec { interval_seconds, databases, latency_by_collection, .. } = terms;
    tracing::info!(%job, interval_seconds, "monitoring begins anew");
    Ok(HttpResponse::Accepted().json(Begun {
        job_id: job.to_string(),
        interval_seconds,
        databases,
        latency_by_collection,
    }))
}
