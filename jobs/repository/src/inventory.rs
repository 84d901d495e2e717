//! What counted when a master key was replaced (format, section 4).
//!
//! Whoever was locked out by a rotation may have kept the ring from before, and may still write to the folder. Invariant: of what older
//! masters have sealed, only what the newest rotation met counts; where that can't be told, it is neither believed nor removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bson::{Binary, serialize_to_vec};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::config::binary;
use crate::limits::{self, RECORD_OBJECT_BYTES};
use crate::names::{hex, unhex};
use crate::object_name::{Folder, GENERATIONS, ManifestName, OWNERS};
use crate::record::{RecordType, key_id_of};
use crate::seal::Sealer;
use crate::store::Store;
use crate::vault::Vault;
use crate::{Damage, Domain, RepositoryError};

/// Folder of the inventories.
pub(crate) const INVENTORIES: &str = "inventories";
const FORMAT: i32 = 1;
/// How often an inventory is stored: without it nobody could tell what of the older masters counts.
const COPIES: [&str; 2] = ["1", "2"];
/// In the place of the hash, and of the number, of what was met after the mark.
const LATE: &str = "late";
/// Objects read at once.
const READS: usize = 8;

/// Names of objects, and the hashes of what was stored; none where that couldn't be read.
pub(crate) type Objects = BTreeMap<String, Option<[u8; 32]>>;

/// What the rotation to a master met that counted.
#[derive(Debug)]
pub(crate) struct Inventory {
    /// Of that master.
    key_id: u32,
    hash: [u8; 32],
    /// What was there before the mark, or why that isn't known.
    met: Result<Objects, String>,
    /// What had come by the time of the mark. Not there yet for a moment, and for good where the rotation was broken off then.
    late: OnceCell<Objects>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    format: i32,
    /// Hashes of 32 bytes, or nothing.
    objects: BTreeMap<String, Binary>,
}

/// Whether what such a record says is believed since a master has sealed it. What packs and lists hold is proven by what names them, and
/// what older masters have sealed of these isn't built on.
pub(crate) fn is_believed(record_type: RecordType) -> bool {
    match record_type {
        RecordType::Manifest
        | RecordType::Generation
        | RecordType::Pin
        | RecordType::Distrust
        | RecordType::Owner
        | RecordType::Forgotten => true,
        RecordType::Chunk
        | RecordType::Delta
        | RecordType::Footer
        | RecordType::Index
        | RecordType::List
        | RecordType::Master
        | RecordType::Inventory => false,
    }
}

/// Whether this is the name of such an object; of which master.
pub(crate) fn parse_inventory(object: &str) -> Option<u32> {
    let (key_id, rest) = object.strip_prefix(INVENTORIES)?.strip_prefix('/')?.split_once('.')?;
    let number = key_id.parse().ok().filter(|number| format!("{number:010}") == key_id)?;
    let is_copy = |(hash, copy): (&str, &str)| unhex::<32>(hash).is_some() && COPIES.contains(&copy);
    (rest == LATE || rest.split_once('.').is_some_and(is_copy)).then_some(number)
}

/// What all copies of one begin with.
fn stem(key_id: u32) -> String {
    format!("{INVENTORIES}/{key_id:010}")
}

/// The copies of the one with this hash.
fn copies(key_id: u32, hash: &[u8; 32]) -> [String; 2] {
    COPIES.map(|copy| format!("{}.{}.{copy}", stem(key_id), hex(hash)))
}

fn late(key_id: u32) -> String {
    format!("{}.{LATE}", stem(key_id))
}

impl Inventory {
    /// Reads the one with this hash, of the newest master.
    pub(crate) async fn load(vault: &Vault, hash: &[u8; 32]) -> Result<Self, RepositoryError> {
        let key_id = vault.keys.newest_key_id();
        let mut problem = String::new();
        for object in copies(key_id, hash) {
            match read(vault, &object, &stem(key_id), Some(hash)).await {
                Ok(met) => return Ok(Self { key_id, hash: *hash, met: Ok(met), late: OnceCell::new() }),
                Err(error) => {
                    let damage = error.damage().ok_or(error)?;
                    tracing::warn!(%damage, "going on without it");
                    problem = format!(
                        "{damage}, so nobody knows what counted when the master key was replaced; \
                         put that back from a copy of the repository"
                    );
                }
            }
        }
        Ok(Self { key_id, hash: *hash, met: Err(problem), late: OnceCell::new() })
    }

