//! How the service is, in one look.

use crate::{Answer, ApiError, ApiState, Caller, around, json, waiting};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use bson::DateTime;
use lucid_ports::{JobFilter, Watch, WorkerCard};
use lucid_schemas::{
    EventBody, Job, State,
    http::{Health, health::Status},
    zones,
};
use std::{collections::BTreeMap, time::Duration};

/// A probe that isn't answered is as good as a failed one.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const JOBS_LOOKED_AT: u32 = 100;
/// A worker says that it lives as often.
const ANNOUNCED_WITHIN_MS: i64 = 15_000;
const HELD: [State; 3] = [State::Running, State::Canceling, State::Committing];

/// `GET /health`: 503 where it is critical or nobody knows; with `?fail=degraded` also where somebody should look.
pub(crate) async fn health(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    // A task of its own: calls of the store aren't broken off, only no longer waited for.
    let looking = tokio::spawn(look(state.get_ref().clone()));
    let mut health = match tokio::time::timeout(ANSWER_WITHIN, looking).await {
        Ok(Ok(Ok(health))) => health,
        Ok(Ok(Err(error))) => down(&error.to_string()),
        Ok(Err(broken)) => down(&format!("the look at it broke off: {broken}")),
        Err(_elapsed) => down(&format!("it didn't answer within {} s", ANSWER_WITHIN.as_secs())),
    };
    if !caller.scope().is_all() {
        withhold(&mut health);
    }
    let strict = request.query_string() == "fail=degraded";
    let status = if health.status.fails(strict) { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(health))
}

/// Leaves out what may be about any database.
fn withhold(health: &mut Health) {
    health.open_jobs.clear();
    health.workers.iter_mut().for_each(|worker| worker.problems.clear());
    if !health.problems.is_empty() {
        health.problems = vec!["somebody should look at it: what is wrong is told to tokens without a scope".into()];
    }
}

fn down(reason: &str) -> Health {
    Health {
        status: Status::Unknown,
        evaluated_at: None,
        version: env!("CARGO_PKG_VERSION").into(),
        mongodb: reason.into(),
        workers: Vec::new(),
        open_jobs: BTreeMap::new(),
        problems: vec![format!("the job store: {reason}")],
        time_zones: zones::installed().describe(),
    }
}

async fn look(state: ApiState) -> Result<Health, ApiError> {
    let mongodb = state.store.ping().await?;
    let around = state.workers().await?;
    let workers = &around.workers;
    let open = state.store.open_jobs().await?;
    let mut problems = around.problems();
    // A worker of the same process tells of them with its name.
    let told = |sentence: &String| workers.iter().any(|worker| worker.problems.contains(sentence));
    problems.extend(state.problems.sentences().into_iter().filter(|sentence| !told(sentence)));
    if workers.is_empty() {
        problems.push("no worker is alive, so jobs wait: start one with `lucid-ops worker`".into());
    }
    if open.contains_key(&State::Blocked) {
        problems.extend(in_state(&state, State::Blocked).await?.iter().map(blocked));
    }
    if open.contains_key(&State::Queued) && !workers.is_empty() {
        problems.extend(unreached(&in_state(&state, State::Queued).await?, &around.everybody));
    }
    let look = state.schedules.look().await?;
    let condition = Watch::look(&*state.store, &*state.alerts).await?.condition(look.now);
    if HELD.iter().any(|held| open.contains_key(held)) {
        let held = in_states(&state, &HELD).await?;
        problems.extend(held.iter().filter_map(|job| left_alone(job, &around.everybody, look.now)));
    }
    problems.extend(look.schedules.iter().filter_map(|schedule| schedule.problem(look.now)));
    problems.extend(look.unreadable);
    Ok(Health {
        status: condition.status.at_best_degraded(!problems.is_empty()),
        evaluated_at: condition.evaluated_at.map(json::date),
        version: env!("CARGO_PKG_VERSION").into(),
        mongodb,
        workers: workers.iter().map(around::worker).collect(),
        open_jobs: open.into_iter().map(|(state, jobs)| (state.to_string(), jobs)).collect(),
        problems: condition.problems.into_iter().chain(problems).collect(),
        time_zones: zones::installed().describe(),
    })
}

async fn in_state(state: &ApiState, wanted: State) -> Result<Vec<Job>, ApiError> {
    in_states(state, &[wanted]).await
}

async fn in_states(state: &ApiState, wanted: &[State]) -> Result<Vec<Job>, ApiError> {
    let filter = JobFilter { states: wanted.to_vec(), limit: JOBS_LOOKED_AT, ..JobFilter::default() };
    Ok(state.store.list(&filter).await?.jobs)
}

/// A held job whose worker isn't alive. One that has just begun to work may not have said so yet.
fn left_alone(job: &Job, workers: &[WorkerCard], now: DateTime) -> Option<String> {
    let lease = job.lease.as_ref()?;
    let claimed_at =
        job.events.iter().rev().find(|event| matches!(event.body, EventBody::Claimed { .. }))?.at.stored()?;
    let since_ms = now.timestamp_millis().saturating_sub(claimed_at.timestamp_millis());
    let lives = workers.iter().any(|worker| worker.name == lease.worker);
    (!lives && !(0..ANNOUNCED_WITHIN_MS).contains(&since_ms)).then(|| {
        format!(
            "{} is {} and held by {}, which isn't alive: another worker takes it over when its lease ends",
            job.id(),
            job.head.state,
            lease.worker
        )
    })
}

fn blocked(job: &Job) -> String {
    let why = job.head.error.as_ref().map_or("", |error| &error.message);
    format!("{} is blocked past its point of no return: {why}", job.id())
}

/// One sentence per reason, with the number of jobs that wait for it.
fn unreached(queued: &[Job], workers: &[WorkerCard]) -> Vec<String> {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for reason in queued.iter().filter_map(|job| waiting::unreached(&job.request, workers)) {
        *reasons.entry(reason).or_default() += 1;
    }
    let sentence =
        |(reason, jobs)| format!("{jobs} queued job{} wait{}: {reason}", plural(jobs, "s", ""), plural(jobs, "", "s"));
    reasons.into_iter().map(sentence).collect()
}

const fn plural(count: usize, many: &'static str, one: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}
