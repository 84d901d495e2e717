//! A repository: made, opened, listed.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::generation::Generations;
use crate::init::{self, Opened};
use crate::keys::{FIRST_KEY_ID, Keys};
use crate::masters;
use crate::object_name::{Folder, ManifestName};
use crate::pool::Pool;
use crate::record::{RecordType, key_id_of};
use crate::seal::Opener;
use crate::store::Store;
use crate::vault::Vault;
use crate::{
    BackupReader, BackupWriter, Compression, ContentHasher, ContentOrder, Damage, Domain, InitOptions, Location,
    Manifest, ManifestEntry, ManifestRef, RepositoryError, RepositoryId, Unlock,
};

/// Manifests read at once.
const READS: usize = 8;
/// Manifests looked at for the newest one of a database.
const NEWEST: usize = 64;

/// An open repository. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    location: Location,
    /// What opens it again after its key was rotated.
    unlock: Unlock,
    store: Store,
    keys: Arc<Keys>,
    sealed: Option<Arc<Vault>>,
    /// None where plain backups aren't taken: what someone planted there is never looked at.
    plain: Option<Arc<Vault>>,
}

impl Repository {
    /// Makes a new repository in an empty folder or one that doesn't exist yet (its parent must). A key file that doesn't exist is
    /// made first (mode 0600). Fails with `AlreadyInitialised`, `ForeignFolder` or `ParentMissing` without touching anything.
    pub async fn init(location: &Location, unlock: &Unlock, options: &InitOptions) -> Result<Self, RepositoryError> {
        init::init(location, unlock, options).await?;
        Self::open(location, unlock).await
    }

    /// Opens a repository. Fails with `NotInitialised`, `WrongKey`, `KeyRequired`, `NotEncrypted`, `KeyFileUnreadable`,
    /// `UnsupportedVersion` or `Damaged`, each distinct.
    pub async fn open(location: &Location, unlock: &Unlock) -> Result<Self, RepositoryError> {
        Ok(Self::new(location, unlock, init::open(location, unlock).await?))
    }

    /// The repository with the keys that are in force: this one, or opened again where its key was rotated meanwhile. For programs
    /// that keep a repository open; what others began with the old keys fails with `KeyRotated`. Fails with `Away` or `Exchanged` where
    /// it isn't where it was opened: it may be again.
    pub async fn current(&self) -> Result<Self, RepositoryError> {
        let Some(vault) = self.vaults().next() else { return Ok(self.clone()) };
        match masters::check_current(vault).await {
            Ok(()) => Ok(self.clone()),
            Err(RepositoryError::Exchanged { found, .. }) if found == Some(*self.id()) => self.open_again().await,
            Err(error) if error.is_away() => Err(error),
            Err(_) => self.open_again().await,
        }
    }

    /// Opens it with what opened it before; never another one in its place. What refuses the key may be another one that was there for a
    /// moment: only a refusal by this one counts.
    pub(crate) async fn open_again(&self) -> Result<Self, RepositoryError> {
        match self.open_here().await {
            Err(error) if !error.is_away() => {
                self.ensure_here().await?;
                self.open_here().await
            }
            opened => opened,
        }
    }

    async fn open_here(&self) -> Result<Self, RepositoryError> {
        let location = self.location();
        let opened = match Self::open(location, &self.inner.unlock).await {
            Err(RepositoryError::NotInitialised { location }) => return Err(RepositoryError::Away { location }),
            opened => opened?,
        };
        if opened.id() == self.id() {
            return Ok(opened);
        }
        let (location, opened, found) = (location.to_string(), *self.id(), Some(*opened.id()));
        Err(RepositoryError::Exchanged { location, opened, found })
    }

    /// Fails, as [`RepositoryError::is_away`] says, where it isn't where it was opened.
    pub async fn ensure_here(&self) -> Result<(), RepositoryError> {
        self.inner.store.ensure_here().await
    }

