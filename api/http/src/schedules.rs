//! Schedules: made, shown, edited by version, paused, resumed, run now, removed.

mod asked;
mod view;

use crate::{
    Answer, ApiError, ApiState, Caller,
    body::{RawBody, shortened},
    check::unknown_repository,
    idempotency::Key,
    query, request,
    run::Due,
    scope,
    state::write_token,
};
use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder,
    dev::Payload,
    http::header::{ETAG, IF_MATCH, LOCATION},
    web,
};
use asked::Asked;
use bson::DateTime;
use lucid_ports::schedules::{Edit, Edited, Look, Mark, NewSchedule};
use lucid_schemas::{Job, Schedule, http::ScheduleList, schedule::Terms};
use std::future::{Ready, ready};

/// Somebody else is faster a few times at most; more is a fault.
const TRIES: usize = 20;

type State = web::Data<ApiState>;

/// The schedule that a path names, and the version that the request builds on; the request has no query.
pub(crate) struct Named {
    name: String,
    if_match: Option<i64>,
}

impl FromRequest for Named {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let name = request.match_info().query("name").to_owned();
        let read = || {
            query::none(request)?;
            Ok(Self { if_match: if_match(request)?, name })
        };
        ready(read())
    }
}

fn if_match(request: &HttpRequest) -> Result<Option<i64>, ApiError> {
    let Some(header) = request.headers().get(IF_MATCH) else {
        return Ok(None);
    };
    let tag = header.to_str().unwrap_or_default().trim().trim_matches('"');
    let version = tag.parse().ok().filter(|version: &i64| *version > 0);
    version.map(Some).ok_or_else(|| ApiError::field("If-Match", "must be the ETag of a schedule, such as \"3\""))
}

/// `GET /schedules`.
pub(crate) async fn list(state: State, caller: Caller, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let Look { now, schedules, unreadable } = state.schedules.look().await?;
    let mut shown = Vec::with_capacity(schedules.len());
    for schedule in &schedules {
        if !scope::sees(&state, &caller, &schedule.terms.spec).await? {
            continue;
        }
        let last = last_job(&state, schedule).await?;
        shown.push(view::schedule(schedule, last.as_ref(), now, 1));
    }
    let problems = if caller.scope().is_all() { unreadable } else { Vec::new() };
    Ok(HttpResponse::Ok().json(ScheduleList { schedules: shown, problems }))
}

/// `GET /schedules/{name}`.
pub(crate) async fn show(state: State, caller: Caller, named: Named) -> Answer {
    let Look { now, schedules, unreadable } = state.schedules.look().await?;
    match schedules.iter().find(|schedule| schedule.name == named.name) {
        Some(schedule) if !scope::sees(&state, &caller, &schedule.terms.spec).await? => Err(unknown(&named.name)),
        Some(schedule) => {
            let last = last_job(&state, schedule).await?;
            Ok(shown(HttpResponse::Ok(), schedule, last.as_ref(), now))
        }
        None if !caller.scope().is_all() => Err(unknown(&named.name)),
        None => match unreadable.into_iter().find(|problem| problem.contains(&format!("'{}'", named.name))) {
            Some(problem) => Err(ApiError::Broken(problem)),
            None => Err(unknown(&named.name)),
        },
    }
}

/// `POST /schedules`.
pub(crate) async fn create(state: State, caller: Caller, request: HttpRequest, body: RawBody) -> Answer {
    query::none(&request)?;
    let asked = Asked::read(&state, &caller, &body.0, None).await?;
    if asked.version.is_some() {
        return Err(ApiError::field("version", "is for edits: a new schedule has none"));
    }
    match make(&state, &caller, &asked).await? {
        Some(schedule) => Ok(created(&schedule)),
        None => Err(ApiError::Taken(asked.name)),
    }
}

/// `PUT /schedules/{name}`: replaces it, or makes it where there is none and no version is asked for.
pub(crate) async fn replace(state: State, caller: Caller, named: Named, body: RawBody) -> Answer {
    let asked = Asked::read(&state, &caller, &body.0, Some(&named.name)).await?;
    let wanted = match (named.if_match, asked.version) {
        (Some(one), Some(other)) if one != other => {
            return Err(ApiError::field("version", "differs from the version in If-Match"));
        }
        (one, other) => one.or(other),
    };
    for _ in 0..TRIES {
        let Some(current) = state.schedules.schedule(&asked.name).await? else {
            if wanted.is_some() {
                return Err(ApiError::Stale { name: asked.name, version: None });
            }
            match make(&state, &caller, &asked).await? {
                Some(schedule) => return Ok(created(&schedule)),
                None => continue,
            }
        };
        if !scope::sees(&state, &caller, &current.terms.spec).await? {
            return Err(ApiError::Taken(asked.name));
        }
        let stale = || ApiError::Stale { name: asked.name.clone(), version: Some(current.version) };
        if wanted.is_some_and(|wanted| wanted != current.version) {
            return Err(stale());
        }
        let terms = asked.terms(current.terms.paused);
        let mark = asked.high_water.map_or_else(|| Mark::after(&current.terms, &terms), Mark::Set);
        if let Some(done) = edit(&state, &caller, &current, terms, mark).await? {
            return answer(&state, done).await;
        }
    }
    Err(ApiError::Busy(asked.name))
}

