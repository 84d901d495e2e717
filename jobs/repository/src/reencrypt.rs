//! Encrypting anew what older master keys have sealed, so that they can be given up.
//!
//! Each backup is read, checked against its manifest, and written once more with the newest master, under the key that it always had.
//! Invariant: a manifest goes only after the one that stands for it counts for good and all its objects are there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::copy::Copy;
use crate::index::Index;
use crate::object_name::{Folder, ManifestName};
use crate::prune::needs_older_copies;
use crate::repository::manifest_objects;
use crate::vault::Vault;
use crate::{
    BackupWriter, Compression, Domain, MANIFEST_FORMAT, Manifest, ManifestEntry, Repository, RepositoryError,
    VerifyLevel,
};

/// So often a backup is begun again because a prune came between.
const TRIES: usize = 4;

/// What became of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reencrypted {
    /// The job that made it.
    pub job: String,
    /// Whether it is of less than all of its database.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Bytes stored for it; chunks that other backups had stored with the newest master cost nothing.
    pub stored_bytes: u64,
    /// Why it is as it was: it isn't whole. It needs its old master key as long as it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

/// What encrypting anew came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReencryptReport {
    /// The backups that older masters had sealed, oldest first.
    pub backups: Vec<Reencrypted>,
    /// Why an older master key is still needed, if one is.
    pub needs_older: Option<String>,
}

/// How far it is: backups done, backups in all, documents and their bytes read so far.
pub type ReencryptProgress<'a> = &'a (dyn Fn(u64, u64, u64, u64) + Send + Sync);

impl Repository {
    /// Seals with the newest master all backups that older ones have sealed. Backups may be made meanwhile; but it must not run twice
    /// at once, nor beside a prune. Packs that only the old manifests needed go with the prunes that follow. A backup that isn't whole
    /// stays as it is, and is told of. Every moment is a good one to be killed at: what is done isn't done again.
    pub async fn reencrypt(
        &self,
        progress: ReencryptProgress<'_>,
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<ReencryptReport, RepositoryError> {
        let mut report = ReencryptReport::default();
        let newest = self.keys().newest_key_id();
        let is_old = |entry: &ManifestEntry| entry.key_id != 0 && entry.key_id < newest;
        let mut old: Vec<ManifestEntry> = self.manifests().await?.into_iter().filter(is_old).collect();
        old.sort_by_key(|entry| entry.manifest.as_ref().map(|manifest| manifest.started_at).ok());
        let total = old.len() as u64;
        // What the one before of the same database became: the next one resembles it.
        let mut before: BTreeMap<String, Manifest> = BTreeMap::new();
        for (done, entry) in (0..).zip(old) {
            let told = |documents: u64, bytes: u64| progress(done, total, documents, bytes);
            told(0, 0);
            let Ok(manifest) = &entry.manifest else { continue };
            let work = Work { repository: self, entry: &entry, manifest, progress: &told, stop };
            let (stored_bytes, left) = match work.seal(before.get(&manifest.database)).await {
                Ok((sealed, stored_bytes)) => {
                    before.insert(sealed.database.clone(), sealed);
                    (stored_bytes, None)
                }
                Err(error) => match error.damage() {
                    Some(damage) => (0, Some(damage.to_string())),
                    None => return Err(error),
                },
            };
            let partial = manifest.part().is_some();
            report.backups.push(Reencrypted { job: entry.job, partial, stored_bytes, left });
        }
        self.remove_replaced().await?;
        self.renew_generations().await?;
        self.renew_owner().await?;
        self.renew_pins().await?;
        report.needs_older = self.needs_older_masters().await?;
        Ok(report)
    }

    /// Removes what is left of manifests for which newer ones stand: an earlier run may have been killed between.
    async fn remove_replaced(&self) -> Result<(), RepositoryError> {
        for entry in self.manifests().await? {
            if entry.key_id == self.keys().newest_key_id() && entry.manifest.is_ok() {
                self.remove_older(&entry).await?;
            }
        }
        Ok(())
    }

    /// Removes the objects of a manifest that older masters have sealed, once this one is proven. Never another one of the same master:
    /// two who do this at once would each remove what the other relies on.
    async fn remove_older(&self, proven: &ManifestEntry) -> Result<(), RepositoryError> {
        let vault = self.vault(Domain::Sealed)?;
        let resealed = |object: &str| ManifestName::parse(object).ok().and_then(|name| name.resealed);
        let mut older = manifest_objects(&vault, &proven.key).await?;
        older.retain(|object| resealed(object) < resealed(&proven.object));
        if older.is_empty() {
            return Ok(());
        }
        let Ok(manifest) = &proven.manifest else { return Ok(()) };
        let reader = self.open_backup(manifest).await?;
        let findings = reader.verify(VerifyLevel::Structure, &|_| (), &|| false).await?;
        if !proven.settled || findings.iter().any(|finding| finding.needed) {
            return Ok(());
        }
        for object in older {
            vault.store.delete(&object).await?;
        }
        Ok(())
    }

    /// Why a master older than the newest is still needed; none where it isn't.
    pub(crate) async fn needs_older_masters(&self) -> Result<Option<String>, RepositoryError> {
        let newest = self.keys().newest_key_id();
        let generations = self.generations().await?;
        let mut entries = self.read_all_manifests(|_| true).await?;
        entries.retain_mut(|entry| generations.judge(entry));
        let vault = self.vault(Domain::Sealed)?;
        let sealed = |entry: &&ManifestEntry| entry.key.starts_with(&Folder::Manifests.of(vault.domain));
        if let Some(entry) = entries.iter().filter(sealed).find(|entry| entry.key_id != newest) {
            return Ok(Some(match &entry.manifest {
                Ok(_) => format!("backup {} is sealed with an older master key: encrypt anew first", entry.job),
                Err(damage) => format!("{damage}: put it back from a copy, or remove it"),
            }));
        }
        let (index, _) = Index::load(&vault).await?;
        if needs_older_copies(&vault, &index, &entries).await? {
            return Ok(Some(
                "a backup has lost chunks that may be whole where an older master key sealed them: verify the backups"
                    .into(),
            ));
        }
        let is_behind = generations.is_behind || self.owner_is_behind().await? || !self.pins_behind().await?.is_empty();
        Ok(is_behind.then(|| {
            "an older master key has sealed what the last prune said, who prunes, or a pin: encrypt anew first".into()
        }))
    }

    /// Begins and closes a generation, if what the last one says is sealed with an older master. Nothing is doomed by it; what is
    /// void stays void, since it isn't honoured.
    async fn renew_generations(&self) -> Result<(), RepositoryError> {
        if !self.generations().await?.is_behind {
            return Ok(());
        }
        let vault = self.vault(Domain::Sealed)?;
        self.close_generation(&vault).await?;
        let (generations, counting) = (self.generations().await?, self.manifests().await?);
        self.refuse_missing(&generations, &BTreeSet::new(), &counting).await?;
        generations.doom(&vault, BTreeSet::new(), &counting).await?;
        self.close_generation(&vault).await
    }

    /// Closes the newest generation, if it is open, honouring all manifests that count.
    async fn close_generation(&self, vault: &Vault) -> Result<(), RepositoryError> {
        let generations = self.generations().await?.unblocked(vault).await?;
        if !generations.is_open() {
            return Ok(());
        }
        let mut counting = self.read_all_manifests(|_| true).await?;
        counting.retain_mut(|entry| generations.judge(entry));
        self.refuse_missing(&generations, &BTreeSet::new(), &counting).await?;
        generations.close(vault, &counting).await
    }
}

/// One backup.
struct Work<'a> {
    repository: &'a Repository,
    entry: &'a ManifestEntry,
    manifest: &'a Manifest,
    progress: &'a (dyn Fn(u64, u64) + Send + Sync),
    stop: &'a (dyn Fn() -> bool + Send + Sync),
}

