//! Finding the backup that somebody means: a job, a prefix of its id, or the latest one.

use crate::{
    args::RepositoryArgs,
    exit::Exit,
    repositories::{self, refused},
};
use lucid_repository::{Manifest, ManifestEntry, ManifestRef, Repository};
use std::collections::{BTreeMap, BTreeSet};

const LATEST: &str = "latest";

/// Opened repositories with all that they hold.
pub struct Holdings {
    repositories: BTreeMap<String, Repository>,
    /// Name of the repository, and a manifest in it, by job and epoch.
    entries: Vec<(String, ManifestEntry)>,
}

/// A backup that was meant.
pub struct Picked {
    /// The name of the repository.
    pub name: String,
    /// The repository.
    pub repository: Repository,
    /// The backup's manifest.
    pub manifest: Manifest,
    /// Where that is.
    pub reference: ManifestRef,
}

/// The one backup that is meant.
pub async fn one(args: &RepositoryArgs, wanted: &str) -> Result<Picked, Exit> {
    Holdings::open(args).await?.pick(wanted).await
}

impl Holdings {
    /// Opens the repositories and lists them.
    pub async fn open(args: &RepositoryArgs) -> Result<Self, Exit> {
        let repositories = repositories::open(&repositories::read(args)?).await?;
        let mut entries = Vec::new();
        for (name, repository) in &repositories {
            let listed = repository.manifests().await.map_err(|error| refused(name, &error))?;
            entries.extend(listed.into_iter().map(|entry| (name.clone(), entry)));
        }
        Ok(Self { repositories, entries })
    }

    /// The same without one repository, which is given, too.
    pub fn without(mut self, name: &str) -> Result<(Self, Repository), Exit> {
        let taken = self.repositories.remove(name);
        let taken =
            taken.ok_or_else(|| Exit::usage(format!("no repository '{name}' is given: add it by --repository")))?;
        self.entries.retain(|(of, _)| of != name);
        Ok((self, taken))
    }

    /// The repositories by name.
    pub const fn repositories(&self) -> &BTreeMap<String, Repository> {
        &self.repositories
    }

    /// Manifests with the name of their repository; in each by job and epoch.
    pub fn entries(&self) -> &[(String, ManifestEntry)] {
        &self.entries
    }

    /// The backup that is meant.
    pub async fn pick(&self, wanted: &str) -> Result<Picked, Exit> {
        let (name, key) = choose(&self.entries, wanted)?;
        let repository = self.repositories.get(name).ok_or_else(|| Exit::failed("it is in no repository"))?.clone();
        let (manifest, reference) = repository.read_manifest(key).await.map_err(|error| refused(name, &error))?;
        Ok(Picked { name: name.to_owned(), repository, manifest, reference })
    }
}

/// Repository and key of the manifest that is meant.
fn choose<'a>(entries: &'a [(String, ManifestEntry)], wanted: &str) -> Result<(&'a str, &'a str), Exit> {
    match wanted.split_once(':') {
        Some((LATEST, database)) => latest(entries, Some(database)),
        None if wanted == LATEST => latest(entries, None),
        _ => by_job(entries, wanted),
    }
}

fn latest<'a>(entries: &'a [(String, ManifestEntry)], database: Option<&str>) -> Result<(&'a str, &'a str), Exit> {
    let readable = entries.iter().filter_map(|(name, entry)| Some((name, entry, entry.manifest.as_ref().ok()?)));
    let asked: Vec<_> =
        readable.filter(|(.., manifest)| database.is_none_or(|wanted| wanted == manifest.database)).collect();
    let databases: BTreeSet<&str> = asked.iter().map(|(.., manifest)| manifest.database.as_str()).collect();
    if databases.len() > 1 {
        let choices: Vec<String> = databases.iter().map(|name| format!("{LATEST}:{name}")).collect();
        return Err(Exit::usage(format!("there are backups of several databases: say {}", choices.join(" or "))));
    }
    if entries.len() > asked.len() && entries.iter().any(|(_, entry)| entry.manifest.is_err()) {
        tracing::warn!("some manifests are damaged, and a later backup may be among them: see lucid-ops repo list");
    }
    let newest = asked.iter().max_by_key(|(_, entry, manifest)| (manifest.started_at, &entry.job, entry.epoch));
    let (name, entry, _) = newest.ok_or_else(|| match database {
        Some(database) => Exit::failed(format!("there is no backup of database '{database}'")),
        None => Exit::failed("there is no backup"),
    })?;
    Ok((name, &entry.key))
}

