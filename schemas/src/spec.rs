//! What a job is asked to do, per kind. Specs are closed (an unknown field is an error) and hold no secret:
//! repositories are named; what the names mean is configured where the worker runs.

use crate::{
    ConcurrencyKey, CopySpec, FieldError, JobId, Kind, MonitorSpec, NotifySpec, Part, PruneSpec, ReencryptSpec,
    RepositoryName, Sample, names,
};
use bson::Document;
use serde::{Deserialize, Serialize};

/// A backup of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSpec {
    /// The database to copy.
    pub database: String,
    /// The collections to copy; all of them where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Whether chunks are compressed with zstd.
    pub compression: bool,
    /// Whether everything is sealed with AES-256-GCM.
    pub encryption: bool,
    /// Refuse what can't be read at the snapshot time (capped collections before MongoDB 8) instead of saying so.
    #[serde(default)]
    pub require_consistent: bool,
}

/// Which manifest a restore or verify is about; with the hash, so that no other one can take its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestName {
    /// The object's key in the repository.
    pub key: String,
    /// Hash of the stored object.
    pub hash: String,
}

/// A restore of a backup into a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreSpec {
    /// The job that made the backup.
    pub backup: JobId,
    /// Its manifest.
    pub manifest: ManifestName,
    /// The database to restore into.
    pub database: String,
    /// The collections to restore; all of the backup's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Whether collections that exist in the target may be replaced.
    #[serde(default)]
    pub replace: bool,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// How deeply a backup is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyLevel {
    /// Objects exist, have their sizes, refer to each other.
    Structure,
    /// Every byte is read, decrypted, hashed; counts and content hashes equal the manifest.
    Data,
    /// Also restored into a scratch database, read back from there, and compared with the manifest.
    Drill,
}

impl VerifyLevel {
    /// All of them, the less deep ones first.
    pub const ALL: [Self; 3] = [Self::Structure, Self::Data, Self::Drill];

    /// As it is stored and spoken.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Data => "data",
            Self::Drill => "drill",
        }
    }
}

/// A verification of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifySpec {
    /// The job that makes or made the backup.
    pub backup: JobId,
    /// Its manifest; absent where the backup wasn't made yet: then `dependency_met` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestName>,
    /// How deeply.
    pub level: VerifyLevel,
    /// At level data: read a sample only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// What the sample is chosen by; where absent, the job's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// At level data: read one part of several only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

impl VerifySpec {
    /// A verification of all of a backup.
    pub const fn whole(backup: JobId, manifest: Option<ManifestName>, level: VerifyLevel) -> Self {
        Self { backup, manifest, level, sample: None, seed: None, part: None }
    }

    /// Checks that its fields go together.
    pub fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (field, is_given) in [("sample", self.sample.is_some()), ("part", self.part.is_some())] {
            if is_given && self.level != VerifyLevel::Data {
                errors.push(FieldError::new(field, "goes with level 'data' only"));
            }
        }
        if self.sample.is_some() && self.part.is_some() {
            errors.push(FieldError::new("part", "doesn't go with 'sample': give one of them"));
        }
        if self.seed.is_some() && self.sample.is_none() {
            errors.push(FieldError::new("seed", "goes with 'sample' only"));
        }
        errors
    }
}

/// What a job is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// See [`BackupSpec`].
    Backup(BackupSpec),
    /// See [`RestoreSpec`].
    Restore(RestoreSpec),
    /// See [`VerifySpec`].
    Verify(VerifySpec),
    /// See [`PruneSpec`].
    Prune(PruneSpec),
    /// See [`CopySpec`].
    Copy(CopySpec),
    /// See [`ReencryptSpec`].
    Reencrypt(ReencryptSpec),
    /// See [`MonitorSpec`].
    Monitor(MonitorSpec),
    /// See [`NotifySpec`].
    Notify(NotifySpec),
}

