//! Facts about a job, in the past tense, numbered from 1. A job's `events` array is its event stream.

use crate::{Stamp, State};
use bson::{DateTime, Document, Timestamp};
use serde::{Deserialize, Serialize};

/// Why an attempt or a job ended badly. Texts have passed the redactor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word for programs, such as `snapshot_too_old`.
    pub code: String,
    /// What happened and what to do about it, for people.
    pub message: String,
    /// Whether trying again may help.
    pub retryable: bool,
}

/// What happened. Stored as `type` and `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum EventBody {
    /// The job was asked for; `request_hash` covers its immutable fields.
    Enqueued {
        /// SHA-256 (hex) of the canonical form of the immutable fields, see `Request::hash`.
        request_hash: String,
        /// Milliseconds until it is due.
        delay_ms: i64,
        /// The very moment, where it was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_at: Option<DateTime>,
        /// Higher runs sooner.
        #[serde(default)]
        priority: i32,
        /// Whether another job has to end first.
        #[serde(default)]
        waits: bool,
    },
    /// The job that this one waited for ended as wanted.
    DependencyMet {
        /// How that one ended.
        state: State,
        /// What of its result this job needs: the `manifest` of a backup.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Document>,
    },
    /// The job that this one waited for ended otherwise, or is gone: this one never runs.
    DependencyFailed {
        /// How that one ended; absent where it doesn't exist any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<State>,
    },
    /// A queued job that needs a key to itself has taken free slots of it, and waits for the others.
    SlotsReserved {
        /// The slots that it took now.
        slots: Vec<String>,
    },
    /// It waited for the others for too long, gave back what it had, and tries again later.
    SlotsReturned {
        /// Milliseconds until it is due again.
        retry_in_ms: i64,
        /// What it keeps nevertheless, as it is past its point of no return.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<String>,
    },
    /// A worker took the job, or took it over from one whose lease had ended.
    Claimed {
        /// Fencing token of this claim.
        epoch: i64,
        /// The number of this attempt, from 1.
        attempt: i32,
        /// Whether another worker held it before and was lost.
        takeover: bool,
        /// Slots of concurrency keys that the job took with this claim.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        slots: Vec<String>,
    },
    /// The worker gave it back unharmed, as it was asked to stop; the attempt doesn't count.
    Released {
        /// Why, for people.
        reason: String,
    },
    /// An attempt ended badly; the job is tried again after a delay.
    AttemptFailed {
        /// Why.
        error: Failure,
        /// Milliseconds until it is due again.
        retry_in_ms: i64,
    },
    /// The instant at which everything of this backup is read.
    SnapshotTaken {
        /// The cluster time.
        cluster_time: Timestamp,
    },
    /// The point of no return of a backup: from here it can't be canceled.
    CommitStarted {},
    /// The point of no return of a restore: from here collections are swapped, and only rolled forward.
    SwapStarted {
        /// How many collections and views are swapped.
        entries: i32,
        /// Hash (hex) of the list in `ops_details`.
        list_hash: String,
    },
    /// Somebody asked for the end of a job that a worker holds.
    CancelRequested {},
    /// The job ended because somebody asked for it.
    Canceled {},
    /// An operator let a blocked job go on.
    Resumed {},
    /// An operator gave a blocked job up: a worker sees what was done and what wasn't, removes the rest, and the job fails.
    GivenUp {
        /// Why, for people.
        reason: String,
    },
    /// The job can neither go back nor on without an operator.
    Blocked {
        /// What is left, and what to do.
        error: Failure,
        /// Which of its slots it keeps meanwhile. Absent: all, as with programs that didn't give any back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<Vec<String>>,
    },
    /// The job ended well.
    Succeeded {
        /// What came of it, per kind.
        result: Document,
    },
    /// The job ended badly.
    Failed {
        /// Why.
        error: Failure,
    },
}

/// One numbered fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number within the job, from 1, without gaps. Order within a job is this, never time.
    pub seq: i64,
    /// When, by the primary's clock.
    pub at: Stamp,
    /// Who: `worker:pi-2/4711`, `api:pi-1`, `token:ci`.
    pub by: String,
    /// Which write it came with; tells its writer after a lost answer that it was his.
    pub write: String,
    /// What.
    #[serde(flatten)]
    pub body: EventBody,
}

impl EventBody {
    /// The stored `type`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Enqueued { .. } => "enqueued",
            Self::DependencyMet { .. } => "dependency_met",
            Self::DependencyFailed { .. } => "dependency_failed",
            Self::SlotsReserved { .. } => "slots_reserved",
            Self::SlotsReturned { .. } => "slots_returned",
            Self::Claimed { .. } => "claimed",
            Self::Released { .. } => "released",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::SnapshotTaken { .. } => "snapshot_taken",
            Self::CommitStarted {} => "commit_started",
            Self::SwapStarted { .. } => "swap_started",
            Self::CancelRequested {} => "cancel_requested",
            Self::Canceled {} => "canceled",
            Self::Resumed {} => "resumed",
            Self::GivenUp { .. } => "given_up",
            Self::Blocked { .. } => "blocked",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
        }
    }

    /// The stored `data`.
    ///
    /// # Errors
    /// Where a value has no BSON form.
    pub fn data(&self) -> Result<Document, bson::error::Error> {
        let mut document = bson::serialize_to_document(self)?;
        Ok(match document.remove("data") {
            Some(bson::Bson::Document(data)) => data,
            _ => Document::new(),
        })
    }
}
