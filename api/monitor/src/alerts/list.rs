//! Showing alerts: what the store tells, or, where it isn't there, what this process knows of those that are open.

use super::{
    query::{cursor, filter, wants},
    store::{desk, read},
    view::{self, Quiet},
};
use crate::{
    Monitor,
    open::{Desk, From, OpenAlerts},
};
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, web};
use bson::DateTime;
use lucid_http::{Answer, ApiError, Caller, query, shortened};
use lucid_ports::{AlertFilter, AlertPage, AlertPlace, SilenceLook, StoreError};
use lucid_schemas::{
    alert::{Alert, AlertId, AlertState},
    http::{AlertList, Told},
};
use std::{
    cmp::Reverse,
    future::{Ready, ready},
    sync::Arc,
};

const CANDIDATES_SHOWN: u32 = 10;

/// The alert in a path, as it was typed; the request has no query.
pub(crate) struct PathId(pub String);

impl FromRequest for PathId {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let id = request.match_info().query("alert_id").to_owned();
        ready(query::none(request).map(|()| Self(id)))
    }
}

/// `GET /alerts`.
pub(crate) async fn list(monitor: web::Data<Monitor>, caller: Caller, request: HttpRequest) -> Answer {
    let filter = filter(request.query_string())?;
    let list = match from_store(&monitor, &caller, &filter).await {
        Ok(list) => list,
        Err(ApiError::Unavailable(reason)) => from_memory(&monitor, &caller, &filter, reason)?,
        Err(other) => return Err(other),
    };
    Ok(HttpResponse::Ok().json(list))
}

async fn from_store(monitor: &Monitor, caller: &Caller, filter: &AlertFilter) -> Result<AlertList, ApiError> {
    let desk = desk(monitor)?;
    let (page, look) = if filter.states.iter().all(|state| state.is_open()) {
        let (open, look) = read(look_at_open(&desk)).await?;
        monitor.alerts.stored(open.clone(), look.silences.clone());
        (page(&open, caller, filter), look)
    } else {
        let asked = async { tokio::try_join!(seen(&desk, caller, filter), desk.silences.look_at_silences()) };
        read(asked).await?
    };
    let quiet = Quiet { silences: &look.silences, now: look.now };
    let told = Told { from: From::Store.as_str().into(), ..Told::default() };
    let alerts = page.alerts.iter().map(|alert| view::alert(alert, quiet)).collect();
    Ok(AlertList { alerts, next: next(&page), told })
}

/// A page of the alerts that he sees; looks on until it is full, or there are no more.
async fn seen(desk: &Desk, caller: &Caller, filter: &AlertFilter) -> Result<AlertPage, StoreError> {
    let (mut filter, mut alerts) = (filter.clone(), Vec::new());
    loop {
        let page = desk.alerts.list_alerts(&filter).await?;
        filter.after = page.alerts.last().map(AlertPlace::of);
        let more = page.more;
        alerts.extend(page.alerts.into_iter().filter(|alert| caller.sees_labels(&alert.origin.labels)));
        let wanted = filter.limit as usize;
        if alerts.len() >= wanted || !more {
            let is_cut = alerts.len() > wanted;
            alerts.truncate(wanted);
            return Ok(AlertPage { alerts, more: more || is_cut });
        }
    }
}

/// All that is open, and the silences.
pub(crate) async fn look_at_open(desk: &Desk) -> Result<(Vec<Alert>, SilenceLook), StoreError> {
    tokio::try_join!(desk.alerts.open_alerts(), desk.silences.look_at_silences())
}

/// What of this is asked for, newest first.
fn page(open: &[Alert], caller: &Caller, filter: &AlertFilter) -> AlertPage {
    let place = |alert: &Alert| {
        let place = AlertPlace::of(alert);
        (place.created_at, place.id)
    };
    let after = filter.after.as_ref().map(|after| (after.created_at, after.id.clone()));
    let is_wanted = |alert: &&Alert| {
        caller.sees_labels(&alert.origin.labels)
            && wants(filter, alert.head.state, alert.head.severity, &alert.origin.rule)
            && after.as_ref().is_none_or(|after| place(alert) < *after)
    };
    let mut alerts: Vec<Alert> = open.iter().filter(is_wanted).cloned().collect();
    alerts.sort_by_key(|alert| Reverse(place(alert)));
    let limit = filter.limit as usize;
    let more = alerts.len() > limit;
    alerts.truncate(limit);
    AlertPage { alerts, more }
}

fn next(page: &AlertPage) -> Option<String> {
    page.alerts.last().filter(|_| page.more).map(cursor)
}

