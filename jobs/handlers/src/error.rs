//! What goes wrong inside a handler, and what the job is told about it.
//!
//! Invariant: no text holds a document's content. The server's own words are passed on for commands that carry
//! definitions only, and never for duplicate keys, whose message quotes values.

use lucid_ports::{ContextError, JobError};
use lucid_repository::RepositoryError;
use lucid_schemas::Code;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Codes of the server that handlers act on.
pub(crate) mod code {
    pub const BAD_VALUE: i32 = 2;
    pub const UNAUTHORIZED: i32 = 13;
    pub const NAMESPACE_NOT_FOUND: i32 = 26;
    pub const NAMESPACE_EXISTS: i32 = 48;
    pub const CAPPED_POSITION_LOST: i32 = 136;
    pub const SNAPSHOT_TOO_OLD: i32 = 239;
    pub const SNAPSHOT_UNAVAILABLE: i32 = 246;
    pub const UUID_MISMATCH: i32 = 361;
    pub const DUPLICATE_KEY: i32 = 11000;
    pub const OUT_OF_DISK_SPACE: i32 = 14031;

    /// What may pass: elections, shutdowns, lost or killed cursors, time limits, lock and write conflicts, network
    /// trouble between members, background operations.
    pub const PASSING: [i32; 26] = [
        6, 7, 24, 43, 46, 50, 64, 89, 91, 112, 12587, 133, 134, 175, 189, 202, 237, 262, 9001, 10058, 10107, 11600,
        11601, 11602, 13435, 13436,
    ];
}

/// What to do about a repository whose disk is full.
const NO_SPACE: &str = "; free space on its disk, or let a prune forget backups and free theirs: `lucid-ops prune --at-once`, which gets \
    through although the disk is full";

/// What goes wrong inside a handler.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("can't {doing}: MongoDB answers {code} {name}{said}{advice}", advice = advice(*code))]
    Server {
        doing: String,
        code: i32,
        name: String,
        /// The server's own words with `: ` before, where they can't hold a document's content.
        said: String,
    },
    #[error("can't {doing}: MongoDB can't be reached ({reason})")]
    Unreachable { doing: String, reason: String },
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error(transparent)]
    Context(#[from] ContextError),
    /// Trying again won't help.
    #[error("{message}")]
    Refused { code: Code, message: String },
    /// Trying again may help.
    #[error("{message}")]
    Again { code: Code, message: String },
    /// The instant of this backup can't be read any more: another one is needed.
    #[error("the snapshot can't be read any more: {why}")]
    SnapshotLost { why: String, too_old: bool },
    #[error("stopped as asked")]
    Stopped,
}

fn advice(code: i32) -> &'static str {
    match code {
        code::UNAUTHORIZED => {
            ": the worker's user lacks a right that deploy/privileges.md names; `lucid-ops doctor` says which"
        }
        code::OUT_OF_DISK_SPACE => ": free space on the data disk",
        _ => "",
    }
}

