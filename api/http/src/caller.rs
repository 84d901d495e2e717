//! Who sends a request, and what he may ask for.
//!
//! Invariant: who has shown no token is refused with 401, who has shown one that may too little with 403; either is told what is needed.

use crate::{
    ApiError, Gate, Token, body::shortened, directory::Refused, gate::is_here, rights::Right, secret::Presented,
};
use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header::{AUTHORIZATION, FORWARDED, HeaderMap, VIA},
    web,
};
use lucid_schemas::{
    BackupSpec, Job, Spec, VerifyLevel, VerifySpec,
    access::{Role, Scope},
};
use std::{
    collections::BTreeMap,
    future::{Ready, pending, ready},
    net::IpAddr,
    time::Duration,
};
use tokio::time::sleep;

/// How what was asked for without a token is signed. Nothing else is, so older jobs, and those of schedules, are nobody's to take back.
const ANONYMOUS: &str = "anonymous:";
/// The label that says which database an alert is about.
const DATABASE: &str = "database";
/// How often it is looked whether whoever listens may still do so.
const LOOKED_AFTER: Duration = Duration::from_secs(3);

/// Who sends a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who acts, in events.
    pub name: String,
    role: Option<Role>,
    scope: Scope,
    shown: Shown,
    gate: web::Data<Gate>,
}

/// What he has shown.
#[derive(Debug, Clone)]
enum Shown {
    Nothing { is_here: bool },
    Local,
    Token(Presented),
}

impl Caller {
    /// Who shows these headers from there.
    pub(crate) async fn of(
        gate: &web::Data<Gate>,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<Self, ApiError> {
        // Whatever comes through a proxy comes from who knows where.
        let is_here = is_here(peer)
            && ![FORWARDED.as_str(), VIA.as_str(), "x-forwarded-for"].iter().any(|name| headers.contains_key(*name));
        let caller = |name: String, role, scope, shown| Self { name, role, scope, shown, gate: gate.clone() };
        let mut given = headers.get_all(AUTHORIZATION).filter_map(|header| bearer(header.as_bytes()));
        let Some(secret) = given.next() else {
            let name = format!("{ANONYMOUS}{}", gate.node);
            return Ok(caller(name, gate.anonymous.role(is_here), Scope::all(), Shown::Nothing { is_here }));
        };
        let refused = |why: &str| unauthorized(gate, is_here, why);
        if given.next().is_some() {
            return Err(refused("more than one token was sent"));
        }
        if gate.local.is(secret) {
            let name = format!("{}@{}", Token::NAME, gate.node);
            return Ok(caller(name, Some(Role::Admin), Scope::all(), Shown::Local));
        }
        let presented = Presented::read(secret);
        let named = presented.as_ref().map(|presented| &presented.name);
        let turn = gate.throttle.turn(peer, named).await?;
        let failed = |why: &str| Err(gate.throttle.failed(&turn, peer, named, refused(why)));
        let Some(presented) = presented.as_ref() else {
            return failed("the token that was sent isn't one of this API");
        };
        match gate.tokens.admit(presented).await {
            Ok(token) => {
                let name = format!("{}@{}", signature(presented), gate.node);
                Ok(caller(name, Some(token.role), token.scope(), Shown::Token(presented.clone())))
            }
            Err(Refused::Unknown(error)) => Err(error),
            Err(Refused::Wrong) => failed("the token that was sent isn't one of this API"),
            Err(Refused::Over(standing)) => failed(&format!("the token that was sent is {}", standing.as_str())),
        }
    }

    /// His role; none where he has shown no token and may nothing.
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// The databases that he may have to do with.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether he may see what has these labels, as an alert does.
    pub fn sees_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.scope.is_all() || labels.get(DATABASE).is_some_and(|database| self.scope.has(database))
    }

    pub(crate) fn may(&self, right: Right) -> Result<(), ApiError> {
        if let Some(role) = right.role() {
            self.needs(role, "this")?;
        }
        if right.is_of_all() { self.needs_all("this") } else { Ok(()) }
    }

    /// Whether he may ask for this job, at first or again, wherever what it is about lies.
    pub(crate) fn may_ask_for(&self, spec: &Spec) -> Result<(), ApiError> {
        let (role, what) = needed(spec);
        self.needs(role, what)
    }

    /// Whether he may end this job.
    pub(crate) fn may_end(&self, job: &Job) -> Result<(), ApiError> {
        let by = &job.request.requested_by;
        let is_own = match &self.shown {
            Shown::Token(token) => by.strip_prefix(&signature(token)).is_some_and(|rest| rest.starts_with('@')),
            Shown::Nothing { .. } | Shown::Local => false,
        };
        if is_own || by.starts_with(ANONYMOUS) {
            return self.needs(Role::Requester, "this");
        }
        self.needs(Role::Operator, &format!("{} was asked for by {by}, so ending it", job.id()))
    }

