//! `NAME=URL` and a key file, made into open repositories.

use crate::{args::RepositoryArgs, exit::Exit};
use lucid_ports::Problems;
use lucid_repository::{CacheOptions, Location, Repository, RepositoryError, StorageSettings, Unlock};
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Names and places of repositories, and how they are unlocked.
pub struct Named {
    /// Name and place, in the order given.
    pub places: Vec<(String, Location)>,
    /// The key to those that have none of their own.
    pub unlock: Unlock,
    /// Keys of single ones.
    pub own: BTreeMap<String, Unlock>,
    /// The files of keys and settings, which nobody else is to read.
    pub secrets: Vec<PathBuf>,
}

impl Named {
    /// The key to the repository of this name.
    pub fn unlock_of(&self, name: &str) -> &Unlock {
        self.own.get(name).unwrap_or(&self.unlock)
    }
}

/// Names and places of `NAME=URL` pairs.
///
/// # Errors
/// Where one isn't `NAME=URL`, or a name comes twice.
pub fn places(pairs: &[String]) -> Result<Vec<(String, Location)>, Exit> {
    let mut places: Vec<(String, Location)> = Vec::new();
    for pair in pairs {
        let (name, url) = pair
            .split_once('=')
            .ok_or_else(|| Exit::usage(format!("'{pair}' is not NAME=URL, such as main=file:///mnt/backups")))?;
        let named_well =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !named_well {
            return Err(Exit::usage(format!("'{name}' is no name for a repository: use letters, digits, '-' and '_'")));
        }
        if places.iter().any(|(other, _)| other == name) {
            return Err(Exit::usage(format!("the repository '{name}' is named twice")));
        }
        let location = Location::parse(url).map_err(|error| Exit::usage(format!("repository '{name}': {error}")))?;
        places.push((name.to_owned(), location));
    }
    Ok(places)
}

/// Reads the arguments.
///
/// # Errors
/// Where one isn't `NAME=URL`, or a name comes twice.
pub fn read(args: &RepositoryArgs) -> Result<Named, Exit> {
    let mut places = places(&args.repositories)?;
    let mut secrets = Vec::new();
    for given in &args.storage_files {
        let (name, path) = named_file(given, &places)
            .ok_or_else(|| Exit::usage(format!("--storage-file '{given}' is not NAME=FILE of a repository above")))?;
        let settings = StorageSettings::read(&path).map_err(Exit::failed)?;
        secrets.push(path);
        for (_, location) in places.iter_mut().filter(|(of, _)| *of == name) {
            *location = location.clone().with_settings(settings.clone());
        }
    }
    if let Some(folder) = &args.cache_dir {
        let cache = CacheOptions { folder: folder.clone(), limit_bytes: args.cache_size.0.get() };
        for (_, location) in &mut places {
            *location = location.clone().with_cache(cache.clone());
        }
    }
    if args.no_deltas {
        places = places.into_iter().map(|(name, location)| (name, location.without_deltas())).collect();
    }
    let (mut unlock, mut own) = (Unlock::None, BTreeMap::new());
    for given in &args.key_files {
        let (name, path) = named_file(given, &places).unzip();
        let path = path.unwrap_or_else(|| given.into());
        secrets.push(path.clone());
        match name {
            Some(name) => drop(own.insert(name, Unlock::KeyFile(path))),
            None => unlock = Unlock::KeyFile(path),
        }
    }
    Ok(Named { places, unlock, own, secrets })
}

/// `NAME=FILE`, where the name is that of a repository; anything else is a path that happens to hold a `=`.
fn named_file(given: &str, places: &[(String, Location)]) -> Option<(String, PathBuf)> {
    let (name, path) = given.split_once('=')?;
    places.iter().any(|(known, _)| known == name).then(|| (name.to_owned(), path.into()))
}

/// Opens all of them.
///
/// # Errors
/// The first that can't be opened, with the reason: not initialised, not mounted, wrong key.
pub async fn open(named: &Named) -> Result<BTreeMap<String, Repository>, Exit> {
    let mut open = BTreeMap::new();
    for (name, location) in &named.places {
        let repository =
            Repository::open(location, named.unlock_of(name)).await.map_err(|error| refused(name, &error))?;
        if let Some(open) = location.path().and_then(open_to_others) {
            tracing::warn!(repository = name, "{open}");
        }
        open.insert(name.clone(), repository);
    }
    Ok(open)
}

/// Tells of repositories that aren't where they were opened, or can't be reached, as long as that is so: their jobs wait, and nobody
/// may be looking at those.
pub async fn watch(repositories: BTreeMap<String, Repository>, problems: Problems) {
    loop {
        for (name, repository) in &repositories {
            let subject = format!("repository {name}");
            match repository.ensure_here().await {
                Ok(()) => {
                    if problems.clear(&subject) {
                        tracing::info!(repository = name, "it is there again");
                    }
                }
                Err(error) => {
                    tracing::warn!(repository = name, %error, "its jobs wait");
                    problems.set(&subject, format!("repository '{name}': {error}"));
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Says of a repository's folder that others can enter it, and what to run against that.
fn open_to_others(folder: &Path) -> Option<String> {
    let mode = folder.metadata().ok()?.permissions().mode() & 0o7777;
    let folder = folder.display();
    (mode & 0o077 != 0).then(|| {
        format!(
            "{folder} has mode {mode:04o}, so others on this machine can enter it: they see names, sizes and times of backups, and \
             what is stored without encryption where it was written by an earlier version; run `chmod 700 {folder}`"
        )
    })
}

/// The exit for a repository that refuses.
pub fn refused(name: &str, error: &RepositoryError) -> Exit {
    Exit::failed(format!("repository '{name}': {error}"))
}
