//! Freeing what no backup needs any more (format, section 9).
//!
//! Invariant: nothing goes in the run that found it unneeded, unless that is asked for; and nothing ever goes that a backup which
//! counts, or one that is being written, could need. Where it can't be told what a backup needs, nothing is doomed at all.

mod live;
pub(crate) mod pins;
mod repack;
mod sweep;

use std::collections::BTreeSet;
use std::sync::Arc;

use bson::DateTime;
use serde::{Deserialize, Serialize};

use crate::generation::Generations;
use crate::index::Index;
use crate::keys::random;
use crate::object_name::{Folder, WriterNames};
use crate::seal::Sealer;
use crate::vault::Vault;
use crate::{Manifest, ManifestEntry, Repository, RepositoryError, forgotten, masters};
use live::Live;

/// No write takes as long, whatever grace period somebody gives.
const WRITE_MS: i64 = 3_600_000;

/// What a prune may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneOptions {
    /// Who prunes: goes into the names of what it writes. Letters, digits, `_` and `-`.
    pub job: String,
    /// The job's epoch.
    pub epoch: i64,
    /// What is younger stays, by the storage's clock: it may belong to a backup that is being written.
    pub grace_ms: i64,
    /// Whether packs that are mostly unneeded, and many small ones, are written anew.
    pub repack: bool,
    /// Whether what is doomed goes in this run, not the next. Restores and verifications that somebody else began before may fail.
    pub at_once: bool,
    /// Keys of manifests of which somebody else knows that they are there, unless they were forgotten: missed as those that an earlier run
    /// counted.
    pub known: BTreeSet<String>,
    /// Only say what would be doomed; then these manifests count as removed.
    pub dry_run: Option<BTreeSet<String>>,
}

/// What a prune did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReport {
    /// Manifests removed because they came too late to count.
    pub manifests_void: u64,
    /// Packs and chunk lists removed that an earlier run had doomed (or this one, if it was asked to).
    pub objects_deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Packs and chunk lists doomed: the next run removes them.
    pub objects_doomed: u64,
    /// Their bytes.
    pub doomed_bytes: u64,
    /// Packs whose needed part was written anew; they are among the doomed.
    pub packs_repacked: u64,
    /// Bytes written for that.
    pub repacked_bytes: u64,
    /// Objects that would go but are younger than the grace period.
    pub objects_young: u64,
    /// Bytes of the packs that stay.
    pub kept_bytes: u64,
    /// Chunks that backups need and that aren't whole in any pack: damage that a verification tells more of. All that may help stays.
    pub chunks_lost: u64,
}

