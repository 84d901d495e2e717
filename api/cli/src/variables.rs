//! The variables that this program reads: those of the command line, as clap knows them, and those that are read by hand.

use crate::args::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory};

/// A variable that a verb reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What holds where it isn't set; none where nothing does.
    pub default: Option<String>,
    /// What it means, in a sentence or two.
    pub meaning: String,
}

/// A variable that is read without clap.
pub struct ByHand {
    /// Its name.
    pub name: &'static str,
    /// The verbs that read it, by their first word; none: all of them.
    pub readers: &'static [&'static str],
    /// What it means.
    pub meaning: &'static str,
}

const SERVED: &[&str] = &["api", "worker", "serve", "monitor", "dev"];

/// The variables that are read without clap.
pub const BY_HAND: [ByHand; 7] = [
    ByHand {
        name: "MONGODB_URI",
        readers: &["api", "worker", "serve", "monitor", "repo"],
        meaning: "Connection string, with user and password, where no --mongodb-uri-file is named.",
    },
    ByHand {
        name: "LUCID_API_MONGODB_URI",
        readers: &["api", "serve"],
        meaning: "Connection string of the API, where it has a user of its own and no --api-mongodb-uri-file is named; else MONGODB_URI is used.",
    },
    ByHand {
        name: "LUCID_TZDIR",
        readers: SERVED,
        meaning: "Folder of time zones by which schedules go, instead of the newest of the system's and those brought along; it must hold some.",
    },
    ByHand { name: "TZDIR", readers: SERVED, meaning: "The same for every program; it may be missing." },
    ByHand {
        name: "LUCID_LOG",
        readers: &["api", "worker", "serve", "monitor", "dev", "repo"],
        meaning: "What is logged, such as `debug` or `info,mongodb=warn`; services log `info`, verbs `warn`.",
    },
    ByHand {
        name: "LUCID_TOKEN",
        readers: &[
            "alerts",
            "backup",
            "copy",
            "jobs",
            "prune",
            "queues",
            "reencrypt",
            "restore",
            "schedules",
            "verify",
        ],
        meaning: "Token of the API, for what changes something, where no --token-file is named.",
    },
    ByHand {
        name: "XDG_RUNTIME_DIR",
        readers: &["api", "serve", "monitor"],
        meaning: "Folder in which the token is kept in `lucid-ops/token`, and looked for; not for root, whose is `/run/lucid-ops/token`.",
    },
];

/// The variables that a service reads, each once: first those of its command line, then those that are read by hand.
pub fn of_service(service: &str) -> Vec<Variable> {
    let command = built();
    let found = command.find_subcommand(service);
    let typed = found.into_iter().flat_map(|command| command.get_arguments().filter_map(variable));
    let by_hand = BY_HAND.iter().filter(|by_hand| by_hand.readers.contains(&service)).map(|by_hand| Variable {
        name: by_hand.name.to_owned(),
        default: None,
        meaning: by_hand.meaning.to_owned(),
    });
    typed.chain(by_hand).collect()
}

/// The command line with what all verbs share given to each.
pub fn built() -> Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// The variable of an argument that has one.
pub fn variable(arg: &Arg) -> Option<Variable> {
    let name = arg.get_env()?.to_string_lossy().into_owned();
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let is_flag = matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse);
    let default = if is_flag { Some("false".to_owned()) } else { Some(defaults.join(",")) };
    let meaning = arg.get_help().map(ToString::to_string).unwrap_or_default();
    Some(Variable { name, default: default.filter(|default| !default.is_empty()), meaning: one_line(&meaning) })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
