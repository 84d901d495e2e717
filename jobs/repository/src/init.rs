//! Making a repository and opening one: folder, key slots, config.
//!
//! Invariant: the config is written last, and only where there was none; it alone makes a folder a repository.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::bucket::BucketStorage;
use crate::cache::{Cache, CacheOptions};
use crate::config::{CONFIG, Config, StoredConfig};
use crate::key_file::{self, sync_folder};
use crate::keys::{FIRST_KEY_ID, KeyRing, Keys};
use crate::limits::UNSEALED_BYTES;
use crate::local::LocalStorage;
use crate::location::Place;
use crate::masters::{self, Standing};
use crate::names::hex;
use crate::pool::Pool;
use crate::slot::{SLOTS, Slot, SlotSecret, StoredSlot, is_slot_name};
use crate::storage::Storage;
use crate::store::{Created, Store};
use crate::{InitOptions, Location, PassphraseCost, RepositoryError, RepositoryId, Unlock};

/// The most slots there may be: each passphrase slot costs.
pub(crate) const MAX_SLOTS: usize = 16;
/// More aren't tried: a rotation has both the old ones and the new ones for a moment.
const TRIED_SLOTS: usize = 2 * MAX_SLOTS;

/// What opening yields.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) config: Config,
    pub(crate) keys: Keys,
}

/// Makes a repository in a local folder or a bucket.
pub(crate) async fn init(location: &Location, unlock: &Unlock, options: &InitOptions) -> Result<(), RepositoryError> {
    options.chunk.check().map_err(|reason| RepositoryError::BadName {
        what: "chunk sizes",
        name: String::new(),
        reason,
    })?;
    let Some(folder) = location.path() else {
        let storage = bucket(location)?;
        check_names(location, storage.top().await.map_err(|source| unopened(location, source))?)?;
        return init_on(Arc::new(storage), location, secret_of(unlock, true)?, options).await;
    };
    let folder_exists = check_folder(location, folder)?;
    refuse_key_inside(location, unlock)?;
    let secret = secret_of(unlock, true)?;
    if !folder_exists {
        create_folder(folder)?;
    }
    init_on(local(location, folder)?, location, secret, options).await
}

/// Makes a repository on a storage that holds none.
pub(crate) async fn init_on(
    storage: Arc<dyn Storage>,
    location: &Location,
    secret: Option<SlotSecret>,
    options: &InitOptions,
) -> Result<(), RepositoryError> {
    let store = Store::new(storage, true);
    let probe = format!("probe-{}", hex(&crate::keys::random::<8>()?));
    let create_only = store.probe_create_only(&probe).await?;
    let store = store.with_create_only(create_only);
    let config = Config::new(options, secret.is_some(), create_only)?;
    let ring = match secret {
        None => None,
        Some(secret) => {
            let ring = KeyRing::generate()?;
            let label = &options.slot_label;
            add_slot(&store, &config.repository()?, &ring, secret, label, options.passphrase_cost).await?;
            Some(ring)
        }
    };
    let sealed = Bytes::from(config.seal(ring.as_ref())?);
    match store.create(CONFIG, &[sealed]).await? {
        Created::New => Ok(()),
        Created::Exists => Err(RepositoryError::AlreadyInitialised { location: location.to_string() }),
    }
}

/// Opens the repository in a local folder or a bucket.
pub(crate) async fn open(location: &Location, unlock: &Unlock) -> Result<Opened, RepositoryError> {
    let Some(folder) = location.path() else {
        return open_on(Arc::new(bucket(location)?), location, unlock).await;
    };
    match folder.try_exists() {
        Ok(true) => open_on(local(location, folder)?, location, unlock).await,
        Ok(false) => Err(RepositoryError::NotInitialised { location: location.to_string() }),
        Err(error) => Err(RepositoryError::BadLocation { url: location.to_string(), reason: error.to_string() }),
    }
}

