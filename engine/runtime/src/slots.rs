//! Slots of concurrency keys, as a worker sees them: what is occupied, and what a claim has to take.
//!
//! A view of the store that may be outdated; the unique index decides. Where it decides against a claim, the view is read
//! again.

use crate::{
    options::WorkerOptions,
    step::{StepError, step},
};
use bson::DateTime;
use lucid_core::{
    Command, RESERVATION_MS,
    slots::{Occupied, SlotPlan, lacks, plan, pressed},
};
use lucid_ports::{Reach, Store, StoreError};
use lucid_schemas::Job;
use std::sync::Arc;
use tokio::time::Instant;

/// How long a job that gave its slots back lets others go first.
const TURN_OF_OTHERS_MS: i64 = 60_000;

/// What came of looking for slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// The job can be claimed with these.
    With(Vec<String>),
    /// Not now; a job that ends may change that.
    NotNow,
}

/// What is occupied, as of the last look. Most of the time nobody needs to know.
#[derive(Debug, Default)]
pub struct Slots {
    occupied: Option<Occupied>,
    /// Whether something waited for slots since they were forgotten: then the end of any job is a reason to look again.
    pub awaited: bool,
}

impl Slots {
    /// Begins anew: what was seen may be outdated, and jobs that weren't shown for it are to be shown again.
    pub fn forget(&mut self, reach: &mut Reach) {
        *self = Self::default();
        (reach.full, reach.taken) = Default::default();
    }

    /// Looks at the store, where nobody has since; tells `reach` which jobs needn't be shown.
    pub async fn look(&mut self, store: &Arc<dyn Store>, reach: &mut Reach) -> Result<&Occupied, StoreError> {
        let occupied = match self.occupied.take() {
            Some(known) => known,
            None => store.occupied().await?,
        };
        (reach.full, reach.taken) = pressed(&occupied);
        Ok(self.occupied.insert(occupied))
    }

    /// Finds slots for a job, or lets it reserve what it can't share; tells `reach` which jobs needn't be shown meanwhile.
    pub async fn find(
        &mut self,
        store: &Arc<dyn Store>,
        reach: &mut Reach,
        job: &Job,
        options: &WorkerOptions,
    ) -> Ready {
        if !lacks(job) {
            return Ready::With(Vec::new());
        }
        let occupied = match self.look(store, reach).await {
            Ok(occupied) => occupied,
            Err(error) => {
                tracing::warn!(job = %job.id(), %error, "no slots looked for");
                return Ready::NotNow;
            }
        };
        let command = match plan(job, occupied) {
            SlotPlan::Take(slots) => return Ready::With(slots),
            SlotPlan::Reserve(slots) => Command::Reserve { slots },
            SlotPlan::Wait { .. } if has_waited_long(job, (options.wall_clock)()) => {
                Command::ReturnSlots { retry_in_ms: TURN_OF_OTHERS_MS }
            }
            SlotPlan::Wait { .. } => {
                self.awaited = true;
                return Ready::NotNow;
            }
        };
        self.awaited = true;
        match step(store, job.clone(), &command, &options.name, Instant::now()).await {
            Ok(moved) => {
                tracing::info!(job = %job.id(), command = command.name(), slots = moved.head.holds.len(), "slots moved");
                self.freed(job);
                self.taken(&moved);
            }
            Err(StepError::Store(error)) => tracing::warn!(job = %job.id(), %error, "no slots reserved"),
            Err(error) => tracing::debug!(job = %job.id(), %error, "no slots reserved"),
        }
        Ready::NotNow
    }

    /// A claim that takes these slots for a job is about to be made.
    pub fn promise(&mut self, job: &Job, slots: &[String]) {
        let slots = slots.iter().map(|slot| (slot.clone(), job.id().clone()));
        self.occupied.iter_mut().for_each(|occupied| occupied.extend(slots.clone()));
    }

    /// The next look is at the store.
    pub fn outdated(&mut self) {
        self.occupied = None;
    }

    /// A job has these slots now.
    fn taken(&mut self, job: &Job) {
        let slots = job.head.holds.iter().map(|slot| (slot.clone(), job.id().clone()));
        self.occupied.iter_mut().for_each(|occupied| occupied.extend(slots.clone()));
    }

    fn freed(&mut self, job: &Job) {
        self.occupied.iter_mut().for_each(|occupied| occupied.retain(|_, by| by != job.id()));
    }
}

/// A hint only, as this node's clock may be wrong: the store judges.
fn has_waited_long(job: &Job, now: DateTime) -> bool {
    let since = job.head.reserved_at.and_then(lucid_schemas::Stamp::stored);
    since.is_some_and(|since| now.timestamp_millis() - since.timestamp_millis() > RESERVATION_MS)
}
