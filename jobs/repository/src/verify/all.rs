//! Verifying all backups of a repository: what they share is read once.
//!
//! The collections of many backups are examined as if they were those of one, and what is found is given back to the backup that it
//! hurts. Invariant: a loss is told of every backup that has it.

use std::sync::Arc;

use crate::vault::Vault;
use crate::verify::{Coverage, Extent, Finding, Share, VerifyLevel, VerifyProgress, examine, foundation};
use crate::{CollectionEntry, Manifest, Repository, RepositoryError};

/// Chunks of all backups examined at once, counted as often as they occur: about 300 MB.
const CHUNKS_AT_ONCE: u64 = if cfg!(test) { 40 } else { 2_000_000 };

/// What is wrong with one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupFindings {
    /// Name of its manifest.
    pub key: String,
    /// The job that made it.
    pub job: String,
    /// Its database; none where its manifest can't be read.
    pub database: Option<String>,
    /// The collections that were asked for; none: the whole database.
    pub selected: Option<Vec<String>>,
    /// What is wrong; nothing where the backup is whole.
    pub findings: Vec<Finding>,
}

/// What is wrong with a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllFindings {
    /// Every backup, by job and epoch; those whose manifests are damaged among them.
    pub backups: Vec<BackupFindings>,
    /// What hurts no single backup, or all of them: config, key slots, index objects, packs of which nothing is lost.
    pub repository: Vec<Finding>,
    /// How much of the packs was read; of those that only some of the backups share, perhaps more than once.
    pub coverage: Coverage,
}

/// Called with how far it is.
type Progress<'a> = &'a (dyn Fn(VerifyProgress) + Send + Sync);
/// Asked whether to stop.
type Stop<'a> = &'a (dyn Fn() -> bool + Send + Sync);

impl Repository {
    /// Checks every backup as [`crate::BackupReader::verify_share`] does one. Progress begins anew for each few million chunks.
    pub async fn verify_all(
        &self,
        level: VerifyLevel,
        share: Share,
        progress: Progress<'_>,
        stop: Stop<'_>,
    ) -> Result<AllFindings, RepositoryError> {
        let mut out = AllFindings::default();
        let mut sound = Vec::new();
        for entry in self.manifests().await? {
            let (key, job) = (entry.key, entry.job);
            let mut found = BackupFindings { key, job, database: None, selected: None, findings: Vec::new() };
            match entry.manifest {
                Ok(manifest) => {
                    (found.database, found.selected) = (Some(manifest.database.clone()), manifest.selected.clone());
                    sound.push((out.backups.len(), manifest));
                }
                Err(damage) => found.findings.push(Finding::from(damage)),
            }
            out.backups.push(found);
        }
        let not_counted = self.manifests_not_counted().await?.into_iter();
        out.repository.extend(not_counted.map(|damage| Finding::from(damage).unneeded()));
        for vault in self.vaults() {
            let ours: Vec<_> = sound.iter().filter(|(_, manifest)| manifest.domain == vault.domain).collect();
            let mut rest = ours.as_slice();
            while !rest.is_empty() {
                let (group, after) = rest.split_at(group_length(rest));
                rest = after;
                verify_group(vault, group, (level, share).into(), (progress, stop), &mut out).await?;
            }
        }
        Ok(out)
    }
}

/// How many of these backups are examined at once: at least one.
fn group_length(manifests: &[&(usize, Manifest)]) -> usize {
    let mut chunks = 0;
    let fits = |(_, manifest): &&&(usize, Manifest)| {
        let lists = manifest.collections.iter().flat_map(|entry| &entry.content.chunk_lists);
        chunks += lists.map(|list| u64::from(list.chunks)).sum::<u64>();
        chunks <= CHUNKS_AT_ONCE
    };
    manifests.iter().take_while(fits).count().max(1)
}

