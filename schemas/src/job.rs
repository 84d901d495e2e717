//! The job document: one request and all that happened to it.
//!
//! Four parts with four rules: the [`Request`] never changes; the [`Head`] is the fold of the events; the
//! [`Lease`] and the [`Progress`] are volatile and no event tells of them; the events are append-only.

use crate::{Event, Failure, JOB_SCHEMA, JobId, Kind, Spec, Stamp, State};
use bson::{Bson, DateTime, Document, doc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;

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

/// What was asked for. Immutable; the `enqueued` event holds its hash.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The job's id.
    pub id: JobId,
    /// What to do.
    pub spec: Spec,
    /// Who asked: `api:pi-1`, `token:ci`.
    pub requested_by: String,
    /// At most one open job has this key.
    pub unique_key: Option<String>,
    /// Higher runs first.
    pub priority: i32,
    /// How many attempts may fail before the job does.
    pub max_attempts: i32,
    /// What a worker must reach.
    pub requires: Requires,
}

/// The fold of a job's events.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Head {
    /// Where the job stands.
    pub state: State,
    /// Number of events; every transition names the version that it builds on.
    pub version: i64,
    /// Fencing token: +1 with each claim, never reset.
    pub epoch: i64,
    /// Number of the current or last attempt; 0 before the first.
    pub attempt: i32,
    /// Who claimed it last.
    #[serde(default)]
    pub worker: Option<String>,
    /// When it is due.
    pub run_at: Stamp,
    /// When it was asked for.
    pub created_at: Stamp,
    /// When it was claimed first.
    #[serde(default)]
    pub started_at: Option<Stamp>,
    /// When it ended.
    #[serde(default)]
    pub finished_at: Option<Stamp>,
    /// What came of it.
    #[serde(default)]
    pub result: Option<Document>,
    /// Why its last attempt, or the job, ended badly.
    #[serde(default)]
    pub error: Option<Failure>,
}

/// Who works on the job and until when, by the primary's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker.
    pub worker: String,
    /// The write that claimed.
    pub token: String,
    /// Until when.
    pub expires_at: Stamp,
}

/// How far the current attempt is. Written at most once a second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The part of the work at hand, such as `copy`.
    pub phase: String,
    /// Documents done.
    pub documents: i64,
    /// Bytes of raw documents done.
    pub bytes: i64,
    /// Bytes of raw documents in all, where known (0 where not).
    pub total_bytes: i64,
    /// When it was written, by the primary's clock.
    #[serde(default)]
    pub updated_at: Option<DateTime>,
}

/// A whole job document.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What was asked for.
    pub request: Request,
    /// Where it stands.
    pub head: Head,
    /// Who works on it.
    pub lease: Option<Lease>,
    /// How far it is.
    pub progress: Option<Progress>,
    /// What happened.
    pub events: Vec<Event>,
}

/// A value of a head field as the store has to write it.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    /// This value, literally.
    Literal(Bson),
    /// A time, perhaps only known to the server.
    Stamp(Stamp),
    /// The field is absent.
    Absent,
}

/// A job document that this program can't read.
#[derive(Debug, thiserror::Error)]
#[error("job document {id} can't be read: {reason}")]
pub struct UnreadableJob {
    /// The `_id` of the document, as far as it could be read.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Request {
    /// SHA-256 (hex) over the canonical form of every field.
    ///
    /// # Errors
    /// Where a value has no BSON form.
    pub fn hash(&self) -> Result<String, bson::error::Error> {
        let mut canonical = Vec::new();
        self.to_document()?.to_writer(&mut canonical)?;
        let digest = Sha256::digest(&canonical);
        Ok(digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }))
    }

    /// The stored fields of the request, in stored order.
    ///
    /// # Errors
    /// Where a value has no BSON form.
    pub fn to_document(&self) -> Result<Document, bson::error::Error> {
        let mut document = doc! {
            "_id": self.id.as_str(),
            "schema": JOB_SCHEMA,
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
        Ok(document)
    }

    fn from_document(document: &Document) -> Result<Self, bson::error::Error> {
        #[derive(Deserialize)]
        struct Stored {
            #[serde(rename = "_id")]
            id: JobId,
            kind: Kind,
            spec: Document,
            requested_by: String,
            #[serde(default)]
            unique_key: Option<String>,
            priority: i32,
            max_attempts: i32,
            requires: Requires,
        }
        let stored: Stored = bson::deserialize_from_document(document.clone())?;
        Ok(Self {
            id: stored.id,
            spec: Spec::from_document(stored.kind, stored.spec)?,
            requested_by: stored.requested_by,
            unique_key: stored.unique_key,
            priority: stored.priority,
            max_attempts: stored.max_attempts,
            requires: stored.requires,
        })
    }
}

