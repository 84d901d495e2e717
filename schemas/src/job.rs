//! The job document: one request and all that happened to it.
//!
//! Five parts with five rules: the [`Request`] never changes; the [`Head`] is the fold of the events; the
//! [`Lease`] and the [`Progress`] are volatile and no event tells of them; the events are append-only; the
//! [`Fate`] is noted once, of a backup, long after its end.

use crate::{Event, Failure, Fate, JOB_SCHEMA, JobId, Kind, Request, Stamp, State, upcast::upcast};
use bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};

/// How much sooner one step of priority makes a job run, in milliseconds.
pub const AGING_MS: i64 = 600_000;

/// The lowest priority that may be asked for.
pub const PRIORITY_LOWEST: i32 = -10;
/// The highest one.
pub const PRIORITY_HIGHEST: i32 = 10;

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
    /// Higher runs sooner.
    pub priority: i32,
    /// What due jobs are claimed in the order of: `run_at`, earlier by [`AGING_MS`] for each step of priority. So a job of
    /// low priority is overtaken for a while, and never starves.
    pub rank_at: Stamp,
    /// Slots of concurrency keys that the job occupies; through lease ends, until it waits again or ends.
    #[serde(default)]
    pub holds: Vec<String>,
    /// When it began to reserve slots, while it does.
    #[serde(default)]
    pub reserved_at: Option<Stamp>,
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
    /// Of a backup that succeeded and is no more: what became of it.
    pub fate: Option<Fate>,
}

/// A value of a head field as the store has to write it.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    /// This value, literally.
    Literal(Bson),
    /// A time, perhaps only known to the server.
    Stamp(Stamp),
    /// A list of documents with these fields.
    Objects(Vec<Vec<(&'static str, FieldValue)>>),
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

impl Head {
    /// The head of a job that was asked for at `at` and is due then.
    pub const fn born(at: Stamp) -> Self {
        Self {
            state: State::Queued,
            version: 1,
            epoch: 0,
            attempt: 0,
            worker: None,
            run_at: at,
            priority: 0,
            rank_at: at,
            holds: Vec::new(),
            reserved_at: None,
            created_at: at,
            started_at: None,
            finished_at: None,
            result: None,
            error: None,
        }
    }

    /// Every head field with the value to store, in stored order. Shared by all stores, so that none forgets one.
    pub fn fields(&self) -> Vec<(&'static str, FieldValue)> {
        let Self { state, version, epoch, attempt, worker, run_at, priority, rank_at, holds, reserved_at, .. } = self;
        let Self { created_at, started_at, finished_at, result, error, .. } = self;
        let stamp = |stamp: &Option<Stamp>| stamp.map_or(FieldValue::Absent, FieldValue::Stamp);
        vec![
            ("state", FieldValue::Literal(state.as_str().into())),
            // Lets partial indexes serve open jobs alone.
            ("open", FieldValue::Literal((!state.is_terminal()).into())),
            ("version", FieldValue::Literal((*version).into())),
            ("epoch", FieldValue::Literal((*epoch).into())),
            ("attempt", FieldValue::Literal((*attempt).into())),
            ("worker", literal(worker.as_ref().map(|name| name.as_str().into()))),
            ("run_at", FieldValue::Stamp(*run_at)),
            ("priority", FieldValue::Literal((*priority).into())),
            ("rank_at", FieldValue::Stamp(*rank_at)),
            // Absent where empty: in a unique index two empty lists are the same.
            ("holds", literal((!holds.is_empty()).then(|| holds.clone().into()))),
            ("reserved_at", stamp(reserved_at)),
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
    /// Reads a stored document. Older shapes are read through their upcasters.
    ///
    /// # Errors
    /// Where the document isn't a job of a known schema.
    pub fn from_document(document: &Document) -> Result<Self, UnreadableJob> {
        let id = || document.get("_id").map_or_else(|| "without _id".into(), ToString::to_string);
        let raw = upcast(document)
            .and_then(|upcast| RawDocumentBuf::try_from(upcast.as_ref()).map_err(|error| error.to_string()));
        raw.and_then(|raw| Self::from_present(&raw).map_err(|error| error.to_string()))
            .map_err(|reason| UnreadableJob { id: id(), reason })
    }

    /// The same of a document as it came from the server: nothing is copied that isn't kept.
    ///
    /// # Errors
    /// Where the document isn't a job of a known schema.
    pub fn from_raw(raw: &RawDocument) -> Result<Self, UnreadableJob> {
        if raw.get_i32("schema").is_ok_and(|schema| schema == JOB_SCHEMA)
            && let Ok(job) = Self::from_present(raw)
        {
            return Ok(job);
        }
        match Document::try_from(raw) {
            Ok(document) => Self::from_document(&document),
            Err(error) => Err(UnreadableJob { id: "with broken BSON".into(), reason: error.to_string() }),
        }
    }

    /// Reads a document of the present shape, one part after the other.
    fn from_present(raw: &RawDocument) -> Result<Self, bson::error::Error> {
        #[derive(Deserialize)]
        struct Rest {
            #[serde(default)]
            lease: Option<Lease>,
            #[serde(default)]
            progress: Option<Progress>,
            events: Vec<Event>,
            #[serde(default)]
            fate: Option<Fate>,
        }
        let rest: Rest = bson::deserialize_from_slice(raw.as_bytes())?;
        Ok(Self {
            request: Request::from_raw(raw)?,
            head: bson::deserialize_from_slice(raw.as_bytes())?,
            lease: rest.lease,
            progress: rest.progress,
            events: rest.events,
            fate: rest.fate,
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
    use crate::{BackupSpec, EventBody, Spec};

    #[test]
    fn a_stored_job_reads_back_whole() {
        let spec = Spec::Backup(BackupSpec {
            database: "lucid".into(),
            collections: None,
            compression: true,
            encryption: true,
            require_consistent: false,
        });
        let id = "backup_20250109_020000_7k3fq2m8ab".parse().expect("an id");
        let request = Request { timeout_ms: Some(5), ..Request::new(id, spec, "api:pi-1", None) };
        let at = DateTime::from_millis(1_736_388_000_000);
        let bodies = [
            EventBody::Enqueued {
                request_hash: request.hash().expect("a hash"),
                delay_ms: 0,
                run_at: None,
                priority: 0,
                waits: false,
            },
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
            "run_at": at, "rank_at": at, "created_at": at,
            "events": bson::serialize_to_bson(&events).expect("events"),
        });
        let job = Job::from_document(&document).expect("a job");
        assert_eq!(job.request, request);
        assert_eq!(job.events, events);
        assert_eq!(job.head.run_at, Stamp::At(at));
    }

    #[test]
    fn a_document_of_a_later_schema_says_what_to_do() {
        let error = Job::from_document(&doc! { "_id": "x", "schema": JOB_SCHEMA + 1 }).expect_err("refused");
        assert!(error.to_string().contains("upgrade this node"), "{error}");
    }
}
