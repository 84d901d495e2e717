//! The storage with errors that name the object, repeated attempts, and create-only where the storage lacks it.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::Error;
use tokio::task::spawn_blocking;

use crate::cache::Cache;
use crate::config::{CONFIG, StoredConfig};
use crate::error::storage_is_retryable;
use crate::keys::random;
use crate::names::hex;
use crate::storage::{Elsewhere, Storage};
use crate::{RepositoryError, RepositoryId};

/// Pauses before further attempts.
const PAUSES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1)];

/// Larger packs than writers ever make aren't cached.
const CACHED_PACK_BYTES: u64 = 64 << 20;

/// What became of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    New,
    Exists,
}

/// The storage of a repository.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    storage: Arc<dyn Storage>,
    create_only: bool,
    /// For packs of a storage that is far.
    cache: Option<Arc<Cache>>,
    /// Which repository it is, once that is known, and where.
    home: Option<Arc<(RepositoryId, String)>>,
}

impl Store {
    pub(crate) fn new(storage: Arc<dyn Storage>, create_only: bool) -> Self {
        Self { storage, create_only, cache: None, home: None }
    }

    /// The same storage, on which nothing is done any more unless this config lies on it.
    pub(crate) fn anchored(self, location: String, repository: RepositoryId, config: &Bytes) -> Self {
        self.storage.anchor(config);
        Self { home: Some(Arc::new((repository, location))), ..self }
    }

    /// Fails with `Away` or `Exchanged` where the repository isn't where it was opened. A folder is looked at in each operation; a bucket
    /// only here: so this comes before and after whatever must not be done elsewhere.
    pub(crate) async fn ensure_here(&self) -> Result<(), RepositoryError> {
        if self.home.is_none() {
            return Ok(());
        }
        retry(|| self.storage.ensure_here()).await.map_err(|source| self.failed("look for", CONFIG, source))
    }

    fn failed(&self, operation: &'static str, object: &str, source: Error) -> RepositoryError {
        if let (Some(elsewhere), Some(home)) = (Elsewhere::told_by(&source), &self.home) {
            return away(elsewhere, home.0, &home.1);
        }
        match source {
            Error::NotFound { .. } => RepositoryError::Missing { object: object.into() },
            source => RepositoryError::Storage { operation, object: object.into(), source },
        }
    }

    /// The same storage, used as the config says.
    pub(crate) fn with_create_only(self, create_only: bool) -> Self {
        Self { create_only, ..self }
    }

    /// The same storage with a cache, if it is far.
    pub(crate) fn with_cache(self, cache: Cache) -> Self {
        let cache = self.storage.is_far().then(|| Arc::new(cache));
        Self { cache, ..self }
    }

    /// Whether every read is a request to somewhere else.
    pub(crate) fn is_far(&self) -> bool {
        self.storage.is_far()
    }

    /// Whether single chunks are read at little cost, again and again.
    pub(crate) fn is_near(&self) -> bool {
        !self.storage.is_far() || self.cache.is_some()
    }

    /// Writes a pack as [`Self::create_own`] does, and keeps it in the cache.
    pub(crate) async fn create_pack(&self, name: &str, parts: &[Bytes]) -> Result<(), RepositoryError> {
        self.create_own(name, parts).await?;
        self.keep(name, parts.to_vec()).await;
        Ok(())
    }

    /// A part of a pack of this size from the cache, where the whole pack goes if it isn't there. None without a cache, and where
    /// the cache can't help.
    pub(crate) async fn read_cached(&self, name: &str, range: Range<u64>, stored_bytes: u64) -> Option<Bytes> {
        let cache = self.cache.clone()?;
        let (object, wanted) = (name.to_owned(), range.clone());
        if let Some(read) = spawn_blocking(move || cache.read(&object, wanted)).await.ok()? {
            return Some(read);
        }
        let pack = self.read(name, stored_bytes.min(CACHED_PACK_BYTES)).await.ok()?;
        let bounds = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
        let read = (bounds.end <= pack.len()).then(|| pack.slice(bounds))?;
        self.keep(name, vec![pack]).await;
        Some(read)
    }