/// Opens the repository on a storage.
pub(crate) async fn open_on(
    storage: Arc<dyn Storage>,
    location: &Location,
    unlock: &Unlock,
) -> Result<Opened, RepositoryError> {
    let store = Store::new(storage, true);
    let config = match store.read(CONFIG, UNSEALED_BYTES).await {
        Err(RepositoryError::Missing { .. }) => {
            return Err(RepositoryError::NotInitialised { location: location.to_string() });
        }
        read => read?,
    };
    let stored = StoredConfig::read(&config)?;
    let store = store.anchored(location.to_string(), stored.repository, &config);
    let ring = match (stored.config.encrypted, secret_of(unlock, false)?) {
        (false, None) => None,
        (false, Some(_)) => {
            return Err(RepositoryError::NotEncrypted { location: location.to_string() });
        }
        (true, None) => {
            return Err(RepositoryError::KeyRequired { location: location.to_string() });
        }
        (true, Some(secret)) => {
            let of = (&stored.repository, stored.config.is_vouched());
            Some(open_ring(&store, of, location, secret).await?)
        }
    };
    stored.authenticate(ring.as_ref())?;
    let store = store.with_create_only(stored.config.create_only);
    let inventory = match &ring {
        Some(ring) => masters::inventory(&store, &stored.repository, ring).await?,
        None => None,
    };
    let keys = Keys::new(stored.repository, ring, &stored.plain_seed).with_inventory(inventory);
    let store = match location.cache() {
        None => store,
        Some(options) => store.with_cache(cache(options, &stored.repository)?),
    };
    Ok(Opened { store, config: stored.config, keys })
}

/// Writes a key slot and proves it by opening it from the storage.
pub(crate) async fn add_slot(
    store: &Store,
    repository: &RepositoryId,
    ring: &KeyRing,
    secret: SlotSecret,
    label: &str,
    cost: PassphraseCost,
) -> Result<Slot, RepositoryError> {
    let slot = Slot::new(repository, &secret, (label, ring), cost)?;
    let (new, key) = (slot.clone(), secret.clone());
    let copy = ring.copy();
    let sealed = Pool::new().run(move || new.seal(&key, &copy)).await??;
    store.create_own(&slot.name(), &[Bytes::from(sealed)]).await?;
    let stored = StoredSlot::read(&slot.name(), &store.read(&slot.name(), UNSEALED_BYTES).await?)?;
    let proven = Pool::new().run(move || stored.open(&secret)).await??;
    if proven.is_none_or(|proven| !proven.is(ring)) {
        return Err(RepositoryError::Slot { reason: "the new slot doesn't open; it must not be relied on".into() });
    }
    Ok(slot)
}

/// All slots of this repository whose checksum holds, and the first failure among the others.
pub(crate) async fn read_slots(
    store: &Store,
    repository: &RepositoryId,
) -> Result<(Vec<StoredSlot>, Option<RepositoryError>), RepositoryError> {
    let (mut slots, mut damaged) = (Vec::new(), None);
    for (name, _) in store.list(SLOTS).await? {
        if !is_slot_name(&name) {
            tracing::warn!(name, "not the name of a key slot; ignored");
            continue;
        }
        match read_slot(store, &name).await {
            Ok(slot) if slot.is_of(repository) => slots.push(slot),
            Ok(_) => {}
            Err(error @ RepositoryError::Storage { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "a key slot can't be used");
                damaged.get_or_insert(error);
            }
        }
    }
    Ok((slots, damaged))
}

/// One slot whose checksum holds.
pub(crate) async fn read_slot(store: &Store, name: &str) -> Result<StoredSlot, RepositoryError> {
    StoredSlot::read(name, &store.read(name, UNSEALED_BYTES).await?)
}

/// What a person gave, as a slot's secret. Makes a key file that doesn't exist if asked to.
pub(crate) fn secret_of(unlock: &Unlock, create: bool) -> Result<Option<SlotSecret>, RepositoryError> {
    Ok(match unlock {
        Unlock::None => None,
        Unlock::Passphrase(passphrase) => Some(SlotSecret::Passphrase(passphrase.clone())),
        Unlock::KeyFile(path) => {
            let key = if create { key_file::read_or_create(path)? } else { key_file::read(path)? };
            Some(SlotSecret::KeyFile(key))
        }
    })
}

/// A key within the folder that it protects protects nothing.
pub(crate) fn refuse_key_inside(location: &Location, unlock: &Unlock) -> Result<(), RepositoryError> {
    let (Unlock::KeyFile(path), Some(folder)) = (unlock, location.path()) else { return Ok(()) };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let inside = match (parent.canonicalize(), folder.canonicalize()) {
        (Ok(parent), Ok(folder)) => parent.starts_with(folder),
        _ => path.starts_with(folder),
    };
    if !inside {
        return Ok(());
    }
    let reason = "it would lie within the repository that it protects; keep it elsewhere".into();
    Err(RepositoryError::KeyFileUnreadable { path: path.clone(), reason })
}

