//! `lucid-ops repo`: works on the repository itself, whatever the job history says or whether there is one.
//!
//! Invariant: nothing here needs the engine's database, or makes it.

mod cat;
mod copy;
mod diff;
mod key;
mod list;
mod ls;
mod output;
mod pick;
mod pin;
mod reencrypt;
mod repair;
mod restore;
mod salvage;
mod scan;
mod stats;
mod verify;

use crate::{
    args::{RepoArgs, RepoCommand},
    exit::Exit,
    repositories::{self, refused},
};
use lucid_repository::{InitOptions, Repository, RepositoryError, Unlock};
use serde_json::json;
use std::fmt::Write;

/// Runs the verb.
pub async fn run(command: RepoCommand) -> Result<(), Exit> {
    match command {
        RepoCommand::Init { repo, allow_plain, if_absent } => init(&repo, allow_plain, if_absent).await,
        RepoCommand::List(args) => list::run(&args).await,
        RepoCommand::Ls(args) => ls::run(&args).await,
        RepoCommand::Cat(args) => cat::run(&args).await,
        RepoCommand::Stats(args) => stats::run(&args).await,
        RepoCommand::Diff(args) => diff::run(&args).await,
        RepoCommand::Scan(args) => scan::run(&args).await,
        RepoCommand::Verify(args) => verify::run(&args).await,
        RepoCommand::Repair(args) => repair::run(&args).await,
        RepoCommand::Pin(args) => pin::pin(&args).await,
        RepoCommand::Unpin(args) => pin::unpin(&args).await,
        RepoCommand::Key(command) => key::run(command).await,
        RepoCommand::Reencrypt(args) => reencrypt::run(&args).await,
        RepoCommand::Copy(args) => copy::run(&args).await,
        RepoCommand::Restore(args) => restore::run(args).await,
    }
}

async fn init(repo: &RepoArgs, allow_plain: bool, if_absent: bool) -> Result<(), Exit> {
    let RepoArgs { repository, json } = repo;
    let named = repositories::read(repository)?;
    if repository.key_files.is_empty() && !allow_plain {
        return Err(Exit::usage(
            "give --key-file FILE (it is made where there is none), or --allow-plain for a repository without \
             encryption",
        ));
    }
    let options = InitOptions { allow_plain, ..InitOptions::default() };
    for (name, location) in &named.places {
        let unlock = named.unlock_of(name);
        let made = match Repository::init(location, unlock, &options).await {
            Err(RepositoryError::AlreadyInitialised { .. }) if if_absent => {
                Repository::open(location, unlock).await.map_err(|error| refused(name, &error))?;
                continue;
            }
            made => made.map_err(|error| refused(name, &error))?,
        };
        let id = made.id().to_string();
        let mut said = if *json {
            json!({ "name": name, "id": id, "url": location.to_string() }).to_string()
        } else {
            format!("repository '{name}' {id} made at {location}")
        };
        if let (Unlock::KeyFile(path), false) = (unlock, *json) {
            let path = path.display();
            let _ = write!(
                said,
                "\nits key is in {path}: keep a copy in another place; without it the backups can't be read"
            );
        }
        // At once: what comes after may fail.
        output::text(&(said + "\n")).await?;
    }
    Ok(())
}
