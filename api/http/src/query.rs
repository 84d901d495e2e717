//! Reading a request's query: closed, like the bodies.

use crate::{ApiError, body::shortened};
use actix_web::{HttpRequest, web};
use lucid_ports::JobFilter;
use lucid_schemas::{FieldError, JobId};
use std::str::FromStr;

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 500;

/// Refuses any query.
pub(crate) fn none(request: &HttpRequest) -> Result<(), ApiError> {
    read(request.query_string(), &[]).map(|_| ())
}

/// The filter of `GET /jobs`: `kind`, `state`, `limit`, `after`, as far as they are `known` here.
pub(crate) fn job_filter(query: &str, known: &[&str]) -> Result<JobFilter, ApiError> {
    let pairs = read(query, known)?;
    let mut errors = Vec::new();
    let mut filter = JobFilter { limit: LIMIT_DEFAULT, ..JobFilter::default() };
    for (name, value) in &pairs {
        let read = match name.as_str() {
            "kind" => shortened(value).parse().map(|kind| filter.kind = Some(kind)),
            "state" => shortened(value).parse().map(|state| filter.state = Some(state)),
            "after" => JobId::from_str(value).map(|id| filter.after = Some(id)),
            _ => limit(value).map(|limit| filter.limit = limit),
        };
        if let Err(problem) = read {
            errors.push(FieldError::new(name, problem));
        }
    }
    if errors.is_empty() { Ok(filter) } else { Err(ApiError::Invalid(errors)) }
}

fn limit(value: &str) -> Result<u32, String> {
    value
        .parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| format!("must be a number from 1 to {LIMIT_MAX}"))
}

/// The pairs of a query whose names are all known, each given once.
fn read(query: &str, known: &[&str]) -> Result<Vec<(String, String)>, ApiError> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(query)
        .map_err(|error| ApiError::field("(query)", shortened(&error.to_string())))?
        .into_inner();
    let mut errors = Vec::new();
    for (place, (name, _)) in pairs.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let problem = if known.is_empty() {
                "is unknown: this path takes no query".into()
            } else {
                format!("is unknown; known: {}", known.join(", "))
            };
            errors.push(FieldError::new(shortened(name), problem));
        } else if pairs[..place].iter().any(|(earlier, _)| earlier == name) {
            errors.push(FieldError::new(name, "is given twice"));
        }
    }
    if errors.is_empty() { Ok(pairs) } else { Err(ApiError::Invalid(errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::{Kind, State};

    const KNOWN: [&str; 4] = ["kind", "state", "limit", "after"];

    #[test]
    fn a_whole_filter_is_read() {
        let filter = job_filter("kind=backup&state=failed&limit=500&after=backup_x", &KNOWN).expect("a filter");
        assert_eq!((filter.kind, filter.state, filter.limit), (Some(Kind::Backup), Some(State::Failed), 500));
        assert_eq!(filter.after, Some("backup_x".parse().expect("an id")));
        assert_eq!(job_filter("", &KNOWN).expect("a filter").limit, 50);
    }

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        for (query, field) in [
            ("kind=bakcup", "kind"),
            ("state=", "state"),
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("limit=1e2", "limit"),
            ("after=..%2Fx", "after"),
            ("limt=5", "limt"),
            ("limit=5&limit=6", "limit"),
        ] {
            let Err(ApiError::Invalid(errors)) = job_filter(query, &KNOWN) else { panic!("{query} is accepted") };
            assert_eq!(errors[0].field, field, "{query}");
        }
    }
}
