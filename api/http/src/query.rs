//! Reading a request's query: closed, like the bodies.

use crate::{ApiError, body::shortened};
use actix_web::{HttpRequest, web};
use bson::DateTime;
use lucid_ports::{Change, JobFilter, Place, ResumeToken, Subject};
use lucid_schemas::{FieldError, JobId, Kind, State, alert::AlertState, http::Class};
use std::str::FromStr;

const LIMIT_DEFAULT: u32 = 50;
pub(crate) const LIMIT_MAX: u32 = 500;
const TEXT_CHARACTERS_MAX: usize = 200;

/// Refuses any query.
///
/// # Errors
/// The names that are given.
pub fn none(request: &HttpRequest) -> Result<(), ApiError> {
    read(request.query_string(), &[]).map(|_| ())
}

/// What can be asked of a list of jobs; one of backups knows no `kind`.
pub(crate) const JOB_FILTER: [&str; 8] = ["kind", "state", "since", "until", "label", "text", "limit", "after"];

/// Where a page begins: at a place, or, as programs before this one said it, after a job, which must still be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    Place(Place),
    Job(JobId),
}

/// A place as clients send it back: the job's id, then when it was asked for.
pub(crate) fn cursor(place: &Place) -> String {
    format!("{}.{}", place.id, place.created_at.timestamp_millis())
}

impl FromStr for After {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((id, at)) = text.split_once('.') else {
            return text.parse().map(Self::Job);
        };
        let at = at.parse().map_err(|_| "must be what the page before names as 'next'".to_owned())?;
        Ok(Self::Place(Place { created_at: DateTime::from_millis(at), id: id.parse()? }))
    }
}

/// The filter of `GET /jobs`, as far as its names are `known` here, and where the page begins.
pub(crate) fn job_filter(query: &str, known: &[&str]) -> Result<(JobFilter, Option<After>), ApiError> {
    let mut after = None;
    let mut filter = JobFilter { limit: LIMIT_DEFAULT, ..JobFilter::default() };
    each(query, known, |name, value| match name {
        "kind" => shortened(value).parse().map(|kind| filter.kind = Some(kind)),
        "state" => states(value).map(|states| filter.states = states),
        "since" => time(value).map(|since| filter.since = Some(since)),
        "until" => time(value).map(|until| filter.until = Some(until)),
        "label" => text(value).map(|label| filter.label = Some(label)),
        "text" => text(value).map(|text| filter.text = Some(text)),
        "after" => After::from_str(value).map(|place| after = Some(place)),
        _ => number(value, LIMIT_MAX).map(|limit| filter.limit = limit),
    })?;
    if let (Some(since), Some(until)) = (filter.since, filter.until)
        && since >= until
    {
        return Err(ApiError::field("until", "must be later than since"));
    }
    Ok((filter, after))
}

/// Which events `GET /events` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventFilter {
    class: Option<Class>,
    kind: Option<Kind>,
    /// Words, since jobs and alerts have states of their own.
    states: Vec<&'static str>,
}

impl EventFilter {
    /// Of this class, of a job of this kind, and such as brought it into one of these states.
    pub(crate) fn wants(&self, change: &Change) -> bool {
        let (class, kind, state) = match &change.subject {
            Subject::Job(changed) => (Class::Job, changed.id.kind(), changed.state.map(State::as_str)),
            Subject::Alert(changed) => (Class::Alert, None, changed.state.map(AlertState::as_str)),
        };
        self.class.is_none_or(|wanted| wanted == class)
            && self.kind.is_none_or(|wanted| kind == Some(wanted))
            && (self.states.is_empty() || state.is_some_and(|state| self.states.contains(&state)))
    }
}

/// The filter of `GET /events`, and the place to go on from.
pub(crate) fn event_filter(request: &HttpRequest) -> Result<(EventFilter, Option<ResumeToken>), ApiError> {
    let (mut filter, mut place) = (EventFilter::default(), None);
    each(request.query_string(), &["class", "kind", "state", "after"], |name, value| match name {
        "class" => shortened(value).parse().map(|class| filter.class = Some(class)),
        "kind" => shortened(value).parse().map(|kind| filter.kind = Some(kind)),
        "state" => words(value).map(|words| filter.states = words),
        _ => value.parse().map(|token| place = Some(token)),
    })?;
    Ok((filter, last_event_id(request)?.or(place)))
}

/// The number of the last event that a client knows of one job: `after`, or what a stream's client sends when it
/// comes back.
pub(crate) fn after_seq(request: &HttpRequest, live: bool) -> Result<i64, ApiError> {
    let mut after = Seq(0);
    each(request.query_string(), &["after"], |_, value| value.parse().map(|seq| after = seq))?;
    let told = if live { last_event_id(request)? } else { None };
    Ok(told.unwrap_or(after).0)
}

