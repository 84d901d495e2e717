//! The variables that this program reads: those of the command line, as clap knows them, and those that are read by hand.

mod by_hand;
mod table;

pub use by_hand::BY_HAND;
pub use table::table;

use crate::args::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory};
use std::collections::BTreeSet;

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

/// The variables that a service reads, each once: first those of its command line, then those that are read by hand.
pub fn of_service(service: &str) -> Vec<Variable> {
    let command = built();
    let found = command.find_subcommand(service);
    let typed = found.into_iter().flat_map(|command| command.get_arguments().filter_map(variable));
    let told = BY_HAND.iter().filter(|by_hand| by_hand.is_ours() && by_hand.readers.contains(&service));
    let by_hand = told.map(|by_hand| Variable {
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

/// The names of all variables that any verb reads.
pub fn names() -> BTreeSet<String> {
    fn collect(command: &Command, names: &mut BTreeSet<String>) {
        names.extend(command.get_arguments().filter_map(variable).map(|variable| variable.name));
        command.get_subcommands().for_each(|below| collect(below, names));
    }
    let mut names: BTreeSet<String> = BY_HAND.iter().map(|by_hand| by_hand.name.to_owned()).collect();
    collect(&built(), &mut names);
    names
}

#[cfg(test)]
mod tests;