/// `DELETE /schedules/{name}`. Its jobs stay.
pub(crate) async fn remove(state: State, caller: Caller, named: Named) -> Answer {
    existing(&state, &caller, &named).await?;
    let Named { name, if_match } = named;
    if state.schedules.remove_schedule(&name, if_match).await? {
        tracing::info!(schedule = name, "schedule removed");
        return Ok(HttpResponse::NoContent().finish());
    }
    match state.schedules.schedule(&name).await? {
        Some(current) => Err(ApiError::Stale { name, version: Some(current.version) }),
        None => Err(unknown(&name)),
    }
}

/// `POST /schedules/{name}/pause`.
pub(crate) async fn pause(state: State, caller: Caller, named: Named) -> Answer {
    set_paused(&state, &caller, named, true).await
}

/// `POST /schedules/{name}/resume`: goes on with what is planned from now on.
pub(crate) async fn resume(state: State, caller: Caller, named: Named) -> Answer {
    set_paused(&state, &caller, named, false).await
}

/// `POST /schedules/{name}/run`: an ordinary job, now, whether the schedule is paused or not.
pub(crate) async fn run(state: State, caller: Caller, asking: HttpRequest, named: Named) -> Answer {
    let key = Key::read(&asking, &caller, &named.name)?;
    if let Some(job) = key.made(&state).await? {
        return request::accepted(&state, &job).await;
    }
    let schedule = existing(&state, &caller, &named).await?;
    let wanted = &schedule.terms.repository;
    let known = state.store.repositories().await?;
    let Some(repository) = known.iter().find(|known| known.name == *wanted) else {
        return Err(ApiError::field("spec.repository", unknown_repository(wanted, &known)));
    };
    let by = format!("{} for {}", caller.name, schedule.signature());
    let spec = &schedule.terms.spec;
    request::enqueue(&state, &caller, key, spec, Due::default(), |id| schedule.request(id, by, repository.clone()))
        .await
}

async fn set_paused(state: &ApiState, caller: &Caller, named: Named, paused: bool) -> Answer {
    for _ in 0..TRIES {
        let current = existing(state, caller, &named).await?;
        if !paused {
            caller.may_ask_for(&current.terms.spec)?;
        }
        let terms = Terms { paused, ..current.terms.clone() };
        let mark = Mark::after(&current.terms, &terms);
        if let Some(done) = edit(state, caller, &current, terms, mark).await? {
            return answer(state, done).await;
        }
    }
    Err(ApiError::Busy(named.name))
}

async fn existing(state: &ApiState, caller: &Caller, named: &Named) -> Result<Schedule, ApiError> {
    let current = state.schedules.schedule(&named.name).await?.ok_or_else(|| unknown(&named.name))?;
    if !scope::sees(state, caller, &current.terms.spec).await? {
        return Err(unknown(&named.name));
    }
    match named.if_match {
        Some(wanted) if wanted != current.version => {
            Err(ApiError::Stale { name: current.name, version: Some(current.version) })
        }
        _ => Ok(current),
    }
}

async fn make(state: &ApiState, caller: &Caller, asked: &Asked) -> Result<Option<Schedule>, ApiError> {
    let new = NewSchedule {
        name: asked.name.clone(),
        terms: asked.terms(false),
        high_water: asked.high_water,
        by: caller.name.clone(),
        write: write_token(),
    };
    let made = state.schedules.create_schedule(&new).await?;
    if let Some(made) = &made {
        tracing::info!(schedule = made.name, cron = made.terms.cron, "schedule made");
    }
    Ok(made)
}

/// Edits where there is something to edit; `None` where somebody else was faster.
async fn edit(
    state: &ApiState,
    caller: &Caller,
    current: &Schedule,
    terms: Terms,
    mark: Mark,
) -> Result<Option<Schedule>, ApiError> {
    let sets_mark = matches!(mark, Mark::Set(at) if at != current.high_water);
    if terms == current.terms && !sets_mark {
        return Ok(Some(current.clone()));
    }
    let Schedule { name, version, .. } = current.clone();
    let edit = Edit { name, version, terms, mark, by: caller.name.clone(), write: write_token() };
    match state.schedules.edit_schedule(&edit).await? {
        Edited::Done(done) => {
            tracing::info!(schedule = done.name, version = done.version, "schedule edited");
            Ok(Some(*done))
        }
        Edited::Stale(_) => Ok(None),
    }
}

/// The schedule after a change; its next times as of the primary's clock, or, where that can't be had, of the change.
async fn answer(state: &ApiState, schedule: Schedule) -> Answer {
    let now = state.schedules.look().await.map_or(schedule.updated_at, |look| look.now);
    // The change is made, whatever can be shown of it.
    let last = last_job(state, &schedule).await.unwrap_or(None);
    Ok(shown(HttpResponse::Ok(), &schedule, last.as_ref(), now))
}

fn created(schedule: &Schedule) -> HttpResponse {
    let mut answer = HttpResponse::Created();
    answer.insert_header((LOCATION, format!("/schedules/{}", schedule.name)));
    shown(answer, schedule, None, schedule.created_at)
}

fn shown(mut answer: HttpResponseBuilder, schedule: &Schedule, last: Option<&Job>, now: DateTime) -> HttpResponse {
    answer.insert_header((ETAG, format!("\"{}\"", schedule.version))).json(view::schedule(schedule, last, now, 3))
}

/// The job that a schedule has made last, as it is now; none where it has made none, or its job was forgotten.
async fn last_job(state: &ApiState, schedule: &Schedule) -> Result<Option<Job>, ApiError> {
    match schedule.last.as_ref().and_then(|last| last.job.as_ref()) {
        Some(job) => Ok(state.store.load(job).await?),
        None => Ok(None),
    }
}

fn unknown(name: &str) -> ApiError {
    ApiError::NotFound(format!("there is no schedule '{}'", shortened(name)))
}
