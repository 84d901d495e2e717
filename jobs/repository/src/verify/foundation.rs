//! What every backup of a repository stands on: config, key slots, and the manifest itself.

use crate::config::{CONFIG, StoredConfig};
use crate::generation::Generations;
use crate::init::read_slot;
use crate::limits::UNSEALED_BYTES;
use crate::object_name::{Folder, ManifestName};
use crate::repository::read_manifest_in;
use crate::slot::{SLOTS, is_slot_name};
use crate::vault::Vault;
use crate::verify::{Finding, finding};
use crate::{Manifest, RepositoryError};

/// Returns the manifest's key, for other findings to name, and what is wrong.
pub(super) async fn check(vault: &Vault, manifest: &Manifest) -> Result<(String, Vec<Finding>), RepositoryError> {
    let mut findings = Vec::new();
    if let Err(error) = check_config(vault).await {
        findings.push(finding(error)?);
    }
    for (name, _) in vault.store.list(SLOTS).await? {
        if !is_slot_name(&name) {
            continue;
        }
        if let Err(error) = read_slot(&vault.store, &name).await {
            findings.push(finding(error)?.unneeded());
        }
    }
    let damage = Generations::load(vault).await?.damage.into_iter();
    findings.extend(damage.map(Finding::from).map(Finding::unneeded));
    if let Some(inventory) = vault.keys.inventory() {
        let damage = inventory.damage(&vault.of_whole_repository()).await?.into_iter();
        findings.extend(damage.map(Finding::from).map(Finding::unneeded));
    }
    let (key, of_manifest) = check_manifest(vault, manifest).await?;
    findings.extend(of_manifest);
    Ok((key, findings))
}

async fn check_config(vault: &Vault) -> Result<(), RepositoryError> {
    let stored = StoredConfig::read(&vault.store.read(CONFIG, UNSEALED_BYTES).await?)?;
    if stored.repository != vault.keys.repository {
        return Err(RepositoryError::damaged(CONFIG, "it is another repository's"));
    }
    stored.authenticate(vault.keys.ring())
}

/// Reads the manifests of the same job and epoch (more than one only after a takeover within an epoch); ours must be among them.
async fn check_manifest(vault: &Vault, manifest: &Manifest) -> Result<(String, Vec<Finding>), RepositoryError> {
    let mut findings = Vec::new();
    let folder = Folder::Manifests.of(vault.domain);
    let mut key = None;
    let mut nearest = format!("{folder}/{}.{}", manifest.job, manifest.epoch);
    for (name, _) in vault.store.list(&folder).await? {
        let ours =
            ManifestName::parse(&name).is_ok_and(|parsed| parsed.job == manifest.job && parsed.epoch == manifest.epoch);
        if !ours {
            continue;
        }
        match read_manifest_in(vault, &name).await {
            Ok((read, _)) if read == *manifest => key = Some(name),
            // Also one that came too late to count, which the next prune removes.
            Ok(_) => {}
            Err(error) if error.is_outdated() => {}
            Err(error) => {
                findings.push(finding(error)?);
                nearest = name;
            }
        }
    }
    if let Some(key) = key {
        // Another attempt's manifest may be damaged as it likes.
        return Ok((key, findings.into_iter().map(Finding::unneeded).collect()));
    }
    if findings.iter().all(|finding| finding.object != nearest) {
        let problem = "the manifest is missing".into();
        findings.push(Finding {
            object: nearest.clone(),
            collection: None,
            problem,
            lost_documents: None,
            needed: true,
        });
    }
    Ok((nearest, findings))
}
