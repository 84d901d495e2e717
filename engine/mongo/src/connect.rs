//! Getting connected, or one clear sentence why not.

use crate::{
    MongoCatalog, MongoFeed, MongoStore,
    error::{code, describe, is_passing},
    set_up,
};
use bson::{Document, doc};
use lucid_ports::StoreError;
use mongodb::{
    Client, Database,
    error::ErrorKind,
    options::{Acknowledgment, ClientOptions, ServerAddress, WriteConcern},
};
use std::{sync::Arc, time::Duration};

const SELECTION_PATIENCE: Duration = Duration::from_secs(10);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const OLDEST_MAJOR: i32 = 6;
const WINDOW_LEAST_S: i64 = 60;
const OPLOG_LEAST_BYTES: i64 = 16 << 20;

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
    #[error("the oplog is too small: it holds {mib} MiB, at least 16 are needed, and days of changes are advised")]
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
}

/// Connects, and checks what everything else relies on.
///
/// # Errors
/// The first thing that is wrong, as one sentence.
pub async fn connect(uri: &str, ops_database: &str) -> Result<Connection, ConnectError> {
    let mut options = ClientOptions::parse(uri)
        .await
        .map_err(|error| unreadable(&error, uri))?;
    options.app_name = Some("lucid-ops".into());
    options.server_selection_timeout = Some(SELECTION_PATIENCE);
    options.connect_timeout = Some(CONNECT_PATIENCE);
    // A default read concern would break snapshot reads; a default write concern must not weaken ours.
    options.read_concern = None;
    options.selection_criteria = None;
    options.write_concern = Some(
        WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .build(),
    );
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
    Ok(Connection {
        ops: client.database(ops_database),
        replica_set: replica_set.to_owned(),
        client,
    })
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
        window(&self.client, "the replica set").await
    }

    /// Makes collections, validators, indexes and the view of the engine's database, or brings them up to date.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn set_up(&self) -> Result<(), StoreError> {
        set_up::set_up(&self.ops).await
    }

    /// The store.
    pub fn store(&self) -> Arc<MongoStore> {
        Arc::new(MongoStore::new(self.ops.clone()))
    }

    /// The process's change stream; open when this returns, so that a look at the store afterwards misses nothing.
    ///
    /// # Errors
    /// Where the stream can't be opened.
    pub async fn feed(&self) -> Result<Arc<MongoFeed>, StoreError> {
        MongoFeed::start(&self.ops).await.map(Arc::new)
    }

    /// The databases of the replica set.
    pub fn catalog(&self) -> Arc<MongoCatalog> {
        Arc::new(MongoCatalog::new(self.client.clone()))
    }
}

async fn check_version(admin: &Database, hosts: &str) -> Result<(), ConnectError> {
    let info = ask(admin, doc! { "buildInfo": 1 }, hosts).await?.unwrap_or_default();
    let version = info.get_str("version").unwrap_or("unknown").to_owned();
    let major = info
        .get_array("versionArray")
        .ok()
        .and_then(|parts| parts.first())
        .and_then(bson::Bson::as_i32);
    match major {
        Some(major) if major < OLDEST_MAJOR => Err(ConnectError::TooOld { version }),
        _ => Ok(()),
    }
}

async fn check_window(client: &Client, hosts: &str) -> Result<(), ConnectError> {
    match window(client, hosts).await? {
        Some(seconds) if seconds < WINDOW_LEAST_S => Err(ConnectError::SnapshotWindow { seconds }),
        _ => Ok(()),
    }
}

async fn window(client: &Client, hosts: &str) -> Result<Option<i64>, ConnectError> {
    const NAME: &str = "minSnapshotHistoryWindowInSeconds";
    let answer = ask(&client.database("admin"), doc! { "getParameter": 1, NAME: 1 }, hosts).await?;
    Ok(answer.and_then(|answer| whole(&answer, NAME)))
}

async fn check_oplog(client: &Client, hosts: &str) -> Result<(), ConnectError> {
    let answer = ask(&client.database("local"), doc! { "collStats": "oplog.rs" }, hosts).await?;
    match answer.and_then(|answer| whole(&answer, "maxSize")) {
        Some(bytes) if bytes < OPLOG_LEAST_BYTES => Err(ConnectError::Oplog { mib: bytes >> 20 }),
        _ => Ok(()),
    }
}

/// An answer; `None` where the user may not ask that, which is no reason to refuse to work.
async fn ask(database: &Database, command: Document, hosts: &str) -> Result<Option<Document>, ConnectError> {
    /// The second is how hosted services say it.
    const NOT_ALLOWED: [i32; 2] = [13, 8000];
    match database.run_command(command).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if code(&error).is_some_and(|code| NOT_ALLOWED.contains(&code)) => {
            tracing::warn!(
                reason = describe(&error),
                "a check is left out: the user may not read it"
            );
            Ok(None)
        }
        Err(error) => Err(refusal(&error, hosts.to_owned())),
    }
}

fn whole(answer: &Document, field: &str) -> Option<i64> {
    let value = answer.get(field)?;
    value.as_i64().or_else(|| value.as_i32().map(i64::from)).or_else(|| {
        #[allow(clippy::cast_possible_truncation)] // A size as a double: whole by nature.
        value.as_f64().map(|number| number as i64)
    })
}

/// Looks closer at a first answer that failed: a lone mongod is told from one that doesn't run.
async fn diagnose(error: &mongodb::error::Error, mut options: ClientOptions, hosts: String) -> ConnectError {
    if !matches!(error.kind.as_ref(), ErrorKind::ServerSelection { .. }) {
        return refusal(error, hosts);
    }
    options.direct_connection = Some(true);
    options.repl_set_name = None;
    options.hosts.truncate(1);
    let Ok(direct) = Client::with_options(options) else {
        return refusal(error, hosts);
    };
    match direct.database("admin").run_command(doc! { "hello": 1 }).await {
        Ok(hello) if hello.get_str("setName").is_err() => ConnectError::NotReplicaSet { hosts },
        Ok(_) => ConnectError::Unreachable {
            hosts,
            reason: "the replica set has no primary, or its name isn't the one of the connection string".into(),
        },
        Err(closer) => refusal(&closer, hosts),
    }
}

fn refusal(error: &mongodb::error::Error, hosts: String) -> ConnectError {
    const AUTHENTICATION_FAILED: i32 = 18;
    match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => ConnectError::Credentials { hosts },
        _ if code(error) == Some(AUTHENTICATION_FAILED) => ConnectError::Credentials { hosts },
        ErrorKind::ServerSelection { .. } => ConnectError::Unreachable {
            hosts,
            reason: "no server answers".into(),
        },
        _ if is_passing(error) => ConnectError::Unreachable {
            hosts,
            reason: describe(error),
        },
        _ => ConnectError::Refused {
            hosts,
            reason: describe(error),
        },
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
