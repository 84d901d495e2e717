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
    let (mut key, mut replaced) = (None, false);
    let mut nearest = format!("{folder}/{}.{}", manifest.job, manifest.epoch);
    for (name, _) in vault.store.list(&folder).await? {
        let ours =
            ManifestName::parse(&name).is_ok_and(|parsed| parsed.job == manifest.job && parsed.epoch == manifest.epoch);
        if !ours {
            continue;
        }
        match read_manifest_in(vault, &name).await {
            Ok((read, _)) if read == *manifest => key = Some(name),
            Ok((read, _)) if read.replaces(manifest) => replaced = true,
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
    if replaced {
        // What was begun with it begins again, and finds that one.
        return Err(RepositoryError::KeyRotated {
            location: format!("repository {}", vault.keys.repository),
            mark: None,
        });
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

#[cfg(test)]
mod tests {
    use crate::fault_tests::Fault;
    use crate::interruption_tests::prepared;
    use crate::{RepositoryError, VerifyLevel};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_backup_that_is_encrypted_anew_while_it_is_read_is_not_missing() {
        let bench = prepared().await;
        let before = bench.open(Fault::None).await.expect("opens");
        before.rotate_key(&[bench.key()], false).await.expect("rotated");
        let repository = bench.open(Fault::None).await.expect("opens");
        let kept = repository.manifests_of("kept").await.expect("lists").remove(0).manifest.expect("sound");
        let reader = repository.open_backup(&kept).await.expect("opens");
        bench.open(Fault::None).await.expect("opens").reencrypt(&|_, _, _, _| (), &|| false).await.expect("sealed");
        let told = reader.verify(VerifyLevel::Data, &|_| (), &|| false).await.expect_err("it is another one now");
        assert!(matches!(told, RepositoryError::KeyRotated { .. }) && told.is_retryable(), "{told}");
        // Begun again, it is whole.
        let now = repository.manifests_of("kept").await.expect("lists").remove(0).manifest.expect("sound");
        let reader = repository.open_backup(&now).await.expect("opens");
        assert_eq!(reader.verify(VerifyLevel::Data, &|_| (), &|| false).await.expect("verifies"), []);
    }
}
