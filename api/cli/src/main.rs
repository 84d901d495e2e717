//! The one binary: parse, wire, run, exit. The only place where the API, the store, the worker and the handlers meet.

mod alive;
mod args;
mod exit;
mod logging;
mod memory;
mod output;
mod repositories;
mod role;
mod secrets;
mod shutdown;
#[cfg(test)]
mod tests;
mod token;
mod variables;
mod verb;

use args::{Cli, Command, TokenCommand};
use clap::Parser;
use exit::Exit;
use lucid_schemas::zones::{self, Rules};
use nix::sys::stat::{Mode, umask};
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    match arguments().and_then(|arguments| parsed(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

/// The command line as text; what isn't text is named by its place.
fn arguments() -> Result<Vec<String>, Exit> {
    let read = |(place, argument): (usize, OsString)| {
        argument.into_string().map_err(|argument| {
            Exit::usage(format!(
                "argument {place} ({}) isn't UTF-8, which everything here is named in",
                argument.display()
            ))
        })
    };
    std::env::args_os().enumerate().map(read).collect()
}

fn parsed(arguments: &[String]) -> Result<(), Exit> {
    secrets::check_arguments(arguments)?;
    verb::config::with_files(arguments)?;
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    if matches!(
        cli.command,
        Command::Api(_)
            | Command::Worker(_)
            | Command::Serve(_)
            | Command::Monitor(_)
            | Command::Dev(_)
            | Command::Env(_)
            | Command::Repo(_)
    ) {
        // Before the first thread, and whatever the shell says: what these write is for their own account.
        umask(Mode::from_bits_truncate(0o077));
    }
    if matches!(
        cli.command,
        Command::Worker(_) | Command::Serve(_) | Command::Monitor(_) | Command::Dev(_) | Command::Repo(_)
    ) {
        memory::bound();
    }
    run(cli)
}

fn run(cli: Cli) -> Result<(), Exit> {
    match cli.command {
        // Services and repository verbs work on the async runtime; client verbs need none.
        Command::Api(args) => service(cli.log_json, role::api::run(args)),
        Command::Worker(args) => service(cli.log_json, role::worker::run(args)),
        Command::Serve(args) => service(cli.log_json, role::serve::run(*args)),
        Command::Monitor(args) => service(cli.log_json, role::monitor::run(args)),
        Command::Dev(args) => service(cli.log_json, role::dev::run(args)),
        Command::Repo(command) => run_async(cli.log_json, logging::VERB, verb::repo::run(command)),
        Command::Doctor(args) => run_async(cli.log_json, logging::VERB, verb::doctor::run(args)),
        Command::Bootstrap(args) => run_async(cli.log_json, logging::VERB, verb::bootstrap::run(args)),
        Command::Backup(args) => verb::request::backup(args),
        Command::Restore(args) => verb::request::restore(args),
        Command::Verify(args) => verb::request::verify(args),
        Command::Prune(args) => verb::request::prune(*args),
        Command::Copy(args) => verb::request::copy(args),
        Command::Reencrypt(args) => verb::request::reencrypt(args),
        Command::Jobs(command) => verb::jobs::run(command),
        Command::Token(TokenCommand::Show(args)) => verb::tokens::show(&args),
        Command::Token(command) => run_async(cli.log_json, logging::VERB, verb::tokens::run(command)),
        Command::Queues(command) => verb::queues::run(command),
        Command::Workers(args) => verb::queues::workers(&args),
        Command::Alerts(command) => verb::alerts::run(command),
        Command::Schedules(command) => verb::schedules::run(command),
        Command::Backups(args) => verb::jobs::backups(&args),
        Command::Config(command) => checked(cli.log_json, verb::config::run(*command)),
        Command::Env(command) => verb::env::run(command),
        Command::Completions { shell } => verb::manual::completions(shell),
        Command::Man { dir } => verb::manual::pages(dir.as_deref()),
        Command::Health(args) => verb::jobs::health(&args),
        Command::Healthcheck(args) => verb::healthcheck::run(&args),
        Command::Top(args) => verb::top::run(&args),
        Command::Explain(args) => verb::explain::run(&args),
    }
}

fn service(log_json: bool, work: impl Future<Output = Result<(), Exit>>) -> Result<(), Exit> {
    time_zones()?;
    run_async(log_json, logging::SERVICE, work)
}

/// The time zones are a service's, but nothing is logged that is a finding.
fn checked(log_json: bool, work: impl Future<Output = Result<(), Exit>>) -> Result<(), Exit> {
    time_zones()?;
    run_async(log_json, logging::CHECK, work)
}

/// Decides by which rules of time zones schedules go. A folder that is named for us must be one; the one that is named for every
/// program may be missing.
fn time_zones() -> Result<(), Exit> {
    let named = |variable: &str| std::env::var_os(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let rules = match named("LUCID_TZDIR") {
        Some(folder) => Rules::of_folder(&folder).map_err(|problem| Exit::usage(format!("LUCID_TZDIR: {problem}")))?,
        None => named("TZDIR").and_then(|folder| Rules::of_folder(&folder).ok()).unwrap_or_else(Rules::newest),
    };
    zones::install(rules);
    Ok(())
}

fn run_async(log_json: bool, log: &str, work: impl Future<Output = Result<(), Exit>>) -> Result<(), Exit> {
    logging::start(log_json, log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::failed(format!("no async runtime: {error}")))?;
    let outcome = runtime.block_on(work);
    // Left to the end of the process. Shutting it down would wait for a call to a file system that hangs, and cancel tasks that
    // the driver ends its sessions in, which panic then.
    std::mem::forget(runtime);
    outcome
}