/// How far a prune is: what it does, how much of it is done, and how much there is.
pub type PruneProgress<'a> = &'a (dyn Fn(&'static str, u64, u64) + Send + Sync);

/// One run.
pub(crate) struct Run<'a> {
    repository: &'a Repository,
    options: &'a PruneOptions,
    progress: PruneProgress<'a>,
    stop: &'a (dyn Fn() -> bool + Send + Sync),
    report: PruneReport,
}

impl Repository {
    /// Removes what an earlier run doomed and no backup needs; then dooms what no backup needs now. Must not run twice at once on a
    /// repository (then one of the two fails with `Pruned`, and nothing is lost). Fails before it has changed anything with
    /// `Damaged` where a manifest or a chunk list can't be read, and with `ManifestsMissing` where one isn't there that an earlier run
    /// counted, or that is `known`, and nobody has forgotten; and with `Stopped`; every moment is a good one to be killed at.
    pub async fn prune(
        &self,
        options: &PruneOptions,
        progress: PruneProgress<'_>,
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<PruneReport, RepositoryError> {
        let mut run = Run { repository: self, options, progress, stop, report: PruneReport::default() };
        if options.dry_run.is_none() {
            run.finish_earlier().await?;
            run.clear_unfinished().await?;
        }
        let doomed = run.doom().await?;
        if options.at_once && doomed {
            run.finish_earlier().await?;
        }
        Ok(run.report)
    }

    /// What the storage's own clock shows: what times of backups are compared with, whatever this machine's clock says.
    pub async fn now(&self) -> Result<DateTime, RepositoryError> {
        Ok(DateTime::from_millis(self.store().now_ms().await?))
    }
}

impl Run<'_> {
    /// Closes what is open, and removes what is doomed and not needed after all.
    async fn finish_earlier(&mut self) -> Result<(), RepositoryError> {
        let vaults: Vec<Arc<Vault>> = self.repository.vaults().cloned().collect();
        let before = self.repository.generations().await?.unblocked(&vaults[0]).await?;
        self.repository.remove_outdated_pins().await?;
        if before.objects.is_empty() {
            return self.tidy(&before).await;
        }
        let all = self.repository.read_all_manifests(|_| true).await?;
        let counting: Vec<ManifestEntry> = all.iter().filter(|entry| !is_void(&before, entry)).cloned().collect();
        refuse_damaged(&counting)?;
        self.repository.refuse_missing(&before, &self.options.known, &counting).await?;
        // All that may fail on damage comes before the generation is closed.
        let mut found = Vec::new();
        for vault in &vaults {
            found.push(self.unneeded_of_doomed(vault, &counting, &before).await?);
        }
        self.check_stop()?;
        if before.is_open() {
            before.close(&vaults[0], &counting).await?;
        }
        let now = self.repository.generations().await?;
        for entry in all.iter().filter(|entry| is_void(&now, entry)) {
            tracing::info!(manifest = entry.object, "removing a manifest that came too late to count");
            self.repository.store().delete(&entry.object).await?;
            self.report.manifests_void += 1;
        }
        for (vault, gone) in vaults.iter().zip(found) {
            self.sweep(vault, gone).await?;
        }
        self.tidy(&now).await
    }

    /// Removes generations, and records of what was forgotten, that nothing depends on any more.
    async fn tidy(&self, generations: &Generations) -> Result<(), RepositoryError> {
        for (place, vault) in self.repository.vaults().enumerate() {
            if place == 0 {
                generations.tidy(vault).await?;
                masters::tidy(vault).await?;
            }
            forgotten::tidy(vault, generations, forgotten::KEPT).await?;
        }
        Ok(())
    }

    /// Removes what writers that died have left unfinished: it is no object, so nothing needs it.
    async fn clear_unfinished(&mut self) -> Result<(), RepositoryError> {
        let store = self.repository.store();
        let before_ms = store.now_ms().await?.saturating_sub(self.options.grace_ms.max(WRITE_MS));
        let (number, bytes) = store.remove_unfinished(before_ms).await?;
        self.report.objects_deleted += number;
        self.report.deleted_bytes += bytes;
        Ok(())
    }

    /// Dooms what no backup needs. Says whether there was anything.
    async fn doom(&mut self) -> Result<bool, RepositoryError> {
        let generations = self.repository.generations().await?;
        let mut entries = self.repository.manifests().await?;
        self.repository.refuse_missing(&generations, &self.options.known, &entries).await?;
        if let Some(removed) = &self.options.dry_run {
            entries.retain(|entry| !removed.contains(&entry.key));
        }
        refuse_damaged(&entries)?;
        let vaults: Vec<Arc<Vault>> = self.repository.vaults().cloned().collect();
        let (mut doomed, mut now_ms) = (BTreeSet::new(), None);
        for vault in &vaults {
            let now_ms = match now_ms {
                Some(now_ms) => now_ms,
                None => *now_ms.insert(self.now_ms(vault).await?),
            };
            doomed.extend(self.unneeded(vault, &entries, now_ms).await?);
        }
        if entries.is_empty() && !doomed.is_empty() && generations.is_none() && !self.was_any_forgotten().await? {
            return Err(RepositoryError::ManifestsMissing { manifests: Vec::new() });
        }
        let is_new = doomed.iter().any(|object| !generations.dooms(object));
        doomed.extend(still_doomed(&vaults, &generations).await?);
        self.check_stop()?;
        // A new generation takes the place of a damaged one, and of one from before the newest master key.
        // Once a backup was forgotten, a prune that meets fewer can't tell what became of the others, unless they are counted.
        let is_counted = generations.counts() || entries.is_empty() || !self.was_any_forgotten().await?;
        let none = !is_new && is_counted && generations.damage.is_empty() && !generations.is_behind;
        if none || self.options.dry_run.is_some() {
            return Ok(false);
        }
        let generation = generations.doom(&vaults[0], doomed, &entries).await?;
        tracing::info!(generation, objects = self.report.objects_doomed, "doomed what no backup needs");
        Ok(true)
    }

    async fn was_any_forgotten(&self) -> Result<bool, RepositoryError> {
        Ok(!self.repository.all_forgotten().await?.is_empty())
    }

    /// What no backup of a domain needs and is old enough; needed parts of mostly unneeded packs are written anew before.
    async fn unneeded(
        &mut self,
        vault: &Arc<Vault>,
        entries: &[ManifestEntry],
        now_ms: i64,
    ) -> Result<Vec<String>, RepositoryError> {
        let (index, _) = Index::load(vault).await?;
        let live = self.live(vault, &index, entries, &|_| false).await?;
        self.report.chunks_lost += live.lost;
        let (mut doomed, mut partly) = (Vec::new(), Vec::new());
        for (place, pack) in index.packs.iter().enumerate() {
            let Some(bytes) = pack.present_bytes else { continue };
            let (free, wasteful) =
                (live.bytes_in(place) == 0, pack.is_whole() && pack.is_trusted() && live.is_wasteful(place));
            if (free || wasteful || bytes < repack::SMALL_BYTES) && !self.is_old(vault, &pack.object, now_ms).await? {
                self.report.objects_young += u64::from(free);
                self.report.kept_bytes += bytes;
            } else if free {
                doomed.push((pack.object.to_string(), bytes));
            } else {
                self.report.kept_bytes += bytes;
                if pack.is_whole() && pack.is_trusted() {
                    partly.push(place);
                }
            }
        }
        if self.options.repack && self.options.dry_run.is_none() {
            doomed.extend(self.repack(vault, &index, &live, partly).await?);
        }
        let lists = vault.store.list(&Folder::Lists.of(vault.domain)).await?;
        for (object, bytes) in live.unneeded_lists(vault, lists) {
            if self.is_old(vault, &object, now_ms).await? {
                doomed.push((object, bytes));
            } else {
                self.report.objects_young += 1;
            }
        }
        self.report.objects_doomed += doomed.len() as u64;
        self.report.doomed_bytes += doomed.iter().map(|(_, bytes)| bytes).sum::<u64>();
        Ok(doomed.into_iter().map(|(object, _)| object).collect())
    }

    /// What was doomed in a domain, is there, and isn't needed after all.
    async fn unneeded_of_doomed(
        &self,
        vault: &Arc<Vault>,
        counting: &[ManifestEntry],
        generations: &Generations,
    ) -> Result<Vec<(String, u64)>, RepositoryError> {
        let (index, _) = Index::load(vault).await?;
        let spared = |object: &str| !generations.dooms(object);
        let live = self.live(vault, &index, counting, &spared).await?;
        let packs = index.packs.iter().enumerate().filter(|(place, _)| live.bytes_in(*place) == 0);
        // One that is gone may be named by the index still, if a full disk kept a run from writing that anew.
        let packs = packs.map(|(_, pack)| (pack.object.to_string(), pack.present_bytes.unwrap_or(0)));
        let lists = vault.store.list(&Folder::Lists.of(vault.domain)).await?;
        let lists = live.unneeded_lists(vault, lists);
        Ok(packs.chain(lists).filter(|(object, _)| generations.dooms(object)).collect())
    }

    async fn live(
        &self,
        vault: &Arc<Vault>,
        index: &Index,
        entries: &[ManifestEntry],
        spared: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> Result<Live, RepositoryError> {
        let manifests: Vec<&Manifest> = entries
            .iter()
            .filter_map(|entry| entry.manifest.as_ref().ok())
            .filter(|manifest| manifest.domain == vault.domain)
            .collect();
        let mut live = Live::new(index);
        for (done, manifest) in manifests.iter().enumerate() {
            (self.progress)("mark", done as u64, manifests.len() as u64);
            for list in manifest.collections.iter().flat_map(|collection| &collection.content.chunk_lists) {
                self.check_stop()?;
                live.add_list(vault, index, list, spared).await?;
            }
        }
        Ok(live)
    }

    /// The storage's own time, which is what ages are measured by.
    async fn now_ms(&self, vault: &Vault) -> Result<i64, RepositoryError> {
        if self.options.dry_run.is_some() {
            return Ok(DateTime::now().timestamp_millis());
        }
        vault.store.now_ms().await
    }

    async fn is_old(&self, vault: &Vault, object: &str, now_ms: i64) -> Result<bool, RepositoryError> {
        let modified_ms = vault.store.modified_ms(object).await?;
        Ok(modified_ms.is_some_and(|modified_ms| now_ms.saturating_sub(modified_ms) >= self.options.grace_ms))
    }

    /// Names and a sealer for what this run writes about what a master key has sealed.
    fn pen(&self, vault: &Vault, key_id: u32) -> Result<(Arc<Sealer>, WriterNames), RepositoryError> {
        let sealer = Arc::new(Sealer::with_key(vault.keys.clone(), (vault.domain, key_id), random()?)?);
        let names = WriterNames::new(vault.domain, &self.options.job, self.options.epoch, sealer.writer())?;
        Ok((sealer, names))
    }

    fn check_stop(&self) -> Result<(), RepositoryError> {
        if (self.stop)() { Err(RepositoryError::Stopped) } else { Ok(()) }
    }
}

/// Whether a backup needs a chunk, or a chunk list, of which no copy is sealed with the newest master key.
pub(crate) async fn needs_older_copies(
    vault: &Arc<Vault>,
    index: &Index,
    entries: &[ManifestEntry],
) -> Result<bool, RepositoryError> {
    let mut live = Live::new(index);
    let sound = entries.iter().filter_map(|entry| entry.manifest.as_ref().ok());
    for manifest in sound.filter(|manifest| manifest.domain == vault.domain) {
        for list in manifest.collections.iter().flat_map(|collection| &collection.content.chunk_lists) {
            live.add_list(vault, index, list, &|_| true).await?;
        }
    }
    let lists = vault.store.list(&Folder::Lists.of(vault.domain)).await?;
    Ok(live.needs_outdated(index) || live.needs_older_list(vault, &lists))
}

/// What the newest doom names and is there yet: it stays doomed, whatever needs it, since whoever read that doom may remove it however
/// late.
async fn still_doomed(vaults: &[Arc<Vault>], generations: &Generations) -> Result<Vec<String>, RepositoryError> {
    let mut still = Vec::new();
    for vault in vaults {
        for folder in [Folder::Packs, Folder::Lists] {
            let there = vault.store.list(&folder.of(vault.domain)).await?.into_iter().map(|(object, _)| object);
            still.extend(there.filter(|object| generations.dooms(object)));
        }
    }
    Ok(still)
}

fn is_void(generations: &Generations, entry: &ManifestEntry) -> bool {
    entry.retired || entry.manifest.as_ref().is_ok_and(|manifest| generations.voids(&entry.object, manifest.generation))
}

/// What a damaged manifest needs can't be told, and it may be mended from a copy.
fn refuse_damaged(entries: &[ManifestEntry]) -> Result<(), RepositoryError> {
    match entries.iter().find_map(|entry| entry.manifest.as_ref().err()) {
        None => Ok(()),
        Some(damage) => Err(RepositoryError::damaged(
            &damage.object,
            format!("{}; nothing is pruned until it is put right from a copy, or removed", damage.problem),
        )),
    }
}