impl Work<'_> {
    /// Writes the backup once more; comes back with what it became, and the bytes stored.
    async fn seal(&self, before: Option<&Manifest>) -> Result<(Manifest, u64), RepositoryError> {
        let mut last = None;
        for _ in 0..TRIES {
            match self.attempt(before).await {
                Err(error @ RepositoryError::Pruned { .. }) => last = Some(error),
                done => return done,
            }
        }
        Err(last.expect("tried at least once"))
    }

    async fn attempt(&self, before: Option<&Manifest>) -> Result<(Manifest, u64), RepositoryError> {
        let Self { repository, entry, manifest, progress, stop } = *self;
        let vault = repository.vault(manifest.domain)?;
        let replacing = Some(entry.key.clone());
        let writer =
            BackupWriter::begin(vault, &manifest.job, manifest.epoch, Compression::default(), replacing).await?;
        let copy = Copy { from: repository, manifest, progress, stop };
        let collections = copy.collections(&writer, before).await?;
        let (_, old) = repository.read_manifest(&entry.key).await?;
        let mut former_hashes = old.former_hashes;
        former_hashes.push(old.hash);
        let generation = writer.generation();
        let format = MANIFEST_FORMAT;
        let sealed = Manifest { format, generation, former_hashes, collections, ..manifest.clone() };
        writer.write_manifest(&sealed).await?;
        repository.repin(&entry.key).await?;
        let found = repository.manifests_of(&entry.job).await?;
        if let Some(proven) = found.iter().find(|found| found.manifest.as_ref().is_ok_and(|found| *found == sealed)) {
            repository.remove_older(proven).await?;
        }
        Ok((sealed, writer.stats().stored_bytes))
    }
}
