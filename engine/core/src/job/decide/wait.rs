//! What happens to a job that nobody holds yet: it waits for another job, or for slots of its concurrency keys.

use super::{Decision, EVENTS_MAX, Guard, LeaseChange, hold, wrong_state};
use crate::{Refusal, slots};
use bson::Document;
use lucid_schemas::{EventBody, Job, State};

/// Only slots of the job's own keys, none twice, and none that it has.
pub(super) fn may_take(job: &Job, slots: &[String]) -> Result<(), Refusal> {
    let wrong = |(place, slot): &(usize, &String)| {
        let known = job.request.keys.iter().any(|key| key.slots().any(|own| own == **slot));
        !known || job.head.holds.contains(slot) || slots[..*place].contains(slot)
    };
    match slots.iter().enumerate().find(wrong) {
        Some((_, slot)) => Err(Refusal::WrongSlot { slot: slot.clone() }),
        None => Ok(()),
    }
}

pub(super) fn reserve(job: &Job, slots: &[String]) -> Result<Decision, Refusal> {
    waits_for_slots(job, "reserve")?;
    may_take(job, slots)?;
    let exclusive = |slot: &String| job.request.keys.iter().any(|key| key.exclusive && key.has(slot));
    if let Some(slot) = slots.iter().find(|slot| !exclusive(slot)) {
        return Err(Refusal::WrongSlot { slot: slot.clone() });
    }
    let Some(first) = job.request.keys.iter().find(|key| key.exclusive).filter(|_| !slots.is_empty()) else {
        return Err(Refusal::WrongSlot { slot: slots.first().cloned().unwrap_or_default() });
    };
    if job.head.version >= EVENTS_MAX {
        return Err(Refusal::SlotsMissing { key: first.key.clone() });
    }
    let event = EventBody::SlotsReserved { slots: slots.to_vec() };
    Ok(Decision { guards: vec![Guard::Due], events: vec![event], lease: LeaseChange::Keep })
}

pub(super) fn return_slots(job: &Job, retry_in_ms: i64) -> Result<Decision, Refusal> {
    waits_for_slots(job, "return_slots")?;
    if job.head.reserved_at.is_none() {
        return Err(wrong_state(job.head.state, "return_slots"));
    }
    let kept = if job.head.state == State::Committing { hold::standing(job) } else { Vec::new() };
    let event = EventBody::SlotsReturned { retry_in_ms, kept };
    Ok(Decision { guards: vec![Guard::ReservationOver], events: vec![event], lease: LeaseChange::Keep })
}

/// The dependency's end decides, once and for all.
pub(super) fn settle(job: &Job, dependency: Option<State>, result: Option<&Document>) -> Result<Decision, Refusal> {
    let (State::Waiting, Some(after)) = (job.head.state, &job.request.after) else {
        return Err(wrong_state(job.head.state, "settle"));
    };
    let event = match dependency {
        Some(state) if !state.is_terminal() => return Err(Refusal::DependencyOpen { state }),
        Some(state) if state == after.state => EventBody::DependencyMet { state, result: result.cloned() },
        Some(_) | None => EventBody::DependencyFailed { state: dependency },
    };
    Ok(Decision::of(event, LeaseChange::Keep))
}

/// A queued job, or one that an operator let go on, and that takes again what it gave back when it was blocked.
fn waits_for_slots(job: &Job, command: &'static str) -> Result<(), Refusal> {
    match job.head.state {
        State::Queued => Ok(()),
        State::Committing if slots::lacks(job) => Ok(()),
        State::Waiting
        | State::Running
        | State::Canceling
        | State::Committing
        | State::Blocked
        | State::Succeeded
        | State::Failed
        | State::Canceled => Err(wrong_state(job.head.state, command)),
    }
}
