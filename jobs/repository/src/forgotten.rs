//! Backups that were forgotten (format, section 9).
//!
//! Whoever removes a manifest says so before, in a record that outlives it. Invariant: a manifest that a generation counted is there, or
//! such a record is. Where neither is so, the storage isn't whole, or somebody has removed it by hand: then nothing is doomed or deleted,
//! since what it needs may be needed yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bson::{DateTime, serialize_to_vec};
use serde::{Deserialize, Serialize};

use crate::generation::Generations;
use crate::limits;
use crate::names::hex;
use crate::object_name::{Folder, ForgottenName, ManifestName};
use crate::record::RecordType;
use crate::repository::manifest_objects;
use crate::seal::Sealer;
use crate::vault::Vault;
use crate::{Manifest, ManifestEntry, Repository, RepositoryError, masters};

const FORMAT: i32 = 1;
/// So many records of a domain stay for people although nothing depends on them any more: the newest by the names of their jobs.
pub(crate) const KEPT: usize = 1_000;

/// Nobody takes as long from the record to the removal.
const GOING_MS: i64 = 3_600_000;

/// Names of records by the keys of their manifests.
type Objects = BTreeMap<String, Vec<String>>;

/// What became of a backup whose manifest is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    format: i32,
    /// The key of its manifest.
    pub manifest: String,
    /// The hash of its manifest's stored bytes; none where it couldn't be read, or wasn't there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The job that made it.
    pub job: String,
    /// Its database, if the manifest could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// When it was read, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime>,
    /// The id of the cluster whose job made it, as far as the manifest said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// When it was forgotten, by the clock of whoever did.
    pub forgotten_at: DateTime,
    /// The job that forgot it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether its manifest was missing already, and somebody has accepted that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

impl Forgotten {
    fn new(name: &ManifestName, by: &str, reason: &str) -> Self {
        Self {
            format: FORMAT,
            manifest: name.key.clone(),
            hash: None,
            job: name.job.clone(),
            database: None,
            at: None,
            cluster: None,
            forgotten_at: DateTime::now(),
            by: by.into(),
            reason: reason.into(),
            lost: false,
        }
    }

    fn of(self, manifest: &Manifest, hash: String) -> Self {
        let (database, cluster) = (Some(manifest.database.clone()), manifest.cluster.clone());
        Self { hash: Some(hash), database, at: Some(manifest.read_at()), cluster, ..self }
    }
}

impl Repository {
    /// Forgets a backup: notes that its manifest goes, by which job and why, and removes it; its chunks stay until a prune. Says whether it
    /// is gone, perhaps since before: not where it is pinned.
    pub async fn forget(&self, key: &str, by: &str, reason: &str) -> Result<bool, RepositoryError> {
        let name = ManifestName::parse(key)?;
        let vault = self.vault(name.domain)?;
        self.ensure_here().await?;
        let mut there = Vec::new();
        for object in manifest_objects(&vault, key).await? {
            if vault.store.size(&object).await?.is_some() {
                there.push(object);
            }
        }
        if there.is_empty() {
            return Ok(true);
        }
        let said = Forgotten::new(&name, by, reason);
        let said = match self.read_manifest(key).await {
            Ok((manifest, reference)) => said.of(&manifest, reference.hash),
            Err(error) if error.damage().is_some() => said,
            Err(error) => return Err(error),
        };
        let noted = write(&vault, &said).await?;
        // Where the key was rotated meanwhile, what was just written may not count, nor may what goes be removed by it.
        masters::check_current(&vault).await?;
        // Whoever pins it looks for the record after that: of the two, at least one sees the other.
        if self.is_pinned(&vault, &name.key).await? {
            vault.store.delete(&noted).await?;
            return Ok(false);
        }
        for object in there {
            vault.store.delete(&object).await?;
        }
        Ok(true)
    }

    /// What is noted of a backup that was forgotten, by the key of its manifest; none where nothing is, or it can't be read.
    pub async fn forgotten(&self, key: &str) -> Result<Option<Forgotten>, RepositoryError> {
        let name = ManifestName::parse(key)?;
        let vault = self.vault(name.domain)?;
        masters::check_current(&vault).await?;
        said_of(&vault, &objects(&vault).await?, &name.key).await
    }

    /// Keys of the manifests that are noted as forgotten, or lost, with the jobs that made them; what is noted isn't read.
    pub async fn all_forgotten(&self) -> Result<Vec<(String, String)>, RepositoryError> {
        let mut all = Vec::new();
        for vault in self.vaults() {
            let keys = objects(vault).await?.into_keys();
            all.extend(keys.filter_map(|key| Some((ManifestName::parse(&key).ok()?.job, key))));
        }
        Ok(all)
    }

    /// Fails with `ManifestsMissing` where a backup that a prune counted, or one whose manifest is `known` to somebody else, is neither
    /// there nor was forgotten: whoever is about to forget or to remove something makes sure before.
    pub async fn ensure_none_missing(&self, known: &BTreeSet<String>) -> Result<(), RepositoryError> {
        let generations = self.generations().await?;
        self.refuse_missing(&generations, known, &self.manifests().await?).await
    }

    /// Notes all backups that are missing as lost, so that prunes go on without them; comes back with their number.
    pub async fn accept_loss(&self, by: &str, known: &BTreeSet<String>) -> Result<u64, RepositoryError> {
        let (generations, there) = (self.generations().await?, self.manifests().await?);
        if there.is_empty() && generations.is_none() {
            // From the first generation on it is known that there was nothing to count.
            let vault = self.vaults().next().expect("a repository has a domain");
            generations.doom(vault, BTreeSet::new(), &there).await?;
        }
        let missing = self.missing(&generations, known, &there).await?;
        for key in &missing {
            let name = ManifestName::parse(key)?;
            let said = Forgotten::new(&name, by, "its manifest wasn't there, and somebody has accepted that");
            write(&*self.vault(name.domain)?, &Forgotten { lost: true, ..said }).await?;
        }
        Ok(missing.len() as u64)
    }