    /// Forgets a pack that was cached: something is wrong with the copy.
    pub(crate) fn forget(&self, name: &str) {
        if let Some(cache) = &self.cache {
            cache.forget(name);
        }
    }

    async fn keep(&self, name: &str, parts: Vec<Bytes>) {
        let Some(cache) = self.cache.clone() else { return };
        let object = name.to_owned();
        if let Ok(Err(error)) = spawn_blocking(move || cache.keep(&object, &parts)).await {
            tracing::warn!(object = name, %error, "the cache can't keep a pack");
        }
    }

    /// How many large writes at once are faster than one after another.
    pub(crate) fn writes_at_once(&self) -> u32 {
        self.storage.writes_at_once()
    }

    /// Writes an object of a name that only this writer uses. Sends the same bytes again if that fails.
    pub(crate) async fn create_own(&self, name: &str, parts: &[Bytes]) -> Result<(), RepositoryError> {
        match self.create(name, parts).await? {
            Created::New => Ok(()),
            Created::Exists => {
                let ours = parts.concat();
                if self.size(name).await? == Some(ours.len() as u64)
                    && self.read(name, ours.len() as u64).await? == ours
                {
                    // An earlier attempt of ours that reported a failure; write again, so that it is surely durable.
                    return self.replace(name, parts).await;
                }
                Err(RepositoryError::damaged(name, "another writer's bytes are under this name"))
            }
        }
    }

    /// Writes an object unless there is one of that name.
    pub(crate) async fn create(&self, name: &str, parts: &[Bytes]) -> Result<Created, RepositoryError> {
        if !self.create_only && self.size(name).await?.is_some() {
            return Ok(Created::Exists);
        }
        let attempt = || async {
            if self.create_only {
                self.storage.create(name, parts).await
            } else {
                self.storage.replace(name, parts).await
            }
        };
        match retry(attempt).await {
            Ok(()) => Ok(Created::New),
            Err(Error::AlreadyExists { .. }) => Ok(Created::Exists),
            Err(source) => Err(self.failed("write", name, source)),
        }
    }

    /// Writes an object, whatever was there.
    pub(crate) async fn replace(&self, name: &str, parts: &[Bytes]) -> Result<(), RepositoryError> {
        retry(|| self.storage.replace(name, parts)).await.map_err(|source| self.failed("write", name, source))
    }

    /// A whole object; `Damaged`, and not read, if it is larger than anything of its kind can be.
    pub(crate) async fn read(&self, name: &str, limit_bytes: u64) -> Result<Bytes, RepositoryError> {
        let Some(size) = self.size(name).await? else { return Err(self.missing(name).await) };
        if size > limit_bytes {
            let problem = format!("it has {size} bytes; {limit_bytes} are the most that are possible");
            return Err(RepositoryError::damaged(name, problem));
        }
        retry(|| self.storage.read(name)).await.map_err(|source| self.failed("read", name, source))
    }

    /// Why an object isn't there: perhaps because nothing is.
    async fn missing(&self, name: &str) -> RepositoryError {
        let missing = RepositoryError::Missing { object: name.into() };
        self.ensure_here().await.err().unwrap_or(missing)
    }

    /// A part of an object; `Damaged` if the object is too short for it.
    pub(crate) async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, RepositoryError> {
        let (wanted, end) = (range.end.saturating_sub(range.start), range.end);
        let attempt = || self.storage.read_range(name, range.clone());
        let mut read = attempt().await;
        // What lies beyond the end isn't there the next time either.
        if read.is_err() && !self.is_shorter(name, end).await? {
            read = retry(attempt).await;
        }
        match read {
            Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
            Err(Error::NotFound { .. }) => Err(self.missing(name).await),
            Err(source) if !self.is_shorter(name, end).await? => Err(self.failed("read", name, source)),
            _ => Err(RepositoryError::damaged(name, "it is truncated")),
        }
    }

    async fn is_shorter(&self, name: &str, than: u64) -> Result<bool, RepositoryError> {
        Ok(self.size(name).await?.is_some_and(|size| size < than))
    }