fn by_job<'a>(entries: &'a [(String, ManifestEntry)], wanted: &str) -> Result<(&'a str, &'a str), Exit> {
    let exact = entries.iter().any(|(_, entry)| entry.job == wanted);
    let fits = |entry: &ManifestEntry| if exact { entry.job == wanted } else { entry.job.starts_with(wanted) };
    let found: Vec<_> = entries.iter().filter(|(_, entry)| fits(entry)).collect();
    let jobs: BTreeSet<(&str, &str)> = found.iter().map(|(name, entry)| (name.as_str(), entry.job.as_str())).collect();
    if jobs.len() > 1 {
        let names: Vec<String> = jobs.iter().take(5).map(|(name, job)| format!("{job} in '{name}'")).collect();
        return Err(Exit::usage(format!("'{wanted}' is ambiguous: {}", names.join(", "))));
    }
    // More than one only after a takeover: the last attempt counts.
    let whole = found.iter().rev().find(|(_, entry)| entry.manifest.is_ok());
    match (whole, found.last()) {
        (Some((name, entry)), _) => Ok((name, &entry.key)),
        (None, Some((name, ManifestEntry { manifest: Err(damage), .. }))) => Err(Exit::failed(format!(
            "repository '{name}': {damage}; without its manifest a backup can't be read: use another one"
        ))),
        _ => Err(Exit::usage(format!("there is no backup '{wanted}': lucid-ops repo list shows what there is"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::DateTime;
    use lucid_repository::{Damage, Domain};

    fn entry(job: &str, epoch: i64, database: Option<&str>) -> (String, ManifestEntry) {
        let manifest = database.map(|database| Manifest {
            generation: 0,
            selected: None,
            copied_from: None,
            cluster: None,
            former_hashes: Vec::new(),
            format: 1,
            job: job.into(),
            epoch,
            domain: Domain::Sealed,
            database: database.into(),
            started_at: DateTime::from_millis(i64::try_from(job.len()).expect("short")),
            finished_at: DateTime::from_millis(0),
            snapshot_time: None,
            server_version: String::new(),
            fcv: String::new(),
            member: String::new(),
            consistent: true,
            collections: Vec::new(),
        });
        let damage = Damage { object: job.into(), problem: "burnt".into() };
        let key = format!("{job}.{epoch}");
        let (object, job, manifest) = (key.clone(), job.into(), manifest.ok_or(damage));
        let (key_id, retired, settled) = (1, false, true);
        ("main".into(), ManifestEntry { key, object, key_id, retired, job, epoch, manifest, settled })
    }

    #[test]
    fn a_backup_is_meant_by_id_prefix_or_age() {
        let entries = [
            entry("night_1", 1, Some("shop")),
            entry("night_1", 2, Some("shop")),
            entry("night_22", 1, Some("books")),
            entry("night_333", 1, None),
        ];
        let chosen = |wanted: &str| choose(&entries, wanted).map(|(_, key)| key.to_owned()).ok();
        assert_eq!(chosen("night_1").as_deref(), Some("night_1.2"), "the last attempt");
        assert_eq!(chosen("night_2").as_deref(), Some("night_22.1"));
        assert_eq!(chosen("latest:shop").as_deref(), Some("night_1.2"));
        for refused in ["night", "latest", "latest:none", "night_333", "other"] {
            assert_eq!(chosen(refused), None, "{refused}");
        }
        assert_eq!(choose(&entries[..2], "latest").map(|(_, key)| key).ok(), Some("night_1.2"));
    }
}