    /// What is wrong with its objects.
    pub(crate) async fn damage(&self, vault: &Vault) -> Result<Vec<Damage>, RepositoryError> {
        let (stem, late, mut found) = (stem(self.key_id), late(self.key_id), Vec::new());
        let copies = copies(self.key_id, &self.hash).map(|object| (object, &stem, Some(&self.hash)));
        for (object, name, hash) in copies.into_iter().chain([(late.clone(), &late, None)]) {
            if let Err(error) = read(vault, &object, name, hash).await {
                found.push(error.damage().ok_or(error)?);
            }
        }
        Ok(found)
    }

    /// Fails with `NotCounted` where an older master has sealed what the rotation didn't meet, and with `Damaged` where that can't be
    /// told.
    pub(crate) async fn check(&self, vault: &Vault, object: &str, stored: &[u8]) -> Result<(), RepositoryError> {
        let key_id = key_id_of(stored);
        if key_id >= self.key_id {
            return Ok(());
        }
        let met = self.met.as_ref().map_err(|problem| RepositoryError::damaged(object, problem))?;
        let noted = match met.get(object) {
            Some(noted) => noted,
            None => match self.late(vault).await?.map(|late| late.get(object)) {
                Some(Some(noted)) => noted,
                Some(None) => return Err(RepositoryError::NotCounted { object: object.into(), key_id }),
                None => return Err(RepositoryError::damaged(object, UNDECIDED)),
            },
        };
        match noted {
            Some(hash) if blake3::hash(stored) == *hash => Ok(()),
            Some(_) => Err(RepositoryError::NotCounted { object: object.into(), key_id }),
            None => Err(RepositoryError::damaged(object, MENDED)),
        }
    }

    /// What had come by the time of the mark, if that is known.
    async fn late(&self, vault: &Vault) -> Result<Option<&Objects>, RepositoryError> {
        if self.late.get().is_none() {
            let object = late(self.key_id);
            match read(vault, &object, &object, None).await {
                Ok(objects) => drop(self.late.set(objects)),
                Err(error) if error.damage().is_some() => tracing::warn!(%error, "going on without it"),
                Err(error) => return Err(error),
            }
        }
        Ok(self.late.get())
    }
}

/// Said of what may have come between an inventory and its mark.
const UNDECIDED: &str = "it isn't among what was there when the master key was replaced, and that rotation was broken off before it \
     looked for what came meanwhile: where the job history has no such backup, remove it";
/// Said of what can be read again.
const MENDED: &str = "it couldn't be read when the master key was replaced, so nobody can tell whether it is what was there: copy the \
     backup from the repository that this comes from";

/// Notes what counts, before the mark of the newest master; comes back with that and the hash of the inventory.
pub(crate) async fn take(vault: &Vault) -> Result<(Objects, [u8; 32]), RepositoryError> {
    let (met, key_id) = (meet(vault, &Objects::new()).await?, vault.keys.newest_key_id());
    let sealed = seal(vault, &stem(key_id), &met).await?;
    let hash = *blake3::hash(&sealed).as_bytes();
    for object in copies(key_id, &hash) {
        vault.store.create_own(&object, std::slice::from_ref(&sealed)).await?;
    }
    Ok((met, hash))
}

/// Notes what came before the mark and isn't in the inventory: whoever commits later finds the mark, and begins again.
pub(crate) async fn complete(vault: &Vault, met: &Objects) -> Result<(), RepositoryError> {
    let (come, object) = (meet(vault, met).await?, late(vault.keys.newest_key_id()));
    let sealed = seal(vault, &object, &come).await?;
    vault.store.create_own(&object, &[sealed]).await
}

/// Removes all inventories up to this master's, except for its own with this hash.
pub(crate) async fn tidy(store: &Store, key_id: u32, keep: Option<&[u8; 32]>) -> Result<(), RepositoryError> {
    let ours = keep.map(|hash| copies(key_id, hash));
    for (object, _) in store.list(INVENTORIES).await? {
        let is_ours = ours.as_ref().is_some_and(|ours| ours.contains(&object) || object == late(key_id));
        if parse_inventory(&object).is_some_and(|of| of <= key_id) && !is_ours {
            store.delete(&object).await?;
        }
    }
    Ok(())
}

/// Removes what a rotation has made that came to nothing.
pub(crate) async fn undo(store: &Store, key_id: u32, hash: &[u8; 32]) -> Result<(), RepositoryError> {
    for object in copies(key_id, hash) {
        store.delete(&object).await?;
    }
    Ok(())
}

