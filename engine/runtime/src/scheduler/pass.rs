//! One look at all schedules, and what follows from it.

use super::{SchedulerOptions, SchedulerStatus};
use bson::DateTime;
use lucid_core::schedule::{Occurrence, Verdict, due, next_due};
use lucid_ports::{
    Enqueue, ScheduleStore, Store, StoreError,
    schedules::{Advance, Look},
};
use lucid_schemas::{
    RepositoryName, Schedule,
    schedule::{Missed, Outcome},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::Instant;

const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What came of a pass.
pub(super) struct Pass {
    pub status: SchedulerStatus,
    /// What an operator should know, one sentence each.
    pub problems: BTreeSet<String>,
    /// How long until the next occurrence; `None` where none is in sight.
    pub due_in: Option<Duration>,
}

impl Pass {
    pub fn failed(problem: String) -> Self {
        Self { status: SchedulerStatus::default(), problems: [problem].into(), due_in: Some(RETRY_AFTER) }
    }
}

/// How far the due occurrences of a schedule were dealt with.
enum Settled {
    All,
    /// The next one waits until the job of the one before has ended.
    Waits,
    /// The schedule was edited, or the plan has grown old.
    Outdated,
}

/// A pass under way.
struct Work {
    store: Arc<dyn Store>,
    schedules: Arc<dyn ScheduleStore>,
    options: Arc<SchedulerOptions>,
    begun: Instant,
    now: DateTime,
    repositories: Vec<RepositoryName>,
    problems: BTreeSet<String>,
}

/// Looks, and deals with what is due.
pub(super) async fn pass(
    store: Arc<dyn Store>,
    schedules: Arc<dyn ScheduleStore>,
    options: Arc<SchedulerOptions>,
) -> Pass {
    let (begun, clock_before) = (Instant::now(), (options.clock)());
    let look = match schedules.look().await {
        Ok(look) => look,
        Err(error) => return Pass::failed(format!("nothing scheduled: {error}")),
    };
    let took_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    // The primary read its clock somewhere in between: half of that is the doubt.
    let doubt_ms = took_ms / 2;
    let skew_ms = clock_before.timestamp_millis() + doubt_ms - look.now.timestamp_millis();
    let Look { now, schedules: found, unreadable } = look;
    let mut problems: BTreeSet<_> = unreadable.into_iter().collect();
    let scheduling = skew_ms.abs() - doubt_ms <= options.skew_limit_ms;
    let status = SchedulerStatus { skew_ms: Some(skew_ms), scheduling };
    if !scheduling {
        let way = if skew_ms > 0 { "ahead of" } else { "behind" };
        problems.insert(format!(
            "this node's clock is {way} the primary's by more than {} s, so it schedules nothing: set the clock",
            options.skew_limit_ms / 1_000
        ));
        return Pass { status, problems, due_in: None };
    }
    let mut work = Work { store, schedules, options, begun, now, repositories: Vec::new(), problems };
    let due_in = work.deal_with(&found).await;
    let status = SchedulerStatus { scheduling: due_in.is_ok(), ..status };
    if let Err(error) = &due_in {
        work.problems.insert(format!("not everything scheduled: {error}"));
    }
    Pass { status, problems: work.problems, due_in: due_in.unwrap_or(Some(RETRY_AFTER)) }
}

impl Work {
    /// Deals with every due occurrence; says when the next one comes.
    async fn deal_with(&mut self, found: &[Schedule]) -> Result<Option<Duration>, StoreError> {
        let (mut soonest, mut waits): (Option<DateTime>, bool) = (None, false);
        for schedule in found {
            self.problems.extend(schedule.problem(self.now));
            let Ok(calendar) = schedule.terms.calendar() else { continue };
            let Schedule { terms, high_water, .. } = schedule;
            let due = due(&calendar, terms, *high_water, self.now, self.options.grace_ms);
            match self.settle(schedule, &due).await {
                Ok(Settled::All) => {}
                Ok(Settled::Waits) => waits = true,
                Ok(Settled::Outdated) => return Ok(Some(Duration::ZERO)),
                Err(error) if error.is_retryable() => return Err(error),
                // What is wrong with one schedule must not hold up the others.
                Err(error) => drop(self.problems.insert(format!("the schedule '{}': {error}", schedule.name))),
            }
            let next = next_due(&calendar, terms, *high_water, self.now);
            soonest = soonest.into_iter().chain(next).min();
        }
        let next = soonest.map(|next| {
            let in_ms = next.timestamp_millis() - self.now.timestamp_millis();
            Duration::from_millis(u64::try_from(in_ms).unwrap_or(0)).saturating_sub(self.begun.elapsed())
        });
        Ok(next.into_iter().chain(waits.then_some(RETRY_AFTER)).min())
    }

    /// Deals with the due occurrences of a schedule.
    async fn settle(&mut self, schedule: &Schedule, due: &[Occurrence]) -> Result<Settled, StoreError> {
        let mut mark = schedule.high_water;
        for Occurrence { planned_at, verdict, passes_over } in due {
            // Others are at work on the same.
            if *planned_at <= mark {
                continue;
            }
            // A process that was stopped for an hour must not go by what it knew before.
            if self.begun.elapsed() > Duration::from_millis(self.options.plan_age_ms) {
                return Ok(Settled::Outdated);
            }
            if *passes_over {
                tracing::warn!(schedule = schedule.name, since = text(mark), "missed occurrences are passed over");
            }
            let outcome = match verdict {
                Verdict::Run => match self.run(schedule, *planned_at).await? {
                    Some(outcome) => outcome,
                    // Those that follow wait, too.
                    None => return Ok(Settled::Waits),
                },
                Verdict::LeaveOut => left_out(*planned_at, "it was missed, and the policy is to skip".into()),
            };
            match &outcome {
                Outcome { job: Some(job), .. } => tracing::info!(schedule = schedule.name, %job, "scheduled"),
                Outcome { skipped, .. } => {
                    let reason = skipped.as_deref().unwrap_or_default();
                    let planned_at = text(*planned_at);
                    tracing::warn!(schedule = schedule.name, planned_at, reason, "an occurrence is left out");
                }
            }
            let Schedule { name, created_at, version, .. } = schedule.clone();
            let advance = Advance { name, created_at, version, from: mark, outcome };
            match self.schedules.advance_schedule(&advance).await? {
                Some(now) if (now.version, now.created_at) == (version, created_at) => mark = now.high_water,
                _ => return Ok(Settled::Outdated),
            }
        }
        Ok(Settled::All)
    }

    /// Makes the job of an occurrence, whoever else does so, too; `None` where it has to wait for the one before.
    async fn run(&mut self, schedule: &Schedule, planned_at: DateTime) -> Result<Option<Outcome>, StoreError> {
        let name = &schedule.terms.repository;
        let Some(repository) = self.repository(name).await? else {
            return Ok(Some(left_out(planned_at, format!("no worker has made the repository '{name}' known yet"))));
        };
        let id = schedule.occurrence_id(planned_at);
        let write = format!("{}:{id}", schedule.signature());
        let request = schedule.request(id, schedule.signature(), repository);
        match self.store.enqueue(&Enqueue { request, delay_ms: 0, run_at: None, write }).await {
            Ok(job) => Ok(Some(Outcome { planned_at, job: Some(job.id().clone()), skipped: None })),
            // Where none is to be left out, it has its turn once that one has ended.
            Err(StoreError::NotUnique { .. }) if schedule.terms.missed == Missed::All => Ok(None),
            Err(StoreError::NotUnique { open, .. }) => {
                Ok(Some(left_out(planned_at, format!("the job {open} was still open"))))
            }
            Err(error) => Err(error),
        }
    }

    async fn repository(&mut self, name: &str) -> Result<Option<RepositoryName>, StoreError> {
        let known = |work: &Self| work.repositories.iter().find(|known| known.name == name).cloned();
        match known(self) {
            None => self.repositories = self.store.repositories().await?,
            found => return Ok(found),
        }
        Ok(known(self))
    }
}

fn text(at: DateTime) -> String {
    at.try_to_rfc3339_string().unwrap_or_default()
}

fn left_out(planned_at: DateTime, reason: String) -> Outcome {
    Outcome { planned_at, job: None, skipped: Some(reason) }
}