async fn verify_group(
    vault: &Arc<Vault>,
    group: &[&(usize, Manifest)],
    extent: Extent,
    (progress, stop): (Progress<'_>, Stop<'_>),
    out: &mut AllFindings,
) -> Result<(), RepositoryError> {
    for (number, manifest) in group {
        let (key, findings) = foundation::check(vault, manifest).await?;
        for finding in findings {
            if finding.object == key {
                out.backups[*number].findings.push(finding);
            } else {
                out.note(finding);
            }
        }
    }
    let merged = Arc::new(merge(group));
    let verified = examine(vault, &merged, "", extent, progress, stop).await?;
    out.coverage += verified.coverage;
    for mut finding in verified.findings {
        let Some((number, name)) = finding.collection.as_deref().and_then(|name| name.split_once(':')) else {
            out.note(finding);
            continue;
        };
        let backup = number.parse().ok().and_then(|number: usize| out.backups.get_mut(number));
        let backup = backup.expect("names are made of numbers of backups");
        finding.collection = Some(name.to_owned());
        if finding.object.is_empty() {
            finding.object.clone_from(&backup.key);
        }
        backup.findings.push(finding);
    }
    Ok(())
}

/// All collections as those of one backup; each has the number of its own before its name.
fn merge(group: &[&(usize, Manifest)]) -> Manifest {
    let named = |number: usize, entry: &CollectionEntry| CollectionEntry {
        name: format!("{number}:{}", entry.name),
        ..entry.clone()
    };
    let collections = group.iter().flat_map(|(number, manifest)| {
        let number = *number;
        manifest.collections.iter().map(move |entry| named(number, entry))
    });
    let (_, first) = group.first().expect("a group has a backup");
    Manifest { collections: collections.collect(), ..first.clone() }
}

impl AllFindings {
    /// Notes what hurts no single backup, once.
    fn note(&mut self, finding: Finding) {
        if !self.repository.contains(&finding) {
            self.repository.push(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{Scratch, back_up, documents};
    use crate::{ContentOrder, Domain};

    async fn verify(scratch: &Scratch, level: VerifyLevel) -> AllFindings {
        scratch.repository.verify_all(level, Share::All, &|_| (), &|| false).await.expect("verified")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_loss_is_told_of_every_backup_that_has_it() {
        let scratch = Scratch::new().await;
        let (people, log) = (documents(0..12_000, 400, "a"), documents(0..500, 400, "b"));
        let all: &[(&str, _, &[Vec<u8>])] =
            &[("people", ContentOrder::Any, &people), ("log:1", ContentOrder::Exact, &log)];
        let mut manifests = Vec::new();
        for (job, some) in [("night_1", all), ("night_2", all), ("night_3", &all[1..])] {
            manifests.push(back_up(&scratch.repository, job, Domain::Sealed, some).await.0);
        }
        let chunks: u32 = manifests
            .iter()
            .flat_map(|manifest| &manifest.collections)
            .flat_map(|entry| &entry.content.chunk_lists)
            .map(|list| list.chunks)
            .sum();
        assert!(u64::from(chunks) > CHUNKS_AT_ONCE / 2, "{chunks}");
        for level in [VerifyLevel::Structure, VerifyLevel::Data] {
            let found = verify(&scratch, level).await;
            assert!(found.backups.iter().all(|backup| backup.findings.is_empty()), "{found:?}");
            assert_eq!((found.backups.len(), found.repository.len()), (3, 0));
        }
        let pack = scratch.path().join(scratch.objects("sealed/packs").remove(0));
        let mut bytes = std::fs::read(&pack).expect("read");
        bytes[500] ^= 1;
        std::fs::write(&pack, bytes).expect("written");
        let found = verify(&scratch, VerifyLevel::Data).await;
        for (backup, manifest) in found.backups.iter().zip(&manifests) {
            let alone = scratch.verify(manifest, VerifyLevel::Data).await;
            let lost = |findings: &[Finding]| -> Vec<_> {
                let lost = findings.iter().filter(|finding| finding.lost_documents > Some(0));
                lost.map(|finding| (finding.collection.clone(), finding.lost_documents)).collect()
            };
            assert_eq!(lost(&backup.findings), lost(&alone), "{found:?}");
            assert_eq!(lost(&alone).is_empty(), backup.job == "night_3", "{alone:?}");
        }
        let key = scratch.objects("sealed/manifests").pop().expect("there");
        std::fs::write(scratch.path().join(&key), "burnt").expect("written");
        let found = verify(&scratch, VerifyLevel::Structure).await;
        assert_eq!((found.backups[2].key.as_str(), found.backups[2].findings.len()), (key.as_str(), 1), "{found:?}");
    }
}