    pub(crate) fn new(location: &Location, unlock: &Unlock, from: Opened) -> Self {
        let Opened { store, config, keys } = from;
        let (keys, pool) = (Arc::new(keys), Pool::new());
        // Where reading what to build on is dear, chunks are stored whole.
        let takes_deltas = config.takes_deltas() && location.takes_deltas() && store.is_near();
        let vault = |domain| {
            let opener = Arc::new(Opener::new(keys.clone(), domain));
            let (store, keys, pool, chunk) = (store.clone(), keys.clone(), pool.clone(), config.chunk);
            let (deltas, sums) = (takes_deltas, config.takes_sums());
            Arc::new(Vault { domain, store, keys, opener, pool, chunk, deltas, sums })
        };
        let sealed = config.encrypted.then(|| vault(Domain::Sealed));
        let plain = config.plain.then(|| vault(Domain::Plain));
        let (location, unlock) = (location.clone(), unlock.clone());
        Self { inner: Arc::new(Inner { location, unlock, store, keys, sealed, plain }) }
    }

    /// Its identity.
    pub fn id(&self) -> &RepositoryId {
        &self.inner.keys.repository
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.inner.location
    }

    /// Whether backups of this domain can be made here.
    pub fn takes(&self, domain: Domain) -> bool {
        self.vault(domain).is_ok()
    }

    /// Starts a backup. Loads the index, and the footers of packs that no index lists yet, so that what a predecessor finished is
    /// found. `job` may hold letters, digits, `_` and `-`.
    pub async fn begin(
        &self,
        job: &str,
        epoch: i64,
        domain: Domain,
        compression: Compression,
    ) -> Result<BackupWriter, RepositoryError> {
        BackupWriter::begin(self.vault(domain)?, job, epoch, compression, None).await
    }

    /// All manifests of all domains, by job and epoch. One that is damaged doesn't hide the others.
    pub async fn manifests(&self) -> Result<Vec<ManifestEntry>, RepositoryError> {
        self.list_manifests(|_| true).await
    }

    /// The manifests of one job, by epoch; those of others aren't read. One that is damaged doesn't hide the others.
    pub async fn manifests_of(&self, job: &str) -> Result<Vec<ManifestEntry>, RepositoryError> {
        self.list_manifests(|name| name.job == job).await
    }

    async fn list_manifests(
        &self,
        wanted: impl Fn(&ManifestName) -> bool,
    ) -> Result<Vec<ManifestEntry>, RepositoryError> {
        let mut entries = self.read_all_manifests(wanted).await?;
        // Only now: what was there before these are read, and is of the newest generation, no prune has overlooked.
        let generations = self.generations().await?;
        entries.retain_mut(|entry| generations.judge(entry));
        Ok(one_for_each(entries))
    }

    /// The manifests that are there: void ones included, and those that were encrypted anew beside what they stand for.
    pub(crate) async fn read_all_manifests(
        &self,
        wanted: impl Fn(&ManifestName) -> bool,
    ) -> Result<Vec<ManifestEntry>, RepositoryError> {
        let mut entries = Vec::new();
        for vault in self.vaults() {
            let mut names = Vec::new();
            for (object, _) in vault.store.list(&Folder::Manifests.of(vault.domain)).await? {
                match ManifestName::parse(&object) {
                    Ok(name) if wanted(&name) => names.push((object, name)),
                    Ok(_) => {}
                    Err(_) => tracing::warn!(object, "not the name of a manifest; ignored"),
                }
            }
            let reads = stream::iter(names).map(|(object, name)| list_manifest(vault.clone(), object, name));
            let reads = reads.buffered(READS);
            let found: Vec<Option<ManifestEntry>> = reads.try_collect().await?;
            entries.extend(found.into_iter().flatten());
        }
        entries.sort_by(|a, b| (&a.job, a.epoch, &a.object).cmp(&(&b.job, b.epoch, &b.object)));
        Ok(entries)
    }

    /// The manifests that an older master key has sealed and that don't count, as what is wrong with them.
    pub(crate) async fn manifests_not_counted(&self) -> Result<Vec<Damage>, RepositoryError> {
        let all = self.read_all_manifests(|_| true).await?.into_iter();
        Ok(all.filter(|entry| entry.retired).filter_map(|entry| entry.manifest.err()).collect())
    }