impl Head {
    /// Every head field with the value to store, in stored order. Shared by all stores, so that none forgets one.
    pub fn fields(&self) -> Vec<(&'static str, FieldValue)> {
        let Self { state, version, epoch, attempt, worker, run_at, created_at, started_at, finished_at, result, error } =
            self;
        let stamp = |stamp: &Option<Stamp>| stamp.map_or(FieldValue::Absent, FieldValue::Stamp);
        vec![
            ("state", FieldValue::Literal(state.as_str().into())),
            // Lets one partial index serve unique keys of open jobs.
            ("open", FieldValue::Literal((!state.is_terminal()).into())),
            ("version", FieldValue::Literal((*version).into())),
            ("epoch", FieldValue::Literal((*epoch).into())),
            ("attempt", FieldValue::Literal((*attempt).into())),
            ("worker", literal(worker.as_ref().map(|name| name.as_str().into()))),
            ("run_at", FieldValue::Stamp(*run_at)),
            ("created_at", FieldValue::Stamp(*created_at)),
            ("started_at", stamp(started_at)),
            ("finished_at", stamp(finished_at)),
            ("result", literal(result.clone().map(Bson::Document))),
            ("error", literal(error.as_ref().map(failure_bson))),
        ]
    }
}

fn literal(value: Option<Bson>) -> FieldValue {
    value.map_or(FieldValue::Absent, FieldValue::Literal)
}

fn failure_bson(failure: &Failure) -> Bson {
    Bson::Document(doc! {
        "code": &failure.code,
        "message": &failure.message,
        "retryable": failure.retryable,
    })
}

impl Job {
    /// Reads a stored document; field by field in the order of the four parts.
    ///
    /// # Errors
    /// Where the document isn't a job of a known schema.
    pub fn from_document(document: &Document) -> Result<Self, UnreadableJob> {
        #[derive(Deserialize)]
        struct Rest {
            #[serde(default)]
            lease: Option<Lease>,
            #[serde(default)]
            progress: Option<Progress>,
            events: Vec<Event>,
        }
        let unreadable = |reason: String| UnreadableJob {
            id: document.get("_id").map_or_else(|| "without _id".into(), ToString::to_string),
            reason,
        };
        match document.get("schema") {
            Some(Bson::Int32(JOB_SCHEMA)) => {}
            Some(other) => {
                return Err(unreadable(format!(
                    "its schema is {other}, this program knows {JOB_SCHEMA}: upgrade this node"
                )));
            }
            None => return Err(unreadable("it has no schema number".into())),
        }
        let said = |error: bson::error::Error| unreadable(error.to_string());
        let rest: Rest = bson::deserialize_from_document(document.clone()).map_err(said)?;
        Ok(Self {
            request: Request::from_document(document).map_err(said)?,
            head: bson::deserialize_from_document(document.clone()).map_err(said)?,
            lease: rest.lease,
            progress: rest.progress,
            events: rest.events,
        })
    }

    /// The job's id.
    pub const fn id(&self) -> &JobId {
        &self.request.id
    }

    /// What the job does.
    pub const fn kind(&self) -> Kind {
        self.request.spec.kind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BackupSpec, EventBody};

    #[test]
    fn a_stored_job_reads_back_whole() {
        let request = Request {
            id: "backup_20250109_020000_7k3fq2m8ab".parse().expect("an id"),
            spec: Spec::Backup(BackupSpec {
                database: "lucid".into(),
                collections: None,
                compression: true,
                encryption: true,
                require_consistent: false,
            }),
            requested_by: "api:pi-1".into(),
            unique_key: None,
            priority: 0,
            max_attempts: 5,
            requires: Requires::default(),
        };
        let at = DateTime::from_millis(1_736_388_000_000);
        let bodies = [
            EventBody::Enqueued { request_hash: request.hash().expect("a hash"), delay_ms: 0 },
            EventBody::SnapshotTaken { cluster_time: bson::Timestamp { time: 1_736_388_001, increment: 7 } },
            EventBody::CommitStarted {},
        ];
        let events: Vec<_> = bodies
            .into_iter()
            .zip(1..)
            .map(|(body, seq)| Event { seq, at: Stamp::At(at), by: "api:pi-1".into(), write: "w".into(), body })
            .collect();
        let mut document = request.to_document().expect("a document");
        document.extend(doc! {
            "state": "queued", "open": true, "version": 3_i64, "epoch": 0_i64, "attempt": 0,
            "run_at": at, "created_at": at,
            "events": bson::serialize_to_bson(&events).expect("events"),
        });
        let job = Job::from_document(&document).expect("a job");
        assert_eq!(job.request, request);
        assert_eq!(job.events, events);
        assert_eq!(job.head.run_at, Stamp::At(at));
    }

    #[test]
    fn a_document_of_a_later_schema_says_what_to_do() {
        let error = Job::from_document(&doc! { "_id": "x", "schema": 2 }).expect_err("refused");
        assert!(error.to_string().contains("upgrade this node"), "{error}");
    }
}
