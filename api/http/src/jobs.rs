//! Showing jobs.

use crate::{
    Answer, ApiError, ApiState, Caller,
    around::Around,
    json, lookup,
    lookup::PathId,
    query,
    query::{After, cursor},
    scope, view,
};
use actix_web::{HttpRequest, HttpResponse, web};
use lucid_core::is_given_up;
use lucid_ports::{GIVEN_UP, JobFilter, ListPage, Place};
use lucid_schemas::{
    Job, Kind, State as JobState,
    http::{BackupPage, JobPage},
};
use serde_json::Value;

type State = web::Data<ApiState>;

/// Findings shown with a job; its detail keeps more.
const FINDINGS_SHOWN: usize = 500;

/// `GET /backup/{job_id}`.
pub(crate) async fn show_backup(state: State, caller: Caller, id: PathId) -> Answer {
    let job = lookup::job(&state, &caller, &id.0, Some(Kind::Backup)).await?;
    let workers = workers_for(&state, std::slice::from_ref(&job)).await?;
    Ok(HttpResponse::Ok().json(view::backup(&job, &workers)))
}

/// `GET /jobs/{job_id}`.
pub(crate) async fn show(state: State, caller: Caller, id: PathId) -> Answer {
    let job = lookup::job(&state, &caller, &id.0, None).await?;
    let workers = workers_for(&state, std::slice::from_ref(&job)).await?;
    let mut shown = view::job(&job, &workers);
    if job.head.state == JobState::Failed && is_given_up(&job) {
        shown.result = state.store.detail(job.id(), GIVEN_UP).await?.map(|kept| json::document(kept.data));
    } else if job.request.spec.kind() == Kind::Verify && job.head.state == JobState::Failed {
        shown.result = findings(&state, &job).await?;
    }
    Ok(HttpResponse::Ok().json(shown))
}

/// What a verification has found; nothing where it failed otherwise.
async fn findings(state: &ApiState, job: &Job) -> Result<Option<Value>, ApiError> {
    let Some(mut kept) = state.store.detail(job.id(), "findings").await? else { return Ok(None) };
    if let Ok(list) = kept.data.get_array_mut("findings") {
        list.truncate(FINDINGS_SHOWN);
    }
    Ok(Some(json::document(kept.data)))
}

/// `GET /jobs`.
pub(crate) async fn list(state: State, caller: Caller, request: HttpRequest) -> Answer {
    let (page, workers) = page(&state, &caller, &request, None).await?;
    Ok(HttpResponse::Ok()
        .json(JobPage { next: next(&page), jobs: page.jobs.iter().map(|job| view::job(job, &workers)).collect() }))
}

/// `GET /backups`.
pub(crate) async fn list_backups(state: State, caller: Caller, request: HttpRequest) -> Answer {
    let (page, workers) = page(&state, &caller, &request, Some(Kind::Backup)).await?;
    Ok(HttpResponse::Ok().json(BackupPage {
        next: next(&page),
        backups: page.jobs.iter().map(|job| view::backup(job, &workers)).collect(),
    }))
}

async fn page(
    state: &ApiState,
    caller: &Caller,
    request: &HttpRequest,
    kind: Option<Kind>,
) -> Result<(ListPage, Around), ApiError> {
    let (mut filter, after) = match kind {
        Some(_) => query::job_filter(request.query_string(), &query::JOB_FILTER[1..])?,
        None => query::job_filter(request.query_string(), &query::JOB_FILTER)?,
    };
    filter.kind = kind.or(filter.kind);
    filter.after = match after {
        Some(After::Job(id)) => {
            let unknown = || ApiError::field("after", format!("there is no job '{id}'"));
            let job = state.store.load(&id).await?.ok_or_else(unknown)?;
            if !scope::sees(state, caller, &job.request.spec).await? {
                return Err(unknown());
            }
            Some(Place::of(&job))
        }
        Some(After::Place(place)) => Some(place),
        None => None,
    };
    let page = seen(state, caller, filter).await?;
    let workers = workers_for(state, &page.jobs).await?;
    Ok((page, workers))
}

/// A page of the jobs that he sees; looks on until it is full, or there are no more.
async fn seen(state: &ApiState, caller: &Caller, mut filter: JobFilter) -> Result<ListPage, ApiError> {
    if caller.scope().is_all() {
        return Ok(state.store.list(&filter).await?);
    }
    let wanted = filter.limit as usize;
    let mut jobs = Vec::new();
    filter.limit = query::LIMIT_MAX;
    loop {
        let page = state.store.list(&filter).await?;
        filter.after = page.jobs.last().map(Place::of);
        for job in page.jobs {
            if scope::sees(state, caller, &job.request.spec).await? {
                jobs.push(job);
            }
            if jobs.len() > wanted {
                jobs.truncate(wanted);
                return Ok(ListPage { jobs, more: true });
            }
        }
        if !page.more {
            return Ok(ListPage { jobs, more: false });
        }
    }
}

fn next(page: &ListPage) -> Option<String> {
    page.jobs.last().filter(|_| page.more).map(|job| cursor(&Place::of(job)))
}

/// The live workers, where one of the jobs may be waiting for them.
async fn workers_for(state: &ApiState, jobs: &[Job]) -> Result<Around, ApiError> {
    if jobs.iter().all(|job| job.head.state.is_terminal() || job.lease.is_some()) {
        return Ok(Around::default());
    }
    state.workers().await
}