/// Where `GET /jobs/audit` and `GET /jobs/export` begin, and how many jobs they look at.
pub(crate) fn page(query: &str, limit_max: u32) -> Result<(Option<String>, u32), ApiError> {
    let (mut after, mut limit) = (None, limit_max);
    each(query, &["after", "limit"], |name, value| match name {
        "after" => text(value).map(|id| after = Some(id)),
        _ => number(value, limit_max).map(|number| limit = number),
    })?;
    Ok((after, limit))
}

struct Seq(i64);

impl FromStr for Seq {
    type Err = String;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let seq = value.parse().ok().filter(|seq| *seq >= 0);
        seq.map(Self).ok_or_else(|| "must be the number of an event, or 0".into())
    }
}

fn last_event_id<T: FromStr<Err = String>>(request: &HttpRequest) -> Result<Option<T>, ApiError> {
    let Some(value) = request.headers().get("last-event-id") else {
        return Ok(None);
    };
    let read = value.to_str().map_err(|error| error.to_string()).and_then(T::from_str);
    read.map(Some).map_err(|problem| ApiError::field("Last-Event-ID", problem))
}

/// States of jobs and of alerts.
fn words(value: &str) -> Result<Vec<&'static str>, String> {
    let word = |word: &str| {
        let of_alert = || word.parse().map(AlertState::as_str);
        shortened(word).parse().map(State::as_str).or_else(|problem: String| of_alert().map_err(|_| problem))
    };
    value.split(',').map(word).collect()
}

fn states(value: &str) -> Result<Vec<State>, String> {
    value.split(',').map(|word| shortened(word).parse()).collect()
}

/// A time of a query or a body, or what is wrong with it.
///
/// # Errors
/// One sentence.
pub fn time(value: &str) -> Result<DateTime, String> {
    let time = chrono::DateTime::parse_from_rfc3339(value);
    time.map(|time| DateTime::from_millis(time.timestamp_millis()))
        .map_err(|_| "must be a time such as 2025-01-09T02:00:00Z (a '+' of its zone is written as %2B)".into())
}

fn text(value: &str) -> Result<String, String> {
    match value.chars().count() {
        1..=TEXT_CHARACTERS_MAX => Ok(value.to_owned()),
        _ => Err(format!("must have 1 to {TEXT_CHARACTERS_MAX} characters")),
    }
}

/// Reads each pair; names every one that is wrong.
///
/// # Errors
/// The names that are wrong, unknown, or given twice.
pub fn each(
    query: &str,
    known: &[&str],
    mut take: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    for (name, value) in read(query, known)? {
        if let Err(problem) = take(&name, &value) {
            errors.push(FieldError::new(name, problem));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::Invalid(errors)) }
}

/// A number from 1 to `max`.
///
/// # Errors
/// One sentence.
pub fn number(value: &str, max: u32) -> Result<u32, String> {
    value
        .parse()
        .ok()
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| format!("must be a number from 1 to {max}"))
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

    #[test]
    fn a_whole_filter_is_read() {
        let query = "kind=backup&state=failed,queued&limit=500&after=backup_x&label=a,b&text=%24ne%20.*\
                     &since=2025-01-09T03:00:00%2B01:00&until=2025-01-09T02:00:00.001Z";
        let (filter, after) = job_filter(query, &JOB_FILTER).expect("a filter");
        let expected = JobFilter {
            kind: Some(Kind::Backup),
            states: vec![State::Failed, State::Queued],
            since: Some(DateTime::from_millis(1_736_388_000_000)),
            until: Some(DateTime::from_millis(1_736_388_000_001)),
            label: Some("a,b".into()),
            text: Some("$ne .*".into()),
            after: None,
            limit: 500,
        };
        assert_eq!((filter, after), (expected, Some(After::Job("backup_x".parse().expect("an id")))));
        assert_eq!(job_filter("", &JOB_FILTER).expect("a filter").0.limit, 50);
        let place =
            Place { created_at: DateTime::from_millis(1_736_388_000_001), id: "backup_x".parse().expect("an id") };
        let (_, after) = job_filter(&format!("after={}", cursor(&place)), &JOB_FILTER).expect("a filter");
        assert_eq!(after, Some(After::Place(place)));
    }

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        for (query, field) in [
            ("kind=bakcup", "kind"),
            ("state=", "state"),
            ("state=queued,", "state"),
            ("since=yesterday", "since"),
            ("since=2025-01-09T03:00:00+01:00", "since"),
            ("since=2025-01-09T03:00:00Z&until=2025-01-09T03:00:00Z", "until"),
            ("label=", "label"),
            ("text=", "text"),
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("limit=1e2", "limit"),
            ("after=..%2Fx", "after"),
            ("after=backup_x.", "after"),
            ("after=backup_x.yesterday", "after"),
            ("after=.5", "after"),
            ("limt=5", "limt"),
            ("limit=5&limit=6", "limit"),
        ] {
            let Err(ApiError::Invalid(errors)) = job_filter(query, &JOB_FILTER) else { panic!("{query} is accepted") };
            assert_eq!(errors[0].field, field, "{query}");
        }
    }
}