    /// Fails with `ManifestsMissing` where the newest generation counted a manifest, or one is `known`, that is neither among these, which
    /// were listed after both were read, nor forgotten.
    pub(crate) async fn refuse_missing(
        &self,
        generations: &Generations,
        known: &BTreeSet<String>,
        there: &[ManifestEntry],
    ) -> Result<(), RepositoryError> {
        let manifests = self.missing(generations, known, there).await?;
        if manifests.is_empty() { Ok(()) } else { Err(RepositoryError::ManifestsMissing { manifests }) }
    }

    async fn missing(
        &self,
        generations: &Generations,
        known: &BTreeSet<String>,
        there: &[ManifestEntry],
    ) -> Result<Vec<String>, RepositoryError> {
        let mut absent = generations.counted();
        absent.extend(known.iter().cloned());
        for entry in there.iter().filter(|entry| !entry.retired) {
            absent.remove(&entry.key);
        }
        let mut missing = Vec::new();
        for vault in self.vaults() {
            let of_domain = |key: &&String| ManifestName::parse(key).is_ok_and(|name| name.domain == vault.domain);
            let absent: Vec<&String> = absent.iter().filter(of_domain).collect();
            if absent.is_empty() {
                continue;
            }
            let objects = objects(vault).await?;
            for key in absent {
                if said_of(vault, &objects, key).await?.is_none() {
                    missing.push(key.clone());
                }
            }
        }
        Ok(missing)
    }
}

/// Whether somebody forgets a backup that is there, or was about to when he died: within an hour of his record, by the storage's clock.
pub(crate) async fn is_going(vault: &Vault, key: &str) -> Result<bool, RepositoryError> {
    let Some(noted) = objects(vault).await?.remove(key) else { return Ok(false) };
    let now_ms = vault.store.now_ms().await?;
    for object in noted {
        let written_ms = vault.store.modified_ms(&object).await?;
        if written_ms.is_some_and(|written_ms| now_ms.saturating_sub(written_ms) < GOING_MS) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes the records that nothing depends on any more: neither the newest doom nor the newest close counts their manifests. So many
/// stay for people, if the newest master has sealed them.
pub(crate) async fn tidy(vault: &Vault, generations: &Generations, kept: usize) -> Result<(), RepositoryError> {
    if !generations.damage.is_empty() {
        return Ok(());
    }
    let (counted, newest) = (generations.counted(), vault.list_key_id());
    let idle = objects(vault).await?.into_iter().filter(|(key, _)| !counted.contains(key));
    let idle: Vec<String> = idle.flat_map(|(_, objects)| objects).collect();
    let surplus = idle.len().saturating_sub(kept);
    for (place, object) in idle.iter().enumerate() {
        let is_behind = ForgottenName::parse(vault.domain, object).is_some_and(|name| name.key_id < newest);
        if place < surplus || is_behind {
            vault.store.delete(object).await?;
        }
    }
    Ok(())
}

/// All records of a domain.
async fn objects(vault: &Vault) -> Result<Objects, RepositoryError> {
    let mut found = Objects::new();
    for (object, _) in vault.store.list(&Folder::Forgotten.of(vault.domain)).await? {
        if let Some(name) = ForgottenName::parse(vault.domain, &object) {
            found.entry(name.manifest).or_default().push(object);
        } else {
            tracing::warn!(object, "not the name of a record of what was forgotten; ignored");
        }
    }
    Ok(found)
}

/// What the first sound record says of those of a manifest.
async fn said_of(vault: &Vault, objects: &Objects, key: &str) -> Result<Option<Forgotten>, RepositoryError> {
    for object in objects.get(key).into_iter().flatten() {
        match read(vault, object, key).await {
            Ok(said) => return Ok(Some(said)),
            Err(error) if error.damage().is_some() => {
                tracing::warn!(%error, "going on as if it weren't there");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

async fn read(vault: &Vault, object: &str, key: &str) -> Result<Forgotten, RepositoryError> {
    let (body, _) = vault.read_named(object, RecordType::Forgotten).await?;
    let said = decode(object, &body)?;
    if said.manifest == key { Ok(said) } else { Err(RepositoryError::damaged(object, "it isn't what its name says")) }
}

/// The body of such a record.
pub(crate) fn decode(object: &str, body: &[u8]) -> Result<Forgotten, RepositoryError> {
    limits::decode(object, body, ("record of what was forgotten", FORMAT..=FORMAT))
}

/// Comes back with the name of the record.
async fn write(vault: &Vault, said: &Forgotten) -> Result<String, RepositoryError> {
    let body = serialize_to_vec(said);
    let body = body.map_err(|error| RepositoryError::Internal { what: "forgetting", reason: error.to_string() })?;
    let sealer = Arc::new(Sealer::new(vault.keys.clone(), vault.domain)?);
    let name = ForgottenName { manifest: said.manifest.clone(), key_id: vault.list_key_id() };
    let object = name.object(vault.domain, &hex(&sealer.writer()[..16]));
    let sealed = vault.seal_record(&sealer, RecordType::Forgotten, vault.name_id(&object), body).await?;
    vault.store.ensure_here().await?;
    vault.store.create_own(&object, &[sealed]).await?;
    Ok(object)
}
