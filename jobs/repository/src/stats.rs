//! What a repository holds and what it takes on disk, from names, sizes and the index alone: no chunk is read.

use std::collections::HashMap;

use bson::DateTime;
use serde::Serialize;

use crate::index::Index;
use crate::object_name::{Folder, job_of};
use crate::{CollectionEntry, Domain, ManifestEntry, Repository, RepositoryError};

/// Some objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Objects {
    /// How many.
    pub number: u64,
    /// What they take on disk.
    pub bytes: u64,
}

impl Objects {
    fn add(&mut self, bytes: u64) {
        self.number += 1;
        self.bytes += bytes;
    }
}

/// Some chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Chunks {
    /// How many copies are stored.
    pub number: u64,
    /// Bytes of their records within packs.
    pub stored_bytes: u64,
    /// Bytes of their documents.
    pub raw_bytes: u64,
}

/// One backup.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupStats {
    /// Name of its manifest.
    pub key: String,
    /// The job that made it.
    pub job: String,
    /// The database.
    pub database: String,
    /// Its collections; none: all.
    pub selected: Option<Vec<String>>,
    /// When it began.
    pub started_at: DateTime,
    /// Its documents.
    pub documents: u64,
    /// Their bytes.
    pub raw_bytes: u64,
    /// Bytes of the packs, index objects and manifests that its job has written and that are there: what the backup has added.
    /// (Chunk lists, which are small, aren't counted: their names don't tell the job.)
    pub new_bytes: u64,
}

/// What a repository holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RepositoryStats {
    /// Packs.
    pub packs: Objects,
    /// Those among them that no index object lists: of a backup that runs, or was broken off.
    pub unlisted_packs: Objects,
    /// Those among them that an older master key has sealed: where all backups are sealed anew, the prunes that follow remove them.
    pub outdated_packs: Objects,
    /// Chunks stored in full.
    pub full_chunks: Chunks,
    /// Chunks stored as the difference from another one.
    pub delta_chunks: Chunks,
    /// Index objects.
    pub index_objects: Objects,
    /// Chunk lists.
    pub chunk_lists: Objects,
    /// Manifests, damaged ones among them.
    pub manifests: Objects,
    /// Manifests that can't be read.
    pub damaged_manifests: u64,
    /// The backups, oldest first.
    pub backups: Vec<BackupStats>,
}

impl RepositoryStats {
    /// What all of it takes on disk.
    pub fn stored_bytes(&self) -> u64 {
        [self.packs, self.index_objects, self.chunk_lists, self.manifests].iter().map(|objects| objects.bytes).sum()
    }

    /// Bytes of the documents of all backups together.
    pub fn raw_bytes(&self) -> u64 {
        self.backups.iter().map(|backup| backup.raw_bytes).sum()
    }
}

impl Repository {
    /// Counts what there is. Damaged index objects and footers don't hinder it; what only they know isn't counted.
    pub async fn stats(&self) -> Result<RepositoryStats, RepositoryError> {
        let mut stats = RepositoryStats::default();
        let mut written: HashMap<(Domain, String), u64> = HashMap::new();
        for vault in self.vaults() {
            let folders = [Folder::Packs, Folder::Index, Folder::Lists, Folder::Manifests];
            for folder in folders {
                for (object, bytes) in vault.store.list(&folder.of(vault.domain)).await? {
                    let job = job_of(&object);
                    if folder != Folder::Lists && job.is_none() {
                        continue;
                    }
                    match folder {
                        Folder::Packs => &mut stats.packs,
                        Folder::Index => &mut stats.index_objects,
                        Folder::Lists => &mut stats.chunk_lists,
                        Folder::Manifests => &mut stats.manifests,
                        // A few bytes each; not asked for above.
                        Folder::Pins | Folder::Distrust | Folder::Forgotten => continue,
                    }
                    .add(bytes);
                    if let Some(job) = job {
                        *written.entry((vault.domain, job.to_owned())).or_default() += bytes;
                    }
                }
            }
            let (index, _) = Index::load(vault).await?;
            count_chunks(&index, &mut stats);
        }
        for entry in self.manifests().await? {
            let ManifestEntry { key, manifest, .. } = entry;
            let Ok(manifest) = manifest else {
                stats.damaged_manifests += 1;
                continue;
            };
            let sum = |of: fn(&CollectionEntry) -> u64| manifest.collections.iter().map(of).sum();
            stats.backups.push(BackupStats {
                key,
                documents: sum(|entry| entry.content.documents),
                raw_bytes: sum(|entry| entry.content.raw_bytes),
                new_bytes: written.get(&(manifest.domain, manifest.job.clone())).copied().unwrap_or_default(),
                started_at: manifest.started_at,
                job: manifest.job,
                database: manifest.database,
                selected: manifest.selected,
            });
        }
        stats.backups.sort_by(|a, b| (a.started_at, &a.key).cmp(&(b.started_at, &b.key)));
        Ok(stats)
    }
}

fn count_chunks(index: &Index, stats: &mut RepositoryStats) {
    for pack in index.packs.iter().filter(|pack| pack.present_bytes.is_some()) {
        if pack.outdated {
            stats.outdated_packs.add(pack.stored_bytes);
        } else if !pack.listed {
            stats.unlisted_packs.add(pack.stored_bytes);
        }
    }
    let present: Vec<bool> = index.packs.iter().map(|pack| pack.present_bytes.is_some()).collect();
    for entry in index.by_pack(&present).iter().flatten() {
        let chunks = if entry.delta.is_none() { &mut stats.full_chunks } else { &mut stats.delta_chunks };
        chunks.number += 1;
        chunks.stored_bytes += u64::from(entry.record_bytes);
        chunks.raw_bytes += u64::from(entry.raw_bytes);
    }
}
