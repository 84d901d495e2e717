//! What can go wrong with a sample database.

/// Why a sample could not be loaded, compared, or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database exists and is not a sample.
    #[error("database {database} exists and is not a sample of ours: choose another name, or use --force to drop it")]
    NotOurs {
        /// The database.
        database: String,
    },
    /// The server's own databases.
    #[error("database {database} belongs to the server: choose another name")]
    Reserved {
        /// The database.
        database: String,
    },
    /// There is nothing to compare or read.
    #[error("database {database} has no collections")]
    Empty {
        /// The database.
        database: String,
    },
    /// The server refused something.
    #[error("{what}: {source}")]
    Server {
        /// What was tried.
        what: String,
        /// The driver's reason.
        source: Box<mongodb::error::Error>,
    },
    /// The server took an insert only in part.
    #[error("{collection}: the server refused a document: {reason}")]
    Refused {
        /// The collection.
        collection: String,
        /// The server's reason.
        reason: String,
    },
    /// A reply is not what the protocol promises.
    #[error("{what}: the server's reply makes no sense: {source}")]
    Reply {
        /// What was tried.
        what: String,
        /// What is wrong with it.
        source: bson::error::Error,
    },
}

impl Error {
    /// Wraps an error of the driver with what was tried.
    pub(crate) fn server(what: impl Into<String>) -> impl FnOnce(mongodb::error::Error) -> Self {
        let what = what.into();
        move |source| Self::Server { what, source: Box::new(source) }
    }
}
