//! What copies of backups into another repository, and encrypting a repository anew, are asked to do.

use crate::{FieldError, JobId, ManifestName, RepositoryName};
use serde::{Deserialize, Serialize};

/// A copy of one backup, or of all that aren't there yet, from the job's repository into another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopySpec {
    /// The job that makes or made the backup; absent: every backup of the repository, the oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<JobId>,
    /// Its manifest; absent where the backup wasn't made yet: then `dependency_met` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestName>,
    /// The repository that it goes to. The worker must have it open, too.
    pub to: RepositoryName,
}

impl CopySpec {
    /// What is wrong with it, by field; `from` is the repository that the backups are in.
    pub fn check(&self, from: Option<&RepositoryName>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if from.is_some_and(|from| from.id == self.to.id) {
            errors.push(FieldError::new("to", "is the repository that the backups are in: name another one"));
        }
        if self.manifest.is_some() && self.backup.is_none() {
            errors.push(FieldError::new("manifest", "goes with 'backup' only"));
        }
        errors
    }
}

/// Sealing with the newest master key what older ones have sealed in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReencryptSpec {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_goes_to_another_repository() {
        let named = |id: &str| RepositoryName { name: "main".into(), id: id.into() };
        let manifest = Some(ManifestName { key: "k".into(), hash: "h".into() });
        let fields =
            |spec: CopySpec| spec.check(Some(&named("a"))).into_iter().map(|error| error.field).collect::<Vec<_>>();
        assert_eq!(fields(CopySpec { backup: None, manifest: None, to: named("b") }), [""; 0]);
        assert_eq!(fields(CopySpec { backup: None, manifest, to: named("a") }), ["to", "manifest"]);
    }
}
