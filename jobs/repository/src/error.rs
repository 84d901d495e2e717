//! What can go wrong in a repository, and what to do about it.

use std::path::PathBuf;

/// An object of a repository that can't be trusted or isn't there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object} is damaged: {problem}")]
pub struct Damage {
    /// Name of the object within the repository.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Any failure of this crate. [`RepositoryError::is_retryable`] tells whether trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The location isn't one we can use.
    #[error("{url}: {reason}; give a location like file:///path/to/folder or s3://bucket/prefix")]
    BadLocation {
        /// The location without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of settings of a storage isn't one, or names what isn't known.
    #[error("storage settings {path}: {reason}; give lines like AWS_ACCESS_KEY_ID=...", path = path.display())]
    BadSettings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; holds no value.
        reason: String,
    },
    /// There is no repository: never created, or the disk that holds it isn't mounted.
    #[error("not initialised or not mounted: {location} holds no repository; mount it, or create one with `repo init`")]
    NotInitialised {
        /// Where we looked.
        location: String,
    },
    /// A repository that is in use isn't where it was opened, and nothing else is: its disk isn't mounted, or its folder was moved.
    #[error(
        "{location} isn't there any more: it held a repository, and now there is no config; whatever needs it waits. Mount its disk again, \
         or put the folder back where it was"
    )]
    Away {
        /// Where it was opened.
        location: String,
    },
    /// Another config lies where a repository is in use.
    #[error("{location} {}", exchanged(*opened, *found))]
    Exchanged {
        /// Where it was opened.
        location: String,
        /// Its id.
        opened: crate::RepositoryId,
        /// What is there now; none: a repository that only a newer program knows.
        found: Option<crate::RepositoryId>,
    },
    /// `init` found a repository.
    #[error("{location} already holds a repository; open it instead")]
    AlreadyInitialised {
        /// Where it is.
        location: String,
    },
    /// `init` found something else.
    #[error("{location} isn't empty ({entry} is there) and holds no repository; give an empty or new folder")]
    ForeignFolder {
        /// Where it is.
        location: String,
        /// One thing that is there.
        entry: String,
    },
    /// `init` creates a folder, but not the folders above it: a missing mount isn't papered over.
    #[error("the folder {path} doesn't exist; create or mount it first", path = path.display())]
    ParentMissing {
        /// The missing folder.
        path: PathBuf,
    },
    /// No key slot opens with the key or passphrase that was given.
    #[error("wrong key: none of the key slots of {location} opens with it")]
    WrongKey {
        /// The repository.
        location: String,
    },
    /// The master key was rotated after this was opened, or the key given was left behind by that.
    #[error("{}", rotated(location, mark.as_deref()))]
    KeyRotated {
        /// The repository.
        location: String,
        /// The object that says so, if it is one alone.
        mark: Option<String>,
    },
    /// Sealed with a master key that was given up after everything that counts was encrypted anew.
    #[error("{object} is sealed with master key {key_id}, which was given up: it came too late, and nothing needs it")]
    RetiredKey {
        /// Name of the object.
        object: String,
        /// Which master.
        key_id: u32,
    },
    /// Sealed with an older master key than the newest, and not there when that was replaced.
    #[error(
        "{object} doesn't count: it is sealed with master key {key_id}, but wasn't there when that was replaced; somebody who has \
         the old key may have put it there"
    )]
    NotCounted {
        /// Name of the object.
        object: String,
        /// Which master.
        key_id: u32,
    },
    /// The repository is encrypted and no key was given.
    #[error("{location} is encrypted; give its key file or passphrase")]
    KeyRequired {
        /// The repository.
        location: String,
    },
    /// A key was given for a repository that has none: it may have been exchanged.
    #[error(
        "{location} isn't encrypted although a key was given; make sure it is the right repository, then open it without a key"
    )]
    NotEncrypted {
        /// The repository.
        location: String,
    },
    /// The key file can't be read or written, or isn't one.
    #[error("key file {path}: {reason}", path = path.display())]
    KeyFileUnreadable {
        /// The key file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The folder for the cache can't be made.
    #[error("the cache {path}: {reason}; give a folder that this program may write to", path = path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Written by a newer version of this program.
    #[error("{object} needs a newer version of this program: {needs}")]
    UnsupportedVersion {
        /// Name of the object.
        object: String,
        /// What this version doesn't know.
        needs: String,
    },
    /// An object's bytes aren't what was written.
    #[error("{object} is damaged: {problem}")]
    Damaged {
        /// Name of the object.
        object: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An object that something refers to isn't there.
    #[error("{object} is missing")]
    Missing {
        /// Name of the object.
        object: String,
    },
    /// The repository has no such domain.
    #[error("this repository has no {domain} backups: {reason}")]
    DomainUnavailable {
        /// The domain asked for.
        domain: crate::Domain,
        /// Why not.
        reason: String,
    },
    /// A name that can't be used, such as a job id with a slash.
    #[error("{what} {name:?} can't be used: {reason}")]
    BadName {
        /// What was named.
        what: &'static str,
        /// The name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A batch holds something that isn't a BSON document.
    #[error("not a BSON document: {reason}")]
    BadDocument {
        /// What is wrong with it.
        reason: String,
    },
    /// The writer failed before, or was dropped in the middle of a call: nothing it wrote is committed.
    #[error("this backup can't be completed: {reason}; start it again")]
    WriterFailed {
        /// The first failure.
        reason: String,
        /// Whether starting again may help.
        retryable: bool,
        /// Whether it was because the repository isn't there.
        away: bool,
        /// Whether it was because its disk is full.
        full: bool,
    },
    /// A prune has begun while something was under way that it may have overlooked.
    #[error(
        "the repository was pruned meanwhile (generation {generation}); begin again, which finds what is stored already"
    )]
    Pruned {
        /// The generation that the prune began.
        generation: i64,
    },
    /// Backups that a prune counted, or that a job history says succeeded, are neither there nor were they forgotten.
    #[error("{}", missing(manifests))]
    ManifestsMissing {
        /// The keys of their manifests; none where there is no manifest at all, and no prune has counted any yet.
        manifests: Vec<String>,
    },
    /// A backup goes, or went, while it was being pinned.
    #[error(
        "{manifest} isn't pinned: somebody was forgetting that backup at the same moment; if it is still there in an hour, pin it again"
    )]
    BeingForgotten {
        /// The key of its manifest.
        manifest: String,
    },
    /// Another cluster prunes this repository.
    #[error(
        "the repository is pruned by another cluster ({owner}, since {since}), not by this one ({cluster}): prune it there, \
         or take it over with --take-ownership if that one is gone or has given it up"
    )]
    OtherOwner {
        /// The other cluster's id.
        owner: String,
        /// Since when it prunes.
        since: bson::DateTime,
        /// The id of the cluster that asked.
        cluster: String,
    },
    /// A manifest refers to what isn't there, or belongs to another backup or domain.
    #[error("the manifest isn't valid: {reason}")]
    BadManifest {
        /// What is wrong with it.
        reason: String,
    },
    /// Something is larger than the format allows.
    #[error(
        "this {what} would be larger than {limit_bytes} bytes, the most that the archive format allows; back up fewer collections at once"
    )]
    TooLarge {
        /// What was to be written.
        what: &'static str,
        /// The most that is possible.
        limit_bytes: u64,
    },
    /// The last key slot would be lost, or there are too many, or similar.
    #[error("key slot: {reason}")]
    Slot {
        /// Why.
        reason: String,
    },
    /// The storage refused.
    #[error("can't {operation} {object}: {source}")]
    Storage {
        /// What was tried, as a verb.
        operation: &'static str,
        /// Name of the object.
        object: String,
        /// What the storage said.
        #[source]
        source: object_store::Error,
    },
    /// The caller's stop condition became true.
    #[error("stopped on request")]
    Stopped,
    /// The operating system refused something basic.
    #[error("{what}: {reason}")]
    Internal {
        /// What was tried.
        what: &'static str,
        /// What happened.
        reason: String,
    },
}

