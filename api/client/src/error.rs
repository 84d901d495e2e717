//! Why a call failed, in words for the person who made it.

use crate::{Service, render::clean};
use lucid_schemas::problem::Problem;
use std::{fmt, io};

/// Why a call failed.
#[derive(Debug)]
pub enum ClientError {
    /// The service's address makes no sense.
    BadUrl {
        /// What was called.
        service: Service,
        /// The address.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// This can't be the id of a job, an alert or a silence, or the name of a schedule.
    BadId {
        /// What was given.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// This can't be the token of an API.
    BadToken,
    /// The certificates to trust can't be read.
    BadRoots,
    /// Nobody answers there.
    NotReachable {
        /// What was called.
        service: Service,
        /// The address.
        url: String,
        /// What the system says.
        reason: String,
    },
    /// The service said no.
    Refused(Box<Problem>),
    /// Something answers, but not as the service does.
    NotTheApi {
        /// What was called.
        service: Service,
        /// The address.
        url: String,
        /// What is odd about the answer.
        reason: String,
    },
}

impl ClientError {
    /// Whether nothing usable answered: no API, or an API without its store.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::NotReachable { .. } => true,
            Self::Refused(problem) => problem.status == 503,
            Self::BadUrl { .. } | Self::BadId { .. } | Self::BadToken | Self::BadRoots | Self::NotTheApi { .. } => {
                false
            }
        }
    }

    /// Whether the request itself is at fault, so that asking again won't help.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::BadUrl { .. } | Self::BadId { .. } | Self::BadToken | Self::BadRoots => true,
            Self::Refused(problem) => (400..500).contains(&problem.status),
            Self::NotReachable { .. } | Self::NotTheApi { .. } => false,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl { service, url, problem } => {
                write!(f, "'{}' is no address of the {}: {problem}", clean(url), service.name())
            }
            Self::BadId { id, problem } => write!(f, "'{}' {problem}", clean(id)),
            Self::BadRoots => f.write_str("the file of certificates to trust holds none in PEM form"),
            Self::BadToken => f.write_str("the token can't be one: it has characters that no header takes"),
            Self::NotReachable { service, url, reason } => write!(
                f,
                "no {} answers at {} ({}): is `{}` running? Set {}",
                service.name(),
                clean(url),
                clean(reason),
                service.command(),
                service.setting()
            ),
            Self::Refused(problem) => refused(f, problem),
            Self::NotTheApi { service, url, reason } => write!(
                f,
                "what answers at {} isn't the {} of Lucid Ops ({}): check {}",
                clean(url),
                service.name(),
                clean(reason),
                service.setting()
            ),
        }
    }
}

/// Title and detail; where fields are to blame, one line for each of them instead of the detail.
fn refused(f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
    if problem.errors.is_empty() {
        return write!(f, "{}: {}", clean(&problem.title), clean(&problem.detail));
    }
    write!(f, "{}:", clean(&problem.title))?;
    for error in &problem.errors {
        write!(f, "\n  {}: {}", clean(&error.field), clean(&error.problem))?;
    }
    Ok(())
}

impl std::error::Error for ClientError {}

/// Why passing on what the API says ended early.
#[derive(Debug)]
pub enum RelayError {
    /// The API.
    Client(ClientError),
    /// What it is passed on to.
    Output(io::Error),
}

impl From<ClientError> for RelayError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::FieldError;

    #[test]
    fn a_refusal_names_each_field_on_a_line() {
        let problem = Problem {
            kind: "invalid-request".into(),
            title: "The request has wrong fields".into(),
            status: 422,
            detail: "database: must not be empty; collections[1]: must not contain '$'".into(),
            errors: vec![
                FieldError::new("database", "must not be empty"),
                FieldError::new("collections[1]", "must not contain '$'"),
            ],
        };
        let error = ClientError::Refused(Box::new(problem));
        assert_eq!(
            error.to_string(),
            "The request has wrong fields:\n  database: must not be empty\n  collections[1]: must not contain '$'"
        );
        assert!(error.is_usage() && !error.is_unreachable());
    }
}
