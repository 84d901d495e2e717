//! Finding the backup that somebody means: a job, a prefix of its id, or the latest one.

use super::output::{self, time};
use crate::{
    args::RepositoryArgs,
    exit::Exit,
    repositories::{self, refused},
};
use bson::Timestamp;
use lucid_client::render::part_of;
use lucid_repository::{Manifest, ManifestEntry, ManifestRef, Repository};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

const LATEST: &str = "latest";
/// So many candidates are named.
const NAMED_MAX: usize = 5;

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

impl Picked {
    /// What is to be known of a backup that isn't of a whole database ([`output::note`]).
    pub fn note(&self) -> String {
        output::note(&self.manifest.job, &self.manifest.database, self.manifest.selected.as_deref())
    }
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
    let mut words = wanted.split(':');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(LATEST), database, cluster, None) => latest(entries, database, cluster),
        _ => by_job(entries, wanted),
    }
}

/// A backup that can be read.
struct Readable<'a> {
    repository: &'a str,
    entry: &'a ManifestEntry,
    manifest: &'a Manifest,
}

/// The newest backup of all of a database. There is no database of jobs here that says which cluster is ours, and whose data goes where is
/// nothing to guess: where there are several, it must be said.
fn latest<'a>(
    entries: &'a [(String, ManifestEntry)],
    database: Option<&str>,
    cluster: Option<&str>,
) -> Result<(&'a str, &'a str), Exit> {
    let readable = entries.iter().filter_map(|(repository, entry)| {
        entry.manifest.as_ref().ok().map(|manifest| Readable { repository, entry, manifest })
    });
    let fits = |manifest: &Manifest| {
        let named = manifest.cluster.as_deref().unwrap_or_default();
        database.is_none_or(|wanted| wanted == manifest.database)
            && cluster.is_none_or(|wanted| !named.is_empty() && named.starts_with(wanted))
    };
    let asked: Vec<Readable<'_>> = readable.filter(|found| fits(found.manifest)).collect();
    let databases: BTreeSet<&str> = asked.iter().map(|found| found.manifest.database.as_str()).collect();
    if databases.len() > 1 {
        let choices: Vec<String> = databases.iter().map(|name| format!("{LATEST}:{name}")).collect();
        return Err(Exit::usage(format!("there are backups of several databases: say {}", choices.join(" or "))));
    }
    if entries.iter().any(|(_, entry)| entry.manifest.is_err()) {
        tracing::warn!("some manifests are damaged, and a later backup may be among them: see lucid-ops repo list");
    }
    let (whole, partial): (Vec<_>, Vec<_>) = asked.into_iter().partition(|found| found.manifest.part().is_none());
    let newest = whole.iter().max_by_key(|found| found.order()).ok_or_else(|| none(&partial, database))?;
    let clusters: BTreeSet<&str> = whole.iter().filter_map(|found| found.manifest.cluster.as_deref()).collect();
    if clusters.len() > 1 || (clusters.len() == 1 && newest.manifest.cluster.is_none()) {
        return Err(unclear(&whole));
    }
    Ok((newest.repository, &newest.entry.key))
}

impl Readable<'_> {
    fn order(&self) -> (Timestamp, &str, i64) {
        (self.manifest.instant(), &self.entry.job, self.entry.epoch)
    }

    fn told(&self) -> String {
        let Manifest { job, database, cluster, started_at, .. } = self.manifest;
        let cluster = cluster.as_deref().unwrap_or("nobody knows which");
        let database = part_of(database, self.manifest.part());
        format!("{job} of {database}, begun {} UTC, in '{}', of cluster {cluster}", time(*started_at), self.repository)
    }
}

/// There is nothing that stands for the newest backup; those of a part, which may be meant, are named.
fn none(partial: &[Readable<'_>], database: Option<&str>) -> Exit {
    let of = database.map_or_else(String::new, |name| format!(" of database '{name}'"));
    let mut partial: Vec<_> = partial.iter().collect();
    partial.sort_by_key(|found| Reverse(found.order()));
    let named: Vec<String> = partial.iter().take(NAMED_MAX).map(|found| found.told()).collect();
    if named.is_empty() {
        return Exit::failed(format!("there is no backup{of}"));
    }
    Exit::failed(format!("there is no backup{of} as a whole; name one by its job, such as {}", named.join("; ")))
}

/// The newest of each cluster.
fn unclear(whole: &[Readable<'_>]) -> Exit {
    let mut newest: BTreeMap<Option<&str>, &Readable<'_>> = BTreeMap::new();
    for found in whole {
        let best = newest.entry(found.manifest.cluster.as_deref()).or_insert(found);
        if found.order() > best.order() {
            *best = found;
        }
    }
    let named: Vec<String> = newest.values().take(NAMED_MAX).map(|found| found.told()).collect();
    let database = whole.first().map_or("", |found| &found.manifest.database);
    Exit::usage(format!(
        "several clusters have backups of '{database}': say {LATEST}:{database}:CLUSTER, or name one by its job: {}",
        named.join("; ")
    ))
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
mod tests;
