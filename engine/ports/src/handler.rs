//! What does the work of one kind of job.

use crate::JobContext;
use async_trait::async_trait;
use bson::Document;
use lucid_schemas::{Code, Failure, Kind};

/// How a handler's run ends other than well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The attempt failed.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// The context said stop (cancel, lost lease, shutdown) and the handler did.
    #[error("stopped as asked")]
    Stopped,
}

impl JobError {
    /// A failure that trying again won't mend.
    pub fn permanent(code: Code, message: impl Into<String>) -> Self {
        Self::Failed(Failure { code: code.into(), message: message.into(), retryable: false })
    }

    /// A failure that trying again may mend.
    pub fn retryable(code: Code, message: impl Into<String>) -> Self {
        Self::Failed(Failure { code: code.into(), message: message.into(), retryable: true })
    }
}

/// Does the work of one kind of job.
///
/// A handler may be killed or stopped for an hour between any two instructions, while a successor runs. So whatever
/// it does outside the store must be harmless then: write-once names, UUID-checked commands.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// The kind.
    fn kind(&self) -> Kind;

    /// Works, and says what came of it. Called again after a failed attempt, and by a successor after a takeover, even
    /// past the point of no return: then it rolls forward.
    async fn run(&self, context: &dyn JobContext) -> Result<Document, JobError>;

    /// Removes what was left outside the store, as the job goes on without this attempt.
    ///
    /// Never called past the point of no return, except for [`Ending::Fenced`]: then `context.job()` is the job as it
    /// is now, another worker may be at work on it or have finished it, and only what provably nobody uses may go.
    async fn abandon(&self, context: &dyn JobContext, ending: Ending);

    /// Sees what the job did past its point of no return and what it didn't, as an operator gave it up, and removes what it left
    /// outside the store beside that. Called again where it failed, and by a successor, so each step must do no harm twice. Nothing
    /// runs the job after this. A kind that leaves nothing half-done needn't say more.
    async fn give_up(&self, _context: &dyn JobContext) -> Result<GivenUp, JobError> {
        Ok(GivenUp { message: "nothing of it counts".into(), found: Document::new() })
    }
}

/// What became of a job that was given up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GivenUp {
    /// The same for people, in a sentence that begins small.
    pub message: String,
    /// What was done and what wasn't; kept as the job's list `given_up`.
    pub found: Document,
}

/// Under which name a job that was given up keeps what was found.
pub const GIVEN_UP: &str = "given_up";

/// Why an attempt is abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The job was canceled; this worker still holds it, and nobody comes after it.
    Canceled,
    /// The attempt failed or was interrupted, and the transition that says so is made: the next attempt may have begun,
    /// afresh and with a higher epoch. Only what epochs up to this claim's own left may go.
    Failed,
    /// The job isn't this worker's any more. A restore leaves its staging to the successor; a backup deletes its own
    /// manifest only where the job has ended and names another one, or none.
    Fenced,
}
