//! Looking at every object of a repository: what is it, is it as it should be, and does anybody need it?
//!
//! Everything but the chunks themselves is read whole and authenticated; packs are compared in size with what the index says.
//! Invariant: nothing is changed, and nothing is called needless while a manifest or list that may need it can't be read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use crate::ballast::BALLAST;
use crate::config::{CONFIG, StoredConfig};
use crate::generation::Generations;
use crate::index::Index;
use crate::init::read_slot;
use crate::inventory::parse_inventory;
use crate::limits::{RECORD_OBJECT_BYTES, UNSEALED_BYTES};
use crate::list::list_id;
use crate::masters::parse_mark;
use crate::names::unhex;
use crate::object_name::{Folder, ForgottenName, GENERATIONS, ListName, ManifestName, is_writers_own, parse_owner};
use crate::record::RecordType;
use crate::slot::is_slot_name;
use crate::vault::Vault;
use crate::{Damage, ListRef, Manifest, Objects, Repository, RepositoryError};

/// What is told of a pack that a verification has found damaged.
const DISTRUSTED: &str =
    "a verification found it damaged; backups don't build on it, and a prune removes it once none needs it";

/// What is odd about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OddityKind {
    /// It isn't what was written, or is missing.
    Damaged,
    /// It is as it should be, and nobody needs it: left by a backup that was broken off or removed, or part of one that runs.
    Orphan,
    /// It is sealed with an older master key, and wasn't there when that was replaced, or the key was given up: it isn't believed.
    NotCounted,
    /// Its name is none that this program gives.
    Unknown,
}

/// An object that isn't as it should be, or of no use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Oddity {
    /// What kind of thing it is.
    pub kind: OddityKind,
    /// Name of the object.
    pub object: String,
    /// Its size; 0 where it isn't there.
    pub bytes: u64,
    /// What is wrong, or why it is of no use.
    pub problem: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Scan {
    /// All objects that are there by what their names say they are.
    pub objects: BTreeMap<String, Objects>,
    /// What is odd, damage first.
    pub oddities: Vec<Oddity>,
    /// Bytes of chunks that no backup needs, within packs that are needed for others. None where that can't be told, as a manifest or
    /// list can't be read.
    pub needless_bytes: Option<u64>,
}

impl Repository {
    /// Looks at every object. (Objects that are being written meanwhile may show as orphans.)
    pub async fn scan(&self) -> Result<Scan, RepositoryError> {
        let Some(store) = self.vaults().next().map(|vault| vault.store.clone()) else { return Ok(Scan::default()) };
        let mut look = Look { repository: self, scan: Scan::default(), sizes: HashMap::new(), certain: true };
        // Manifests before objects: what they need was there before them.
        let manifests = self.manifests().await?;
        let mut sound = Vec::new();
        for entry in manifests {
            match entry.manifest {
                Ok(manifest) => sound.push((entry.key, manifest)),
                Err(damage) => look.uncertain(damage),
            }
        }
        for (object, bytes) in store.list("").await? {
            look.name(&object, bytes);
        }
        for Damage { object, problem } in self.manifests_not_counted().await? {
            look.odd(OddityKind::NotCounted, &object, problem);
        }
        look.unsealed().await?;
        for vault in self.vaults().cloned().collect::<Vec<_>>() {
            let ours: Vec<_> = sound.iter().filter(|(_, manifest)| manifest.domain == vault.domain).collect();
            look.superseded(&ours);
            let chunks = look.lists(&vault, &ours).await?;
            look.packs(&vault, chunks).await?;
        }
        let Look { mut scan, certain, .. } = look;
        if !certain {
            scan.needless_bytes = None;
            scan.oddities.retain(|oddity| oddity.kind != OddityKind::Orphan);
        }
        scan.oddities.sort_by(|a, b| (a.kind, &a.object).cmp(&(b.kind, &b.object)));
        Ok(scan)
    }
}

struct Look<'a> {
    repository: &'a Repository,
    scan: Scan,
    sizes: HashMap<String, u64>,
    /// Whether everything that says what is needed could be read.
    certain: bool,
}

