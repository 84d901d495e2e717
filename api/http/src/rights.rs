//! Who may do what: reading, asking for what changes nothing that is there, and taking that back, is anybody's; all else needs the token.
//!
//! Invariants: every route names its [`Right`] (see `routes`), and one that needs the token isn't entered without it; who asks is told by
//! the header alone, never by a body; a token that isn't ours is refused wherever it comes, and none is ever repeated.

use crate::{ApiError, Gate, Token};
use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header::{AUTHORIZATION, HeaderMap},
    middleware::Next,
    web,
};
use lucid_schemas::{BackupSpec, Job, Spec, VerifyLevel, VerifySpec};
use std::future::{Ready, ready};

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Looking at something: nothing is needed.
    Read,
    /// Asking for a job, or taking it back: what that needs follows from the job, and its handler asks [`Caller`].
    Request,
    /// Changing what is there: the token is needed.
    Operate,
}

/// How what was asked for without the token is signed. Nothing else is, so older jobs, and those of schedules, are nobody's to take back.
const ANONYMOUS: &str = "anonymous:";

/// Who sends a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who acts, in events.
    pub name: String,
    has_token: bool,
    gate: web::Data<Gate>,
}

impl Caller {
    fn anonymous(gate: &web::Data<Gate>) -> Self {
        Self { name: format!("{ANONYMOUS}{}", gate.node), has_token: false, gate: gate.clone() }
    }

    fn of(gate: &web::Data<Gate>, headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut given = headers.get_all(AUTHORIZATION).filter_map(|header| bearer(header.as_bytes())).peekable();
        if given.peek().is_none() {
            return Ok(Self::anonymous(gate));
        }
        if given.all(|secret| gate.token.is(secret)) {
            let name = format!("{}@{}", Token::NAME, gate.node);
            return Ok(Self { name, has_token: true, gate: gate.clone() });
        }
        Err(refused(gate, "the token that was sent isn't the one of this API"))
    }

    fn may(&self, right: Right) -> Result<(), ApiError> {
        match right {
            Right::Read | Right::Request => Ok(()),
            Right::Operate => self.with_token(|| "this needs the token of this API".into()),
        }
    }

    /// Whether he may ask for this job, at first or again.
    pub(crate) fn may_ask_for(&self, spec: &Spec) -> Result<(), ApiError> {
        match changes(spec) {
            None => Ok(()),
            Some(why) => self.with_token(|| format!("{why}, so it needs the token of this API")),
        }
    }

    /// Whether he may end this job.
    pub(crate) fn may_cancel(&self, job: &Job) -> Result<(), ApiError> {
        let by = &job.request.requested_by;
        if by.starts_with(ANONYMOUS) {
            return Ok(());
        }
        self.with_token(|| format!("{} was asked for by {by}, so ending it needs the token of this API", job.id()))
    }

    /// What tells his idempotency keys from those of others: without it, who guesses a key could have its job be his.
    pub(crate) fn key_prefix(&self) -> &'static str {
        if self.has_token { "" } else { ANONYMOUS }
    }

    fn with_token(&self, why: impl FnOnce() -> String) -> Result<(), ApiError> {
        if self.has_token { Ok(()) } else { Err(refused(&self.gate, &why())) }
    }
}

/// What a job changes that an account of this machine has no right to; `None` where it only reads what is to be kept.
fn changes(spec: &Spec) -> Option<&'static str> {
    match spec {
        Spec::Backup(BackupSpec { encryption: true, .. })
        | Spec::Verify(VerifySpec { level: VerifyLevel::Structure | VerifyLevel::Data, .. }) => None,
        Spec::Backup(BackupSpec { encryption: false, .. }) => {
            Some("a backup without encryption stores documents in clear")
        }
        Spec::Verify(VerifySpec { level: VerifyLevel::Drill, .. }) => {
            Some("a drill loads a database as a restore does")
        }
        Spec::Restore(_) => Some("a restore writes documents"),
        Spec::Prune(_) => Some("a prune forgets backups"),
        Spec::Copy(_) => Some("a copy takes documents to another place"),
        Spec::Reencrypt(_) => Some("encrypting anew replaces what is stored"),
        Spec::Monitor(_) | Spec::Notify(_) => Some("only monitors ask for it"),
    }
}

fn refused(gate: &Gate, why: &str) -> ApiError {
    let place = gate.token.place().display();
    ApiError::Unauthorized(format!(
        "{why}: send the header 'Authorization: Bearer TOKEN' with what the file {place} holds, which only the account of this API \
         can read; lucid-ops does so where it finds that file (--token-file, LUCID_TOKEN_FILE)"
    ))
}

/// The secret of a header; other schemes are those of a proxy in front, and none of ours.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, secret) = header.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(secret.trim_ascii())
}

/// Lets a request in that has the right which its route needs; before its body is read.
pub(crate) async fn admit(
    right: Right,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let admitted = gate(request.request()).and_then(|gate| {
        let caller = Caller::of(gate, request.headers())?;
        caller.may(right)?;
        Ok(caller)
    });
    match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(refused) => Ok(request.into_response(refused.error_response())),
    }
}

fn gate(request: &HttpRequest) -> Result<&web::Data<Gate>, ApiError> {
    request.app_data().ok_or_else(|| ApiError::Broken("the port has no gate".into()))
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let admitted = request.extensions().get::<Self>().cloned();
        // Who wasn't asked for a token has none.
        ready(admitted.map_or_else(|| gate(request).map(Self::anonymous), Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_is_a_token() {
        assert_eq!(bearer(b"Bearer abc"), Some(b"abc".as_slice()));
        assert_eq!(bearer(b"bearer  abc "), Some(b"abc".as_slice()));
        assert_eq!(bearer(b"Bearer "), Some(b"".as_slice()));
        for other in [b"Basic abc".as_slice(), b"Bearer", b"Bearerabc", b""] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }
}
