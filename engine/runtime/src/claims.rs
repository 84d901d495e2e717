//! Tries to claim, many at a time: each in a task of its own, so that the store can send them together and the worker
//! goes on listening.
//!
//! Invariant: one try is one compare-and-set. A job that another worker was faster at is left to it.

use crate::{
    gate::Gate,
    metrics::Metrics,
    moment::Moment,
    options::WorkerOptions,
    seats::Seat,
    slots::Ready,
    step::{StepError, try_step},
};
use lucid_core::{Command, was_lost_twice};
use lucid_ports::{Birth, Outcome, Store};
use lucid_schemas::{EventBody, Job, JobId, State};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};

/// Several jobs often end at once, and free slots of concurrency keys.
pub const SLOTS_FREED: Duration = Duration::from_millis(20);
/// After a claim that neither won nor lost.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What came of a try.
pub enum Tried {
    /// The job is this worker's, since a moment after `claimed_from`.
    Won { job: Box<Job>, claimed_from: Moment, seat: Seat },
    /// Another worker was faster, or it isn't there to be claimed; whether that took an attempt.
    Lost { attempted: bool },
    /// It may be what kills workers, and others have seats here: an idle worker takes it, or this one once it is.
    NotAlone,
    /// It is due later: in so long, where that is known.
    NotNow { due_in: Option<Duration> },
    /// It is still there, but changed in between, a slot of its keys was taken, or the store failed: worth another look.
    LookAgain { wait: Duration },
}

/// What is known of a job before a try.
pub enum Known {
    /// It was just found by a look.
    Found(Box<Job>),
    /// The feed tells of it; a new small job comes with that, others are read.
    Told(Option<Birth>),
    /// It was left to others first, at this moment: whether they took it is asked.
    Left(Instant),
}

/// The tries under way.
pub struct Claims {
    store: Arc<dyn Store>,
    gate: Arc<Gate>,
    options: Arc<WorkerOptions>,
    metrics: Arc<Metrics>,
    tries: JoinSet<(JobId, Tried)>,
    ids: BTreeSet<JobId>,
}

impl Claims {
    pub fn new(store: Arc<dyn Store>, gate: Arc<Gate>, options: Arc<WorkerOptions>, metrics: Arc<Metrics>) -> Self {
        Self { store, gate, options, metrics, tries: JoinSet::new(), ids: BTreeSet::new() }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn contains(&self, id: &JobId) -> bool {
        self.ids.contains(id)
    }

    /// Tries for a job; where only its id is known it is read first.
    pub fn begin(&mut self, id: JobId, known: Known, seat: Seat) {
        if !self.ids.insert(id.clone()) {
            return;
        }
        let (store, gate) = (Arc::clone(&self.store), Arc::clone(&self.gate));
        let (options, metrics) = (Arc::clone(&self.options), Arc::clone(&self.metrics));
        self.tries.spawn(async move {
            let found = matches!(known, Known::Found(_));
            // So long ago it may have been put off; by how much is its last event's to say.
            let told_ago = match &known {
                Known::Found(_) => None,
                Known::Told(_) => Some(Duration::ZERO),
                Known::Left(since) => Some(since.elapsed()),
            };
            let rest = |job: &Job| Some(put_off(job)?.saturating_sub(told_ago?)).filter(|rest| !rest.is_zero());
            let seen = match known {
                Known::Found(job) => Ok(Some(*job)),
                Known::Told(birth) => match birth.and_then(|birth| birth.job()) {
                    Some(job) => Ok(Some(job)),
                    None => store.load(&id).await,
                },
                Known::Left(_) => store.load(&id).await,
            };
            let tried = match seen {
                Ok(Some(job)) if rest(&job).is_some() => Tried::NotNow { due_in: rest(&job) },
                Ok(Some(job)) if !found && !claimable_at_once(job.head.state) => Tried::Lost { attempted: false },
                Ok(Some(job)) if gate.reach().covers(&job.request) => {
                    if !found {
                        gate.look_anew(&job).await;
                    }
                    claim(&store, &gate, &options, &metrics, job, seat).await
                }
                Ok(_) => Tried::Lost { attempted: false },
                Err(error) => {
                    tracing::warn!(job = %id, %error, "not looked at");
                    Tried::LookAgain { wait: AFTER_FAILURE }
                }
            };
            (id, tried)
        });
    }

    /// The next try that has ended; pends while none is under way.
    pub async fn ended(&mut self) -> Option<(JobId, Tried)> {
        let (id, tried) = match self.tries.join_next().await? {
            Ok(ended) => ended,
            Err(broken) => {
                tracing::error!(%broken, "a claim broke off: if it was won, its lease will end");
                if self.tries.is_empty() {
                    self.ids.clear();
                }
                return None;
            }
        };
        self.ids.remove(&id);
        Some((id, tried))
    }
}

async fn claim(
    store: &Arc<dyn Store>,
    gate: &Gate,
    options: &WorkerOptions,
    metrics: &Metrics,
    job: Job,
    mut seat: Seat,
) -> Tried {
    if was_lost_twice(&job) && !seat.alone() {
        return Tried::NotAlone;
    }
    let Ready::With(slots) = gate.open(&job).await else {
        return Tried::Lost { attempted: false };
    };
    let takes_slots = !slots.is_empty();
    let command = Command::Claim { worker: options.name.clone(), lease_ms: options.lease_ms, slots };
    let claimed_from = Moment::now();
    // A claim whose outcome is unknown is asked about again: given up, it would cost a lease and an attempt.
    let patience = claimed_from.timers() + options.working_lease();
    let write = uuid::Uuid::new_v4().to_string();
    metrics.claim_attempts.count();
    let tried = try_step(store, &job, &command, &options.name, &write, patience).await;
    if takes_slots && !matches!(tried, Ok(Outcome::Won(_))) {
        gate.look_anew(&job).await;
    }
    match tried {
        Ok(Outcome::Won(job)) => {
            metrics.claimed.count();
            Tried::Won { job, claimed_from, seat }
        }
        Ok(Outcome::Lost(Some(current))) if current.head.version == job.head.version => {
            metrics.claimed_too_early.count();
            if takes_slots { Tried::LookAgain { wait: SLOTS_FREED } } else { Tried::NotNow { due_in: None } }
        }
        Ok(Outcome::Lost(Some(current))) if claimable_at_once(current.head.state) => {
            Tried::LookAgain { wait: AFTER_FAILURE }
        }
        Ok(Outcome::Lost(_)) | Err(StepError::Refused { .. }) => Tried::Lost { attempted: true },
        Err(error) => {
            tracing::warn!(job = %job.id(), %error, "not claimed");
            Tried::LookAgain { wait: AFTER_FAILURE }
        }
    }
}

/// Whether a job in this state may be waiting for a claim. A running one is not: it is looked for when its lease ends.
pub const fn claimable_at_once(state: State) -> bool {
    match state {
        State::Queued | State::Canceling | State::Committing => true,
        State::Waiting | State::Running | State::Blocked | State::Succeeded | State::Failed | State::Canceled => false,
    }
}

/// How long the last event puts a job off, if it does.
pub fn put_off(job: &Job) -> Option<Duration> {
    let delay_ms = match job.events.last()?.body {
        EventBody::Enqueued { delay_ms, .. } => delay_ms,
        EventBody::AttemptFailed { retry_in_ms, .. } | EventBody::SlotsReturned { retry_in_ms, .. } => retry_in_ms,
        _ => 0,
    };
    u64::try_from(delay_ms).ok().filter(|delay_ms| *delay_ms > 0).map(Duration::from_millis)
}
