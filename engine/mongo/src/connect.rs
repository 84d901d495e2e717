//! Getting connected, or one clear sentence why not.

use crate::{
    MongoCatalog, MongoFeed, MongoHistory, MongoStore,
    probe::{check_oplog, check_version, check_window, diagnose, window},
    set_up,
};
use bson::doc;
use lucid_ports::{Problems, Reached, StoreError};
use mongodb::{
    Client, Database,
    error::ErrorKind,
    options::{Acknowledgment, ClientOptions, ConnectionString, ServerAddress, WriteConcern},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::task::JoinError;

const SELECTION_PATIENCE: Duration = Duration::from_secs(10);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
pub(crate) const OLDEST_MAJOR: i32 = 6;
pub(crate) const WINDOW_LEAST_S: i64 = 60;
pub(crate) const OPLOG_LEAST_MIB: i64 = 16;

/// Why there is no connection. No text holds the connection string's password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The connection string can't be read.
    #[error("the connection string can't be read: {0}")]
    Uri(String),
    /// Nobody answers.
    #[error("MongoDB can't be reached at {hosts}: {reason}; is it running, and is the address right?")]
    Unreachable {
        /// Where it was looked for.
        hosts: String,
        /// What happened.
        reason: String,
    },
    /// Name or password is wrong.
    #[error("MongoDB at {hosts} refuses the user name or password of the connection string")]
    Credentials {
        /// Where.
        hosts: String,
    },
    /// One mongod without a replica set.
    #[error(
        "MongoDB at {hosts} is not a replica set, and change streams need one: start it with --replSet rs0 and run \
         rs.initiate() once"
    )]
    NotReplicaSet {
        /// Where.
        hosts: String,
    },
    /// The server is older than what this program is right for.
    #[error("MongoDB {version} is too old: version {OLDEST_MAJOR}.0 or later is needed")]
    TooOld {
        /// The server's version.
        version: String,
    },
    /// Snapshot reads would end before a backup does.
    #[error(
        "the snapshot window is too small for backups: minSnapshotHistoryWindowInSeconds is {seconds}, at least \
         {WINDOW_LEAST_S} are needed (300 is the server's default)"
    )]
    SnapshotWindow {
        /// The server's parameter.
        seconds: i64,
    },
    /// Change streams would lose their place.
    #[error(
        "the oplog is too small: it holds {mib} MiB, at least {OPLOG_LEAST_MIB} are needed, and days of changes are advised"
    )]
    Oplog {
        /// Its size.
        mib: i64,
    },
    /// The server refuses something else.
    #[error("MongoDB at {hosts} refuses: {reason}")]
    Refused {
        /// Where.
        hosts: String,
        /// What it said.
        reason: String,
    },
}

impl ConnectError {
    /// Whether trying again may help without changing anything.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Uri(_)
            | Self::Credentials { .. }
            | Self::NotReplicaSet { .. }
            | Self::TooOld { .. }
            | Self::SnapshotWindow { .. }
            | Self::Oplog { .. }
            | Self::Refused { .. } => false,
        }
    }
}

/// A connection to the replica set that holds the engine's database.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    ops: Database,
    replica_set: String,
    problems: Problems,
    cluster: Arc<OnceLock<String>>,
}

/// What a connection string says.
pub struct UriSays {
    /// The name that the replica set must have, where it names one.
    pub replica_set: Option<String>,
    /// Whether somebody logs in.
    pub has_user: bool,
}

/// Reads a connection string without resolving a name or reaching anybody.
///
/// # Errors
/// Where it isn't one.
pub fn read_uri(uri: &str) -> Result<UriSays, ConnectError> {
    let read = ConnectionString::parse(uri).map_err(|error| unreadable(&error, uri))?;
    Ok(UriSays { replica_set: read.replica_set, has_user: read.credential.is_some() })
}

/// Connects, and checks what everything else relies on.
///
/// # Errors
/// The first thing that is wrong, as one sentence.
pub async fn connect(uri: &str, ops_database: &str) -> Result<Connection, ConnectError> {
    let (uri, ops_database) = (uri.to_owned(), ops_database.to_owned());
    to_its_end(async move { establish(&uri, &ops_database).await }).await
}

/// Driver futures are never dropped half-way, whatever becomes of the caller.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ConnectError>> + Send + 'static,
) -> Result<T, ConnectError> {
    let broken = |error: JoinError| ConnectError::Unreachable {
        hosts: "the replica set".into(),
        reason: format!("the call broke off: {error}"),
    };
    tokio::spawn(work).await.map_err(broken)?
}

