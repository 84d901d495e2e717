//! A connection to one member, and bounded questions.

use bson::{Document, doc};
use mongodb::{
    Client, Database,
    error::{Error, ErrorKind},
    options::{ClientOptions, ServerAddress, ServerMonitoringMode},
};
use std::time::Duration;

/// One for questions, one for what was left hanging.
const CONNECTIONS_MAX: u32 = 2;
const APP_NAME: &str = "lucid-ops-monitor";

/// A connection string that can't be read. Says nothing of it: any piece may be the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the connection string can't be read, or the name of the cluster in it can't be resolved: it should look like \
     mongodb://user:password@host:27017,host:27017/?replicaSet=rs0"
)]
pub struct UriError;

/// What a connection string says: whom to ask first, and how to log in.
#[derive(Debug, Clone)]
pub struct Seeds(ClientOptions);

impl Seeds {
    pub async fn parse(uri: &str) -> Result<Self, UriError> {
        ClientOptions::parse(uri).await.map(Self).map_err(|_| UriError)
    }

    /// The addresses that it names.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        self.0.hosts.iter().map(ToString::to_string)
    }

    /// A connection to this member alone, whatever its role; made when it is used first, and kept.
    pub fn direct(&self, address: &str, bound: Duration) -> Result<Client, String> {
        let mut options = self.0.clone();
        options.hosts = vec![ServerAddress::parse(address).map_err(|error| describe(&error))?];
        options.direct_connection = Some(true);
        options.repl_set_name = None;
        options.srv_max_hosts = None;
        options.app_name = Some(APP_NAME.into());
        options.server_selection_timeout = Some(bound);
        options.connect_timeout = Some(bound);
        options.max_pool_size = Some(CONNECTIONS_MAX);
        options.min_pool_size = None;
        options.server_monitoring_mode = Some(ServerMonitoringMode::Poll);
        options.retry_reads = Some(false);
        options.read_concern = None;
        options.selection_criteria = None;
        Client::with_options(options).map_err(|error| describe(&error))
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// It says no, or takes too long for this; it may answer something else.
    Refused(String),
    /// It can't be reached, or lets nobody in.
    Silent(String),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        match error.kind.as_ref() {
            ErrorKind::Command(_) => Self::Refused(describe(&error)),
            _ => Self::Silent(describe(&error)),
        }
    }
}

impl Unanswered {
    /// Why, for people.
    pub fn reason(self) -> String {
        match self {
            Self::Refused(reason) | Self::Silent(reason) => reason,
        }
    }
}

/// Runs a command that the server gives up after `bound`.
pub async fn ask(database: &Database, mut command: Document, bound: Duration) -> Result<Document, Unanswered> {
    command.insert("maxTimeMS", i64::try_from(bound.as_millis()).unwrap_or(i64::MAX));
    Ok(database.run_command(command).await?)
}

/// Asks a mongod whether it serves, without logging in: whatever state its set is in, and whether there are users yet.
///
/// # Errors
/// Why there is no answer.
pub async fn hello(address: &str, bound: Duration) -> Result<(), String> {
    let seeds = Seeds(ClientOptions::builder().build());
    let database = seeds.direct(address, bound)?.database("admin");
    ask(&database, doc! { "hello": 1 }, bound).await.map(drop).map_err(Unanswered::reason)
}

/// `storageStats` of a collection, without what nobody reads.
pub async fn storage(database: &Database, collection: &str, bound: Duration) -> Result<Document, Unanswered> {
    const READ: [&str; 6] = ["size", "count", "storageSize", "freeStorageSize", "totalIndexSize", "maxSize"];
    let kept: Document = READ.iter().map(|name| (format!("storageStats.{name}"), 1.into())).collect();
    collection_stats(
        database,
        collection,
        vec![doc! { "$collStats": { "storageStats": {} } }, doc! { "$project": kept }],
        bound,
    )
    .await
}

/// `latencyStats` of a collection with their histograms: what this member has counted since it was started.
pub async fn latencies(database: &Database, collection: &str, bound: Duration) -> Result<Document, Unanswered> {
    let stats = doc! { "$collStats": { "latencyStats": { "histograms": true } } };
    collection_stats(database, collection, vec![stats], bound).await
}

async fn collection_stats(
    database: &Database,
    collection: &str,
    pipeline: Vec<Document>,
    bound: Duration,
) -> Result<Document, Unanswered> {
    let command = doc! { "aggregate": collection, "pipeline": pipeline, "cursor": {} };
    let answer = ask(database, command, bound).await?;
    let batch = answer.get_document("cursor").ok().and_then(|cursor| cursor.get_array("firstBatch").ok());
    let first = batch.and_then(|batch| batch.first()).and_then(bson::Bson::as_document);
    Ok(first.cloned().unwrap_or_default())
}

/// What happened, for people; never the driver's picture of the topology, nor a password.
fn describe(error: &Error) -> String {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => format!("{} (code {})", command.code_name, command.code),
        ErrorKind::ServerSelection { .. } => "it can't be reached".into(),
        ErrorKind::Authentication { .. } => "it refuses the user name or password of the connection string".into(),
        ErrorKind::Io(error) => format!("the connection broke: {error}"),
        ErrorKind::InvalidArgument { .. } => "its address can't be read".into(),
        _ => "the connection failed".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_error_quotes_the_password() {
        for uri in ["mongodb://ada:hunter2@localhost:notaport/", "mongodb://ada:hun/hunter2@localhost", "hunter2"] {
            let error = Seeds::parse(uri).await.expect_err("refused");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let seeds =
            Seeds::parse("mongodb://ada:hunter2@a:1,b:2/?replicaSet=rs0&directConnection=false").await.expect("fine");
        assert_eq!(seeds.addresses().collect::<Vec<_>>(), ["a:1", "b:2"]);
        let error = seeds.direct("a:b:c:hunter2", Duration::from_secs(1)).map(drop).expect_err("no address");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