    /// Whether it is known what of older master keys counts: it isn't where an older program has replaced the last one.
    pub fn knows_what_counts(&self) -> bool {
        let has_older = self.inner.keys.ring().is_some_and(|ring| ring.masters.len() > 1);
        !has_older || self.inner.keys.inventory().is_some()
    }

    /// The manifest of the newest backup of this database that this cluster made, or else another one, as far as it can be told from the
    /// jobs' names, which begin with the time. Damaged ones, and more than a few of other databases, are passed over, and so is what an older master key has sealed, which
    /// somebody else may have by now: it is only to be built on, not relied on.
    pub async fn newest_manifest(
        &self,
        (database, cluster): (&str, Option<&str>),
        domain: Domain,
    ) -> Result<Option<Manifest>, RepositoryError> {
        let vault = self.vault(domain)?;
        let newest_key_id = if domain == Domain::Sealed { vault.keys.newest_key_id() } else { 0 };
        let listed = vault.store.list(&Folder::Manifests.of(domain)).await?;
        let mut named: Vec<_> =
            listed.into_iter().filter_map(|(object, _)| Some((ManifestName::parse(&object).ok()?, object))).collect();
        let order = |name: &ManifestName| (name.job.clone(), name.epoch, name.resealed);
        named.sort_by_cached_key(|(name, _)| std::cmp::Reverse(order(name)));
        let mut others = None;
        for (name, object) in named.into_iter().take(NEWEST) {
            let Some(mut entry) = list_manifest(vault.clone(), object, name).await? else { continue };
            let counts = self.generations().await?.judge(&mut entry);
            if let Ok(manifest) = entry.manifest
                && counts
                && manifest.database == database
                && entry.key_id >= newest_key_id
            {
                if manifest.cluster.as_deref() == cluster {
                    return Ok(Some(manifest));
                }
                others = others.or(Some(manifest));
            }
        }
        Ok(others)
    }

    /// One manifest by its key. Fails with `Missing`, `Damaged` (also where a prune has made it void) or `BadName`.
    pub async fn read_manifest(&self, key: &str) -> Result<(Manifest, ManifestRef), RepositoryError> {
        let vault = self.vault(ManifestName::parse(key)?.domain)?;
        let mut failed = None;
        for object in manifest_objects(&vault, key).await? {
            let error = match read_manifest_in(&vault, &object).await {
                Ok((manifest, reference)) => {
                    if !self.generations().await?.voids(&object, manifest.generation) {
                        return Ok((manifest, reference));
                    }
                    RepositoryError::damaged(key, "it is void: a prune began before it was written")
                }
                Err(error) if error.damage().is_some() => error,
                Err(error) => return Err(error),
            };
            failed = failed.or(Some(error));
        }
        Err(failed.unwrap_or_else(|| RepositoryError::Missing { object: key.into() }))
    }

    /// Prepares reading a backup: loads the index, and makes up for damaged index objects from the packs' footers.
    pub async fn open_backup(&self, manifest: &Manifest) -> Result<BackupReader, RepositoryError> {
        BackupReader::open(self.vault(manifest.domain)?, manifest).await
    }

    /// A content hasher that agrees with the manifests of this domain. (A repository without encryption has no sealed
    /// manifests; asked for their hasher, it gives one that agrees with nothing.)
    pub fn content_hasher(&self, domain: Domain, order: ContentOrder) -> ContentHasher {
        let key = self.inner.keys.domain(domain).map(|keys| keys.content.clone()).unwrap_or_default();
        ContentHasher::new(key, order)
    }

    /// What prunes have doomed, as far as it can be read.
    pub(crate) async fn generations(&self) -> Result<Generations, RepositoryError> {
        Generations::load(self.vaults().next().expect("a repository has a domain")).await
    }