async fn establish(uri: &str, ops_database: &str) -> Result<Connection, ConnectError> {
    let mut options = ClientOptions::parse(uri).await.map_err(|error| unreadable(&error, uri))?;
    options.app_name.get_or_insert_with(|| "lucid-ops".into());
    options.server_selection_timeout = Some(SELECTION_PATIENCE);
    options.connect_timeout = Some(CONNECT_PATIENCE);
    // A default read concern would break snapshot reads; a default write concern must not weaken ours.
    options.read_concern = None;
    options.selection_criteria = None;
    options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
    let hosts = hosts(&options);
    let client = Client::with_options(options.clone()).map_err(|error| unreadable(&error, uri))?;
    let admin = client.database("admin");
    let hello = match admin.run_command(doc! { "hello": 1 }).await {
        Ok(hello) => hello,
        Err(error) => return Err(diagnose(&error, options, hosts).await),
    };
    let Ok(replica_set) = hello.get_str("setName") else {
        return Err(ConnectError::NotReplicaSet { hosts });
    };
    check_version(&admin, &hosts).await?;
    check_window(&client, &hosts).await?;
    check_oplog(&client, &hosts).await?;
    let (ops, replica_set) = (client.database(ops_database), replica_set.to_owned());
    Ok(Connection { ops, replica_set, client, problems: Problems::default(), cluster: Arc::default() })
}

impl Connection {
    /// The driver's client, without default read concern.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Name of the replica set.
    pub fn replica_set(&self) -> &str {
        &self.replica_set
    }

    /// How long the server keeps what a snapshot reads, in seconds; `None` where the user may not ask.
    ///
    /// # Errors
    /// Where the server can't be asked.
    pub async fn snapshot_window_s(&self) -> Result<Option<i64>, ConnectError> {
        let client = self.client.clone();
        to_its_end(async move { window(&client, "the replica set").await }).await
    }

    /// The same, telling what is wrong with it here.
    #[must_use]
    pub fn telling(self, problems: Problems) -> Self {
        Self { problems, ..self }
    }

    /// What is wrong at this process, by all who find it.
    pub fn problems(&self) -> Problems {
        self.problems.clone()
    }

    /// Makes collections, validators, indexes and the view of the engine's database where they are missing or differ; what
    /// can't be made is told among the problems. The id of the collection of schedules, where it was there.
    ///
    /// # Errors
    /// Where the server refuses, and at the first time where a later program has stored jobs in a shape that this one can't read.
    pub async fn set_up(&self) -> Result<Option<bson::Bson>, StoreError> {
        set_up::set_up(&self.ops, &self.problems).await
    }

    /// The store.
    pub fn store(&self) -> Arc<MongoStore> {
        Arc::new(MongoStore::new(self.ops.clone(), Arc::clone(&self.cluster)))
    }

    /// The process's change stream; open when this returns, so that a look at the store afterwards misses nothing.
    ///
    /// # Errors
    /// Where the stream can't be opened.
    pub async fn feed(&self) -> Result<Arc<MongoFeed>, StoreError> {
        self.feed_noting(Reached::default()).await
    }

    /// The same, which notes there how far it has come.
    ///
    /// # Errors
    /// Where the stream can't be opened.
    pub async fn feed_noting(&self, reached: Reached) -> Result<Arc<MongoFeed>, StoreError> {
        MongoFeed::start(&self.ops, self.problems.clone(), reached).await.map(Arc::new)
    }

    /// The history of all jobs from now on; holds so many recent changes at most.
    ///
    /// # Errors
    /// Where the stream can't be opened.
    pub async fn history(&self, changes_max: usize) -> Result<Arc<MongoHistory>, StoreError> {
        MongoHistory::start(&self.ops, changes_max, self.problems.clone()).await.map(Arc::new)
    }

    /// The databases of the replica set.
    pub fn catalog(&self) -> Arc<MongoCatalog> {
        Arc::new(MongoCatalog::new(self.client.clone()))
    }
}

fn hosts(options: &ClientOptions) -> String {
    let names: Vec<String> = options.hosts.iter().map(ServerAddress::to_string).collect();
    names.join(", ")
}

/// What is wrong with a connection string; never in the driver's words, which quote pieces of it: of one that is
/// malformed, any piece may be the password.
fn unreadable(error: &mongodb::error::Error, uri: &str) -> ConnectError {
    ConnectError::Uri(match error.kind.as_ref() {
        ErrorKind::DnsResolve { .. } => "the name of the cluster can't be resolved".into(),
        _ if !uri.starts_with("mongodb://") && !uri.starts_with("mongodb+srv://") => {
            "it must begin with mongodb:// or mongodb+srv://".into()
        }
        _ => "it should look like mongodb://user:password@host:27017,host:27017/?replicaSet=rs0, with '@', ':', '/', \
              '?' and '%' of user name and password written as %40, %3A, %2F, %3F and %25"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_error_quotes_the_password() {
        for uri in [
            "mongodb://ada:hunter2@localhost:notaport/",
            "mongodb://ada:hunter2%zz@localhost/",
            "mongodb://ada:hun/ter2@localhost/",
            "mongodb://ada:hun:hunter2@localhost/",
            "mongodb://ada:x@hunter2@localhost/?w=a@b",
            "mongodb://ada:hunter2@localhost/?replicaSet",
            "mongo://ada:hunter2@localhost",
            "mongodb://ada:hunter2",
            "ada:hunter2@localhost",
        ] {
            let error = connect(uri, "lucid_ops").await.expect_err("refused");
            let said = format!("{error} {error:?}");
            assert!(!said.contains("hunter2") && !said.contains("ter2"), "{said}");
            assert!(!error.is_retryable(), "{said}");
        }
    }
}