fn exchanged(opened: crate::RepositoryId, found: Option<crate::RepositoryId>) -> String {
    match found {
        Some(found) if found == opened => {
            format!(
                "has another config than when repository {opened} was opened there: begin again, which reads it anew"
            )
        }
        found => {
            let found = found.map_or("a newer program's".to_owned(), |found| found.to_string());
            format!(
                "holds another repository ({found}) than was opened there ({opened}): nothing is read or written there, and whatever needs \
                 {opened} waits. Mount the right disk, or start this program anew with the right location"
            )
        }
    }
}

/// So many of the missing are named.
const MISSING_TOLD: usize = 5;

fn missing(manifests: &[String]) -> String {
    if manifests.is_empty() {
        return "there is no backup at all, and nobody has forgotten one, but there are packs: nothing is removed. Where a folder was moved, a disk \
                isn't mounted, or a copy isn't complete, put that right; else the first backup that succeeds lets prunes go on, or prune once \
                with --accept-loss"
            .into();
    }
    let more = match manifests.len().saturating_sub(MISSING_TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named: Vec<&str> = manifests.iter().take(MISSING_TOLD).map(String::as_str).collect();
    format!(
        "{} of the backups that the last prune counted, or whose jobs succeeded, are neither there nor were they forgotten: {}{more}. Nothing is forgotten or removed \
         meanwhile, since what they need may be needed yet. Where a folder was moved, a disk isn't mounted, or a copy isn't complete, put \
         that right; where somebody has removed these manifests for good, prune once with --accept-loss",
        manifests.len(),
        named.join(", ")
    )
}

/// Who can write there, but has no key, may have planted what says so where nobody vouches for that yet.
fn rotated(location: &str, mark: Option<&str>) -> String {
    let (says, planted) = mark.map_or_else(Default::default, |mark| {
        let planted = "; if nobody has rotated it, somebody has planted that object: remove it, once you are sure";
        (format!(", as {mark} says"), planted)
    });
    let again = "open it again with a key that was kept (see `repo key rotate` in the documentation)";
    format!("the key of {location} was rotated{says}: {again}{planted}")
}

/// Said of what a master key has sealed that was given up.
pub(crate) const RETIRED: &str = "it is sealed with a master key that was given up";

impl RepositoryError {
    /// Whether the same call may succeed later: true for trouble with the storage, false for damage, keys and bad input.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Storage { source, .. } => storage_is_retryable(source),
            Self::WriterFailed { retryable, .. } => *retryable,
            Self::Internal { .. }
            | Self::Pruned { .. }
            | Self::BeingForgotten { .. }
            | Self::KeyRotated { .. }
            | Self::Away { .. }
            | Self::Exchanged { .. } => true,
            _ => false,
        }
    }

    /// Whether it is that a repository that is in use isn't where it was opened.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Exchanged { .. } | Self::WriterFailed { away: true, .. })
    }

    /// The damage this error tells of, if it does.
    pub fn damage(&self) -> Option<Damage> {
        match self {
            Self::Damaged { object, problem } => Some(Damage { object: object.clone(), problem: problem.clone() }),
            Self::Missing { object } => Some(Damage { object: object.clone(), problem: "missing".into() }),
            Self::RetiredKey { object, .. } => Some(Damage { object: object.clone(), problem: RETIRED.into() }),
            Self::NotCounted { object, key_id } => Some(Damage {
                object: object.clone(),
                problem: format!(
                    "it doesn't count: it is sealed with master key {key_id}, but wasn't there when that was replaced"
                ),
            }),
            _ => None,
        }
    }

    /// Whether an older master key has sealed it than those that count for such an object: it says nothing, and prunes remove it.
    pub(crate) fn is_outdated(&self) -> bool {
        matches!(self, Self::RetiredKey { .. } | Self::NotCounted { .. })
    }

    pub(crate) fn damaged(object: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Damaged { object: object.into(), problem: problem.into() }
    }
}

/// Whether the storage may answer differently next time.
pub(crate) fn storage_is_retryable(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    !matches!(
        error,
        E::NotFound { .. }
            | E::InvalidPath { .. }
            | E::NotSupported { .. }
            | E::NotImplemented { .. }
            | E::AlreadyExists { .. }
            | E::Precondition { .. }
            | E::PermissionDenied { .. }
            | E::Unauthenticated { .. }
    )
}