    /// The vaults of its domains: at least one.
    pub(crate) fn vaults(&self) -> impl Iterator<Item = &Arc<Vault>> {
        self.inner.sealed.iter().chain(&self.inner.plain)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    pub(crate) fn vault(&self, domain: Domain) -> Result<Arc<Vault>, RepositoryError> {
        let (vault, reason) = match domain {
            Domain::Sealed => (&self.inner.sealed, "it has no key; make another one with a key file"),
            Domain::Plain => (&self.inner.plain, "it wasn't created to (allow_plain)"),
        };
        let unavailable = || RepositoryError::DomainUnavailable { domain, reason: reason.into() };
        vault.clone().ok_or_else(unavailable)
    }
}

/// The objects of a manifest: what it was at first, and what it was encrypted anew as; the newest master key's first.
pub(crate) async fn manifest_objects(vault: &Vault, key: &str) -> Result<Vec<String>, RepositoryError> {
    if vault.keys.newest_key_id() <= FIRST_KEY_ID {
        return Ok(vec![key.into()]);
    }
    let listed = vault.store.list(&Folder::Manifests.of(vault.domain)).await?;
    let named = listed.into_iter().filter_map(|(object, _)| Some((ManifestName::parse(&object).ok()?, object)));
    let mut objects: Vec<_> = named.filter(|(name, _)| name.key == key).collect();
    objects.sort_by_key(|(name, _)| std::cmp::Reverse(name.resealed));
    Ok(objects.into_iter().map(|(_, object)| object).collect())
}

/// Of each backup the manifest that says most: a sound one, sealed with the newest master.
fn one_for_each(entries: Vec<ManifestEntry>) -> Vec<ManifestEntry> {
    let merit = |entry: &ManifestEntry| (entry.manifest.is_ok(), entry.settled, entry.key_id);
    let mut best: Vec<ManifestEntry> = Vec::with_capacity(entries.len());
    // Those of one backup lie side by side: their names begin alike.
    for entry in entries {
        match best.last_mut() {
            Some(last) if last.key == entry.key && merit(last) >= merit(&entry) => {}
            Some(last) if last.key == entry.key => *last = entry,
            _ => best.push(entry),
        }
    }
    best
}

/// A manifest that is what its object's name says.
pub(crate) async fn read_manifest_in(vault: &Vault, object: &str) -> Result<(Manifest, ManifestRef), RepositoryError> {
    let (manifest, stored) = read_stored(vault, &ManifestName::parse(object)?, object).await?;
    let reference = reference_of(object, &manifest, &stored)?;
    Ok((manifest, reference))
}

/// How a manifest that is stored as these bytes is referred to.
pub(crate) fn reference_of(object: &str, manifest: &Manifest, stored: &Bytes) -> Result<ManifestRef, RepositoryError> {
    Ok(ManifestRef {
        key: ManifestName::parse(object)?.key,
        hash: blake3::hash(stored).to_hex().to_string(),
        former_hashes: manifest.former_hashes.clone(),
        stored_bytes: stored.len() as u64,
    })
}

async fn read_stored(vault: &Vault, name: &ManifestName, object: &str) -> Result<(Manifest, Bytes), RepositoryError> {
    let (body, stored) = vault.read_named(object, RecordType::Manifest).await?;
    let manifest = Manifest::decode(object, &body)?;
    if (&manifest.job, manifest.epoch, manifest.domain) != (&name.job, name.epoch, name.domain) {
        return Err(RepositoryError::damaged(object, "it isn't what its name says"));
    }
    Ok((manifest, stored))
}

/// A row of the list of manifests, not yet judged; none for one that is deleted meanwhile.
async fn list_manifest(
    vault: Arc<Vault>,
    object: String,
    name: ManifestName,
) -> Result<Option<ManifestEntry>, RepositoryError> {
    let (mut key_id, mut retired) = (name.resealed.unwrap_or_default(), false);
    let manifest = match read_stored(&vault, &name, &object).await {
        Ok((manifest, stored)) => {
            key_id = key_id_of(&stored);
            Ok(manifest)
        }
        Err(RepositoryError::Missing { .. }) => return Ok(None),
        Err(error) => match (error.damage(), error) {
            (Some(damage), error) => {
                retired = error.is_outdated();
                Err(damage)
            }
            (None, error @ RepositoryError::UnsupportedVersion { .. }) => {
                Err(Damage { object: object.clone(), problem: error.to_string() })
            }
            (None, error) => return Err(error),
        },
    };
    let ManifestName { job, epoch, key, .. } = name;
    Ok(Some(ManifestEntry { key, object, key_id, retired, job, epoch, manifest, settled: false }))
}