/// What older masters have sealed and counts, apart from what is known already.
async fn meet(vault: &Vault, known: &Objects) -> Result<Objects, RepositoryError> {
    let folder = |folder: Folder| folder.of(Domain::Sealed);
    let kinds = [
        (folder(Folder::Manifests), RecordType::Manifest),
        (folder(Folder::Pins), RecordType::Pin),
        (folder(Folder::Distrust), RecordType::Distrust),
        (folder(Folder::Forgotten), RecordType::Forgotten),
        (GENERATIONS.to_owned(), RecordType::Generation),
        (OWNERS.to_owned(), RecordType::Owner),
    ];
    let mut met = Objects::new();
    for (folder, record_type) in kinds {
        let mut names: Vec<String> = vault.store.list(&folder).await?.into_iter().map(|(object, _)| object).collect();
        names.retain(|name| !known.contains_key(name));
        let mut reads = stream::iter(names).map(|object| meet_one(vault, object, record_type)).buffered(READS);
        while let Some(found) = reads.try_next().await? {
            met.extend(found);
        }
    }
    Ok(met)
}

/// An object that counts, with the hash of what is stored. A manifest that can't be read may be put right from a copy, but nobody will
/// know then whether that is what was there.
async fn meet_one(
    vault: &Vault,
    object: String,
    record_type: RecordType,
) -> Result<Option<(String, Option<[u8; 32]>)>, RepositoryError> {
    match vault.read_named(&object, record_type).await {
        Ok((_, stored)) if key_id_of(&stored) >= vault.keys.newest_key_id() => Ok(None),
        Ok((_, stored)) => Ok(Some((object, Some(*blake3::hash(&stored).as_bytes())))),
        Err(RepositoryError::Missing { .. }) => Ok(None),
        Err(error) if error.is_outdated() => Ok(None),
        Err(error) if error.damage().is_some() => Ok(ManifestName::parse(&object).is_ok().then_some((object, None))),
        Err(error) => Err(error),
    }
}

async fn seal(vault: &Vault, name: &str, objects: &Objects) -> Result<bytes::Bytes, RepositoryError> {
    let (body, sealer) = (encode(objects)?, Arc::new(Sealer::new(vault.keys.clone(), Domain::Sealed)?));
    vault.seal_record(&sealer, RecordType::Inventory, vault.name_id(name), body).await
}

/// Reads an inventory whose record is bound to this name, if it is the one with this hash.
async fn read(vault: &Vault, object: &str, name: &str, hash: Option<&[u8; 32]>) -> Result<Objects, RepositoryError> {
    let stored = vault.store.read(object, RECORD_OBJECT_BYTES).await?;
    if hash.is_some_and(|hash| blake3::hash(&stored) != *hash) {
        return Err(RepositoryError::damaged(object, "it isn't what its name says"));
    }
    let body = vault.open_record(object, stored, RecordType::Inventory, vault.name_id(name)).await?;
    decode(object, &body)
}

pub(crate) fn encode(objects: &Objects) -> Result<Vec<u8>, RepositoryError> {
    let hashes = objects.iter().map(|(object, hash)| (object.clone(), binary(hash.as_ref().map_or(&[], |hash| hash))));
    let body = serialize_to_vec(&Body { format: FORMAT, objects: hashes.collect() });
    body.map_err(|error| RepositoryError::Internal { what: "inventory", reason: error.to_string() })
}

/// The body of such a record.
pub(crate) fn decode(object: &str, body: &[u8]) -> Result<Objects, RepositoryError> {
    let body: Body = limits::decode(object, body, ("inventory", FORMAT..=FORMAT))?;
    let bad = || RepositoryError::damaged(object, "a hash has 32 bytes");
    let hashes = body.objects.into_iter().map(|(name, hash)| match &hash.bytes[..] {
        [] => Ok((name, None)),
        hash => Ok((name, Some(hash.try_into().map_err(|_| bad())?))),
    });
    hashes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inventories_are_known_by_their_names() {
        for name in copies(7, &[0xab; 32]).iter().chain([&late(7)]) {
            assert_eq!(parse_inventory(name), Some(7), "{name}");
        }
        for bad in ["inventories/7.late", "inventories/0000000007", "inventories/0000000007.ab.1", "inventories/late"] {
            assert_eq!(parse_inventory(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_body_holds_hashes_of_32_bytes_or_none() {
        let body = |bytes: &[u8]| {
            let objects = BTreeMap::from([("sealed/manifests/a".to_owned(), binary(bytes))]);
            serialize_to_vec(&Body { format: FORMAT, objects }).expect("small")
        };
        assert_eq!(decode("i", &body(&[7; 32])).expect("good")["sealed/manifests/a"], Some([7; 32]));
        assert_eq!(decode("i", &body(&[])).expect("good")["sealed/manifests/a"], None);
        assert!(decode("i", &body(&[7; 31])).expect_err("short").damage().is_some());
    }
}
