//! What the store does where a mutant has taken a safeguard away; without one, what the twin does.

use super::store::SimStore;
use crate::mutant::Mutant;
use bson::DateTime;
use lucid_core::{Guard, LeaseChange, Transition, evolve};
use lucid_ports::{Enqueue, Outcome, Reach, Renewal, Store, StoreError, memory::MemoryStore};
use lucid_schemas::{Job, JobId, Lease, Progress, Stamp, State};

/// Makes the transition true.
pub async fn apply(store: &SimStore, transition: &Transition) -> Result<Outcome, StoreError> {
    let twin = &store.stage.twin;
    match store.stage.mutant {
        Some(Mutant::NoFence) => without_fence(store, transition).await,
        Some(Mutant::NoVersion) => twin.apply(&without_version(store, transition)).await,
        Some(Mutant::WorkersClock) => twin.apply(&by_own_clock(store, transition)).await,
        Some(Mutant::EarlyAnswer) if store.stage.one_in(20) => early(store, transition).await,
        Some(Mutant::EarlyAnswer | Mutant::EarlyBirth | Mutant::LookBeforeOpen | Mutant::BlindRenewal) | None => {
            twin.apply(transition).await
        }
    }
}

/// The writer's epoch is believed: the store doesn't compare it, and the writer is never told of a later one.
async fn without_fence(store: &SimStore, transition: &Transition) -> Result<Outcome, StoreError> {
    let mut next = transition.clone();
    let current = store.stage.ledger().latest(transition.id()).cloned();
    let takes = matches!(transition.lease, LeaseChange::Take { .. });
    if let Some(job) = current.filter(|job| job.head.epoch != transition.epoch() && !takes) {
        next.before.head.epoch = job.head.epoch;
        next.head = next.events.iter().fold(job.head, evolve);
    }
    let mut outcome = store.stage.twin.apply(&next).await?;
    if let Outcome::Lost(Some(job)) = &mut outcome
        && !takes
        && !job.head.state.is_terminal()
    {
        job.head.epoch = transition.epoch();
        job.lease.get_or_insert_with(|| Lease {
            worker: store.process.name.clone(),
            token: transition.write.clone(),
            expires_at: Stamp::At(store.stage.twin.now()),
        });
    }
    Ok(outcome)
}

/// The version isn't compared; the epoch and the guards are.
fn without_version(store: &SimStore, transition: &Transition) -> Transition {
    let mut next = transition.clone();
    if let Some(job) = store.stage.ledger().latest(transition.id())
        && !job.events.iter().any(|event| event.write == transition.write)
    {
        next.before.head.version = job.head.version;
    }
    next
}

/// The writer itself judges whether a lease is over.
fn by_own_clock(store: &SimStore, transition: &Transition) -> Transition {
    let mut next = transition.clone();
    let own_now = DateTime::from_millis(store.stage.twin.now().timestamp_millis() + store.process.ahead_ms);
    if store.stage.lease_end(transition.id()).is_none_or(|lease_end| lease_end <= own_now) {
        next.guards.retain(|guard| *guard != Guard::LeaseOver);
    }
    next
}

/// Answers as if it were made, and forgets it.
async fn early(store: &SimStore, transition: &Transition) -> Result<Outcome, StoreError> {
    let twin = &store.stage.twin;
    let Some(job) = twin.load(transition.id()).await? else {
        return Ok(Outcome::Lost(None));
    };
    if job.head.version != transition.version() || !transition.guards.is_empty() {
        return twin.apply(transition).await;
    }
    Ok(Outcome::Won(Box::new(transition.made_at(twin.now()))))
}

/// Stores a new job.
pub async fn enqueue(store: &SimStore, enqueue: &Enqueue) -> Result<Job, StoreError> {
    if store.stage.mutant == Some(Mutant::EarlyBirth) && store.stage.one_in(10) {
        // Answered as if it were stored, and forgotten.
        return MemoryStore::at(store.stage.twin.now()).enqueue(enqueue).await;
    }
    store.stage.twin.enqueue(enqueue).await
}

/// Renews a lease.
pub async fn renew(
    store: &SimStore,
    id: &JobId,
    epoch: i64,
    write: &str,
    lease_ms: i64,
    progress: Option<&Progress>,
) -> Result<Renewal, StoreError> {
    let twin = &store.stage.twin;
    if store.stage.mutant == Some(Mutant::NoFence)
        && let Some(job) = twin.load(id).await?
        && let Some(lease) = &job.lease
    {
        return twin.renew(id, job.head.epoch, &lease.token, lease_ms, progress).await;
    }
    twin.renew(id, epoch, write, lease_ms, progress).await
}

/// What the worker hears of its renewal.
pub fn heard(store: &SimStore, renewal: Result<Renewal, StoreError>) -> Result<Renewal, StoreError> {
    match renewal {
        Err(_) if store.stage.mutant == Some(Mutant::BlindRenewal) => Ok(Renewal::Renewed { state: State::Running }),
        renewal => renewal,
    }
}

/// Looks for jobs.
pub async fn claimable(store: &SimStore, reach: &Reach, limit: u32) -> Result<Vec<Job>, StoreError> {
    let twin = &store.stage.twin;
    if store.stage.mutant != Some(Mutant::WorkersClock) {
        return twin.claimable(reach, limit).await;
    }
    let now = twin.now();
    twin.set_now(DateTime::from_millis(now.timestamp_millis() + store.process.ahead_ms));
    let found = twin.claimable(reach, limit).await;
    twin.set_now(now);
    found
}