impl Look<'_> {
    fn odd(&mut self, kind: OddityKind, object: &str, problem: impl Into<String>) {
        let bytes = self.sizes.get(object).copied().unwrap_or_default();
        self.scan.oddities.push(Oddity { kind, object: object.into(), bytes, problem: problem.into() });
    }

    fn damage(&mut self, Damage { object, problem }: Damage) {
        self.odd(OddityKind::Damaged, &object, problem);
    }

    fn uncertain(&mut self, damage: Damage) {
        self.certain = false;
        self.damage(damage);
    }

    /// Damage is noted; other failures end the scan.
    fn check<T>(&mut self, outcome: Result<T, RepositoryError>) -> Result<Option<T>, RepositoryError> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let damage = error.damage().ok_or(error)?;
                self.damage(damage);
                Ok(None)
            }
        }
    }

    /// Sorts an object in by its name.
    fn name(&mut self, object: &str, bytes: u64) {
        self.sizes.insert(object.into(), bytes);
        let domain = self.repository.vaults().find(|vault| object.starts_with(&format!("{}/", vault.domain)));
        let known = match domain {
            Some(vault) => sealed_kind(vault, object),
            None if object == CONFIG => Some("config"),
            None if object == BALLAST => Some("room set aside"),
            None if is_slot_name(object) => Some("key slots"),
            None if object.starts_with(&format!("{GENERATIONS}/")) => Some("generations"),
            None if parse_mark(object).is_some() => Some("marks of master keys"),
            None if parse_owner(object).is_some() => Some("owners"),
            None if parse_inventory(object).is_some() => Some("inventories"),
            None => None,
        };
        let counted = self.scan.objects.entry(known.unwrap_or("unknown").into()).or_default();
        counted.number += 1;
        counted.bytes += bytes;
        if known.is_none() {
            let foreign = ["sealed/", "plain/"].iter().any(|domain| object.starts_with(domain)) && domain.is_none();
            let problem = if foreign {
                "this repository doesn't take backups of this domain: what lies there is never looked at"
            } else {
                "no object of a repository has such a name: somebody else has put it there"
            };
            self.odd(OddityKind::Unknown, object, problem);
        }
    }

    /// Config, key slots, generations, the inventory and the owner.
    async fn unsealed(&mut self) -> Result<(), RepositoryError> {
        let Some(vault) = self.repository.vaults().next().cloned() else { return Ok(()) };
        let config = async {
            let stored = StoredConfig::read(&vault.store.read(CONFIG, UNSEALED_BYTES).await?)?;
            stored.authenticate(vault.keys.ring())
        };
        self.check(config.await)?;
        let slots: Vec<String> = self.sizes.keys().filter(|name| is_slot_name(name)).cloned().collect();
        for slot in slots {
            self.check(read_slot(&vault.store, &slot).await)?;
        }
        for damage in Generations::load(&vault).await?.damage {
            self.damage(damage);
        }
        if let Some(inventory) = vault.keys.inventory() {
            for damage in inventory.damage(&vault.of_whole_repository()).await? {
                self.damage(damage);
            }
        }
        self.check(self.repository.owner().await).map(drop)
    }

    /// Manifests of one job: after a takeover the last one counts.
    fn superseded(&mut self, manifests: &[&(String, Manifest)]) {
        let mut last: HashMap<&str, i64> = HashMap::new();
        for (_, manifest) in manifests {
            let epoch = last.entry(&manifest.job).or_insert(manifest.epoch);
            *epoch = (*epoch).max(manifest.epoch);
        }
        for (key, manifest) in manifests {
            if last.get(manifest.job.as_str()).is_some_and(|last| *last > manifest.epoch) {
                self.odd(OddityKind::Orphan, key, "a later attempt of its job has written a manifest, too");
            }
        }
    }

    /// Reads every list once; returns the ids of all chunks that are needed, sorted.
    async fn lists(
        &mut self,
        vault: &Arc<Vault>,
        manifests: &[&(String, Manifest)],
    ) -> Result<Vec<[u8; 32]>, RepositoryError> {
        let all = manifests.iter().flat_map(|(_, manifest)| &manifest.collections);
        let lists: Vec<&ListRef> = all.flat_map(|entry| &entry.content.chunk_lists).collect();
        let (mut seen, mut ids) = (HashSet::new(), Vec::new());
        for list in lists {
            if !seen.insert((list.id.as_str(), list.writer.as_deref())) {
                continue;
            }
            match vault.read_list(list).await {
                Ok(entries) => ids.extend(entries.iter().map(|entry| entry.id)),
                Err(error) => {
                    let damage = error.damage().ok_or(error)?;
                    self.uncertain(damage);
                }
            }
        }
        let folder = format!("{}/", Folder::Lists.of(vault.domain));
        let mut others: Vec<String> = self.sizes.keys().filter(|name| name.starts_with(&folder)).cloned().collect();
        others.retain(|name| {
            ListName::parse(vault.domain, name).is_some_and(|list| !seen.contains(&(list.id, list.writer)))
        });
        for name in others {
            if self.check(check_list(vault, &name).await)?.is_some() {
                self.odd(OddityKind::Orphan, &name, "no manifest names this chunk list");
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Packs and index objects.
    async fn packs(&mut self, vault: &Arc<Vault>, chunks: Vec<[u8; 32]>) -> Result<(), RepositoryError> {
        let (mut index, _) = Index::load(vault).await?;
        for damage in std::mem::take(&mut index.damage) {
            self.damage(damage);
        }
        let nowhere = chunks.iter().filter(|id| index.copies(id).is_empty()).count();
        if nowhere > 0 {
            let problem = format!("{nowhere} chunks that backups need are in no pack: see lucid-ops repo verify");
            self.damage(Damage { object: Folder::Packs.of(vault.domain), problem });
        }
        let needed = index.with_bases(chunks);
        let mut needless = 0;
        let entries = index.by_pack(&vec![true; index.packs.len()]);
        for (pack, entries) in index.packs.iter().zip(entries) {
            match pack.present_bytes {
                None => self.damage(Damage { object: pack.object.to_string(), problem: "missing".into() }),
                Some(bytes) if bytes != pack.stored_bytes => {
                    let problem = format!("it has {bytes} bytes instead of {}", pack.stored_bytes);
                    self.damage(Damage { object: pack.object.to_string(), problem });
                }
                Some(_) if pack.distrusted => {
                    self.damage(Damage { object: pack.object.to_string(), problem: DISTRUSTED.into() });
                }
                Some(_) => {}
            }
            let unneeded = entries.iter().filter(|entry| needed.binary_search(&entry.id).is_err());
            let (number, bytes) =
                unneeded.fold((0, 0), |(number, bytes), entry| (number + 1, bytes + u64::from(entry.record_bytes)));
            if number == entries.len() {
                let listed = if pack.listed { "" } else { ", and no index object lists it" };
                self.odd(OddityKind::Orphan, &pack.object, format!("no backup needs any of its chunks{listed}"));
            } else {
                needless += bytes;
            }
        }
        *self.scan.needless_bytes.get_or_insert(0) += needless;
        Ok(())
    }
}

/// What an object of a domain is, by its name.
fn sealed_kind(vault: &Vault, object: &str) -> Option<&'static str> {
    let within = |folder: Folder| object.strip_prefix(&folder.of(vault.domain))?.strip_prefix('/');
    if within(Folder::Packs).is_some_and(is_writers_own) {
        return Some("packs");
    }
    if within(Folder::Index).is_some_and(is_writers_own) {
        return Some("index objects");
    }
    if ListName::parse(vault.domain, object).is_some() {
        return Some("chunk lists");
    }
    if within(Folder::Distrust).is_some_and(|id| unhex::<32>(id).is_some()) {
        return Some("records of distrust");
    }
    if ForgottenName::parse(vault.domain, object).is_some() {
        return Some("records of what was forgotten");
    }
    if let Some(name) = within(Folder::Pins) {
        return ManifestName::parse(&Folder::Manifests.object(vault.domain, name)).is_ok().then_some("pins");
    }
    ManifestName::parse(object).is_ok().then_some("manifests")
}

async fn check_list(vault: &Vault, object: &str) -> Result<(), RepositoryError> {
    let id = ListName::parse(vault.domain, object).and_then(|list| unhex(list.id));
    let id: [u8; 32] = id.ok_or_else(|| RepositoryError::damaged(object, "that is no list id"))?;
    let stored = vault.store.read(object, RECORD_OBJECT_BYTES).await?;
    let body = vault.open_record(object, stored, RecordType::List, id).await?;
    if list_id(&vault.domain_keys().list_id, &body) == id {
        return Ok(());
    }
    Err(RepositoryError::damaged(object, "its content isn't what its name says"))
}
