//! The verbs, as clap knows them, each with what it must be given.

use crate::{args::Cli, service::Service};
use clap::{Arg, Command, CommandFactory};
use std::ffi::OsString;

/// Verbs that change nothing, so that they answer the same twice.
const LOOKS: [&str; 15] = [
    "jobs list",
    "jobs show",
    "jobs audit",
    "jobs export",
    "schedules list",
    "schedules show",
    "backups",
    "queues list",
    "health",
    "repo list",
    "repo ls",
    "repo cat",
    "repo stats",
    "repo diff",
    "repo key list",
];

/// A verb.
pub struct Verb {
    path: Vec<String>,
    needs: Vec<Arg>,
}

/// All of them, from the leaves of the tree.
pub fn verbs() -> Vec<Verb> {
    let mut command = Cli::command();
    command.build();
    let mut found = Vec::new();
    collect(&command, &[], &mut found);
    assert!(found.len() > 40, "only {} verbs", found.len());
    found
}

fn collect(command: &Command, path: &[String], found: &mut Vec<Verb>) {
    let below: Vec<_> = command.get_subcommands().filter(|below| below.get_name() != "help").collect();
    if below.is_empty() {
        let given = ["key_files", "api", "detach", "cron", "all", "listen"];
        let is_wanted =
            |arg: &&Arg| arg.is_required_set() || arg.is_positional() || given.contains(&arg.get_id().as_str());
        let needs = command.get_arguments().filter(is_wanted).cloned().collect();
        found.push(Verb { path: path.to_vec(), needs });
    }
    for command in below {
        let path = [path, &[command.get_name().to_owned()]].concat();
        collect(command, &path, found);
    }
}

impl Verb {
    /// As it is typed.
    pub fn name(&self) -> String {
        self.path.join(" ")
    }

    /// Whether it changes nothing.
    pub fn only_looks(&self) -> bool {
        LOOKS.contains(&self.name().as_str())
    }

    /// Its help.
    pub fn help(&self) -> Vec<OsString> {
        self.path.iter().map(OsString::from).chain(["--help".into()]).collect()
    }

    /// The verb with what it needs to do something.
    pub fn arguments(&self, service: &Service) -> Vec<OsString> {
        let mut arguments = self.path.clone();
        for arg in &self.needs {
            let id = arg.get_id().as_str();
            let Some(value) = self.value(id, service) else { continue };
            if let Some(long) = arg.get_long() {
                arguments.push(format!("--{long}"));
            }
            arguments.extend((!value.is_empty()).then_some(value));
        }
        if self.name() == "schedules set" {
            arguments.extend(["--database".into(), "lucid".into()]);
        }
        arguments.into_iter().map(OsString::from).collect()
    }

    /// A value that makes sense; empty for a flag.
    fn value(&self, id: &str, service: &Service) -> Option<String> {
        let is_repo = self.path[0] == "repo";
        let value = match id {
            "backup" if is_repo => "night_1",
            "backup" | "job" => service.finished_job(),
            "older" => "night_1",
            "newer" => "night_2",
            "collection" => "people",
            "database" => "lucid",
            "to" | "name" => "other",
            "slot" => "0000000000000000",
            "kind" => "verify",
            "cron" => "0 2 * * *",
            "repositories" => return Some(service.repository(self.name() == "repo init")),
            "key_files" => return Some(service.key_file()),
            "new_key_file" => return Some(service.new_key_file()),
            "listen" => "127.0.0.1:0",
            "detach" => "",
            _ => return None,
        };
        Some(value.to_owned())
    }
}
