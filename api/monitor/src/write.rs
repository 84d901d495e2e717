//! The monitor job: whoever holds it hands what its own process has judged to the law of alerts, round after round, and has what is due
//! told. Losing it stops the writing, not the judging.
//!
//! Invariant: nothing is written but under the claim's token, and only as long as the round is of the present by the primary's clock.

mod afterwards;
mod chain;
mod round;
pub mod tell;
mod trouble;

pub use chain::Chain;
pub use tell::Teller;

use self::trouble::Trouble;
use crate::{
    evaluate::{Evaluation, Evaluations},
    retention::forget_over,
};
use async_trait::async_trait;
use bson::Document;
use lucid_ports::{Alerts, Ending, Handler, JobContext, JobError, Problems, Silences, Store, StoreError};
use lucid_schemas::{
    Code, Job, JobId, Kind, Progress, Spec, State,
    alert::Token,
    kinds::{MonitorResult, MonitorSpec, monitor::HELD_MS},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Under which subject this process says that alerts aren't written.
const SUBJECT: &str = "alerts";
/// The same of telling people.
const TELLING: &str = "notices of alerts";

/// How often what was over long ago is forgotten.
const TIDY_EVERY: Duration = Duration::from_hours(1);

/// What is needed to write alerts.
#[derive(Clone)]
pub struct Desk {
    /// Where jobs are.
    pub store: Arc<dyn Store>,
    /// Where alerts are.
    pub alerts: Arc<dyn Alerts>,
    /// Where silences are.
    pub silences: Arc<dyn Silences>,
    /// What this process finds.
    pub evaluations: Evaluations,
    /// Who is told, and how.
    pub teller: Teller,
    /// Who asks for monitor jobs.
    pub chain: Chain,
    /// What is wrong at this process.
    pub problems: Problems,
}

/// Runs monitor jobs.
pub struct MonitorHandler(Desk);

/// How a round ended.
enum Ended {
    /// It was written, as far as the law allowed; and whether what is due is being told.
    Written { told: Result<(), StoreError> },
    /// Another job goes on with it.
    Succeeded(JobId),
    /// Nobody may write for now, or this one mustn't any more.
    Stopped,
}

impl MonitorHandler {
    /// A handler at this desk.
    pub const fn new(desk: Desk) -> Self {
        Self(desk)
    }

    async fn hold(&self, context: &dyn JobContext, job: &Job, spec: &MonitorSpec) -> Result<MonitorResult, JobError> {
        let token = Token { generation: spec.generation, epoch: job.head.epoch };
        let (begun, mut result) = (Instant::now(), MonitorResult::default());
        let (mut writing, mut telling) = (Trouble::default(), Trouble::default());
        let (mut evaluations, mut tidied) = (self.0.evaluations.clone(), None::<Instant>);
        loop {
            tokio::select! {
                biased;
                () = context.stop().cancelled() => return Err(JobError::Stopped),
                changed = evaluations.changed() => changed.map_err(|_| JobError::Stopped)?,
            }
            let Some(evaluation) = evaluations.borrow_and_update().clone() else { continue };
            let is_long = begun.elapsed() >= Duration::from_millis(HELD_MS.unsigned_abs());
            match self.round(context, token, spec, &evaluation, is_long, &mut result).await {
                Ok(Ended::Written { told }) => {
                    self.0.problems.clear(SUBJECT);
                    if let Some(rounds) = writing.is_over() {
                        tracing::info!(job = %job.id(), rounds, "alerts are written again");
                    }
                    self.note_telling(told, &mut telling);
                    if tidied.is_none_or(|at| at.elapsed() >= TIDY_EVERY) {
                        tidied = Some(Instant::now());
                        self.tidy().await;
                    }
                }
                Ok(Ended::Succeeded(successor)) => {
                    return Ok(MonitorResult { successor: successor.to_string(), ..result });
                }
                Ok(Ended::Stopped) => return Err(JobError::Stopped),
                Err(error) => {
                    if writing.failed() {
                        tracing::warn!(job = %job.id(), %error, "a round of alerts isn't written: the next one tries again");
                    }
                    self.0.problems.set(SUBJECT, format!("alerts can't be written: {error}"));
                }
            }
        }
    }

    /// Whoever can't be told now is told after a round in which that works: the alerts themselves are written.
    fn note_telling(&self, told: Result<(), StoreError>, trouble: &mut Trouble) {
        match told {
            Ok(()) => {
                self.0.problems.clear(TELLING);
                if let Some(rounds) = trouble.is_over() {
                    tracing::info!(rounds, "people are told of alerts again");
                }
            }
            Err(error) => {
                if trouble.failed() {
                    tracing::warn!(%error, "nobody is told of alerts that are due: the next round tries again");
                }
                self.0.problems.set(TELLING, format!("alerts are written, but nobody is told of them: {error}"));
            }
        }
    }

    /// Forgets what was over long ago.
    async fn tidy(&self) {
        if let Err(error) = forget_over(&*self.0.alerts, &*self.0.silences).await {
            tracing::warn!(%error, "old alerts aren't forgotten: tried again in an hour");
        }
    }

    async fn round(
        &self,
        context: &dyn JobContext,
        token: Token,
        spec: &MonitorSpec,
        evaluation: &Evaluation,
        is_long: bool,
        result: &mut MonitorResult,
    ) -> Result<Ended, StoreError> {
        let desk = &self.0;
        let paused = desk.store.paused().await?;
        if let Some(pause) = paused.iter().find(|pause| pause.kind == Kind::Monitor) {
            tracing::warn!(by = pause.by, "monitoring is paused: no alerts are written until it is resumed");
            return Ok(Ended::Stopped);
        }
        if let Some(later) = desk.chain.after(token.generation).await? {
            return Ok(Ended::Succeeded(later));
        }
        // Nothing is known of the primary's clock, so nobody could tell whether a write comes late.
        let Some(primary_at) = evaluation.primary_at else { return Ok(Ended::Written { told: Ok(()) }) };
        let open = desk.alerts.open_alerts().await?;
        let newest = open.iter().map(|alert| alert.token.generation).max();
        if let Some(newer) = newest.filter(|newer| *newer > token.generation) {
            // Its job is forgotten, but its alerts aren't: only a later one may write them.
            tracing::warn!(
                newer,
                own = token.generation,
                "alerts were written by a later monitor job: one after that goes on"
            );
            return desk.chain.ask(spec.with_generation(newer + 1)).await.map(Ended::Succeeded);
        }
        if is_long {
            return desk.chain.ask(spec.with_generation(token.generation + 1)).await.map(Ended::Succeeded);
        }
        let pen = round::Pen { context, desk, token, interval_ms: i64::from(spec.interval_seconds) * 1_000 };
        let Some(open) = pen.write(evaluation, primary_at, open, result).await? else { return Ok(Ended::Stopped) };
        result.rounds += 1;
        context.report(Progress {
            phase: "evaluate".into(),
            documents: i64::try_from(open.len()).unwrap_or(i64::MAX),
            ..Progress::default()
        });
        let interval = Duration::from_secs(u64::try_from(spec.interval_seconds).unwrap_or(1));
        let by = context.job().head.worker.unwrap_or_default();
        Ok(Ended::Written { told: desk.teller.after(desk, primary_at, &by, interval).await })
    }
}

#[async_trait]
impl Handler for MonitorHandler {
    fn kind(&self) -> Kind {
        Kind::Monitor
    }

    async fn run(&self, context: &dyn JobContext) -> Result<Document, JobError> {
        let job = context.job();
        let Spec::Monitor(spec) = &job.request.spec else {
            return Err(JobError::permanent(Code::WrongKind, "the job writes no alerts"));
        };
        let held = self.hold(context, &job, spec).await;
        // Whoever holds it next says himself what he can't do.
        for subject in [SUBJECT, TELLING] {
            self.0.problems.clear(subject);
        }
        let result = held?;
        bson::serialize_to_document(&result)
            .map_err(|error| JobError::permanent(Code::BadRequest, format!("what came of it can't be stored: {error}")))
    }

    async fn abandon(&self, _: &dyn JobContext, _: Ending) {
        // What is open stays open: whoever holds the job next goes on with it.
    }
}

/// Whether a monitor job is one that may still write.
fn is_open(job: &Job) -> bool {
    match job.head.state {
        State::Waiting | State::Queued | State::Running | State::Canceling | State::Committing | State::Blocked => true,
        State::Succeeded | State::Failed | State::Canceled => false,
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
