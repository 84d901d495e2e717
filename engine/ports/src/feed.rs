//! Wake-ups: which jobs changed. A hint, never the truth: it may repeat, and after a gap it says only that there was one.

use bson::RawDocumentBuf;
use lucid_schemas::{Job, JobId, State};
use std::sync::Arc;
use tokio::sync::broadcast;

/// Why to look.
#[derive(Debug, Clone, PartialEq)]
pub enum Wake {
    /// This job was enqueued or made a transition.
    Changed {
        /// The job.
        id: JobId,
        /// Its state after that, where the change tells.
        state: Option<State>,
        /// The new job itself, where that is what the change tells, and where it is small.
        born: Option<Birth>,
    },
    /// Something may have been missed: reconcile by query.
    Gap,
}

/// A job as it was born; not read yet, since most listeners needn't.
#[derive(Debug, Clone, PartialEq)]
pub struct Birth(Arc<RawDocumentBuf>);

impl Birth {
    /// Of the job's document.
    pub fn new(document: RawDocumentBuf) -> Self {
        Self(Arc::new(document))
    }

    /// The job; `None` where this program can't read it.
    pub fn job(&self) -> Option<Job> {
        Job::from_raw(&self.0).ok()
    }
}

/// One stream of wake-ups per process, shared by all who listen in it.
pub trait Feed: Send + Sync + 'static {
    /// Listens from now on. A listener that lags is told so by the channel; it then reconciles as after a [`Wake::Gap`].
    fn subscribe(&self) -> broadcast::Receiver<Wake>;
}
