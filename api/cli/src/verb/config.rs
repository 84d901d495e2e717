//! `lucid-ops config check`: what would stop a service from starting, and what would be overlooked.

use crate::{
    args::{CheckArgs, CheckedRole, ConfigCommand},
    exit::{Exit, USAGE},
    output,
    role::check::{self, Finding},
    variables,
};
use lucid_client::render::lines;
use std::{env, ffi::OsString, fs, os::unix::process::CommandExt, path::Path, process::Command};

/// The beginnings of names that are ours.
const OURS: [&str; 7] = ["LUCID_", "BACKUP_", "MONITORING_", "METRICS_", "PROMETHEUS_", "MONGO_", "MONGODB_"];
/// What the project's tests and other programs of those names read.
const FOREIGN: [&str; 2] = ["LUCID_TEST_", "MONGO_INITDB_"];
/// What mongod's unit reads, and no verb.
const OPLOG_SIZE: &str = "MONGO_OPLOG_SIZE";
/// Further than this, another name is no misspelling.
const DISTANCE_MAX: usize = 4;

/// Runs the verb.
///
/// # Errors
/// Where a service wouldn't start.
pub async fn run(command: ConfigCommand) -> Result<(), Exit> {
    // The files were read before the command line was.
    let ConfigCommand::Check(CheckArgs { env_files: _, connect, role }) = command;
    let set = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let mut findings = names(set);
    findings.extend(match role {
        Some(CheckedRole::Api(args)) => check::api(&args, connect).await,
        Some(CheckedRole::Worker(args)) => check::worker(&args, connect).await,
        Some(CheckedRole::Serve(args)) => check::serve(*args, connect).await,
        Some(CheckedRole::Monitor(args)) => check::monitor(&args, connect).await,
        None => Vec::new(),
    });
    let refused = findings.iter().filter(|finding| finding.refuses).count();
    let said: Vec<_> = findings.iter().map(Finding::to_string).collect();
    output::print(&if said.is_empty() { "nothing is wrong\n".to_owned() } else { lines(&(said.join("\n") + "\n")) })?;
    if refused > 0 { Err(Exit::new(USAGE, "")) } else { Ok(()) }
}

/// The variables of a file.
fn read(file: &Path) -> Result<Vec<(String, String)>, Exit> {
    let text = fs::read_to_string(file)
        .map_err(|error| Exit::usage(format!("the file {} can't be read: {error}", file.display())))?;
    let set = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let bad = || Exit::usage(format!("{}: a line is neither NAME=value nor a comment", file.display()));
    set.map(|line| pair(line).ok_or_else(bad)).collect()
}

/// Begins a check again with the variables of the files that it names: they may hold what clap demands, and a process can't safely change its
/// own. Returns where none is named.
///
/// # Errors
/// Where a file can't be read, or the check can't be begun again.
pub fn with_files(arguments: &[String]) -> Result<(), Exit> {
    if !["config", "check"].iter().all(|word| arguments.iter().any(|argument| argument == word)) {
        return Ok(());
    }
    let (mut set, mut rest) = (Vec::new(), Vec::new());
    let mut given = arguments.iter().skip(1);
    while let Some(argument) = given.next() {
        let named = match argument.strip_prefix("--env-file") {
            Some("") => given.next().map(String::as_str),
            Some(file) => file.strip_prefix('='),
            None => None,
        };
        match named {
            Some(file) => set.extend(read(Path::new(file))?),
            None => rest.push(argument),
        }
    }
    if set.is_empty() {
        return Ok(());
    }
    let begun = env::current_exe().map(|own| Command::new(own).args(rest).envs(set).exec());
    let (Ok(error) | Err(error)) = begun;
    Err(Exit::failed(format!("the check can't be begun again with these variables: {error}")))
}

/// What is wrong with the names of variables, and with those that are empty.
fn names(set: impl Iterator<Item = (String, OsString)>) -> Vec<Finding> {
    let known = variables::names();
    let is_ours = |name: &str| {
        OURS.iter().any(|start| name.starts_with(start)) && !FOREIGN.iter().any(|start| name.starts_with(start))
    };
    let mut findings = Vec::new();
    for (name, value) in set.filter(|(name, _)| is_ours(name)) {
        let base = name.strip_suffix("_FILE").unwrap_or(&name);
        if !known.contains(base) && !known.contains(&name) && name != OPLOG_SIZE {
            let nearest = known.iter().map(|other| (strsim::damerau_levenshtein(other, &name), other)).min();
            let meant = nearest.filter(|(distance, _)| *distance <= DISTANCE_MAX);
            let mend = meant.map_or("remove it".to_owned(), |(_, other)| format!("did you mean {other}?"));
            findings.push(Finding::warns(&name, "no verb reads this variable", mend));
        } else if value.is_empty() {
            findings.push(Finding::warns(&name, "it is set, but empty", "unset it, or give it a value"));
        }
    }
    findings.sort_by(|one, other| one.about.cmp(&other.about));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(set: &[(&str, &str)]) -> Vec<String> {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
        names(set).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn misspelt_and_empty_variables_are_found_and_no_others() {
        let fine = [
            ("PATH", ""),
            ("HOME", "x"),
            ("BACKUP_SCHEDULE", "0 2 * * *"),
            ("LUCID_TEST_DIR", "x"),
            ("MONGODB_URI", "x"),
        ];
        assert!(found(&fine).is_empty());
        let said = found(&[
            ("LUCID_SLOTS", ""),
            ("BACKUP_SHEDULE", "0 2 * * *"),
            ("LUCID_WOMBAT_COUNT", "3"),
            ("MONITORING_INTERVALL", "3"),
        ]);
        assert_eq!(
            said,
            [
                "warning  BACKUP_SHEDULE: no verb reads this variable; did you mean BACKUP_SCHEDULE?",
                "warning  LUCID_SLOTS: it is set, but empty; unset it, or give it a value",
                "warning  LUCID_WOMBAT_COUNT: no verb reads this variable; remove it",
                "warning  MONITORING_INTERVALL: no verb reads this variable; did you mean MONITORING_INTERVAL?",
            ]
        );
    }
}
