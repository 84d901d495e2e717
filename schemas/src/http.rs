//! Bodies of the API. Requests are closed: an unknown field is an error that names it.

use crate::{Keep, fate::FateView, run::RunBody};
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod access;
mod alerts;
pub mod health;
mod schedules;
mod stream;

pub use access::{TokenList, TokenMade, TokenView, WhoView};
pub use alerts::{
    AcknowledgeBody, AlertList, AlertView, NoticeView, ResolveBody, SilenceAlertBody, SilenceBody, SilenceList,
    SilenceView, SilencedBy, TestBody, TestView, Told,
};
pub use health::{Health, Status};
pub use schedules::{OutcomeView, ScheduleBody, ScheduleList, ScheduleView};
pub use stream::{AlertEventView, Class, JobEventView, ResetView};

/// `POST /backup`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupBody {
    /// The database to copy.
    pub database: String,
    /// The collections to copy; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Compress with zstd; the server's `BACKUP_COMPRESSION` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<bool>,
    /// Seal with AES-256-GCM; the server's `BACKUP_ENCRYPTION` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<bool>,
    /// Fail rather than copy a collection that can't be read at the snapshot time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_consistent: Option<bool>,
    /// The repository by name; `main` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// How the job is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RunBody>,
}

/// `POST /restore`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreBody {
    /// The backup job, or an unambiguous prefix of its id.
    pub backup: String,
    /// The database to restore into; the one that was backed up where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The collections to restore; all of the backup's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collections: Option<Vec<String>>,
    /// Permission to replace collections of a database that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace: Option<bool>,
    /// Only say what would be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// How the job is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RunBody>,
}

/// `POST /verify`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyBody {
    /// The backup job, or an unambiguous prefix of its id.
    pub backup: String,
    /// `structure`, `data` or `drill`; `data` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// At level data: how large a sample is read, such as `5%`; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
    /// What the sample is chosen by, so that it can be read again; the job's id where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// At level data: which part is read, such as `3/7`; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// How the job is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RunBody>,
}

/// `POST /prune`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneBody {
    /// Which backups stay; those of the last `BACKUP_RETENTION_DAYS`, and the last `BACKUP_KEEP_LAST`, of the server where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// Only say what would be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Free space in this run, not the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<bool>,
    /// Write packs anew that are mostly unneeded; true where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repack: Option<bool>,
    /// Hours for which what nobody needs is left alone; 24 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_hours: Option<i32>,
    /// Take the repository over from the cluster that has pruned it so far. Not in schedules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_ownership: Option<bool>,
    /// Judge the backups of another cluster, by its id, in place of this one's. Not in schedules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Note as lost the backups whose manifests somebody has removed by hand. Not in schedules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_loss: Option<bool>,
    /// Forget more than half of a series at once. Not in schedules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget_many: Option<bool>,
    /// The repository by name; `main` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// How the job is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RunBody>,
}

/// `POST /copy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyBody {
    /// The backup: the id of its job or an unambiguous prefix; every backup of the repository where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// The repository to copy into, by name.
    pub to: String,
    /// The repository to copy from, by name; `main` where absent. A backup's own is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// How the job is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RunBody>,
}

/// `POST /reencrypt`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReencryptBody {
    /// The repository by name; `main` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// How the job is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RunBody>,
}

/// One job, as every endpoint shows it. Times are RFC 3339 in UTC by the primary's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// The job's id.
    pub job_id: String,
    /// What it does.
    pub kind: String,
    /// Where it stands.
    pub state: String,
    /// What was asked for.
    pub spec: Value,
    /// The repository by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Who asked.
    pub requested_by: String,
    /// Number of events.
    pub version: i64,
    /// Number of claims.
    pub epoch: i64,
    /// The current or last attempt.
    pub attempt: i32,
    /// How many attempts may fail.
    pub max_attempts: i32,
    /// Higher runs sooner.
    #[serde(default)]
    pub priority: i32,
    /// How many seconds one attempt may take, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// The labels that its worker must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Refused while another job with this key was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// The job that must end first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How that one must end: `succeeded` or `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// The job whose request it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
    /// Who claimed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// Why nobody works on it yet, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// When it was asked for.
    pub created_at: String,
    /// When it is due.
    pub run_at: String,
    /// When it was claimed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// How far the current attempt is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it, or its last attempt, ended badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<FailureView>,
    /// What became of the backup that it made, where that is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fate: Option<FateView>,
    /// Why it was canceled, or by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled: Option<String>,
}

/// Progress of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressView {
    /// The part of the work at hand.
    pub phase: String,
    /// Documents done.
    pub documents: i64,
    /// Bytes of raw documents done.
    pub bytes: i64,
    /// Bytes of raw documents in all; 0 where not known.
    pub total_bytes: i64,
}

/// Why a job or an attempt ended badly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureView {
    /// A stable word for programs.
    pub code: String,
    /// What happened and what to do.
    pub message: String,
    /// Whether trying again may help.
    pub retryable: bool,
}

/// One page of jobs: `GET /jobs`, `GET /backups`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobPage {
    /// Newest first.
    pub jobs: Vec<JobView>,
    /// Pass as `after` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One backup in `GET /backups`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupView {
    /// The job that makes or made it.
    #[serde(flatten)]
    pub job: JobView,
    /// The database it is of.
    pub database: String,
    /// Whether it is of some collections only; the spec names them.
    #[serde(default)]
    pub partial: bool,
    /// Whether every collection was read at one instant; absent until it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistent: Option<bool>,
    /// Documents in it; absent until it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<i64>,
    /// Bytes of its raw documents; absent until it succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_bytes: Option<i64>,
}

/// One page of `GET /backups`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupPage {
    /// Newest first.
    pub backups: Vec<BackupView>,
    /// Pass as `after` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One event, as `GET /jobs/{id}/events` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Its number within the job.
    pub seq: i64,
    /// When, by the primary's clock.
    pub at: String,
    /// What.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who.
    pub by: String,
    /// Particulars.
    pub data: Value,
}

/// `GET /jobs/{id}/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventList {
    /// The job.
    pub job_id: String,
    /// In order.
    pub events: Vec<EventView>,
}

/// The last message of `GET /jobs/{id}/events` as a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndView {
    /// How the job ended; absent where it isn't there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// `GET /jobs/audit`: what was found in some of the jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// So many jobs were looked at.
    pub jobs: u64,
    /// So many events.
    pub events: u64,
    /// What is wrong with them.
    pub violations: Vec<ViolationView>,
    /// Those that can't be read.
    pub unreadable: Vec<UnreadableView>,
    /// So many are of kinds that only a later program knows, as while nodes are upgraded: nobody looked into them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub later: u64,
    /// Pass as `after` to look at the jobs that follow; absent after the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A job that breaks an invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViolationView {
    /// The job.
    pub job_id: String,
    /// The invariant, such as `INV-1`.
    pub invariant: String,
    /// How it is broken.
    pub detail: String,
}

/// A job document that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableView {
    /// Its `_id`.
    pub job_id: String,
    /// What is wrong with it.
    pub reason: String,
}
