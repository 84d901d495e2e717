//! `NAME=URL` and a key file, made into open repositories.

use crate::{args::RepositoryArgs, exit::Exit};
use lucid_repository::{Location, Repository, RepositoryError, Unlock};
use std::collections::BTreeMap;

/// Names and places of repositories, and how they are unlocked.
pub struct Named {
    /// Name and place, in the order given.
    pub places: Vec<(String, Location)>,
    /// The key to all of them.
    pub unlock: Unlock,
}

/// Reads the arguments.
///
/// # Errors
/// Where one isn't `NAME=URL`, or a name comes twice.
pub fn read(args: &RepositoryArgs) -> Result<Named, Exit> {
    let mut places: Vec<(String, Location)> = Vec::new();
    for pair in &args.repositories {
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
    let unlock = args.key_file.clone().map_or(Unlock::None, Unlock::KeyFile);
    Ok(Named { places, unlock })
}

/// Opens all of them.
///
/// # Errors
/// The first that can't be opened, with the reason: not initialised, not mounted, wrong key.
pub async fn open(named: &Named) -> Result<BTreeMap<String, Repository>, Exit> {
    let mut open = BTreeMap::new();
    for (name, location) in &named.places {
        let repository = Repository::open(location, &named.unlock).await.map_err(|error| refused(name, &error))?;
        open.insert(name.clone(), repository);
    }
    Ok(open)
}

/// The exit for a repository that refuses.
pub fn refused(name: &str, error: &RepositoryError) -> Exit {
    Exit::failed(format!("repository '{name}': {error}"))
}
