//! How far a job is, gathered from tasks that work at the same time.

use lucid_ports::JobContext;
use lucid_schemas::Progress;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

/// Gathers progress and reports it.
pub(crate) struct Meter<'a> {
    context: &'a dyn JobContext,
    phase: Mutex<&'static str>,
    documents: AtomicI64,
    bytes: AtomicI64,
    total_bytes: AtomicI64,
}

impl<'a> Meter<'a> {
    pub fn new(context: &'a dyn JobContext) -> Self {
        Self {
            context,
            phase: Mutex::new(""),
            documents: AtomicI64::new(0),
            bytes: AtomicI64::new(0),
            total_bytes: AtomicI64::new(0),
        }
    }

    /// A new part of the work begins; counts start at 0. `total_bytes` is 0 where unknown.
    pub fn phase(&self, phase: &'static str, total_bytes: i64) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.documents.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        self.report();
    }

    /// So much more is done; negative where something has to be done again.
    pub fn add(&self, documents: i64, bytes: i64) {
        self.documents.fetch_add(documents, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.report();
    }

    /// So much is done in all.
    pub fn set(&self, bytes: i64, total_bytes: i64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        self.report();
    }

    fn report(&self) {
        let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        self.context.report(Progress {
            phase: phase.to_owned(),
            documents: self.documents.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            updated_at: None,
        });
    }
}