impl Spec {
    /// The kind of job that this is a spec of.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Backup(_) => Kind::Backup,
            Self::Restore(_) => Kind::Restore,
            Self::Verify(_) => Kind::Verify,
            Self::Prune(_) => Kind::Prune,
            Self::Copy(_) => Kind::Copy,
            Self::Reencrypt(_) => Kind::Reencrypt,
            Self::Monitor(_) => Kind::Monitor,
            Self::Notify(_) => Kind::Notify,
        }
    }

    /// The kind by whose rights the job runs: a verification that is a drill restores.
    pub const fn runs_as(&self) -> Kind {
        match self {
            Self::Verify(VerifySpec { level: VerifyLevel::Drill, .. }) => Kind::Restore,
            other => other.kind(),
        }
    }

    /// The repository that a worker must reach beside the one that the job requires.
    pub const fn second_repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Copy(spec) => Some(&spec.to),
            Self::Backup(_)
            | Self::Restore(_)
            | Self::Verify(_)
            | Self::Prune(_)
            | Self::Reencrypt(_)
            | Self::Monitor(_)
            | Self::Notify(_) => None,
        }
    }

    /// The backup that it is about, which must stay until it has ended.
    pub const fn backup(&self) -> Option<&JobId> {
        match self {
            Self::Restore(spec) => Some(&spec.backup),
            Self::Verify(spec) => Some(&spec.backup),
            Self::Copy(spec) => spec.backup.as_ref(),
            Self::Backup(_) | Self::Prune(_) | Self::Reencrypt(_) | Self::Monitor(_) | Self::Notify(_) => None,
        }
    }

    /// The database that it reads or writes.
    pub const fn database(&self) -> Option<&String> {
        match self {
            Self::Backup(spec) => Some(&spec.database),
            Self::Restore(spec) => Some(&spec.database),
            Self::Verify(_)
            | Self::Prune(_)
            | Self::Copy(_)
            | Self::Reencrypt(_)
            | Self::Monitor(_)
            | Self::Notify(_) => None,
        }
    }

    /// What a job with this spec needs to itself or shares, sorted by key.
    pub fn keys(&self, repository: Option<&RepositoryName>) -> Vec<ConcurrencyKey> {
        let mut keys = vec![ConcurrencyKey::shared(ConcurrencyKey::CLUSTER)];
        match self {
            Self::Backup(spec) => keys.push(ConcurrencyKey::shared(ConcurrencyKey::database(&spec.database))),
            Self::Restore(spec) => {
                keys.push(ConcurrencyKey { key: ConcurrencyKey::database(&spec.database), exclusive: !spec.dry_run });
            }
            Self::Verify(_) | Self::Prune(_) | Self::Copy(_) | Self::Reencrypt(_) => {}
            // What tells how the cluster is must not wait for it.
            Self::Monitor(_) => return MonitorSpec::keys(),
            Self::Notify(_) => return Vec::new(),
        }
        if let Some(repository) = repository {
            let exclusive = matches!(self, Self::Prune(PruneSpec { dry_run: false, .. }));
            keys.push(ConcurrencyKey { key: ConcurrencyKey::repository(&repository.id), exclusive });
            if matches!(self, Self::Reencrypt(_)) {
                // Backups go on meanwhile.
                keys.push(ConcurrencyKey::exclusive(ConcurrencyKey::reencryption(&repository.id)));
            }
        }
        // The same key twice would be waited for in vain.
        if let Some(second) = self.second_repository().filter(|second| repository.is_none_or(|one| one.id != second.id))
        {
            keys.push(ConcurrencyKey::shared(ConcurrencyKey::repository(&second.id)));
            keys.push(ConcurrencyKey::exclusive(ConcurrencyKey::copies(&second.id)));
        }
        keys.sort();
        keys
    }

    /// The stored form.
    ///
    /// # Errors
    /// Where a value has no BSON form.
    pub fn to_document(&self) -> Result<Document, bson::error::Error> {
        match self {
            Self::Backup(spec) => bson::serialize_to_document(spec),
            Self::Restore(spec) => bson::serialize_to_document(spec),
            Self::Verify(spec) => bson::serialize_to_document(spec),
            Self::Prune(spec) => bson::serialize_to_document(spec),
            Self::Copy(spec) => bson::serialize_to_document(spec),
            Self::Reencrypt(spec) => bson::serialize_to_document(spec),
            Self::Monitor(spec) => bson::serialize_to_document(spec),
            Self::Notify(spec) => bson::serialize_to_document(spec),
        }
    }

    /// Reads the stored form of a spec of `kind`.
    ///
    /// # Errors
    /// Where the document isn't a spec of that kind.
    pub fn from_document(kind: Kind, document: Document) -> Result<Self, bson::error::Error> {
        Ok(match kind {
            Kind::Backup => Self::Backup(bson::deserialize_from_document(document)?),
            Kind::Restore => Self::Restore(bson::deserialize_from_document(document)?),
            Kind::Verify => Self::Verify(bson::deserialize_from_document(document)?),
            Kind::Prune => Self::Prune(bson::deserialize_from_document(document)?),
            Kind::Copy => Self::Copy(bson::deserialize_from_document(document)?),
            Kind::Reencrypt => Self::Reencrypt(bson::deserialize_from_document(document)?),
            Kind::Monitor => Self::Monitor(bson::deserialize_from_document(document)?),
            Kind::Notify => Self::Notify(bson::deserialize_from_document(document)?),
        })
    }

    /// Checks every name in the spec; `ops_database` is the engine's own database, which no job may touch.
    pub fn check(&self, ops_database: &str) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match self {
            Self::Backup(BackupSpec { database, collections, .. })
            | Self::Restore(RestoreSpec { database, collections, .. }) => {
                if let Err(problem) = names::check_user_database(database, ops_database) {
                    errors.push(FieldError::new("database", problem));
                }
                check_collections(database, collections.as_deref(), &mut errors);
            }
            Self::Verify(spec) => errors.extend(spec.check()),
            Self::Prune(spec) => errors.extend(spec.check()),
            Self::Copy(spec) => errors.extend(spec.check(None)),
            Self::Reencrypt(ReencryptSpec {}) => {}
            Self::Monitor(spec) => errors.extend(spec.check()),
            Self::Notify(spec) => errors.extend(spec.check()),
        }
        errors
    }
}

fn check_collections(database: &str, collections: Option<&[String]>, errors: &mut Vec<FieldError>) {
    let Some(collections) = collections else {
        return;
    };
    if collections.is_empty() {
        errors.push(FieldError::new("collections", "must name at least one collection; leave it out to mean all"));
    }
    for (place, name) in collections.iter().enumerate() {
        let field = format!("collections[{place}]");
        if let Err(problem) = names::check_collection(database, name) {
            errors.push(FieldError::new(field, problem));
        } else if collections[..place].contains(name) {
            errors.push(FieldError::new(field, format!("names '{name}' a second time")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(database: &str, collections: Option<Vec<&str>>) -> Spec {
        Spec::Backup(BackupSpec {
            database: database.into(),
            collections: collections.map(|names| names.into_iter().map(Into::into).collect()),
            compression: true,
            encryption: true,
            require_consistent: false,
        })
    }

    #[test]
    fn every_bad_name_is_reported_with_its_field() {
        let errors = backup("a$b", Some(vec!["ok", "x$y", "ok"])).check("lucid_ops");
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["database", "collections[1]", "collections[2]"]);
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let mut document = backup("lucid", None).to_document().expect("a document");
        document.insert("colections", vec!["typo"]);
        assert!(Spec::from_document(Kind::Backup, document).is_err());
    }
}
