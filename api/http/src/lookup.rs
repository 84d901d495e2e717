//! From what a person typed to one job.

use crate::{ApiError, ApiState, body::shortened, query};
use actix_web::{FromRequest, HttpRequest, dev::Payload};
use lucid_schemas::{Job, JobId, Kind};
use std::future::{Ready, ready};

const CANDIDATES_SHOWN: u32 = 10;

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

/// The job with this id or unambiguous prefix; of `kind`, where one is asked for.
pub(crate) async fn job(state: &ApiState, given: &str, kind: Option<Kind>) -> Result<Job, ApiError> {
    let unknown = |why: &str| {
        let what = kind.map_or("job", Kind::as_str);
        ApiError::NotFound(format!("there is no {what} '{}'{why}", shortened(given)))
    };
    let id: JobId = given.parse().map_err(|problem| unknown(&format!(": it {problem}")))?;
    let job = match state.store.load(&id).await? {
        Some(job) => job,
        None => by_prefix(state, &id, kind).await?.ok_or_else(|| unknown(""))?,
    };
    if kind.is_none_or(|kind| kind == job.kind()) {
        Ok(job)
    } else {
        Err(unknown(&format!(": it is a {}", job.kind())))
    }
}

async fn by_prefix(state: &ApiState, prefix: &JobId, kind: Option<Kind>) -> Result<Option<Job>, ApiError> {
    let word = kind.map_or("", Kind::as_str);
    // A prefix shorter than the kind would fit jobs of other kinds, too.
    let prefix = if word.starts_with(prefix.as_str()) { word } else { prefix.as_str() };
    let candidates = state.store.ids_with_prefix(prefix, CANDIDATES_SHOWN).await?;
    match candidates.as_slice() {
        [] => Ok(None),
        [only] => Ok(state.store.load(only).await?),
        many => {
            let candidates = many.iter().map(ToString::to_string).collect();
            Err(ApiError::Ambiguous { prefix: prefix.to_owned(), candidates })
        }
    }
}
