//! What can be typed of `lucid-ops top`.

use super::API_DEFAULT;
use super::alerts::MONITOR_DEFAULT;
use clap::Args;
use std::path::PathBuf;

/// `lucid-ops top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Address of the API, which knows the jobs.
    #[arg(long, env = "LUCID_API", default_value = API_DEFAULT)]
    pub api: String,
    /// Address of the monitor, which knows everything else.
    #[arg(long, visible_alias = "url", env = "LUCID_MONITOR", default_value = MONITOR_DEFAULT)]
    pub monitor: String,
    /// File with a token that both know; else that of the variable LUCID_TOKEN.
    #[arg(long, env = "LUCID_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// File with certificates, in PEM form, that are trusted instead of the system's where the address is https.
    #[arg(long, env = "LUCID_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Seconds from one look to the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    pub every: u16,
    /// Show it once, whole, as where the output is no terminal.
    #[arg(long)]
    pub once: bool,
    /// Print JSON for programs, once.
    #[arg(long)]
    pub json: bool,
}
