//! What tells that a service lives, and who asks.

use clap::Args;
use std::path::PathBuf;

/// Where a service shows that it lives.
#[derive(Debug, Clone, Default, Args)]
pub struct AliveArgs {
    /// File that the service writes every other second, in a folder of its own such as /run/lucid-ops: what `lucid-ops healthcheck` reads.
    #[arg(long, env = "LUCID_ALIVE_FILE", value_name = "FILE")]
    pub alive_file: Option<PathBuf>,
}

/// `lucid-ops healthcheck`.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// Ask here instead of looking at the file of the service; without a path: /livez.
    #[arg(long, value_name = "URL", conflicts_with = "mongodb")]
    pub url: Option<String>,
    /// Ask a mongod at this address instead, without logging in.
    #[arg(long, value_name = "HOST:PORT")]
    pub mongodb: Option<String>,
    /// The file in which the service shows that it lives.
    #[command(flatten)]
    pub alive: AliveArgs,
}
