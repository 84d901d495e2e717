//! The services: each wires ports to what stands behind them, and waits for the signal to stop.

mod access;
pub mod api;
mod backup_schedule;
pub mod check;
pub mod dev;
pub mod monitor;
mod priority;
pub mod serve;
mod upkeep;
pub mod worker;

use crate::exit::{Exit, UNREACHABLE};
use lucid_mongo::{ConnectError, Connection};
use lucid_ports::Store;
use lucid_schemas::RepositoryName;
use std::sync::Arc;

/// This node's name: what the API signs requests with, and workers are named after.
pub fn node() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}

/// A name for a worker of this process: after the node, and its own even where all hosts and processes are named alike, as in
/// containers.
fn worker_name() -> String {
    let chance = uuid::Uuid::new_v4().simple().to_string();
    format!("{}/{}-{}", node(), std::process::id(), &chance[..6])
}

/// Connects and prepares the engine's own database.
async fn connect(uri: &str, ops_database: &str, replica_set: Option<&str>) -> Result<Connection, Exit> {
    let connection = establish(uri, ops_database, replica_set).await?;
    connection.set_up().await.map_err(Exit::failed)?;
    for problem in connection.problems().sentences() {
        tracing::warn!("{problem}");
    }
    Ok(connection)
}

/// Connects, and makes nothing.
pub async fn establish(uri: &str, ops_database: &str, replica_set: Option<&str>) -> Result<Connection, Exit> {
    lucid_schemas::names::check_database(ops_database)
        .map_err(|problem| Exit::usage(format!("the engine's database '{ops_database}' {problem}")))?;
    let connection = lucid_mongo::connect(uri, ops_database).await.map_err(|error| refused(&error))?;
    if let Some(wanted) = replica_set
        && connection.replica_set() != wanted
    {
        return Err(Exit::failed(format!(
            "this is replica set '{}', not '{wanted}': check MONGO_REPLICA_SET and the connection string",
            connection.replica_set()
        )));
    }
    Ok(connection)
}

fn refused(error: &ConnectError) -> Exit {
    let code = if error.is_retryable() { UNREACHABLE } else { crate::exit::FAILED };
    Exit::new(code, error)
}

/// Binds the names of open repositories to their ids.
async fn bind(store: &Arc<dyn Store>, repositories: &[RepositoryName]) -> Result<(), Exit> {
    for repository in repositories {
        store.bind_repository(repository).await.map_err(Exit::failed)?;
    }
    Ok(())
}
