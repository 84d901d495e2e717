//! How a job is to be run, from the part `job` of a request body.

use crate::{ApiError, ApiState, Caller, body::shortened, lookup};
use bson::DateTime;
use lucid_schemas::{
    After, FieldError, Job, Request, State,
    job::{PRIORITY_HIGHEST, PRIORITY_LOWEST},
    run::RunBody,
    unique_key,
};

const ATTEMPTS_MAX: i32 = 100;
const TIMEOUT_SECONDS_MAX: i64 = 31 * 86_400;
const DELAY_MS_LONGER: i64 = 10 * 366 * 86_400_000 + 1;
const LABELS_MAX: usize = 16;
const NAME_BYTES_MAX: usize = 128;

/// How a job is to be run, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    body: RunBody,
    due: Due,
    after: Option<After>,
}

/// When a job is due: at once, or at this moment, which is about so far away.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Due {
    pub at: Option<DateTime>,
    pub in_ms: i64,
}

impl Run {
    /// Checks the part `job` of a body; errors name its fields.
    pub(crate) async fn read(state: &ApiState, caller: &Caller, body: Option<RunBody>) -> Result<Self, ApiError> {
        let Some(body) = body else {
            return Ok(Self::default());
        };
        let mut errors = plain_errors(&body);
        let due = match body.run_at.as_deref() {
            None => Due::default(),
            Some(text) => due(state, text).await?.unwrap_or_else(|problem| {
                errors.push(FieldError::new("job.run_at", problem));
                Due::default()
            }),
        };
        let after = match after(state, caller, &body).await? {
            Ok(after) => after,
            Err(error) => {
                errors.push(error);
                None
            }
        };
        if errors.is_empty() { Ok(Self { body, due, after }) } else { Err(ApiError::Invalid(errors)) }
    }

    /// The same for a job that can't begin before another one has succeeded.
    pub(crate) fn after_success(mut self, job: &Job) -> Result<Self, ApiError> {
        if self.after.as_ref().is_some_and(|after| after.job != *job.id()) {
            let problem = format!("must be {}, which isn't finished yet, or left out", job.id());
            return Err(ApiError::field("job.after", problem));
        }
        self.after = Some(After { job: job.id().clone(), state: State::Succeeded });
        Ok(self)
    }

    /// Whether nothing is asked for.
    pub(crate) fn is_plain(&self) -> bool {
        self.body == RunBody::default() && self.after.is_none()
    }

    /// When the job is due.
    pub(crate) const fn due(&self) -> Due {
        self.due
    }

    /// Puts what was asked for into a request.
    pub(crate) fn apply(self, request: Request) -> Request {
        let mut request = Request {
            priority: self.body.priority.unwrap_or(request.priority),
            max_attempts: self.body.max_attempts.unwrap_or(request.max_attempts),
            timeout_ms: self.body.timeout_seconds.map(|seconds| seconds * 1_000).or(request.timeout_ms),
            unique_key: self.body.unique_key.map(|key| unique_key::of_user(&key)).or(request.unique_key),
            after: self.after.or(request.after),
            ..request
        };
        request.requires.labels = self.body.labels.unwrap_or(request.requires.labels);
        request
    }
}

fn plain_errors(body: &RunBody) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut check = |field: &str, fits: bool, problem: String| {
        if !fits {
            errors.push(FieldError::new(format!("job.{field}"), problem));
        }
    };
    let within = |low: i64, value: Option<i64>, high: i64| value.is_none_or(|value| (low..=high).contains(&value));
    let must = |low: i64, high: i64| format!("must be from {low} to {high}");
    let (lowest, highest) = (PRIORITY_LOWEST.into(), PRIORITY_HIGHEST.into());
    check("priority", within(lowest, body.priority.map(i64::from), highest), must(lowest, highest));
    let attempts = body.max_attempts.map(i64::from);
    check("max_attempts", within(1, attempts, ATTEMPTS_MAX.into()), must(1, ATTEMPTS_MAX.into()));
    check("timeout_seconds", within(1, body.timeout_seconds, TIMEOUT_SECONDS_MAX), must(1, TIMEOUT_SECONDS_MAX));
    let name = format!("must be 1 to {NAME_BYTES_MAX} letters, digits, or any of . _ - : /");
    check("unique_key", body.unique_key.as_deref().is_none_or(is_name), name.clone());
    let labels = body.labels.as_deref().unwrap_or_default();
    check("labels", labels.len() <= LABELS_MAX, format!("must be at most {LABELS_MAX}"));
    for (place, label) in labels.iter().enumerate() {
        check(&format!("labels[{place}]"), is_name(label), name.clone());
    }
    errors
}

/// What may stand in an index and in a list for people.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
}

/// By the primary's clock, as all due times are. What has been is due at once, as anything that is asked for now.
async fn due(state: &ApiState, text: &str) -> Result<Result<Due, String>, ApiError> {
    let Ok(at) = DateTime::parse_rfc3339_str(text) else {
        return Ok(Err(format!("'{}' is no time such as 2025-01-09T02:00:00Z", shortened(text))));
    };
    let now = state.store.clock().await?;
    let in_ms = at.timestamp_millis().saturating_sub(now.timestamp_millis());
    Ok(match in_ms {
        DELAY_MS_LONGER.. => Err("is more than ten years ahead".into()),
        1.. => Ok(Due { at: Some(at), in_ms }),
        _ => Ok(Due::default()),
    })
}

async fn after(
    state: &ApiState,
    caller: &Caller,
    body: &RunBody,
) -> Result<Result<Option<After>, FieldError>, ApiError> {
    let ends = match body.on.as_deref() {
        None | Some("succeeded") => State::Succeeded,
        Some("failed") => State::Failed,
        Some(other) => {
            let problem = format!("must be 'succeeded' or 'failed', not '{}'", shortened(other));
            return Ok(Err(FieldError::new("job.on", problem)));
        }
    };
    let Some(after) = &body.after else {
        let lonely = body.on.as_ref().map(|_| FieldError::new("job.on", "says nothing without 'after'"));
        return Ok(lonely.map_or(Ok(None), Err));
    };
    match lookup::job(state, caller, after, None).await {
        Ok(job) => Ok(Ok(Some(After { job: job.id().clone(), state: ends }))),
        Err(error @ (ApiError::NotFound(_) | ApiError::Ambiguous { .. })) => {
            Ok(Err(FieldError::new("job.after", error.to_string())))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_misfit_is_named() {
        let body = RunBody {
            priority: Some(11),
            max_attempts: Some(0),
            timeout_seconds: Some(0),
            unique_key: Some("a b".into()),
            labels: Some(vec!["nvme".into(), String::new()]),
            ..RunBody::default()
        };
        let fields: Vec<_> = plain_errors(&body).into_iter().map(|error| error.field).collect();
        assert_eq!(
            fields,
            ["job.priority", "job.max_attempts", "job.timeout_seconds", "job.unique_key", "job.labels[1]"]
        );
        assert!(plain_errors(&RunBody { priority: Some(-10), ..RunBody::default() }).is_empty());
    }
}
