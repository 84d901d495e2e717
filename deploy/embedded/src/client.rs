//! Talking to a private mongod, with a bound on every wait.
//!
//! Driver futures are never dropped half-way: a command runs in a task of its own, and only the wait for it is bounded.

use crate::{Error, Result};
use bson::Document;
use mongodb::{
    Client,
    options::{ClientOptions, Credential, ServerAddress},
};
use std::time::Duration;

/// Longest wait for one command of the set-up.
const COMMAND_PATIENCE: Duration = Duration::from_secs(20);

/// The administrator's name in every private set with authentication.
pub(crate) const ADMINISTRATOR: &str = "lucid";

/// A client for exactly the member at `port`; with a password it logs in.
pub(crate) fn direct(port: u16, password: Option<&str>) -> Result<Client> {
    client(&[port], None, password)
}

/// A client for a whole set, or for one member where `replica_set` is none.
pub(crate) fn client(ports: &[u16], replica_set: Option<&str>, password: Option<&str>) -> Result<Client> {
    let host = |port: &u16| ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port: Some(*port) };
    let mut options = ClientOptions::builder()
        .hosts(ports.iter().map(host).collect::<Vec<_>>())
        .app_name("lucid-embedded".to_owned())
        .server_selection_timeout(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(5))
        .build();
    options.direct_connection = Some(replica_set.is_none());
    options.repl_set_name = replica_set.map(str::to_owned);
    options.credential = password.map(|password| {
        Credential::builder()
            .username(ADMINISTRATOR.to_owned())
            .password(password.to_owned())
            .source("admin".to_owned())
            .build()
    });
    Client::with_options(options).map_err(refused("to be connected to"))
}

/// Runs a command on `admin`.
pub(crate) async fn command(client: &Client, command: Document) -> Result<Document> {
    command_within(client, command, COMMAND_PATIENCE).await
}

/// Runs a command on `admin`, and waits for its reply so long.
pub(crate) async fn command_within(client: &Client, command: Document, patience: Duration) -> Result<Document> {
    let name = command.keys().next().cloned().unwrap_or_default();
    let database = client.database("admin");
    let task = tokio::spawn(async move { database.run_command(command).await });
    match tokio::time::timeout(patience, task).await {
        Ok(Ok(reply)) => reply.map_err(refused(&name)),
        Ok(Err(_)) | Err(_) => Err(Error::Silent { command: name, patience }),
    }
}

fn refused(command: &str) -> impl FnOnce(mongodb::error::Error) -> Error {
    let command = command.to_owned();
    move |source| Error::Command { command, source: Box::new(source) }
}
