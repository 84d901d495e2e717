//! What a body asks for, checked like the request that each of its jobs will be.

use crate::{
    ApiError, ApiState, Caller,
    body::{parse, shortened},
    request,
};
use bson::DateTime;
use lucid_schemas::{
    FieldError, Kind, RepositoryName, Spec,
    cron::Calendar,
    http::{BackupBody, CopyBody, PruneBody, ScheduleBody, VerifyBody},
    run::RunBody,
    schedule::{MISSED_LIMIT, MISSED_LIMIT_MAX, Terms, check_name},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{fmt, ops::Range, str::FromStr};

/// Where a high-water mark makes sense, in milliseconds: the years 2000 to 2199.
const MARKS: Range<i64> = 946_684_800_000..7_258_118_400_000;

/// A schedule as it is asked for.
pub(super) struct Asked {
    pub name: String,
    pub high_water: Option<DateTime>,
    pub version: Option<i64>,
    paused: Option<bool>,
    terms: Terms,
}

impl Asked {
    /// Reads and checks a body; the name is that of the path, where it has one.
    pub async fn read(
        state: &ApiState,
        caller: &Caller,
        bytes: &[u8],
        path_name: Option<&str>,
    ) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct OfKind {
            kind: Option<Value>,
        }
        // Twice: what the rest may look like depends on the kind.
        let kind = match parse::<OfKind>(bytes)?.kind {
            None => Kind::Backup,
            Some(kind) => match kind.as_str() {
                Some("backup") => Kind::Backup,
                Some("verify") => Kind::Verify,
                Some("prune") => Kind::Prune,
                Some("copy") => Kind::Copy,
                _ => return Err(ApiError::field("kind", "must be 'backup', 'verify', 'prune' or 'copy'")),
            },
        };
        if kind == Kind::Verify {
            let body: ScheduleBody<VerifyBody> = parse(bytes)?;
            let (rest, asked) = apart(body);
            let checked = plain(asked.job.as_ref()).map(|()| request::verify_asked(state, caller, asked));
            let checked = spec(checked).await;
            return Self::of(state, caller, rest, checked, path_name);
        }
        if kind == Kind::Prune {
            let body: ScheduleBody<PruneBody> = parse(bytes)?;
            let (rest, asked) = apart(body);
            let checked = plain(asked.job.as_ref())
                .and_then(|()| once(&asked))
                .map(|()| request::prune_asked(state, caller, asked));
            let checked = spec(checked).await;
            return Self::of(state, caller, rest, checked, path_name);
        }
        if kind == Kind::Copy {
            let body: ScheduleBody<CopyBody> = parse(bytes)?;
            let (rest, asked) = apart(body);
            let checked = plain(asked.job.as_ref()).map(|()| request::copy_asked(state, caller, asked));
            let checked = spec(checked).await;
            return Self::of(state, caller, rest, checked, path_name);
        }
        let body: ScheduleBody<BackupBody> = parse(bytes)?;
        let (rest, asked) = apart(body);
        let checked = plain(asked.job.as_ref()).map(|()| request::backup_asked(state, caller, asked));
        let checked = spec(checked).await;
        Self::of(state, caller, rest, checked, path_name)
    }

    /// The terms; whether it rests is as it `was`, unless the body says.
    pub fn terms(&self, was_paused: bool) -> Terms {
        Terms { paused: self.paused.unwrap_or(was_paused), ..self.terms.clone() }
    }

    fn of(
        state: &ApiState,
        caller: &Caller,
        body: ScheduleBody<()>,
        checked: Result<(Spec, RepositoryName), ApiError>,
        path_name: Option<&str>,
    ) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let name = name(body.name, path_name, &mut errors);
        let timezone = body.timezone.unwrap_or_else(|| "UTC".into());
        errors.extend(Calendar::asked(&body.cron, &timezone).err().into_iter().flatten());
        let missed = word("missed", body.missed, &mut errors);
        let missed_limit = missed_limit(body.missed_limit, &mut errors);
        let overlap = word("overlap", body.overlap, &mut errors);
        let high_water = high_water(body.high_water.as_deref(), &mut errors);
        if body.version.is_some_and(|version| version < 1) {
            errors.push(FieldError::new("version", "must be the version of a schedule, 1 or more"));
        }
        let (spec, repository) = match checked {
            Ok(spec) if errors.is_empty() => spec,
            Ok(_) => return Err(ApiError::Invalid(errors)),
            Err(ApiError::Invalid(wrong)) => {
                let inside = |error: FieldError| FieldError::new(format!("spec.{}", error.field), error.problem);
                errors.extend(wrong.into_iter().map(inside));
                return Err(ApiError::Invalid(errors));
            }
            Err(error) => return Err(error),
        };
        // What a schedule asks for, its maker may ask for.
        caller.may_ask_for(&spec)?;
        let terms = Terms {
            cron: body.cron,
            timezone,
            spec,
            repository: repository.name,
            max_attempts: state.options.max_attempts,
            paused: false,
            missed,
            missed_limit,
            overlap,
        };
        Ok(Self { name, high_water, version: body.version, paused: body.paused, terms })
    }
}

