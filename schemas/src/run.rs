//! How a job is run: the part `job` that every request body may have, and what steers queues and workers.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a job is run; everything is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunBody {
    /// From -10 to 10: higher runs sooner; each step is as if the job had been due for ten minutes longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Not before this time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<String>,
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// How many attempts may fail before the job does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<i32>,
    /// Labels that the worker must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// At most one open job has this key; a second one is refused and named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// Only after this job, or the one with this prefix, has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How that one must have ended: `succeeded` (the default) or `failed`; else this job is canceled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
}

/// `POST /queues/{kind}/pause`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseBody {
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /jobs/{id}/give-up`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveUpBody {
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One kind of jobs in `GET /queues`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// The kind.
    pub kind: String,
    /// Whether its jobs aren't begun for now.
    pub paused: bool,
    /// Who paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when, by the primary's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// `GET /queues`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueList {
    /// Every kind.
    pub queues: Vec<QueueView>,
}

/// A worker in `GET /workers` and `GET /health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its name: host, process id, and what chance has added.
    pub name: String,
    /// Version of its program.
    #[serde(default)]
    pub version: String,
    /// Kinds of jobs that it runs.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Names of the repositories it reaches.
    pub repositories: Vec<String>,
    /// Labels that it carries.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Slots in all.
    pub capacity: i32,
    /// Slots taken.
    pub running: i32,
    /// How far its clock is ahead of the primary's, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
    /// What it has counted since its start: `claimed`, `claim_attempts`, `wakes` and what became of them.
    #[serde(default)]
    pub counts: BTreeMap<String, i64>,
    /// What is wrong there; also in `GET /health`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// When it was heard of last, by the primary's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<String>,
}

/// `GET /workers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerList {
    /// Those that were heard of lately.
    pub workers: Vec<WorkerView>,
}