    /// Whether he may have to do with this database.
    pub fn may_touch(&self, database: &str) -> Result<(), ApiError> {
        if self.scope.has(database) {
            return Ok(());
        }
        Err(ApiError::Forbidden(format!(
            "'{}' is none of the databases of {}, which are {}",
            shortened(database),
            self.name,
            self.scope
        )))
    }

    /// Whether he may do what concerns all databases.
    pub fn needs_all(&self, what: &str) -> Result<(), ApiError> {
        if self.scope.is_all() {
            return Ok(());
        }
        Err(ApiError::Forbidden(format!(
            "{what} concerns all databases, so it needs a token without a scope; {} has {}",
            self.name, self.scope
        )))
    }

    fn needs(&self, role: Role, what: &str) -> Result<(), ApiError> {
        if self.role.is_some_and(|own| own >= role) {
            return Ok(());
        }
        match (&self.shown, self.role) {
            (Shown::Nothing { is_here }, _) => {
                let why = format!("{what} needs a token of role {role}");
                Err(unauthorized(&self.gate, *is_here, &why))
            }
            (Shown::Local | Shown::Token(_), own) => Err(ApiError::Forbidden(format!(
                "{what} needs role {role}, and {} is {}: ask whoever makes tokens (`lucid-ops token create --role {role}`)",
                self.name,
                own.map_or("nothing", Role::as_str)
            ))),
        }
    }

    /// What tells his idempotency keys from those of others: who guesses another's key mustn't have its job be his.
    pub(crate) fn key_prefix(&self) -> String {
        match &self.shown {
            Shown::Nothing { .. } => ANONYMOUS.to_owned(),
            Shown::Local => String::new(),
            Shown::Token(token) => format!("{}:", signature(token)),
        }
    }

    /// Whether he would still be let in.
    pub(crate) async fn still(&self) -> Result<(), ApiError> {
        let Shown::Token(presented) = &self.shown else { return Ok(()) };
        match self.gate.tokens.admit(presented).await {
            Ok(_) => Ok(()),
            Err(Refused::Unknown(error)) => Err(error),
            Err(Refused::Wrong | Refused::Over(_)) => Err(ApiError::Unauthorized(format!("{} is no more", self.name))),
        }
    }

    /// Returns when he wouldn't be let in any more, or nobody can tell: what he listens to ends then.
    pub(crate) async fn over(self) {
        if !matches!(self.shown, Shown::Token(_)) {
            pending::<()>().await;
        }
        loop {
            sleep(LOOKED_AFTER).await;
            if let Err(error) = self.still().await {
                tracing::info!(caller = self.name, %error, "a stream ends with the token that opened it");
                return;
            }
        }
    }
}

fn signature(token: &Presented) -> String {
    format!("token:{}", token.name)
}

/// The role that a job needs, and why.
fn needed(spec: &Spec) -> (Role, &'static str) {
    match spec {
        Spec::Backup(BackupSpec { encryption: true, .. }) => (Role::Requester, "a backup"),
        Spec::Verify(VerifySpec { level: VerifyLevel::Structure | VerifyLevel::Data, .. }) => {
            (Role::Requester, "a verification")
        }
        Spec::Backup(BackupSpec { encryption: false, .. }) => {
            (Role::Admin, "a backup without encryption stores documents in clear, so it")
        }
        Spec::Verify(VerifySpec { level: VerifyLevel::Drill, .. }) => {
            (Role::Operator, "a drill loads a database as a restore does, so it")
        }
        Spec::Restore(_) => (Role::Operator, "a restore writes documents, so it"),
        Spec::Copy(_) => (Role::Operator, "a copy takes documents to another place, so it"),
        Spec::Prune(_) => (Role::Admin, "a prune forgets backups, so it"),
        Spec::Reencrypt(_) => (Role::Admin, "encrypting anew replaces what is stored, so it"),
        Spec::Monitor(_) | Spec::Notify(_) => (Role::Admin, "only monitors ask for it, and anybody else"),
    }
}

fn unauthorized(gate: &Gate, is_here: bool, why: &str) -> ApiError {
    let place = gate.local.place().display();
    let or_file = format!(
        ", or what the file {place} holds, which only the account of this API can read; lucid-ops finds that file by itself (--token-file, \
         LUCID_TOKEN_FILE)"
    );
    let or_file = if is_here { or_file } else { String::new() };
    ApiError::Unauthorized(format!(
        "{why}: send the header 'Authorization: Bearer TOKEN' with one that `lucid-ops token create` has made{or_file}"
    ))
}

/// The secret of a header; other schemes are those of a proxy in front, and none of ours.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, secret) = header.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(secret.trim_ascii())
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let admitted = request.extensions().get::<Self>().cloned();
        ready(admitted.ok_or_else(|| ApiError::Broken("a route asks for a caller whom nobody has admitted".into())))
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
