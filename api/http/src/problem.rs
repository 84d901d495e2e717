//! How the API says no: every refusal, and the one place that knows its HTTP status.

use actix_web::{
    HttpResponse, ResponseError,
    body::BoxBody,
    http::{StatusCode, header},
};
use lucid_core::Refusal;
use lucid_ports::StoreError;
use lucid_schemas::{FieldError, JobId, problem::Problem};
use std::fmt;

/// Nobody reads more than so many wrong fields at once.
const ERRORS_SHOWN: usize = 50;
/// Seconds after which a client may ask again when the store was away or busy.
const RETRY_AFTER_SECONDS: u64 = 2;

/// Why a request is refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// The body isn't JSON.
    Malformed(String),
    /// Fields of the body or the query are wrong.
    Invalid(Vec<FieldError>),
    /// There is no such job, schedule, or path.
    NotFound(String),
    /// The backup was there, and is no more.
    Gone(String),
    /// A token is missing, or isn't ours; says how to have one.
    Unauthorized(String),
    /// Whoever asks may too little; says what is needed, and as whom he came.
    Forbidden(String),
    /// The path doesn't take this method.
    Method {
        /// The methods that it takes, for the `Allow` header.
        allowed: String,
    },
    /// The prefix of an id fits several.
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// Some of those that it fits.
        candidates: Vec<String>,
    },
    /// The job's state doesn't allow it.
    Law {
        /// The job.
        job: JobId,
        /// What the law says.
        refusal: Refusal,
    },
    /// What it is about has a state that doesn't allow it.
    WrongState(String),
    /// The job or schedule changed again and again while the request was being carried out.
    Busy(String),
    /// An open job excludes this one.
    Excluded(String),
    /// There is a schedule of this name already.
    Taken(String),
    /// The schedule isn't of the version that the request builds on.
    Stale {
        /// The schedule.
        name: String,
        /// Its version; `None` where it is gone.
        version: Option<i64>,
    },
    /// The body is too large.
    TooLarge {
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// The body didn't come within this time.
    Slow {
        /// The limit in seconds.
        seconds: u64,
    },
    /// The body isn't declared as JSON.
    MediaType,
    /// The request comes from a page of this other site.
    ForeignOrigin(String),
    /// The request is addressed to this name, which isn't ours.
    ForeignHost(String),
    /// Too many tokens that aren't ours came from there.
    TooMany {
        /// When to come back.
        seconds: u64,
    },
    /// Too many clients want the same at once.
    Crowded(String),
    /// Somebody wasn't told: his channel didn't take it.
    Untold(String),
    /// The store can't be reached.
    Unavailable(String),
    /// The store refuses, or holds what can't be read.
    Broken(String),
}

impl ApiError {
    /// One field is wrong.
    pub fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, problem)])
    }

    /// Status, stable word, and title of a refusal: the only place that knows.
    fn class(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed-body", "The body is not JSON"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", "The request has wrong fields"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::Gone(_) => (StatusCode::GONE, "backup-forgotten", "The backup is no more"),
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "no-token", "This needs a token"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "not-allowed", "The token does not allow this"),
            Self::Method { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The path does not take this method")
            }
            Self::Ambiguous { .. } => (StatusCode::CONFLICT, "ambiguous-id", "The id fits several"),
            Self::Law { refusal, .. } => law(refusal),
            Self::WrongState(_) => (StatusCode::CONFLICT, "wrong-state", "Its state does not allow it"),
            Self::Busy(_) => (StatusCode::CONFLICT, "busy", "It changes too fast"),
            Self::Excluded(_) => (StatusCode::CONFLICT, "excluded", "An open job excludes this one"),
            Self::Taken(_) => (StatusCode::CONFLICT, "taken", "The name is taken"),
            Self::Stale { .. } => (StatusCode::PRECONDITION_FAILED, "stale-version", "The schedule has changed"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Self::Slow { .. } => (StatusCode::REQUEST_TIMEOUT, "body-too-slow", "The body took too long"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not declared as JSON"),
            Self::ForeignOrigin(_) => (StatusCode::FORBIDDEN, "foreign-origin", "The request comes from another site"),
            Self::ForeignHost(_) => {
                (StatusCode::MISDIRECTED_REQUEST, "foreign-host", "The request is addressed to another host")
            }
            Self::TooMany { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-failures", "Too many tokens that are none")
            }
            Self::Crowded(_) => (StatusCode::SERVICE_UNAVAILABLE, "crowded", "Too many clients at once"),
            Self::Untold(_) => (StatusCode::BAD_GATEWAY, "channel-failed", "The channel did not take it"),
            Self::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "The job store is unavailable")
            }
            Self::Broken(_) => (StatusCode::INTERNAL_SERVER_ERROR, "store-refuses", "The job store refuses"),
        }
    }

    /// The body of the answer.
    pub fn problem(&self) -> Problem {
        let (status, kind, title) = self.class();
        Problem {
            kind: kind.into(),
            title: title.into(),
            status: status.as_u16(),
            detail: self.to_string(),
            errors: match self {
                Self::Invalid(errors) => errors.iter().take(ERRORS_SHOWN).cloned().collect(),
                _ => Vec::new(),
            },
        }
    }
}

