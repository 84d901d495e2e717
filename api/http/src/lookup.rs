//! From what a person typed to one job.

use crate::{ApiError, ApiState, Caller, body::shortened, query, scope};
use actix_web::{FromRequest, HttpRequest, dev::Payload};
use lucid_schemas::{Job, JobId, Kind};
use std::future::{Ready, ready};

const CANDIDATES_SHOWN: u32 = 10;
/// So many are looked at for somebody who sees only some of them.
const CANDIDATES_LOOKED_AT: u32 = 200;

/// The job id in a path, as it was typed; the request has no query.
pub(crate) struct PathId(pub String);

impl FromRequest for PathId {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let id = request.match_info().query("job_id").to_owned();
        ready(query::none(request).map(|()| Self(id)))
    }
}

/// The job with this id or unambiguous prefix among those that he sees; of `kind`, where one is asked for.
pub(crate) async fn job(state: &ApiState, caller: &Caller, given: &str, kind: Option<Kind>) -> Result<Job, ApiError> {
    // On the heap: whoever asks for a job looks for several.
    Box::pin(find(state, caller, given, kind)).await
}

async fn find(state: &ApiState, caller: &Caller, given: &str, kind: Option<Kind>) -> Result<Job, ApiError> {
    let unknown = |why: &str| {
        let what = kind.map_or("job", Kind::as_str);
        ApiError::NotFound(format!("there is no {what} '{}'{why}", shortened(given)))
    };
    let id: JobId = given.parse().map_err(|problem| unknown(&format!(": it {problem}")))?;
    let job = match state.store.load(&id).await? {
        Some(job) => job,
        None => by_prefix(state, caller, &id, kind).await?.ok_or_else(|| unknown(""))?,
    };
    if !scope::sees(state, caller, &job.request.spec).await? {
        return Err(unknown(""));
    }
    if kind.is_none_or(|kind| kind == job.kind()) {
        Ok(job)
    } else {
        Err(unknown(&format!(": it is a {}", job.kind())))
    }
}

async fn by_prefix(
    state: &ApiState,
    caller: &Caller,
    prefix: &JobId,
    kind: Option<Kind>,
) -> Result<Option<Job>, ApiError> {
    let word = kind.map_or("", Kind::as_str);
    // A prefix shorter than the kind would fit jobs of other kinds, too.
    let prefix = if word.starts_with(prefix.as_str()) { word } else { prefix.as_str() };
    let candidates = candidates(state, caller, prefix).await?;
    match candidates.as_slice() {
        [] => Ok(None),
        [only] => Ok(state.store.load(only).await?),
        many => {
            let candidates = many.iter().map(ToString::to_string).collect();
            Err(ApiError::Ambiguous { prefix: prefix.to_owned(), candidates })
        }
    }
}

/// Some of the jobs that begin so and that he sees.
async fn candidates(state: &ApiState, caller: &Caller, prefix: &str) -> Result<Vec<JobId>, ApiError> {
    if caller.scope().is_all() {
        return Ok(state.store.ids_with_prefix(prefix, CANDIDATES_SHOWN).await?);
    }
    let mut seen = Vec::new();
    for id in state.store.ids_with_prefix(prefix, CANDIDATES_LOOKED_AT).await? {
        if scope::sees_job(state, caller, &id).await? {
            seen.push(id);
        }
        if seen.len() == CANDIDATES_SHOWN as usize {
            break;
        }
    }
    Ok(seen)
}
