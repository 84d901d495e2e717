//! A repository: made, opened, listed.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use crate::generation::Generations;
use crate::init::{self, Opened};
use crate::keys::Keys;
use crate::object_name::{Folder, ManifestName};
use crate::pool::Pool;
use crate::record::RecordType;
use crate::seal::Opener;
use crate::store::Store;
use crate::vault::Vault;
use crate::{
    BackupReader, BackupWriter, Compression, ContentHasher, ContentOrder, Domain, InitOptions, Location, Manifest,
    ManifestEntry, ManifestRef, RepositoryError, RepositoryId, Unlock,
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
        Ok(Self::new(location, init::open(location, unlock).await?))
    }

    pub(crate) fn new(location: &Location, from: Opened) -> Self {
        let Opened { store, config, keys } = from;
        let (keys, pool) = (Arc::new(keys), Pool::new());
        let vault = |domain| {
            let opener = Arc::new(Opener::new(keys.clone(), domain));
            let (store, keys, pool, chunk) = (store.clone(), keys.clone(), pool.clone(), config.chunk);
            Arc::new(Vault { domain, store, keys, opener, pool, chunk, deltas: config.takes_deltas() })
        };
        let sealed = config.encrypted.then(|| vault(Domain::Sealed));
        let plain = config.plain.then(|| vault(Domain::Plain));
        Self { inner: Arc::new(Inner { location: location.clone(), sealed, plain, store, keys }) }
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
        BackupWriter::begin(self.vault(domain)?, job, epoch, compression).await
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
        Ok(entries)
    }

    /// The manifests that are there, void ones included.
    pub(crate) async fn read_all_manifests(
        &self,
        wanted: impl Fn(&ManifestName) -> bool,
    ) -> Result<Vec<ManifestEntry>, RepositoryError> {
        let mut entries = Vec::new();
        for vault in self.vaults() {
            let mut names = Vec::new();
            for (key, _) in vault.store.list(&Folder::Manifests.of(vault.domain)).await? {
                match ManifestName::parse(&key) {
                    Ok(name) if wanted(&name) => names.push((key, name)),
                    Ok(_) => {}
                    Err(_) => tracing::warn!(key, "not the name of a manifest; ignored"),
                }
            }
            let reads = stream::iter(names).map(|(key, name)| list_manifest(vault.clone(), key, name)).buffered(READS);
            let found: Vec<Option<ManifestEntry>> = reads.try_collect().await?;
            entries.extend(found.into_iter().flatten());
        }
        entries.sort_by(|a, b| (&a.job, a.epoch, &a.key).cmp(&(&b.job, b.epoch, &b.key)));
        Ok(entries)
    }

    /// The manifest of the newest backup of this database, as far as it can be told from the jobs' names, which begin with the
    /// time. Damaged ones, and more than a few of other databases, are passed over: it is only to be built on, not relied on.
    pub async fn newest_manifest(&self, database: &str, domain: Domain) -> Result<Option<Manifest>, RepositoryError> {
        let vault = self.vault(domain)?;
        let listed = vault.store.list(&Folder::Manifests.of(domain)).await?;
        let mut named: Vec<_> =
            listed.into_iter().filter_map(|(key, _)| Some((ManifestName::parse(&key).ok()?, key))).collect();
        named.sort_by(|(a, _), (b, _)| (&b.job, b.epoch).cmp(&(&a.job, a.epoch)));
        for (name, key) in named.into_iter().take(NEWEST) {
            let Some(mut entry) = list_manifest(vault.clone(), key, name).await? else { continue };
            let counts = self.generations().await?.judge(&mut entry);
            if let Ok(manifest) = entry.manifest
                && counts
                && manifest.database == database
            {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    /// One manifest by its key. Fails with `Missing`, `Damaged` (also where a prune has made it void) or `BadName`.
    pub async fn read_manifest(&self, key: &str) -> Result<(Manifest, ManifestRef), RepositoryError> {
        let vault = self.vault(ManifestName::parse(key)?.domain)?;
        let (manifest, reference) = read_manifest_in(&vault, key).await?;
        if self.generations().await?.voids(key, manifest.generation) {
            return Err(RepositoryError::damaged(key, "it is void: a prune began before it was written"));
        }
        Ok((manifest, reference))
    }

    /// Removes a manifest; its chunks stay until a prune. Succeeds if it is already gone.
    pub async fn delete_manifest(&self, key: &str) -> Result<(), RepositoryError> {
        ManifestName::parse(key)?;
        self.inner.store.delete(key).await
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

/// A manifest that is what its name says.
pub(crate) async fn read_manifest_in(vault: &Vault, key: &str) -> Result<(Manifest, ManifestRef), RepositoryError> {
    let name = ManifestName::parse(key)?;
    let (body, stored) = vault.read_named(key, RecordType::Manifest).await?;
    let manifest = Manifest::decode(key, &body)?;
    if (&manifest.job, manifest.epoch, manifest.domain) != (&name.job, name.epoch, name.domain) {
        return Err(RepositoryError::damaged(key, "it isn't what its name says"));
    }
    let hash = blake3::hash(&stored).to_hex().to_string();
    Ok((manifest, ManifestRef { key: key.into(), hash, stored_bytes: stored.len() as u64 }))
}

/// A row of the list of manifests, not yet judged; none for one that is deleted meanwhile.
async fn list_manifest(
    vault: Arc<Vault>,
    key: String,
    name: ManifestName,
) -> Result<Option<ManifestEntry>, RepositoryError> {
    let manifest = match read_manifest_in(&vault, &key).await {
        Ok((manifest, _)) => Ok(manifest),
        Err(RepositoryError::Missing { .. }) => return Ok(None),
        Err(error) => match (error.damage(), error) {
            (Some(damage), _) => Err(damage),
            (None, error @ RepositoryError::UnsupportedVersion { .. }) => {
                Err(crate::Damage { object: key.clone(), problem: error.to_string() })
            }
            (None, error) => return Err(error),
        },
    };
    Ok(Some(ManifestEntry { key, job: name.job, epoch: name.epoch, manifest, settled: false }))
}