    /// Size of an object, if it is there.
    pub(crate) async fn size(&self, name: &str) -> Result<Option<u64>, RepositoryError> {
        match retry(|| self.storage.size(name)).await {
            Ok(size) => Ok(Some(size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed("look for", name, source)),
        }
    }

    /// When an object was written, by the storage's clock in milliseconds since 1970, if it is there.
    pub(crate) async fn modified_ms(&self, name: &str) -> Result<Option<i64>, RepositoryError> {
        match retry(|| self.storage.modified_ms(name)).await {
            Ok(modified_ms) => Ok(Some(modified_ms)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed("look at", name, source)),
        }
    }

    /// What the storage's clock says, found out by writing something.
    pub(crate) async fn now_ms(&self) -> Result<i64, RepositoryError> {
        let name = format!("probe-{}", hex(&random::<8>()?));
        self.replace(&name, &[Bytes::from_static(b"probe")]).await?;
        let now_ms = self.modified_ms(&name).await;
        self.delete(&name).await?;
        now_ms?.ok_or(RepositoryError::Missing { object: name })
    }

    /// Names and sizes of the objects of a folder, by name.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, RepositoryError> {
        let mut found =
            retry(|| self.storage.list(folder)).await.map_err(|source| self.failed("list", folder, source))?;
        if found.is_empty() && self.storage.is_far() {
            // Perhaps because nothing is there any more.
            self.ensure_here().await?;
        }
        found.sort();
        Ok(found)
    }

    /// Makes objects durable that another writer wrote, perhaps one that died before it could.
    pub(crate) async fn sync(&self, names: &[String]) -> Result<(), RepositoryError> {
        let failed = |source| self.failed("sync", names.first().map_or("", String::as_str), source);
        retry(|| self.storage.sync(names)).await.map_err(failed)
    }

    /// Removes what dead writers have left unfinished before this time; comes back with number and bytes.
    pub(crate) async fn remove_unfinished(&self, before_ms: i64) -> Result<(u64, u64), RepositoryError> {
        let failed = |source| self.failed("clear", "what is unfinished", source);
        retry(|| self.storage.remove_unfinished(before_ms)).await.map_err(failed)
    }

    /// Removes an object if it is there.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), RepositoryError> {
        match retry(|| self.storage.delete(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed("delete", name, source)),
        }
    }

    /// Whether the storage refuses to create an object twice, found out by trying.
    pub(crate) async fn probe_create_only(&self, name: &str) -> Result<bool, RepositoryError> {
        let part = [Bytes::from_static(b"probe")];
        let first = self.storage.create(name, &part).await;
        let refused =
            first.is_ok() && matches!(self.storage.create(name, &part).await, Err(Error::AlreadyExists { .. }));
        self.delete(name).await?;
        if let Err(source) = first
            && !matches!(source, Error::Generic { .. } | Error::NotSupported { .. } | Error::NotImplemented { .. })
        {
            return Err(self.failed("write", name, source));
        }
        Ok(refused)
    }
}

async fn retry<T, F: Future<Output = Result<T, Error>>>(attempt: impl Fn() -> F) -> Result<T, Error> {
    for pause in PAUSES {
        match attempt().await {
            Err(error) if storage_is_retryable(&error) && Elsewhere::told_by(&error).is_none() => {
                tracing::warn!(%error, "the storage failed; trying again");
                tokio::time::sleep(pause).await;
            }
            done => return done,
        }
    }
    attempt().await
}

/// What is in the place of a repository.
fn away(elsewhere: &Elsewhere, opened: RepositoryId, location: &str) -> RepositoryError {
    let location = location.to_owned();
    let Elsewhere::Another(config) = elsewhere else { return RepositoryError::Away { location } };
    match StoredConfig::read(config) {
        Ok(StoredConfig { repository, .. }) => RepositoryError::Exchanged { location, opened, found: Some(repository) },
        // That of a newer program: its id is in a place that this one doesn't know.
        Err(RepositoryError::UnsupportedVersion { .. }) => RepositoryError::Exchanged { location, opened, found: None },
        Err(damaged) => damaged,
    }
}
