//! What deploy/ says to Docker and Compose is what this program understands: its commands, variables, ports and files.

mod images;
mod stacks;

use crate::{args::Cli, variables};
use clap::{Parser, error::ErrorKind};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const PROGRAM: &str = "/usr/local/bin/lucid-ops";

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn text(name: &str) -> String {
    fs::read_to_string(deploy().join(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// The verb that the words begin with, which this program must understand.
fn understood(at: &str, words: &[String]) -> String {
    let words = [&["lucid-ops".to_owned()], words].concat();
    if let Err(error) = Cli::try_parse_from(&words) {
        // What is required may stand in the environment.
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument, "{at}: {words:?}: {error}");
    }
    words.get(1).cloned().unwrap_or_default()
}

/// The variables that a verb reads.
fn read_by(verb: &str) -> BTreeSet<String> {
    variables::of_service(verb).into_iter().map(|variable| variable.name).collect()
}
