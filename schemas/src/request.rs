//! What was asked for: the part of a job that never changes. The `enqueued` event holds its hash.

use crate::{ConcurrencyKey, JOB_SCHEMA, JobId, Kind, Spec, State};
use bson::{Document, RawDocument, doc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A repository by name, bound to the id it had when the job was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RepositoryName {
    /// The configured name, such as `main`.
    pub name: String,
    /// The repository's own id.
    pub id: String,
}

/// What a worker must reach to run a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requires {
    /// The repository, where the job needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    /// Labels that the worker must carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// A job that must have ended before this one may start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The job.
    pub job: JobId,
    /// How it must have ended: `succeeded` or `failed`. Where it ends otherwise, this job is canceled.
    pub state: State,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The job's id.
    pub id: JobId,
    /// The shape that it was stored in first; its hash was taken over that.
    pub schema: i32,
    /// What to do.
    pub spec: Spec,
    /// Who asked: `api:pi-1`, `token:ci`.
    pub requested_by: String,
    /// At most one open job has this key.
    pub unique_key: Option<String>,
    /// Higher runs sooner: each step is as if the job had been due for ten minutes longer.
    pub priority: i32,
    /// How many attempts may fail before the job does. With the default the job also has its kind's time, see
    /// [`Self::retry_ms`].
    pub max_attempts: i32,
    /// How long one attempt may take, in milliseconds; `None`: as long as it takes.
    pub timeout_ms: Option<i64>,
    /// What a worker must reach.
    pub requires: Requires,
    /// What it needs to itself or shares, sorted by key.
    pub keys: Vec<ConcurrencyKey>,
    /// What must have happened first.
    pub after: Option<After>,
    /// The job whose request this one repeats.
    pub retry_of: Option<JobId>,
}

/// The field of a stored job that names the backups that it needs.
pub const NEEDS: &str = "needs";

/// The backups that a stored job needs, whatever kind and shape it is of. Of one from before [`NEEDS`] the spec tells.
pub fn needs(document: &Document) -> Vec<String> {
    if let Ok(needs) = document.get_array(NEEDS) {
        return needs.iter().filter_map(|backup| backup.as_str().map(str::to_owned)).collect();
    }
    let spec = document.get_document("spec").ok();
    spec.and_then(|spec| spec.get_str("backup").ok()).map(str::to_owned).into_iter().collect()
}

/// How many attempts may fail where nobody says how many.
pub const DEFAULT_ATTEMPTS: i32 = 5;

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "_id")]
    id: JobId,
    schema: i32,
    kind: Kind,
    spec: Document,
    requested_by: String,
    #[serde(default)]
    unique_key: Option<String>,
    priority: i32,
    max_attempts: i32,
    #[serde(default)]
    timeout_ms: Option<i64>,
    requires: Requires,
    #[serde(default)]
    keys: Vec<ConcurrencyKey>,
    #[serde(default)]
    after: Option<After>,
    #[serde(default)]
    retry_of: Option<JobId>,
}

impl Request {
    /// A request with the defaults: five attempts, due at once, after nothing, and with the keys that the spec needs.
    pub fn new(id: JobId, spec: Spec, requested_by: impl Into<String>, repository: Option<RepositoryName>) -> Self {
        Self {
            id,
            schema: JOB_SCHEMA,
            keys: spec.keys(repository.as_ref()),
            spec,
            requested_by: requested_by.into(),
            unique_key: None,
            priority: 0,
            max_attempts: DEFAULT_ATTEMPTS,
            timeout_ms: None,
            requires: Requires { repository, labels: Vec::new() },
            after: None,
            retry_of: None,
        }
    }

    /// How long after its first failure the job is tried again, however often it failed: a storage that is away for minutes
    /// must not cost a night's backup. `None` where a number of attempts was asked for: that alone counts.
    pub fn retry_ms(&self) -> Option<i64> {
        (self.max_attempts == DEFAULT_ATTEMPTS).then(|| self.spec.kind().retry_ms())
    }

    /// SHA-256 (hex) over the canonical form of every field.
    ///
    /// # Errors
    /// Where a value has no BSON form.
    pub fn hash(&self) -> Result<String, bson::error::Error> {
        let mut canonical = Vec::new();
        self.to_document()?.to_writer(&mut canonical)?;
        let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'));
        Ok(Sha256::digest(&canonical).iter().flat_map(digits).collect())
    }

    /// The stored fields of the request, in stored order. What a later shape has added is absent where it isn't used, so
    /// that an older request keeps its hash.
    ///
    /// # Errors
    /// Where a value has no BSON form.
    pub fn to_document(&self) -> Result<Document, bson::error::Error> {
        let mut document = doc! {
            "_id": self.id.as_str(),
            "schema": self.schema,
            "kind": self.spec.kind().as_str(),
            "spec": self.spec.to_document()?,
            "requested_by": &self.requested_by,
            "priority": self.priority,
            "max_attempts": self.max_attempts,
            "requires": bson::serialize_to_bson(&self.requires)?,
        };
        if let Some(key) = &self.unique_key {
            document.insert("unique_key", key);
        }
        if let Some(timeout_ms) = self.timeout_ms {
            document.insert("timeout_ms", timeout_ms);
        }
        if !self.keys.is_empty() {
            document.insert("keys", bson::serialize_to_bson(&self.keys)?);
        }
        if let Some(after) = &self.after {
            document.insert("after", bson::serialize_to_bson(after)?);
        }
        if let Some(job) = &self.retry_of {
            document.insert("retry_of", job.as_str());
        }
        Ok(document)
    }

    /// The same with what follows from the spec, but is to be read by programs that don't know its kind: `needs`, the backups, by their
    /// jobs, that must stay until this one has ended. Only stores write it, once; it is no part of the hash.
    ///
    /// # Errors
    /// Where a value has no BSON form.
    pub fn to_stored(&self) -> Result<Document, bson::error::Error> {
        let mut document = self.to_document()?;
        if let Some(backup) = self.spec.backup() {
            document.insert(NEEDS, vec![backup.as_str()]);
        }
        Ok(document)
    }

    pub(crate) fn from_raw(raw: &RawDocument) -> Result<Self, bson::error::Error> {
        let stored: Stored = bson::deserialize_from_slice(raw.as_bytes())?;
        Ok(Self {
            id: stored.id,
            schema: stored.schema,
            spec: Spec::from_document(stored.kind, stored.spec)?,
            requested_by: stored.requested_by,
            unique_key: stored.unique_key,
            priority: stored.priority,
            max_attempts: stored.max_attempts,
            timeout_ms: stored.timeout_ms,
            requires: stored.requires,
            keys: stored.keys,
            after: stored.after,
            retry_of: stored.retry_of,
        })
    }
}
