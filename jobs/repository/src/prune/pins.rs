//! What a policy judges, and pins: backups that no policy removes.
//!
//! A pin is an object beside the manifest, so that it is known wherever the repository is. That it is there is what counts; what it
//! says is for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use bson::{DateTime, RawDocument, doc};

use crate::object_name::{Folder, ManifestName};
use crate::record::RecordType;
use crate::seal::Sealer;
use crate::{Candidate, Manifest, Repository, RepositoryError};

impl Repository {
    /// All backups that count, for [`crate::judge`]; pinned ones are held. Damaged manifests are left out: they stay.
    pub async fn candidates(&self) -> Result<Vec<Candidate>, RepositoryError> {
        let pins = self.pins().await?;
        let held = |key: &str| pins.get(key).map(|reason| format!("pinned: {reason}"));
        let manifests = self.manifests().await?;
        let sound = manifests.into_iter().filter_map(|entry| Some((entry.key, entry.manifest.ok()?)));
        Ok(sound.map(|(key, manifest)| candidate(held(&key), key, manifest)).collect())
    }

    /// Pins a backup by the key of its manifest, or changes why it is pinned.
    pub async fn pin(&self, key: &str, reason: &str) -> Result<(), RepositoryError> {
        let (manifest, _) = self.read_manifest(key).await?;
        let vault = self.vault(manifest.domain)?;
        let object = pin_of(key)?;
        let body = bson::serialize_to_vec(&doc! { "reason": reason, "pinned_at": DateTime::now() });
        let body = body.map_err(|error| RepositoryError::Internal { what: "pinning", reason: error.to_string() })?;
        let sealer = Arc::new(Sealer::new(vault.keys.clone(), vault.domain)?);
        let sealed = vault.seal_record(&sealer, RecordType::Pin, vault.name_id(&object), body).await?;
        vault.store.replace(&object, &[sealed]).await
    }

    /// Seals the pin of a backup with the newest master key, if it is pinned. A pin that can't be read holds nevertheless.
    pub(crate) async fn repin(&self, key: &str) -> Result<(), RepositoryError> {
        match self.pins().await?.get(key) {
            Some(reason) => self.pin(key, reason).await,
            None => Ok(()),
        }
    }

    /// Takes a pin away; succeeds where there is none.
    pub async fn unpin(&self, key: &str) -> Result<(), RepositoryError> {
        let vault = self.vault(ManifestName::parse(key)?.domain)?;
        vault.store.delete(&pin_of(key)?).await
    }

    /// Keys of pinned manifests, and why they are pinned.
    pub async fn pins(&self) -> Result<BTreeMap<String, String>, RepositoryError> {
        let mut pins = BTreeMap::new();
        for vault in self.vaults() {
            for (object, _) in vault.store.list(&Folder::Pins.of(vault.domain)).await? {
                let name = object.rsplit('/').next().unwrap_or_default();
                let key = Folder::Manifests.object(vault.domain, name);
                if !ManifestName::parse(&key).is_ok_and(|name| name.resealed.is_none()) {
                    tracing::warn!(object, "not the name of a pin; ignored");
                    continue;
                }
                let reason = match vault.read_named(&object, RecordType::Pin).await {
                    Ok((body, _)) => reason_of(&body),
                    // It holds nevertheless.
                    Err(error) if error.damage().is_some() => error.to_string(),
                    Err(error) => return Err(error),
                };
                pins.insert(key, reason);
            }
        }
        Ok(pins)
    }
}

/// Why a backup is pinned, as far as the pin's body tells.
pub(crate) fn reason_of(body: &[u8]) -> String {
    let reason = RawDocument::from_bytes(body).ok().and_then(|pin| pin.get_str("reason").ok());
    reason.unwrap_or_default().to_owned()
}

fn candidate(held: Option<String>, key: String, manifest: Manifest) -> Candidate {
    let read_at = manifest.snapshot_time.map(|time| DateTime::from_millis(i64::from(time.time) * 1000));
    Candidate {
        key,
        job: manifest.job,
        database: manifest.database,
        selected: manifest.selected,
        copied: manifest.copied_from.is_some(),
        at: read_at.unwrap_or(manifest.started_at),
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
