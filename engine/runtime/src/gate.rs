//! What stands between a worker and jobs that are in its reach: kinds that are paused, and slots of concurrency keys that
//! others have. One view of both, for looks and claims that run side by side.
//!
//! A view that may be outdated by a moment; the store has the last word on slots, and a pause is seen soon enough.

use crate::{
    options::WorkerOptions,
    slots::{Ready, Slots},
};
use lucid_core::slots::lacks;
use lucid_ports::{Reach, Store, StoreError};
use lucid_schemas::{Job, Kind, State};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// The gate of one worker.
pub struct Gate {
    store: Arc<dyn Store>,
    options: Arc<WorkerOptions>,
    reach: Reach,
    paused: Mutex<Vec<Kind>>,
    view: tokio::sync::Mutex<View>,
    awaited: AtomicBool,
}

struct View {
    slots: Slots,
    /// Which keys are full or taken, as of the last look at the slots.
    reach: Reach,
}

impl Gate {
    /// Open, as far as is known.
    pub fn new(store: Arc<dyn Store>, options: Arc<WorkerOptions>, reach: Reach) -> Arc<Self> {
        let view = tokio::sync::Mutex::new(View { slots: Slots::default(), reach: reach.clone() });
        Arc::new(Self { store, options, reach, paused: Mutex::default(), view, awaited: AtomicBool::new(false) })
    }

    /// What the worker reaches, whatever stands before it now.
    pub const fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Reads which kinds are paused; whether one of them goes on.
    pub async fn see_pauses(&self) -> Result<bool, StoreError> {
        let now: Vec<Kind> = self.store.paused().await?.into_iter().map(|pause| pause.kind).collect();
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = paused.iter().any(|kind| !now.contains(kind));
        *paused = now;
        Ok(goes_on)
    }

    /// Whether something waited for slots at the last look: then the end of any job is a reason to look again.
    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed)
    }

    /// Begins anew: what was seen of slots may be outdated, and what waited for them is to be shown again.
    pub async fn begin(&self) -> Reach {
        let mut view = self.view.lock().await;
        let View { slots, reach } = &mut *view;
        slots.forget(reach);
        self.awaited.store(false, Ordering::Relaxed);
        self.with_pauses(reach)
    }

    /// What is in reach once the jobs that can't have their slots now are left out; `None` where none of these is one.
    pub async fn without_parked(&self, jobs: &[Job]) -> Option<Reach> {
        if !jobs.iter().any(lacks) {
            return None;
        }
        let mut view = self.view.lock().await;
        let View { slots, reach } = &mut *view;
        if let Err(error) = slots.look(&self.store, reach).await {
            tracing::warn!(%error, "no slots looked for");
            return None;
        }
        let parks = jobs.iter().any(|job| reach.parks(job));
        slots.awaited |= parks;
        self.awaited.store(slots.awaited, Ordering::Relaxed);
        parks.then(|| self.with_pauses(reach))
    }

    /// Whether a job may be begun, and with which slots. They count as the job's from now on; where its claim isn't won,
    /// [`Self::look_anew`] must follow.
    pub async fn open(&self, job: &Job) -> Ready {
        let queued = job.head.state == State::Queued;
        if queued && self.paused.lock().unwrap_or_else(PoisonError::into_inner).contains(&job.kind()) {
            return Ready::NotNow;
        }
        if !lacks(job) {
            return Ready::With(Vec::new());
        }
        let mut view = self.view.lock().await;
        let View { slots, reach } = &mut *view;
        let ready = slots.find(&self.store, reach, job, &self.options).await;
        if let Ready::With(found) = &ready {
            slots.promise(job, found);
        }
        self.awaited.store(slots.awaited, Ordering::Relaxed);
        ready
    }

    /// What is known of slots is outdated, where the job needs some: another was faster, or it is a while ago.
    pub async fn look_anew(&self, job: &Job) {
        if lacks(job) {
            self.view.lock().await.slots.outdated();
        }
    }

    fn with_pauses(&self, reach: &Reach) -> Reach {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Reach { paused, ..reach.clone() }
    }
}
