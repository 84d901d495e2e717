//! Making, showing and ending silences.

use super::{
    asked::{about, check},
    list::{PathId, find, remembered},
    store::{desk, not_changed, read, write},
    view,
};
use crate::{
    Monitor,
    open::{Desk, From},
};
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, web};
use bson::DateTime;
use lucid_http::{Answer, ApiError, Body, Caller, query, shortened, write_token};
use lucid_ports::{NewSilence, SilenceLook};
use lucid_schemas::{
    http::{SilenceAlertBody, SilenceBody, SilenceList, Told},
    silence::{Matcher, Silence, SilenceId, Subject},
};
use std::future::{Ready, ready};

/// More than anybody overlooks; each is looked at for each alert.
const SILENCES_MAX: usize = 200;

/// The silence in a path, as it was typed; the request has no query.
pub(crate) struct PathSilence(String);

impl FromRequest for PathSilence {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let id = request.match_info().query("silence_id").to_owned();
        ready(query::none(request).map(|()| Self(id)))
    }
}

/// `GET /silences`: those that aren't over.
pub(crate) async fn list(monitor: web::Data<Monitor>, caller: Caller, request: HttpRequest) -> Answer {
    query::none(&request)?;
    let look = async { read(desk(&monitor)?.silences.look_at_silences()).await };
    let (look, told) = match look.await {
        Ok(look) => (look, Told { from: From::Store.as_str().into(), ..Told::default() }),
        Err(ApiError::Unavailable(reason)) => {
            let (open, told) = remembered(&monitor, reason)?;
            let silences = open.silences.clone();
            (SilenceLook { now: DateTime::now(), silences, unreadable: Vec::new() }, told)
        }
        Err(other) => return Err(other),
    };
    let seen = look.silences.iter().filter(|silence| sees(&caller, &silence.matchers));
    let silences = seen.map(|silence| view::silence(silence, look.now)).collect();
    let problems = if caller.scope().is_all() { look.unreadable } else { Vec::new() };
    Ok(HttpResponse::Ok().json(SilenceList { silences, problems, told }))
}

/// `GET /silences/{silence_id}`: over or not.
pub(crate) async fn show(monitor: web::Data<Monitor>, caller: Caller, id: PathSilence) -> Answer {
    let desk = desk(&monitor)?;
    let look = read(desk.silences.look_at_silences()).await?;
    let silence = find_silence(&desk, &caller, &look, &id.0).await?;
    Ok(HttpResponse::Ok().json(view::silence(&silence, look.now)))
}

/// `POST /silences`.
pub(crate) async fn make(monitor: web::Data<Monitor>, caller: Caller, body: Body<SilenceBody>) -> Answer {
    let made = async { add(&desk(&monitor)?, &caller, body.0).await };
    made.await.map_err(not_changed)
}

/// `POST /alerts/{alert_id}/silence`: about just what this alert is about.
pub(crate) async fn of_alert(
    monitor: web::Data<Monitor>,
    caller: Caller,
    id: PathId,
    body: Body<SilenceAlertBody>,
) -> Answer {
    let made = async {
        let desk = desk(&monitor)?;
        let alert = find(&desk, &caller, &id.0).await?;
        add(&desk, &caller, about(&alert, body.0)).await
    };
    made.await.map_err(not_changed)
}

async fn add(desk: &Desk, caller: &Caller, body: SilenceBody) -> Answer {
    if !sees(caller, &body.matchers) {
        caller.needs_all("a silence that isn't about one database ('labels.database')")?;
    }
    let look = read(desk.silences.look_at_silences()).await?;
    let span = check(&body, look.now)?;
    if look.silences.len() >= SILENCES_MAX {
        let problem =
            format!("there are {SILENCES_MAX} silences that aren't over, which is as many as may be: end some first");
        return Err(ApiError::field("(body)", problem));
    }
    let new = NewSilence {
        id: SilenceId::compose(look.now, uuid::Uuid::new_v4().as_u64_pair().0),
        matchers: body.matchers,
        from: span.from,
        until: span.until,
        window: body.window,
        by: caller.name.clone(),
        comment: body.comment,
        write: write_token(),
    };
    let silence = write(desk.silences.add_silence(&new)).await?;
    tracing::info!(silence = %silence.id, by = silence.by, "alerts are silenced");
    Ok(HttpResponse::Created().json(view::silence(&silence, look.now.max(silence.created_at))))
}

/// `DELETE /silences/{silence_id}`: ends it now; one that is over stays as it is.
pub(crate) async fn end(monitor: web::Data<Monitor>, caller: Caller, id: PathSilence) -> Answer {
    let ended = async {
        let desk = desk(&monitor)?;
        let look = read(desk.silences.look_at_silences()).await?;
        let silence = find_silence(&desk, &caller, &look, &id.0).await?;
        let ended = write(desk.silences.end_silence(&silence.id, &caller.name)).await?;
        let ended = ended.ok_or_else(|| unknown(&id.0, ""))?;
        tracing::info!(silence = %ended.id, by = caller.name, "a silence is over");
        Ok(HttpResponse::Ok().json(view::silence(&ended, look.now)))
    };
    ended.await.map_err(not_changed)
}

/// The silence with this id, or, among those that aren't over, with this unambiguous prefix.
async fn find_silence(desk: &Desk, caller: &Caller, look: &SilenceLook, given: &str) -> Result<Silence, ApiError> {
    let id: SilenceId = given.parse().map_err(|problem: String| unknown(given, &format!(": it {problem}")))?;
    if let Some(silence) = read(desk.silences.silence(&id)).await? {
        return if sees(caller, &silence.matchers) { Ok(silence) } else { Err(unknown(given, "")) };
    }
    let fits = look.silences.iter().filter(|silence| silence.id.as_str().starts_with(id.as_str()));
    let fits: Vec<_> = fits.filter(|silence| sees(caller, &silence.matchers)).collect();
    match fits.as_slice() {
        [] => Err(unknown(given, "")),
        [only] => Ok((*only).clone()),
        many => {
            let candidates = many.iter().map(|silence| silence.id.to_string()).collect();
            Err(ApiError::Ambiguous { prefix: id.to_string(), candidates })
        }
    }
}

/// Whether it is about one of his databases, and no other.
fn sees(caller: &Caller, matchers: &[Matcher]) -> bool {
    let is_his = |matcher: &Matcher| {
        matches!(&matcher.on, Subject::Label(name) if name == "database")
            && !matcher.not
            && caller.scope().has(&matcher.value)
    };
    caller.scope().is_all() || matchers.iter().any(is_his)
}

fn unknown(given: &str, why: &str) -> ApiError {
    ApiError::NotFound(format!("there is no silence '{}'{why}", shortened(given)))
}
