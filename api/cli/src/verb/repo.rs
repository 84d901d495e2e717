//! `lucid-ops repo`: works on the repository itself, whatever the job history says or whether there is one.

use crate::{
    args::RepoCommand,
    exit::Exit,
    repositories::{self, refused},
};
use lucid_repository::{Domain, InitOptions, ManifestEntry, Repository};
use serde_json::{Value, json};

/// Runs the verb.
pub async fn run(command: RepoCommand) -> Result<(), Exit> {
    match command {
        RepoCommand::Init { repository, allow_plain, json } => {
            let named = repositories::read(&repository)?;
            if repository.key_files.is_empty() && !allow_plain {
                return Err(Exit::usage(
                    "give --key-file FILE (it is made where there is none), or --allow-plain for a repository without \
                     encryption",
                ));
            }
            let options = InitOptions { allow_plain, ..InitOptions::default() };
            for (name, location) in &named.places {
                let made = Repository::init(location, named.unlock_of(name), &options)
                    .await
                    .map_err(|error| refused(name, &error))?;
                let id = made.id().to_string();
                if json {
                    println!("{}", json!({ "name": name, "id": id, "url": location.to_string() }));
                } else {
                    println!("repository '{name}' {id} made at {location}");
                }
            }
            for key_file in repository.key_files.iter().filter(|_| !json) {
                println!(
                    "its key is in {key_file}: keep a copy in another place; without it the backups can't be read"
                );
            }
            Ok(())
        }
        RepoCommand::List { repository, json } => list(&repositories::read(&repository)?, json).await,
    }
}

async fn list(named: &repositories::Named, json: bool) -> Result<(), Exit> {
    let mut damaged = 0;
    for (name, repository) in repositories::open(named).await? {
        let entries = repository.manifests().await.map_err(|error| refused(&name, &error))?;
        damaged += entries.iter().filter(|entry| entry.manifest.is_err()).count();
        if entries.is_empty() && !json {
            println!("no backups in '{name}'");
        }
        for entry in &entries {
            if json {
                println!("{}", as_json(&name, entry));
            } else {
                println!("{}", as_line(&name, entry));
            }
        }
    }
    match damaged {
        0 => Ok(()),
        _ => Err(Exit::failed(format!("{damaged} manifests are damaged"))),
    }
}

fn as_line(name: &str, entry: &ManifestEntry) -> String {
    match &entry.manifest {
        Ok(manifest) => {
            let documents: u64 = manifest.collections.iter().map(|entry| entry.content.documents).sum();
            format!(
                "{name}  {}  {}  {}  {}  {documents} documents",
                manifest.job,
                manifest.database,
                if matches!(manifest.domain, Domain::Sealed) { "encrypted" } else { "not encrypted" },
                if manifest.consistent { "one instant" } else { "not one instant" },
            )
        }
        Err(damage) => format!("{name}  {}  DAMAGED: {damage}", entry.job),
    }
}

fn as_json(name: &str, entry: &ManifestEntry) -> Value {
    match &entry.manifest {
        Ok(manifest) => json!({
            "repository": name, "key": entry.key, "job": manifest.job, "epoch": manifest.epoch,
            "database": manifest.database, "collections": manifest.collections.len(),
            "consistent": manifest.consistent,
        }),
        Err(damage) => json!({
            "repository": name, "key": entry.key, "job": entry.job, "epoch": entry.epoch,
            "damage": damage.to_string(),
        }),
    }
}
