//! Putting a repository in order after damage: what can be said again is said again, and what can't be trusted is named.
//!
//! Invariant: nothing goes before what replaces it is written and read back, and no pack goes at all. So it needs no lock: names are
//! written once, and a backup that runs meanwhile finds more than before, never less.

#[cfg(test)]
mod tests;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::distrust::{self, Distrust};
use crate::fetch::Fetcher;
use crate::index::{self, Index, Pack};
use crate::keys::random;
use crate::object_name::{Folder, WriterNames};
use crate::pack_listing::{self, PackListing};
use crate::packer::Packer;
use crate::record::RecordType;
use crate::seal::Sealer;
use crate::vault::Vault;
use crate::verify::{VerifyProgress, check_pack};
use crate::{Repository, RepositoryError, verify};
use walk::Walk;

/// What a repair does about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairKind {
    /// A pack that no index object listed is listed again.
    Listed,
    /// The chunks of a pack that can't be listed any more are copied into a new one.
    Salvaged,
    /// A damaged pack is passed over by backups from now on.
    Distrusted,
    /// A pack that was found damaged once, and is sound, is trusted again.
    Trusted,
    /// An object that can't be read goes, as all that it said is said elsewhere.
    Removed,
    /// Nothing can be done; the text says why.
    LeftAlone,
}

/// One thing that a repair does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RepairStep {
    /// What is done.
    pub kind: RepairKind,
    /// Name of the object.
    pub object: String,
    /// Why, for people.
    pub why: String,
}

type Stop<'a> = &'a (dyn Fn() -> bool + Send + Sync);

impl Repository {
    /// Reads every pack; lists what no index object lists, copies what is whole of packs that have lost their footer, records which
    /// packs aren't to be trusted, and removes index objects that can't be read. A dry run only says so. Safe beside backups; beside
    /// a prune it may list packs that are gone. Must not be needed for reading: readers make up for all of this.
    pub async fn repair(
        &self,
        dry_run: bool,
        progress: &(dyn Fn(VerifyProgress) + Send + Sync),
        stop: Stop<'_>,
    ) -> Result<Vec<RepairStep>, RepositoryError> {
        let mut steps = Vec::new();
        for vault in self.vaults() {
            let mut repair = Repair::look(vault, progress, stop).await?;
            if !dry_run {
                repair.write().await?;
            }
            repair.remove_unreadable(dry_run).await?;
            steps.append(&mut repair.steps);
        }
        Ok(steps)
    }
}

struct Repair<'a> {
    vault: &'a Arc<Vault>,
    steps: Vec<RepairStep>,
    /// To be listed, as their footers say.
    unlisted: Vec<PackListing>,
    /// What is whole of packs whose footer is lost.
    walks: Vec<(PackListing, Walk)>,
    /// Damaged, though their size is right.
    damaged: distrust::Packs,
    /// Distrusted, and sound.
    sound: BTreeSet<String>,
    distrust: Distrust,
    /// Index objects that can't be read, and what is wrong with them.
    unreadable: BTreeMap<String, String>,
    /// Whether some pack may be known to what can't be read alone.
    is_unsure: bool,
}

impl<'a> Repair<'a> {
    /// Reads everything and decides.
    async fn look(
        vault: &'a Arc<Vault>,
        progress: &(dyn Fn(VerifyProgress) + Send + Sync),
        stop: Stop<'_>,
    ) -> Result<Self, RepositoryError> {
        let distrust = Distrust::load(vault).await?;
        let (index, unlisted) = Index::load(vault).await?;
        let fetcher = Fetcher::new(vault.clone(), Arc::new(index));
        let mut repair = Self {
            vault,
            steps: Vec::new(),
            unlisted,
            walks: Vec::new(),
            damaged: distrust::Packs::new(),
            sound: BTreeSet::new(),
            distrust,
            unreadable: BTreeMap::new(),
            is_unsure: false,
        };
        for listing in &repair.unlisted {
            let object = Folder::Packs.object(vault.domain, &listing.name);
            repair.steps.push(step(RepairKind::Listed, object, "no index object lists it, and its footer can be read"));
        }
        let [packs, lists] = [Folder::Packs, Folder::Index].map(|folder| format!("{}/", folder.of(vault.domain)));
        for damage in fetcher.index.damage.clone() {
            if damage.object.starts_with(&packs) {
                repair.salvage(&fetcher, &damage.object).await?;
            } else if damage.object.starts_with(&lists) && !damage.problem.contains(index::DISAGREES) {
                repair.unreadable.insert(damage.object, damage.problem);
            }
        }
        repair.read_packs(&fetcher, progress, stop).await?;
        Ok(repair)
    }

    fn say(&mut self, kind: RepairKind, object: impl Into<String>, why: impl Into<String>) {
        self.steps.push(step(kind, object, why));
    }

    /// Goes through a pack that no index object lists and whose footer can't be read.
    async fn salvage(&mut self, fetcher: &Fetcher, object: &str) -> Result<(), RepositoryError> {
        let Some(stored_bytes) = self.vault.store.size(object).await? else { return Ok(()) };
        let walk = Walk::through(fetcher, object, stored_bytes).await?;
        if let Some(why) = &walk.why_not {
            self.is_unsure = true;
            self.say(RepairKind::LeftAlone, object, why.clone());
            return Ok(());
        }
        let why =
            format!("its footer is lost; {} chunks are copied, {} are stored elsewhere", walk.chunks.len(), walk.held);
        self.say(RepairKind::Salvaged, object, why);
        let name = object.rsplit('/').next().unwrap_or_default().to_owned();
        self.walks.push((PackListing { name, stored_bytes, entries: Vec::new() }, walk));
        Ok(())
    }