/// A schedule says itself how its jobs are run.
fn plain(run: Option<&RunBody>) -> Result<(), ApiError> {
    match run {
        None => Ok(()),
        Some(_) => Err(ApiError::field("job", "has no place in a schedule, which says itself how its jobs are run")),
    }
}

/// Whoever takes a repository over, judges what isn't his, accepts that backups are lost, or has most of a series go, does so once.
fn once(asked: &PruneBody) -> Result<(), ApiError> {
    let given = [
        ("take_ownership", asked.take_ownership == Some(true)),
        ("cluster", asked.cluster.is_some()),
        ("accept_loss", asked.accept_loss == Some(true)),
        ("forget_many", asked.forget_many == Some(true)),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((field, _)) => Err(ApiError::field(field, "has no place in a schedule: ask for one such prune by itself")),
    }
}

/// The spec, and the repository that it needs.
async fn spec(
    asked: Result<impl Future<Output = Result<request::Asked, ApiError>>, ApiError>,
) -> Result<(Spec, RepositoryName), ApiError> {
    let asked = asked?.await?;
    if asked.run.is_plain() {
        return Ok((asked.spec, asked.repository));
    }
    Err(ApiError::field("backup", "isn't finished yet: schedule verifications of backups that are made"))
}

/// The body without its spec, and the spec.
fn apart<S: DeserializeOwned>(body: ScheduleBody<S>) -> (ScheduleBody<()>, S) {
    let ScheduleBody { name, kind, cron, timezone, spec, missed, missed_limit, overlap, paused, high_water, version } =
        body;
    let rest = ScheduleBody {
        name,
        kind,
        cron,
        timezone,
        spec: (),
        missed,
        missed_limit,
        overlap,
        paused,
        high_water,
        version,
    };
    (rest, spec)
}

fn name(given: Option<String>, path_name: Option<&str>, errors: &mut Vec<FieldError>) -> String {
    let name = match (given, path_name) {
        (None, None) => {
            errors.push(FieldError::new("name", "is required"));
            return String::new();
        }
        (Some(given), Some(path)) if given != path => {
            errors.push(FieldError::new("name", "differs from the name in the path; a schedule keeps its name"));
            return given;
        }
        (Some(given), _) => given,
        (None, Some(path)) => path.to_owned(),
    };
    if let Err(problem) = check_name(&name) {
        errors.push(FieldError::new("name", problem));
    }
    name
}

fn word<T: FromStr<Err = String> + Default + fmt::Display>(
    field: &str,
    given: Option<String>,
    errors: &mut Vec<FieldError>,
) -> T {
    let Some(given) = given else {
        return T::default();
    };
    shortened(&given).parse().unwrap_or_else(|problem: String| {
        errors.push(FieldError::new(field, problem));
        T::default()
    })
}

fn missed_limit(given: Option<i64>, errors: &mut Vec<FieldError>) -> i32 {
    let Some(given) = given else {
        return MISSED_LIMIT;
    };
    match i32::try_from(given) {
        Ok(limit) if (1..=MISSED_LIMIT_MAX).contains(&limit) => limit,
        _ => {
            errors.push(FieldError::new("missed_limit", format!("must be a number from 1 to {MISSED_LIMIT_MAX}")));
            MISSED_LIMIT
        }
    }
}

fn high_water(given: Option<&str>, errors: &mut Vec<FieldError>) -> Option<DateTime> {
    let given = given?;
    let read = DateTime::parse_rfc3339_str(given).ok().filter(|at| MARKS.contains(&at.timestamp_millis()));
    if read.is_none() {
        let problem = "must be a time as RFC 3339 writes it, such as 2026-01-09T02:00:00Z, of the years 2000 to 2199";
        errors.push(FieldError::new("high_water", problem));
    }
    read
}
