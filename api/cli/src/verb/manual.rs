//! `lucid-ops completions` and `lucid-ops man`: what packages bring, made of the command line itself.

use crate::{args::Cli, exit::Exit, output};
use clap::CommandFactory;
use clap_complete::Shell;
use std::{fs, path::Path};

const NAME: &str = "lucid-ops";

/// Prints what completes commands in a shell.
///
/// # Errors
/// Where it can't be printed.
pub fn completions(shell: Shell) -> Result<(), Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

/// Prints the man page, or writes one for each command into a folder.
///
/// # Errors
/// Where they can't be printed or written.
pub fn pages(dir: Option<&Path>) -> Result<(), Exit> {
    let command = Cli::command().disable_help_subcommand(true);
    if let Some(dir) = dir {
        let failed = |error| Exit::failed(format!("the man pages can't be written into {}: {error}", dir.display()));
        fs::create_dir_all(dir).map_err(failed)?;
        return clap_mangen::generate_to(command, dir).map_err(failed);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(Exit::failed)?;
    output::print(&String::from_utf8_lossy(&page))
}