    /// Reads every pack whose chunks are known, each once and whole.
    async fn read_packs(
        &mut self,
        fetcher: &Fetcher,
        progress: &(dyn Fn(VerifyProgress) + Send + Sync),
        stop: Stop<'_>,
    ) -> Result<(), RepositoryError> {
        let index = &fetcher.index;
        let whole: Vec<bool> = index.packs.iter().map(Pack::is_whole).collect();
        let mut done = verify::whole(index, &whole);
        (done.packs_done, done.bytes_done) = (0, 0);
        for (place, entries) in index.by_pack(&whole).into_iter().enumerate().filter(|(place, _)| whole[*place]) {
            if stop() {
                return Err(RepositoryError::Stopped);
            }
            progress(done);
            let pack = &index.packs[place];
            // Listed without chunks: one that was gone through, which waits for a prune.
            let problems = if entries.is_empty() { Vec::new() } else { check_pack(fetcher, place, entries).await? };
            match (problems.first(), pack.distrusted) {
                (Some(problem), false) => {
                    self.damaged.insert(pack.name().to_owned(), pack.stored_bytes);
                    self.say(RepairKind::Distrusted, &*pack.object, problem.clone());
                }
                (None, true) => {
                    self.sound.insert(pack.name().to_owned());
                    self.say(RepairKind::Trusted, &*pack.object, "all of it was read, and is sound");
                }
                (Some(_), true) | (None, false) => {}
            }
            done.packs_done += 1;
            done.bytes_done += pack.stored_bytes;
        }
        progress(done);
        Ok(())
    }

    /// Writes what was decided: copies, then the index, then distrust.
    async fn write(&mut self) -> Result<(), RepositoryError> {
        let newest = self.vault.keys.newest_key_id();
        let mut found = BTreeMap::from([(newest, (std::mem::take(&mut self.unlisted), Vec::new()))]);
        for (emptied, walk) in std::mem::take(&mut self.walks) {
            found.entry(walk.key_id).or_default().1.push((emptied, walk));
        }
        for (key_id, (unlisted, walks)) in found {
            self.write_sealed(key_id, unlisted, walks).await?;
        }
        if !self.damaged.is_empty() {
            distrust::record(self.vault, &self.damaged).await?;
        }
        self.distrust.lift(self.vault, &self.sound).await?;
        for damage in &self.distrust.damage {
            self.vault.store.delete(&damage.object).await?;
        }
        Ok(())
    }

    /// Writes what was found of what one master key has sealed: the same one vouches for it.
    async fn write_sealed(
        &self,
        key_id: u32,
        mut listings: Vec<PackListing>,
        walks: Vec<(PackListing, Walk)>,
    ) -> Result<(), RepositoryError> {
        let keys = (self.vault.domain, key_id);
        let sealer = Arc::new(Sealer::with_key(self.vault.keys.clone(), keys, random()?)?);
        let names = WriterNames::new(self.vault.domain, "repair", 0, sealer.writer())?;
        let packer = Packer::new(self.vault.clone(), sealer.clone(), names.clone());
        let found: Vec<_> =
            listings.iter().map(|listing| Folder::Packs.object(self.vault.domain, &listing.name)).collect();
        self.vault.store.sync(&found).await?;
        for (emptied, walk) in walks {
            for chunk in walk.chunks {
                packer.append(chunk).await?;
            }
            listings.push(emptied);
        }
        packer.flush().await?;
        // Copies before the packs they are of: those are listed as if they held nothing.
        let copies = std::mem::take(&mut packer.ledger().unlisted);
        let listings: Vec<_> = copies.into_iter().chain(listings).collect();
        for (number, some) in (1..).zip(pack_listing::that_fit(&listings)) {
            let object = names.index(number);
            let (id, body) = (self.vault.name_id(&object), pack_listing::encode(some));
            let sealed = self.vault.seal_record(&sealer, RecordType::Index, id, body).await?;
            self.vault.store.create_own(&object, &[sealed]).await?;
            let (_, read) = index::read_index(self.vault.clone(), object.clone()).await;
            if read?.packs != some {
                return Err(RepositoryError::damaged(object, "it was just written, and reads otherwise"));
            }
        }
        Ok(())
    }

    /// Removes index objects that can't be read, if all that is there is known without them.
    async fn remove_unreadable(&mut self, dry_run: bool) -> Result<(), RepositoryError> {
        for damage in std::mem::take(&mut self.distrust.damage) {
            self.say(RepairKind::Removed, damage.object, "every pack was read again, so nothing is lost with it");
        }
        let unreadable = std::mem::take(&mut self.unreadable);
        let mut is_sure = !self.is_unsure;
        if !dry_run && is_sure && !unreadable.is_empty() {
            let (index, _) = Index::load(self.vault).await?;
            let packs = Folder::Packs.of(self.vault.domain);
            is_sure = !index.damage.iter().any(|damage| damage.object.starts_with(&packs));
        }
        for (object, problem) in unreadable {
            if !is_sure {
                let why = format!("{problem}; it may say of a pack what nothing else does");
                self.say(RepairKind::LeftAlone, object, why);
                continue;
            }
            if !dry_run {
                self.vault.store.delete(&object).await?;
            }
            self.say(
                RepairKind::Removed,
                object,
                format!("{problem}; the packs that it may have listed are listed again"),
            );
        }
        Ok(())
    }
}

fn step(kind: RepairKind, object: impl Into<String>, why: impl Into<String>) -> RepairStep {
    RepairStep { kind, object: object.into(), why: why.into() }
}
