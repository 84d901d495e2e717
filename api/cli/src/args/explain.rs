//! `lucid-ops explain`.

use clap::Args;

/// `lucid-ops explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code, such as `no_space`; all of them where absent.
    pub code: Option<String>,
    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,
}
