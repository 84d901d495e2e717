//! What can be typed of `lucid-ops config`.

use super::{ApiArgs, MonitorArgs, ServeArgs, WorkerArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `lucid-ops config ...`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check variables, flags and the files that they name as a service would, without starting it: one line for each thing that is wrong, with
    /// how to mend it. Exit code 2 where the service wouldn't start.
    Check(CheckArgs),
}

/// `lucid-ops config check`.
#[derive(Debug, Args)]
#[command(subcommand_value_name = "ROLE", subcommand_help_heading = "Roles")]
pub struct CheckArgs {
    /// Read variables from this file, too, as container and service managers do; may be repeated.
    #[arg(long = "env-file", value_name = "FILE")]
    pub env_files: Vec<PathBuf>,
    /// Also reach MongoDB and buckets.
    #[arg(long)]
    pub connect: bool,
    /// The service, with its flags; without one only the names of variables are looked at.
    #[command(subcommand)]
    pub role: Option<CheckedRole>,
}

/// A service that is checked.
#[derive(Debug, Subcommand)]
pub enum CheckedRole {
    /// The API.
    Api(ApiArgs),
    /// A worker.
    Worker(Box<WorkerArgs>),
    /// API and worker in one process.
    Serve(Box<ServeArgs>),
    /// The monitor.
    Monitor(MonitorArgs),
}
