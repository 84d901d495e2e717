//! Wake-ups: which jobs changed. A hint, never the truth: it may repeat, and after a gap it says only that there was one.

use lucid_schemas::{JobId, State};
use tokio::sync::broadcast;

/// Why to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// This job was enqueued or made a transition.
    Changed {
        /// The job.
        id: JobId,
        /// Its state after that, where the change tells.
        state: Option<State>,
    },
    /// Something may have been missed: reconcile by query.
    Gap,
}

/// One stream of wake-ups per process, shared by all who listen in it.
pub trait Feed: Send + Sync + 'static {
    /// Listens from now on. A listener that lags is told so by the channel; it then reconciles as after a [`Wake::Gap`].
    fn subscribe(&self) -> broadcast::Receiver<Wake>;
}
