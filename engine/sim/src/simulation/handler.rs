//! The handlers of the simulation: what they do is drawn by lot, and what they did is written down outside the store.

use super::{
    KINDS,
    plan::Weather,
    stage::{Process, Stage},
};
use async_trait::async_trait;
use bson::{Document, Timestamp, doc};
use lucid_ports::{Ending, GivenUp, Handler, JobContext, JobError};
use lucid_schemas::{Code, EventBody, Job, Kind, Progress, State};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// Longer than five leases.
const LONG_ROUNDS: usize = 40;

/// Works on jobs of one kind.
pub struct SimHandler {
    kind: Kind,
    stage: Arc<Stage>,
    process: Arc<Process>,
}

/// How a run is meant to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Success,
    Retry,
    Fail,
    Panic,
}

impl SimHandler {
    /// One per kind.
    pub fn all(stage: &Arc<Stage>, process: &Arc<Process>) -> Vec<Arc<dyn Handler>> {
        let make = |kind| -> Arc<dyn Handler> {
            Arc::new(Self { kind, stage: Arc::clone(stage), process: Arc::clone(process) })
        };
        KINDS.into_iter().map(make).collect()
    }

    /// A while of work; a stubborn one doesn't listen.
    async fn work(&self, context: &dyn JobContext, stubborn: bool) -> Result<(), JobError> {
        let worked = sleep(Duration::from_millis(self.stage.up_to_ms(800)));
        if stubborn {
            worked.await;
        } else {
            tokio::select! {
                biased;
                () = context.stop().cancelled() => return Err(JobError::Stopped),
                () = worked => {}
            }
        }
        self.process.lives().await;
        Ok(())
    }

    /// Does something outside the store, as long as the lease allows it.
    fn act(&self, context: &dyn JobContext, epoch: i64) -> Result<(), JobError> {
        if context.stop().is_cancelled() || context.lease_left().is_zero() {
            return Err(JobError::Stopped);
        }
        let id = context.job().request.id;
        let mut ledger = self.stage.ledger();
        ledger.count("acted");
        let current = ledger.latest(&id).map_or(0, |job| job.head.epoch);
        if current != epoch {
            ledger.count("acted though fenced");
            if self.stage.plan.weather == Weather::Steady {
                ledger.violation(format!("SIM-13: epoch {epoch} acted on {id} after epoch {current} had begun"));
            }
        }
        Ok(())
    }

    fn fate(&self) -> Fate {
        if self.stage.is_calm() {
            return Fate::Success;
        }
        let fates = [
            Fate::Success,
            Fate::Success,
            Fate::Success,
            Fate::Success,
            Fate::Retry,
            Fate::Retry,
            Fate::Fail,
            Fate::Panic,
        ];
        self.stage.chance().of(&fates)
    }

    async fn commit(&self, context: &dyn JobContext, epoch: i64) -> Result<(), JobError> {
        let fact = match self.kind {
            Kind::Backup => EventBody::CommitStarted {},
            Kind::Restore => EventBody::SwapStarted { entries: 1, list_hash: "list".into() },
            Kind::Verify | Kind::Prune | Kind::Copy | Kind::Reencrypt | Kind::Monitor | Kind::Notify => return Ok(()),
        };
        if context.job().head.state == State::Committing {
            return Ok(());
        }
        context.commit(fact).await?;
        self.stage.ledger().committed(&context.job().request.id, epoch);
        Ok(())
    }
}

#[async_trait]
impl Handler for SimHandler {
    fn kind(&self) -> Kind {
        self.kind
    }

    async fn run(&self, context: &dyn JobContext) -> Result<Document, JobError> {
        let job = context.job();
        let epoch = job.head.epoch;
        self.stage.ledger().called(job.id(), epoch);
        if self.stage.ledger().poison.as_ref() == Some(job.id()) {
            self.stage.ledger().count("poisoned");
            self.process.kill();
            self.process.lives().await;
        }
        let (fate, early, stubborn) = (self.fate(), self.stage.one_in(2), self.stage.one_in(12));
        // Whoever works beside one that kills must be there for as long as it does.
        let is_long = self.stage.plan.poison && !self.stage.is_calm();
        let rounds = if is_long { LONG_ROUNDS } else { self.stage.below(4) };
        for documents in 0..rounds {
            if is_long && self.stage.is_calm() {
                break;
            }
            self.work(context, stubborn).await?;
            self.act(context, epoch)?;
            let documents = i64::try_from(documents).unwrap_or(0);
            context.report(Progress { documents, ..Progress::default() });
        }
        if job.head.state == State::Running && self.stage.one_in(2) {
            let cluster_time = Timestamp { time: 1, increment: 1 };
            context.record(EventBody::SnapshotTaken { cluster_time }).await?;
        }
        // Some fail before the point of no return, some after it.
        if fate == Fate::Success || !early {
            self.commit(context, epoch).await?;
            self.work(context, stubborn).await?;
            self.act(context, epoch)?;
        }
        match fate {
            Fate::Success => Ok(doc! { "epoch": epoch }),
            Fate::Retry => Err(JobError::retryable(Code::SwapStuck, "by lot")),
            Fate::Fail => Err(JobError::permanent(Code::SwapStuck, "by lot")),
            // Unlike a panic, this says nothing on the standard error output.
            Fate::Panic => std::panic::resume_unwind(Box::new("by lot")),
        }
    }

    async fn abandon(&self, context: &dyn JobContext, ending: Ending) {
        let job = context.job();
        if ending != Ending::Fenced && is_committed(&job) {
            let id = job.id();
            self.stage
                .ledger()
                .violation(format!("SIM-14: {id} was abandoned past its point of no return: {ending:?}"));
        }
        self.stage.ledger().count("abandoned");
        sleep(Duration::from_millis(self.stage.up_to_ms(50))).await;
    }

    async fn give_up(&self, context: &dyn JobContext) -> Result<GivenUp, JobError> {
        let job = context.job();
        if !is_committed(&job) {
            self.stage.ledger().violation(format!("SIM-21: {} was given up with nothing half-done", job.id()));
        }
        self.work(context, self.stage.one_in(12)).await?;
        self.act(context, job.head.epoch)?;
        match self.fate() {
            Fate::Success => Ok(GivenUp { message: "by lot".into(), found: doc! { "epoch": job.head.epoch } }),
            Fate::Retry => Err(JobError::retryable(Code::SwapStuck, "by lot")),
            Fate::Fail => Err(JobError::permanent(Code::SwapStuck, "by lot")),
            Fate::Panic => std::panic::resume_unwind(Box::new("by lot")),
        }
    }
}

fn is_committed(job: &Job) -> bool {
    job.events.iter().any(|event| matches!(event.body, EventBody::CommitStarted {} | EventBody::SwapStarted { .. }))
}
