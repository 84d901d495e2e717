//! Where logs go: standard error, so that standard output stays for results.

use tracing_subscriber::EnvFilter;

/// Starts logging at the level of `LUCID_LOG`, else `info`; the driver only warns.
pub fn start(json: bool) {
    let filter =
        EnvFilter::try_from_env("LUCID_LOG").unwrap_or_else(|_| EnvFilter::new("info,mongodb=warn,actix_server=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
}
