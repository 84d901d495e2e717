//! What a policy judges, and pins: backups that no policy removes.
//!
//! A pin is an object beside the manifest, so that it is known wherever the repository is. That it is there is what counts; what it
//! says is for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use bson::{DateTime, RawDocument, doc};

use crate::object_name::{Folder, ManifestName};
use crate::record::{RecordType, key_id_of};
use crate::seal::Sealer;
use crate::vault::Vault;
use crate::{Candidate, Manifest, Repository, RepositoryError, forgotten, masters};

/// A pin.
struct Pin {
    /// Key of the manifest that it pins.
    manifest: String,
    reason: String,
    /// Of the master that sealed it; 0 in the plain domain, and where it can't be read.
    key_id: u32,
}

impl Repository {
    /// All backups that count, for [`crate::judge`]; pinned ones are held. Damaged manifests are left out: they stay.
    pub async fn candidates(&self) -> Result<Vec<Candidate>, RepositoryError> {
        let pins = self.pins().await?;
        let held = |key: &str| pins.get(key).map(|reason| format!("pinned: {reason}"));
        let manifests = self.manifests().await?;
        let sound = manifests.into_iter().filter_map(|entry| Some((entry.key, entry.manifest.ok()?)));
        Ok(sound.map(|(key, manifest)| candidate(held(&key), key, manifest)).collect())
    }

    /// Pins a backup by the key of its manifest, or changes why it is pinned. Fails with `BeingForgotten`, and pins nothing, where somebody
    /// forgets it at the same moment.
    pub async fn pin(&self, key: &str, reason: &str) -> Result<(), RepositoryError> {
        let (manifest, _) = self.read_manifest(key).await?;
        let vault = self.vault(manifest.domain)?;
        let (object, was_pinned) = (pin_of(key)?, self.is_pinned(&vault, key).await?);
        let body = bson::serialize_to_vec(&doc! { "reason": reason, "pinned_at": DateTime::now() });
        let body = body.map_err(|error| RepositoryError::Internal { what: "pinning", reason: error.to_string() })?;
        let sealer = Arc::new(Sealer::new(vault.keys.clone(), vault.domain)?);
        let sealed = vault.seal_record(&sealer, RecordType::Pin, vault.name_id(&object), body).await?;
        vault.store.ensure_here().await?;
        vault.store.replace(&object, &[sealed]).await?;
        // A rotation that came between knows nothing of it, and it would pin nothing.
        masters::check_current(&vault).await?;
        if !was_pinned && self.is_going(&vault, key).await? {
            vault.store.delete(&object).await?;
            return Err(RepositoryError::BeingForgotten { manifest: key.into() });
        }
        Ok(())
    }

    /// Whether a backup is gone, or somebody is about to remove it who may not have seen a pin that has just been written.
    async fn is_going(&self, vault: &Vault, key: &str) -> Result<bool, RepositoryError> {
        match self.read_manifest(key).await {
            Ok(_) => forgotten::is_going(vault, key).await,
            Err(error) if error.damage().is_some() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether a backup is pinned. Without a look at any other pin where it isn't.
    pub(crate) async fn is_pinned(&self, vault: &Vault, key: &str) -> Result<bool, RepositoryError> {
        let is_there = vault.store.size(&pin_of(key)?).await?.is_some();
        Ok(is_there && self.pins().await?.contains_key(key))
    }

    /// Seals the pin of a backup with the newest master key, if it is pinned. A pin that can't be read holds nevertheless.
    pub(crate) async fn repin(&self, key: &str) -> Result<(), RepositoryError> {
        match self.pins().await?.get(key) {
            Some(reason) => self.pin(key, reason).await,
            None => Ok(()),
        }
    }

    /// Seals anew all pins of backups that there are which an older master key has sealed.
    pub(crate) async fn renew_pins(&self) -> Result<(), RepositoryError> {
        for key in self.pins_behind().await? {
            self.repin(&key).await?;
        }
        Ok(())
    }

    /// Pinned backups whose pins an older master key has sealed.
    pub(crate) async fn pins_behind(&self) -> Result<Vec<String>, RepositoryError> {
        let (newest, manifests) = (self.keys().newest_key_id(), self.manifests().await?);
        let (pins, _) = self.read_pins().await?;
        let behind = pins.into_iter().filter(|pin| (1..newest).contains(&pin.key_id)).map(|pin| pin.manifest);
        Ok(behind.filter(|key| manifests.iter().any(|entry| entry.key == *key && entry.manifest.is_ok())).collect())
    }

    /// Removes pins that an older master key has sealed and that pin nothing.
    pub(super) async fn remove_outdated_pins(&self) -> Result<(), RepositoryError> {
        for object in self.read_pins().await?.1 {
            self.store().delete(&object).await?;
        }
        Ok(())
    }

    /// Takes a pin away; succeeds where there is none.
    pub async fn unpin(&self, key: &str) -> Result<(), RepositoryError> {
        let vault = self.vault(ManifestName::parse(key)?.domain)?;
        vault.store.ensure_here().await?;
        vault.store.delete(&pin_of(key)?).await
    }

    /// Keys of pinned manifests, and why they are pinned.
    pub async fn pins(&self) -> Result<BTreeMap<String, String>, RepositoryError> {
        Ok(self.read_pins().await?.0.into_iter().map(|pin| (pin.manifest, pin.reason)).collect())
    }

    /// All pins, and the names of objects that look like ones, but are sealed with an older master key and don't count.
    async fn read_pins(&self) -> Result<(Vec<Pin>, Vec<String>), RepositoryError> {
        let (mut pins, mut outdated) = (Vec::new(), Vec::new());
        for vault in self.vaults() {
            for (object, _) in vault.store.list(&Folder::Pins.of(vault.domain)).await? {
                let name = object.rsplit('/').next().unwrap_or_default();
                let manifest = Folder::Manifests.object(vault.domain, name);
                if !ManifestName::parse(&manifest).is_ok_and(|name| name.resealed.is_none()) {
                    tracing::warn!(object, "not the name of a pin; ignored");
                    continue;
                }
                match vault.read_named(&object, RecordType::Pin).await {
                    Ok((body, stored)) => {
                        pins.push(Pin { manifest, reason: reason_of(&body), key_id: key_id_of(&stored) });
                    }
                    Err(error) if error.is_outdated() => {
                        tracing::warn!(%error, "it pins nothing");
                        outdated.push(object);
                    }
                    // It holds nevertheless.
                    Err(error) if error.damage().is_some() => {
                        pins.push(Pin { manifest, reason: error.to_string(), key_id: 0 });
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok((pins, outdated))
    }
}

/// Why a backup is pinned, as far as the pin's body tells.
pub(crate) fn reason_of(body: &[u8]) -> String {
    let reason = RawDocument::from_bytes(body).ok().and_then(|pin| pin.get_str("reason").ok());
    reason.unwrap_or_default().to_owned()
}

fn candidate(held: Option<String>, key: String, manifest: Manifest) -> Candidate {
    Candidate {
        at: manifest.read_at(),
        key,
        job: manifest.job,
        cluster: manifest.cluster,
        database: manifest.database,
        selected: manifest.selected,
        copied: manifest.copied_from.is_some(),
        increment: manifest.snapshot_time.map_or(0, |time| time.increment),
        held,
        orphaned: None,
    }
}

fn pin_of(key: &str) -> Result<String, RepositoryError> {
    let name = ManifestName::parse(key)?;
    let stem = name.key.rsplit('/').next().unwrap_or_default();
    Ok(Folder::Pins.object(name.domain, stem))
}
