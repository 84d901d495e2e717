//! What every backup of a repository stands on: config, key slots, and the manifest itself.

use crate::config::{CONFIG, StoredConfig};
use crate::object_name::{Folder, ManifestName};
use crate::repository::read_manifest_in;
use crate::slot::{SLOTS, StoredSlot};
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
        let read = vault
            .store
            .read(&name)
            .await
            .and_then(|bytes| StoredSlot::read(&name, &bytes));
        if let Err(error) = read {
            findings.push(finding(error)?);
        }
    }
    let key = check_manifest(vault, manifest, &mut findings).await?;
    Ok((key, findings))
}

async fn check_config(vault: &Vault) -> Result<(), RepositoryError> {
    let stored = StoredConfig::read(&vault.store.read(CONFIG).await?)?;
    if stored.repository != vault.keys.repository {
        return Err(RepositoryError::damaged(CONFIG, "it is another repository's"));
    }
    stored.authenticate(vault.keys.ring())
}

/// Reads the manifests of the same job and epoch (more than one only after a takeover within an epoch); ours must be among them.
async fn check_manifest(
    vault: &Vault,
    manifest: &Manifest,
    findings: &mut Vec<Finding>,
) -> Result<String, RepositoryError> {
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
            Ok(_) => {}
            Err(error) => {
                findings.push(finding(error)?);
                nearest = name;
            }
        }
    }
    if key.is_none() && findings.iter().all(|finding| finding.object != nearest) {
        let problem = "the manifest is missing".into();
        findings.push(Finding {
            object: nearest.clone(),
            collection: None,
            problem,
            lost_documents: None,
        });
    }
    Ok(key.unwrap_or(nearest))
}