fn from_memory(
    monitor: &Monitor,
    caller: &Caller,
    filter: &AlertFilter,
    reason: String,
) -> Result<AlertList, ApiError> {
    if filter.states.contains(&AlertState::Resolved) {
        return Err(ApiError::Unavailable(format!("{reason}; alerts that are over are known to the store alone")));
    }
    let (open, told) = remembered(monitor, reason)?;
    let quiet = Quiet { silences: &open.silences, now: DateTime::now() };
    let mut page = page(&open.stored, caller, filter);
    let found = open.found.iter().filter(|_| filter.after.is_none());
    let found = found.filter(|found| caller.sees_labels(&found.labels));
    let found = found.filter(|found| wants(filter, AlertState::Raised, found.severity, &found.rule));
    // What isn't kept is newest, and stands on the first page; of what is kept, the rest of the page.
    let mut alerts: Vec<_> = found.map(|found| view::found(found, quiet)).collect();
    let room = (filter.limit as usize).saturating_sub(alerts.len()).max(1);
    page.more |= page.alerts.len() > room;
    page.alerts.truncate(room);
    alerts.extend(page.alerts.iter().map(|alert| view::alert(alert, quiet)));
    Ok(AlertList { alerts, next: next(&page), told })
}

/// What this process knows without the store, and since when.
pub(super) fn remembered(monitor: &Monitor, reason: String) -> Result<(Arc<OpenAlerts>, Told), ApiError> {
    let Some(open) = monitor.alerts.open() else {
        return Err(ApiError::Unavailable(format!(
            "{reason}, and this monitor hasn't known yet which alerts are open"
        )));
    };
    let age_seconds = Some(open.at.elapsed().as_secs_f64());
    let told = Told { from: From::Memory.as_str().into(), age_seconds, problem: Some(reason) };
    Ok((open, told))
}

/// `GET /alerts/{alert_id}`: with what happened to it.
pub(crate) async fn show(monitor: web::Data<Monitor>, caller: Caller, id: PathId) -> Answer {
    let shown = async {
        let desk = desk(&monitor)?;
        let alert = find(&desk, &caller, &id.0).await?;
        let look = read(desk.silences.look_at_silences()).await?;
        let quiet = Quiet { silences: &look.silences, now: look.now };
        Ok(view::alert(&alert, quiet)).map(|view| (alert, view))
    };
    let (alert, view) = match shown.await {
        Ok(shown) => shown,
        Err(ApiError::Unavailable(reason)) => {
            let (open, told) = remembered(&monitor, reason)?;
            let alert = among(&open.stored, &caller, &id.0, told.problem.as_deref().unwrap_or_default())?;
            let quiet = Quiet { silences: &open.silences, now: DateTime::now() };
            let mut view = view::alert(&alert, quiet);
            view.told = Some(told);
            (alert, view)
        }
        Err(other) => return Err(other),
    };
    Ok(HttpResponse::Ok().json(lucid_schemas::http::AlertView { events: view::events(&alert), ..view }))
}

/// The alert with this id or unambiguous prefix.
pub(super) async fn find(desk: &Desk, caller: &Caller, given: &str) -> Result<Alert, ApiError> {
    let id = id(given)?;
    let is_seen = |alert: &Alert| caller.sees_labels(&alert.origin.labels);
    if let Some(alert) = read(desk.alerts.alert(&id)).await? {
        return if is_seen(&alert) { Ok(alert) } else { Err(unknown(given)) };
    }
    if !caller.scope().is_all() {
        // Who else's ids begin so is none of his business.
        return Err(unknown(given));
    }
    let candidates = read(desk.alerts.alert_ids_with_prefix(&id, CANDIDATES_SHOWN)).await?;
    let found = match one(&id, &candidates)? {
        Some(only) => read(desk.alerts.alert(only)).await?,
        None => None,
    };
    found.ok_or_else(|| unknown(given))
}

/// The same among those that are remembered.
fn among(stored: &[Alert], caller: &Caller, given: &str, reason: &str) -> Result<Alert, ApiError> {
    let id = id(given)?;
    let fits =
        |alert: &&Alert| alert.id().as_str().starts_with(id.as_str()) && caller.sees_labels(&alert.origin.labels);
    let candidates: Vec<_> = stored.iter().filter(fits).map(|alert| alert.id().clone()).collect();
    let only = one(&id, &candidates)?.and_then(|only| stored.iter().find(|alert| alert.id() == only));
    only.cloned().ok_or_else(|| {
        ApiError::Unavailable(format!("{reason}, and this monitor knows of no open alert '{}'", shortened(given)))
    })
}

fn id(given: &str) -> Result<AlertId, ApiError> {
    let unknown =
        |problem: String| ApiError::NotFound(format!("there is no alert '{}': it {problem}", shortened(given)));
    given.parse().map_err(unknown)
}

fn one<'a>(prefix: &AlertId, candidates: &'a [AlertId]) -> Result<Option<&'a AlertId>, ApiError> {
    match candidates {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        many => {
            let candidates = many.iter().map(ToString::to_string).collect();
            Err(ApiError::Ambiguous { prefix: prefix.to_string(), candidates })
        }
    }
}

fn unknown(given: &str) -> ApiError {
    ApiError::NotFound(format!("there is no alert '{}'", shortened(given)))
}
