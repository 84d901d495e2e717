//! Packs that a verification found damaged although their size is right (format, section 6): writers pass over them.
//!
//! Each record is an object whose name is a hash of its content, so that no two writers collide, and nobody needs a lock.
//! Invariant: distrust costs space, never a document. Readers don't ask for it, and a pack goes only once no backup needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bytes_reader::BytesReader;
use crate::index::Index;
use crate::names::{hex, unhex};
use crate::object_name::Folder;
use crate::record::RecordType;
use crate::seal::Sealer;
use crate::store::Created;
use crate::vault::Vault;
use crate::{Damage, RepositoryError};

/// Names of packs, without the folder, and their sizes as written.
pub(crate) type Packs = BTreeMap<String, u64>;

/// The records of a domain.
#[derive(Debug, Default)]
pub(crate) struct Distrust {
    /// By the name of the object.
    pub(crate) objects: BTreeMap<String, Packs>,
    /// Those that a master key has sealed which was given up, as it has the packs that they name, or that don't count.
    retired: Vec<String>,
    /// Those that can't be read: whatever they said is found again by the next verification.
    pub(crate) damage: Vec<Damage>,
}

impl Distrust {
    pub(crate) async fn load(vault: &Vault) -> Result<Self, RepositoryError> {
        let mut out = Self::default();
        let folder = Folder::Distrust.of(vault.domain);
        for (object, _) in vault.store.list(&folder).await? {
            if object.strip_prefix(&format!("{folder}/")).and_then(unhex::<32>).is_none() {
                tracing::warn!(object, "not the name of a record of distrust; ignored");
                continue;
            }
            match read(vault, &object).await {
                Ok(packs) => drop(out.objects.insert(object, packs)),
                // Another repair has just replaced it.
                Err(RepositoryError::Missing { .. }) => {}
                Err(error) if error.is_outdated() => out.retired.push(object),
                Err(error) => {
                    let damage = error.damage().ok_or(error)?;
                    tracing::warn!(%damage, "going on without it");
                    out.damage.push(damage);
                }
            }
        }
        Ok(out)
    }

    /// Whether a pack of this size, named without its folder, is distrusted. One of another size is another matter.
    pub(crate) fn names(&self, pack: &str, stored_bytes: u64) -> bool {
        self.objects.values().any(|packs| packs.get(pack) == Some(&stored_bytes))
    }

    /// Takes packs out. What else the objects name is written anew before they go.
    pub(crate) async fn lift(&self, vault: &Arc<Vault>, sound: &BTreeSet<String>) -> Result<(), RepositoryError> {
        for (object, packs) in &self.objects {
            let rest: Packs = packs
                .iter()
                .filter(|(name, _)| !sound.contains(*name))
                .map(|(name, size)| (name.clone(), *size))
                .collect();
            if rest.len() == packs.len() {
                continue;
            }
            if !rest.is_empty() {
                record(vault, &rest).await?;
            }
            vault.store.delete(object).await?;
        }
        Ok(())
    }

    /// Removes the objects all of whose packs are gone, or can't be read by anybody any more.
    pub(crate) async fn tidy(&self, vault: &Arc<Vault>) -> Result<(), RepositoryError> {
        let present = vault.store.list(&Folder::Packs.of(vault.domain)).await?;
        let present: BTreeSet<&str> = present.iter().filter_map(|(object, _)| object.rsplit('/').next()).collect();
        for (object, packs) in &self.objects {
            if !packs.keys().any(|name| present.contains(name.as_str())) {
                vault.store.delete(object).await?;
            }
        }
        for object in &self.retired {
            vault.store.delete(object).await?;
        }
        Ok(())
    }
}

/// Records that packs aren't to be trusted. The same packs give the same object; one that is damaged is written again.
pub(crate) async fn record(vault: &Arc<Vault>, packs: &Packs) -> Result<(), RepositoryError> {
    let body = encode(packs);
    let object = name_of(vault, &body);
    let sealer = Arc::new(Sealer::new(vault.keys.clone(), vault.domain)?);
    let sealed = [vault.seal_record(&sealer, RecordType::Distrust, vault.name_id(&object), body).await?];
    if vault.store.create(&object, &sealed).await? == Created::Exists {
        match read(vault, &object).await {
            Ok(_) => vault.store.sync(&[object]).await?,
            Err(error) if error.damage().is_some() => vault.store.replace(&object, &sealed).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Records packs that reading has shown to be damaged in a way that writers don't see. What can't be written, on a disk that may only
/// be read, is no reason to fail: then the next verification tells again.
pub(crate) async fn record_found(vault: &Arc<Vault>, index: &Index, damaged: impl Iterator<Item = usize>) {
    let found = damaged.map(|place| &index.packs[place]).filter(|pack| pack.is_whole() && !pack.distrusted);
    let packs: Packs = found.map(|pack| (pack.name().to_owned(), pack.stored_bytes)).collect();
    if packs.is_empty() {
        return;
    }
    match record(vault, &packs).await {
        Ok(()) => tracing::warn!(?packs, "these packs are damaged: backups don't build on them any more"),
        Err(error) => tracing::warn!(?packs, %error, "these packs are damaged, and that can't be recorded"),
    }
}

async fn read(vault: &Vault, object: &str) -> Result<Packs, RepositoryError> {
    let (body, _) = vault.read_named(object, RecordType::Distrust).await?;
    let packs = decode(&body).filter(|_| name_of(vault, &body) == object);
    packs.ok_or_else(|| RepositoryError::damaged(object, "it isn't a record of distrust"))
}

fn name_of(vault: &Vault, body: &[u8]) -> String {
    Folder::Distrust.object(vault.domain, &hex(blake3::keyed_hash(&vault.domain_keys().name, body).as_bytes()))
}

pub(crate) fn encode(packs: &Packs) -> Vec<u8> {
    let count = u32::try_from(packs.len()).expect("fewer than 2^32 packs");
    let mut out = count.to_le_bytes().to_vec();
    for (name, stored_bytes) in packs {
        let length = u16::try_from(name.len()).expect("names are short");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&stored_bytes.to_le_bytes());
    }
    out
}

pub(crate) fn decode(body: &[u8]) -> Option<Packs> {
    let mut bytes = BytesReader(body);
    let mut packs = Packs::new();
    for _ in 0..bytes.u32()? {
        let length = usize::from(bytes.u16()?);
        let name = std::str::from_utf8(bytes.slice(length)?).ok()?.to_owned();
        packs.insert(name, bytes.u64()?);
    }
    bytes.0.is_empty().then_some(packs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_encoding() {
        let packs = Packs::from([("a.1.b.000001".to_owned(), 77), ("a.1.b.000002".to_owned(), 78)]);
        let body = encode(&packs);
        assert_eq!(decode(&body), Some(packs));
        for length in 0..body.len() {
            assert_eq!(decode(&body[..length]), None);
        }
    }
}
