//! How the service is.

use crate::run::WorkerView;
use serde::{Deserialize, Serialize};

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, `degraded` (works, but somebody should look) or `down`.
    pub status: String,
    /// Version of this program.
    pub version: String,
    /// One sentence on the replica set.
    pub mongodb: String,
    /// Workers that were heard of lately.
    pub workers: Vec<WorkerView>,
    /// Open jobs by state.
    pub open_jobs: std::collections::BTreeMap<String, i64>,
    /// What somebody should look at; empty when `ok`.
    pub problems: Vec<String>,
    /// By which rules of time zones the API goes, such as `2026a, in /usr/share/zoneinfo`.
    #[serde(default)]
    pub time_zones: String,
}