impl Error {
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into() }
    }

    /// Whether the user or the password was refused.
    pub fn is_credentials(&self) -> bool {
        matches!(self, Self::Refused { code: Code::AuthenticationFailed, .. })
    }

    pub fn again(code: Code, message: impl Into<String>) -> Self {
        Self::Again { code, message: message.into() }
    }

    /// From the driver; `words` tells whether the server's message may be passed on.
    pub fn driver(doing: &str, words: bool, error: &mongodb::error::Error) -> Self {
        use mongodb::error::ErrorKind;
        match &*error.kind {
            ErrorKind::Command(answer) => Self::answer(doing, words, answer.code, &answer.code_name, &answer.message),
            ErrorKind::Io(error) => Self::unreachable(doing, error.kind().to_string()),
            ErrorKind::ServerSelection { message, .. } | ErrorKind::ConnectionPoolCleared { message, .. } => {
                Self::unreachable(doing, message.clone())
            }
            ErrorKind::Authentication { .. } => Self::refused(
                Code::AuthenticationFailed,
                format!("can't {doing}: MongoDB refuses the user or password of this worker"),
            ),
            ErrorKind::InvalidResponse { .. } | ErrorKind::Internal { .. } | ErrorKind::Shutdown => {
                Self::unreachable(doing, "the connection broke down")
            }
            // Whatever else there is may quote documents, so only its kind is told.
            _ => Self::refused(Code::DriverError, format!("can't {doing}: the driver refuses")),
        }
    }

    /// From an error in a server's answer.
    pub fn answer(doing: &str, words: bool, code: i32, name: &str, message: &str) -> Self {
        let message = message.split(" dup key:").next().unwrap_or_default();
        let quotable = words && code != code::UNAUTHORIZED;
        Self::Server {
            doing: doing.to_owned(),
            code,
            name: name.to_owned(),
            said: if quotable && !message.is_empty() { format!(": {message}") } else { String::new() },
        }
    }

    pub fn unreachable(doing: &str, reason: impl Into<String>) -> Self {
        Self::Unreachable { doing: doing.to_owned(), reason: reason.into() }
    }

    /// The server's code, where it is a server's answer.
    pub fn server_code(&self) -> Option<i32> {
        match self {
            Self::Server { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// What is wrong, without what was to be done.
    pub fn words(&self) -> String {
        match self {
            Self::Server { code, name, said, .. } => format!("MongoDB answers {code} {name}{said}"),
            other => other.to_string(),
        }
    }

    /// Whether the server refuses just this: neither for now, nor for want of rights or of room, nor as its object is gone.
    pub fn is_refusal(&self) -> bool {
        const OTHERS: [i32; 4] =
            [code::UNAUTHORIZED, code::OUT_OF_DISK_SPACE, code::UUID_MISMATCH, code::NAMESPACE_NOT_FOUND];
        self.server_code().is_some_and(|code| !OTHERS.contains(&code)) && !self.is_passing()
    }

    /// Whether the same may go well a little later: elections, network trouble, lost cursors.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Server { code, .. } => code::PASSING.contains(code),
            Self::Unreachable { .. } => true,
            Self::Repository(_)
            | Self::Context(_)
            | Self::Refused { .. }
            | Self::Again { .. }
            | Self::SnapshotLost { .. }
            | Self::Stopped => false,
        }
    }
}

impl From<Error> for JobError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Stopped | Error::Repository(RepositoryError::Stopped) => Self::Stopped,
            Error::Context(error) => error.into(),
            Error::Refused { code, .. } => Self::permanent(code, message),
            Error::Again { code, .. } => Self::retryable(code, message),
            Error::SnapshotLost { .. } => Self::retryable(Code::SnapshotLost, message),
            Error::Unreachable { .. } => Self::retryable(Code::MongodbUnreachable, message),
            Error::Server { code, .. } if code::PASSING.contains(&code) => {
                Self::retryable(Code::MongodbUnready, message)
            }
            Error::Server { .. } => Self::permanent(Code::MongodbRefuses, message),
            Error::Repository(error) if error.is_away() => Self::retryable(Code::RepositoryAway, message),
            Error::Repository(error) if error.is_full() => Self::retryable(Code::NoSpace, message + NO_SPACE),
            Error::Repository(RepositoryError::ManifestsMissing { .. }) => {
                Self::permanent(Code::ManifestsMissing, message)
            }
            Error::Repository(error) if error.is_retryable() => Self::retryable(Code::RepositoryUnavailable, message),
            Error::Repository(error) if error.damage().is_some() => Self::permanent(Code::RepositoryDamaged, message),
            Error::Repository(RepositoryError::WrongKey { .. }) => Self::permanent(Code::WrongKey, message),
            Error::Repository(_) => Self::permanent(Code::RepositoryRefuses, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_documents_are_never_told() {
        let message = "E11000 duplicate key error collection: p.a index: mail dup key: { mail: \"x@y.z\" }";
        let quoting = Error::answer("build indexes", true, code::DUPLICATE_KEY, "DuplicateKey", message).to_string();
        assert!(quoting.contains("index: mail") && !quoting.contains("x@y.z"), "{quoting}");
        let silent = Error::answer("insert", false, 2, "BadValue", "secret").to_string();
        assert!(!silent.contains("secret"), "{silent}");
        let unauthorized = Error::answer("x", true, code::UNAUTHORIZED, "Unauthorized", "not authorized: { a: 1 }");
        assert!(!unauthorized.to_string().contains("{ a: 1 }"));
    }
}