fn law(refusal: &Refusal) -> (StatusCode, &'static str, &'static str) {
    let kind = match refusal {
        Refusal::PastPointOfNoReturn => "past-point-of-no-return",
        Refusal::AlreadyEnded { .. } => "already-ended",
        Refusal::AlreadyCanceling
        | Refusal::WrongState { .. }
        | Refusal::Fenced { .. }
        | Refusal::AttemptsExhausted { .. }
        | Refusal::StreamFull { .. }
        | Refusal::SlotsMissing { .. }
        | Refusal::WrongSlot { .. }
        | Refusal::DependencyOpen { .. }
        | Refusal::WrongFact { .. } => "wrong-state",
    };
    (StatusCode::CONFLICT, kind, "The job's state does not allow it")
}

impl fmt::Display for ApiError {
    /// The `detail` of the problem document.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(detail)
            | Self::NotFound(detail)
            | Self::Gone(detail)
            | Self::Unauthorized(detail)
            | Self::Forbidden(detail)
            | Self::WrongState(detail)
            | Self::Excluded(detail)
            | Self::Crowded(detail)
            | Self::Untold(detail)
            | Self::Unavailable(detail)
            | Self::Broken(detail) => f.write_str(detail),
            Self::Invalid(errors) => fields(f, errors),
            Self::Method { allowed } => write!(f, "this path takes {allowed}"),
            Self::Ambiguous { prefix, candidates } => {
                write!(f, "'{prefix}' fits several, give more of the id: {}", candidates.join(", "))
            }
            Self::Law { job, refusal } => write!(f, "{job}: {refusal}"),
            Self::Busy(what) => write!(f, "{what} changed again and again meanwhile; look at it, then ask again"),
            Self::Taken(name) => {
                write!(f, "there is a schedule '{name}' already: change it with PUT, or take another name")
            }
            Self::Stale { name, version: Some(version) } => {
                write!(f, "the schedule '{name}' is at version {version} by now: look at it, then edit that version")
            }
            Self::Stale { name, version: None } => write!(f, "the schedule '{name}' is gone"),
            Self::TooLarge { limit_bytes } => write!(f, "a body has at most {limit_bytes} bytes"),
            Self::Slow { seconds } => write!(f, "a body must be sent within {seconds} s"),
            Self::TooMany { seconds } => {
                write!(
                    f,
                    "too many tokens that aren't ours came from your address: come back in {seconds} s with one that is"
                )
            }
            Self::MediaType => f.write_str("send the body with 'Content-Type: application/json'"),
            Self::ForeignOrigin(site) => write!(f, "pages of '{site}' may not use this API"),
            Self::ForeignHost(host) => write!(
                f,
                "'{host}' isn't this service: call it by address, by 'localhost', or by a host name of its configuration"
            ),
        }
    }
}

fn fields(f: &mut fmt::Formatter<'_>, errors: &[FieldError]) -> fmt::Result {
    let shown = errors.iter().take(ERRORS_SHOWN);
    let said: Vec<_> = shown.map(|error| format!("{}: {}", error.field, error.problem)).collect();
    f.write_str(&said.join("; "))?;
    match errors.len().saturating_sub(ERRORS_SHOWN) {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.class().0
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let problem = self.problem();
        if problem.status >= 500 {
            tracing::error!(kind = problem.kind, detail = problem.detail, "request failed");
        }
        let mut answer = HttpResponse::build(self.status_code());
        match self {
            Self::Method { allowed } => {
                answer.insert_header((header::ALLOW, allowed.as_str()));
            }
            Self::Unauthorized(_) => {
                answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
            }
            Self::TooMany { seconds } => {
                answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
            }
            Self::Crowded(_) | Self::Unavailable(_) | Self::Busy(_) => {
                answer.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS.to_string()));
            }
            _ => {}
        }
        let text = serde_json::to_string(&problem).unwrap_or_default();
        answer.content_type("application/problem+json").body(text)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(detail),
            StoreError::NotUnique { .. } => Self::Excluded(detail),
            StoreError::Rejected(_)
            | StoreError::Unreadable(_)
            | StoreError::UnreadableAlert(_)
            | StoreError::OtherRepository { .. } => Self::Broken(detail),
        }
    }
}