/// The ring that a secret opens and that is in force, in a repository whose marks and slots are vouched for, or aren't.
async fn open_ring(
    store: &Store,
    (repository, vouched): (&RepositoryId, bool),
    location: &Location,
    secret: SlotSecret,
) -> Result<KeyRing, RepositoryError> {
    let (slots, mut damaged) = read_slots(store, repository).await?;
    let mut left_behind = None;
    // Only a passphrase costs so much that others' slots may not be many.
    let tried = if matches!(secret, SlotSecret::Passphrase(_)) { TRIED_SLOTS } else { slots.len() };
    for slot in slots.iter().filter(|slot| slot.is_for(&secret)).take(tried) {
        let (slot, secret) = (slot.clone(), secret.clone());
        match Pool::new().run(move || slot.open(&secret)).await? {
            Ok(Some(ring)) => {
                let ring = KeyRing { vouched, ..ring };
                let believed = slots.iter().filter(|slot| slot.is_believed(repository, &ring));
                let lowest = believed.map(|slot| slot.slot().key_id()).min().unwrap_or(FIRST_KEY_ID);
                match masters::standing(store, repository, &ring, lowest).await? {
                    Standing::InForce(inventory) => return Ok(KeyRing { inventory, ..ring }),
                    Standing::Behind(marked) => {
                        left_behind.get_or_insert(masters::rotated(location.to_string(), marked));
                    }
                    Standing::Unmarked => {
                        tracing::warn!(key_id = ring.newest(), "a rotation of the key wasn't finished");
                    }
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "a key slot can't be used");
                damaged.get_or_insert(error);
            }
        }
    }
    // A damaged slot may have been the right one, so don't blame the key.
    Err(damaged.or(left_behind).unwrap_or_else(|| RepositoryError::WrongKey { location: location.to_string() }))
}

/// Whether the folder exists; refuses one that holds a repository or anything else.
fn check_folder(location: &Location, folder: &Path) -> Result<bool, RepositoryError> {
    let bad =
        |error: std::io::Error| RepositoryError::BadLocation { url: location.to_string(), reason: error.to_string() };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = folder.parent().unwrap_or(Path::new("/"));
            if parent.is_dir() {
                return Ok(false);
            }
            return Err(RepositoryError::ParentMissing { path: parent.into() });
        }
        Err(error) => return Err(bad(error)),
    };
    let names: Vec<String> = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()
        .map_err(bad)?;
    check_names(location, names).map(|()| true)
}

/// Refuses a place that holds a repository or anything else.
fn check_names(location: &Location, names: Vec<String>) -> Result<(), RepositoryError> {
    if names.iter().any(|name| name == CONFIG) {
        return Err(RepositoryError::AlreadyInitialised { location: location.to_string() });
    }
    match names.into_iter().find(|name| !is_harmless(name)) {
        Some(entry) => Err(RepositoryError::ForeignFolder { location: location.to_string(), entry }),
        None => Ok(()),
    }
}

/// What a file system or an interrupted init leaves: key slots that no config stands by protect nothing.
fn is_harmless(name: &str) -> bool {
    name == "lost+found" || name == SLOTS || name.starts_with("probe-") || name.starts_with("config#")
}

fn create_folder(folder: &Path) -> Result<(), RepositoryError> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let created = builder.create(folder).and_then(|()| sync_folder(folder.parent()));
    created
        .map_err(|error| RepositoryError::BadLocation { url: folder.display().to_string(), reason: error.to_string() })
}

fn local(location: &Location, folder: &Path) -> Result<Arc<dyn Storage>, RepositoryError> {
    Ok(Arc::new(LocalStorage::open(folder).map_err(|source| unopened(location, source))?))
}

fn bucket(location: &Location) -> Result<BucketStorage, RepositoryError> {
    let bad = |reason| RepositoryError::BadLocation { url: location.to_string(), reason };
    match location.place() {
        Place::Bucket { service, bucket, prefix } => {
            BucketStorage::open((*service, bucket, prefix), location.settings()).map_err(bad)
        }
        Place::Folder(_) => Err(bad("it isn't a bucket".into())),
    }
}

fn cache(options: &CacheOptions, repository: &RepositoryId) -> Result<Cache, RepositoryError> {
    Cache::open(options, &repository.to_string())
        .map_err(|error| RepositoryError::Cache { path: options.folder.clone(), reason: error.to_string() })
}

fn unopened(location: &Location, source: object_store::Error) -> RepositoryError {
    RepositoryError::Storage { operation: "open", object: location.to_string(), source }
}
