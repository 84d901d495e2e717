//! `lucid-ops explain`.

use clap::Args;

/// `lucid-ops explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A failure code, such as `no_space`, or the rule of an alert, such as `member_down`; all codes where absent.
    #[arg(value_name = "CODE|RULE")]
    pub word: Option<String>,
    /// Print JSON for programs.
    #[arg(long)]
    pub json: bool,
}
