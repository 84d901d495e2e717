//! Where logs go: standard error, so that standard output stays for results.

use tracing_subscriber::EnvFilter;

/// What services log unless told otherwise; the driver only warns.
pub const SERVICE: &str = "info,mongodb=warn,actix_server=warn";
/// What verbs log, whose results are for somebody who waits for them.
pub const VERB: &str = "warn";

/// What a check logs: it says itself what it finds.
pub const CHECK: &str = "off";

/// Starts logging at the level of `LUCID_LOG`, else at this one.
pub fn start(json: bool, default: &str) {
    let filter = EnvFilter::try_from_env("LUCID_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr)
        // What can't be logged is lost: saying so on the same full disk would panic.
        .log_internal_errors(false);
    if json {
        builder.json().init();
    } else {
        builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
}
