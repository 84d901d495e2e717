//! Wake-ups: which jobs changed. A hint, never the truth: it may repeat, and after a gap it says only that there was one.

use crate::ResumeToken;
use bson::RawDocumentBuf;
use lucid_schemas::{Job, JobId, State};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
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

/// How far a change stream has come. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Reached(Arc<AtomicU32>);

impl Reached {
    /// Everything up to this place was heard, or is looked for otherwise.
    pub fn note(&self, position: &ResumeToken) {
        if let Some(seconds) = position.seconds() {
            self.0.store(seconds, Ordering::Relaxed);
        }
    }

    /// The cluster time of that place, in seconds since 1970; `None` before there was any.
    pub fn seconds(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }
}

/// One stream of wake-ups per process, shared by all who listen in it.
pub trait Feed: Send + Sync + 'static {
    /// Listens from now on. A listener that lags is told so by the channel; it then reconciles as after a [`Wake::Gap`].
    fn subscribe(&self) -> broadcast::Receiver<Wake>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_tells_its_time_and_one_that_tells_none_changes_nothing() {
        let reached = Reached::default();
        assert_eq!(reached.seconds(), None);
        for token in ["826B05984F000000122B0229296E04", "FF", "82"] {
            reached.note(&token.parse().expect("a token"));
            assert_eq!(reached.seconds(), Some(0x6B05_984F), "{token}");
        }
    }
}
