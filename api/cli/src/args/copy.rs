//! What can be typed about copies and about encrypting anew.

use super::{ClientArgs, RunArgs};
use clap::Args;

/// `lucid-ops copy`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The backup's job id, or an unambiguous prefix of it.
    #[arg(required_unless_present = "all", conflicts_with_all = ["all", "repository"])]
    pub backup: Option<String>,
    /// Every backup that isn't there yet, the oldest first.
    #[arg(long)]
    pub all: bool,
    /// The repository to copy into, by name; a worker must have both.
    #[arg(long = "to", value_name = "NAME")]
    pub to: String,
    /// With --all: the repository to copy from, by name.
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
    /// Don't wait for it.
    #[arg(long)]
    pub detach: bool,
    /// How the job is run.
    #[command(flatten)]
    pub run: RunArgs,
    /// How to reach the API.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// `lucid-ops reencrypt`.
#[derive(Debug, Args)]
pub struct ReencryptArgs {
    /// The repository by name.
    #[arg(long, value_name = "NAME")]
    pub repository: Option<String>,
    /// Don't wait for it.
    #[arg(long)]
    pub detach: bool,
    /// How the job is run.
    #[command(flatten)]
    pub run: RunArgs,
    /// How to reach the API.
    #[command(flatten)]
    pub client: ClientArgs,
}
