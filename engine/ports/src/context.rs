//! What a handler sees of the engine; all of it.

use crate::{Detail, JobError};
use async_trait::async_trait;
use bson::Document;
use lucid_schemas::{Code, EventBody, Job, Progress};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Why the engine refused a handler.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ContextError {
    /// The job is another worker's now, or is being canceled: stop.
    #[error("the job is no longer this worker's to go on with: {0}")]
    Stop(String),
    /// The store failed for longer than it is waited for.
    #[error("the job's store failed: {0}")]
    Store(String),
}

impl From<ContextError> for JobError {
    fn from(error: ContextError) -> Self {
        match error {
            ContextError::Stop(_) => Self::Stopped,
            ContextError::Store(message) => Self::retryable(Code::StoreUnavailable, message),
        }
    }
}

/// One claim of one job. All it writes is fenced by the claim's epoch.
#[async_trait]
pub trait JobContext: Send + Sync {
    /// The job as of the last transition that this worker made; its events tell what predecessors did.
    fn job(&self) -> Job;

    /// Fires when work must stop: a cancel, a lost lease, a shutdown.
    fn stop(&self) -> &CancellationToken;

    /// How long this worker may still act on its lease, by its monotonic clock, margin taken off. Zero: stop. A bound
    /// for `maxTimeMS` of commands sent elsewhere.
    fn lease_left(&self) -> Duration;

    /// Reports how far the work is; written by the next heartbeat.
    fn report(&self, progress: Progress);

    /// Appends a fact that a successor must know, such as `snapshot_taken`.
    async fn record(&self, fact: EventBody) -> Result<(), ContextError>;

    /// Passes the point of no return. After this the job can't be canceled; it is only carried through.
    async fn commit(&self, fact: EventBody) -> Result<(), ContextError>;

    /// Keeps a list that is too large for an event; answers with its hash.
    async fn put_detail(&self, name: &str, data: Document) -> Result<String, ContextError>;

    /// A kept list, of this worker or a predecessor.
    async fn detail(&self, name: &str) -> Result<Option<Detail>, ContextError>;
}
