//! What is true of every job at every moment, numbered. Workers check it after each transition that they make: they
//! assert in debug builds and log in others; the judge checks after every test.

mod shared;

pub use shared::shared_slots;

use crate::{decide::is_given_up, evolve::fold, slots};
use lucid_schemas::{EventBody, Job, State};
use std::{collections::BTreeSet, fmt};

/// The invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// INV-1: the fold of the events equals the head.
    HeadIsFold,
    /// INV-2: events are numbered from 1 without gaps.
    SeqContiguous,
    /// INV-3: `enqueued` is the first event and the only one of its kind; its hash fits the request.
    BornOnce,
    /// INV-4: each claim has the epoch of the last one plus 1, so at most one epoch is open.
    EpochsRise,
    /// INV-5: what only a holder may state was stated by the worker that claimed last.
    HolderSpeaks,
    /// INV-6: nothing follows a terminal event.
    EndIsFinal,
    /// INV-7: a running job has a lease; a waiting, queued, blocked or ended one has none.
    LeaseFitsState,
    /// INV-8: a job that was claimed and hasn't ended or gone back has its keys' slots, except one that was blocked since; one
    /// that waits or has ended has none; no slot is there twice. (That no two jobs have the same is the unique index's part.)
    SlotsFitState,
    /// INV-9: no two jobs occupy the same slot at the same time. Judged between jobs, see [`shared_slots`].
    SlotsNotShared,
    /// INV-10: what was given up is cleaned up after, or has failed.
    GivenUpFails,
}

impl Invariant {
    /// The number, for messages and metrics.
    pub const fn number(self) -> u8 {
        match self {
            Self::HeadIsFold => 1,
            Self::SeqContiguous => 2,
            Self::BornOnce => 3,
            Self::EpochsRise => 4,
            Self::HolderSpeaks => 5,
            Self::EndIsFinal => 6,
            Self::LeaseFitsState => 7,
            Self::SlotsFitState => 8,
            Self::SlotsNotShared => 9,
            Self::GivenUpFails => 10,
        }
    }
}

/// An invariant that a job breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INV-{}: {}", self.invariant.number(), self.detail)
    }
}

/// Every invariant that `job` breaks.
pub fn violations(job: &Job) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut check = |holds: bool, invariant, detail: &dyn Fn() -> String| {
        if !holds {
            found.push(Violation { invariant, detail: format!("job {}: {}", job.id(), detail()) });
        }
    };
    let folded = fold(&job.events);
    check(folded.as_ref() == Some(&job.head), Invariant::HeadIsFold, &|| {
        format!("the head is {:?}, its events fold to {folded:?}", job.head)
    });
    let numbers: Vec<i64> = job.events.iter().map(|event| event.seq).collect();
    check(numbers.iter().copied().eq((1..).take(numbers.len())), Invariant::SeqContiguous, &|| {
        format!("its events are numbered {numbers:?}")
    });
    let births = job.events.iter().filter(|event| match &event.body {
        EventBody::Enqueued { request_hash, .. } => {
            event.seq == 1 && job.request.hash().is_ok_and(|hash| hash == *request_hash)
        }
        _ => false,
    });
    check(births.count() == 1, Invariant::BornOnce, &|| "its request doesn't fit its first event".into());
    stream_violations(job, &mut check);
    let lease_fits = match job.head.state {
        State::Running => job.lease.is_some(),
        State::Canceling | State::Committing => true,
        State::Waiting | State::Queued | State::Blocked | State::Succeeded | State::Failed | State::Canceled => {
            job.lease.is_none()
        }
    };
    check(lease_fits, Invariant::LeaseFitsState, &|| {
        format!("it is {} and its lease is {:?}", job.head.state, job.lease)
    });
    check(slots_fit(job), Invariant::SlotsFitState, &|| {
        format!("it is {} and occupies {:?} of {:?}", job.head.state, job.head.holds, job.request.keys)
    });
    let fails = matches!(job.head.state, State::Canceling | State::Failed);
    check(fails || !is_given_up(job), Invariant::GivenUpFails, &|| {
        format!("it was given up, and is {}", job.head.state)
    });
    found
}

fn slots_fit(job: &Job) -> bool {
    let holds = &job.head.holds;
    let distinct = holds.iter().collect::<BTreeSet<_>>().len() == holds.len();
    let full = || slots::missing(&job.request.keys, holds).is_none();
    let fit = match job.head.state {
        State::Running => full(),
        State::Canceling => is_given_up(job) || full(),
        State::Committing => full() || job.lease.is_none(),
        State::Blocked => true,
        State::Queued => holds.is_empty() != job.head.reserved_at.is_some(),
        State::Waiting | State::Succeeded | State::Failed | State::Canceled => holds.is_empty(),
    };
    distinct && fit
}

fn stream_violations(job: &Job, check: &mut impl FnMut(bool, Invariant, &dyn Fn() -> String)) {
    let mut epoch = 0;
    let mut holder: Option<&str> = None;
    let mut ended = false;
    for event in &job.events {
        check(!ended, Invariant::EndIsFinal, &|| format!("event {} follows its end", event.seq));
        match &event.body {
            EventBody::Claimed { epoch: claimed, .. } => {
                check(*claimed == epoch + 1, Invariant::EpochsRise, &|| {
                    format!("epoch {claimed} follows epoch {epoch}")
                });
                epoch = *claimed;
                holder = Some(&event.by);
            }
            EventBody::Released { .. }
            | EventBody::AttemptFailed { .. }
            | EventBody::SnapshotTaken { .. }
            | EventBody::CommitStarted {}
            | EventBody::SwapStarted { .. }
            | EventBody::Blocked { .. }
            | EventBody::Succeeded { .. } => {
                check(holder == Some(&event.by), Invariant::HolderSpeaks, &|| {
                    format!("event {} is by {}, the holder was {holder:?}", event.seq, event.by)
                });
            }
            EventBody::Enqueued { .. }
            | EventBody::DependencyMet { .. }
            | EventBody::DependencyFailed { .. }
            | EventBody::SlotsReserved { .. }
            | EventBody::SlotsReturned { .. }
            | EventBody::CancelRequested {}
            | EventBody::Canceled {}
            | EventBody::Resumed {}
            | EventBody::GivenUp { .. }
            // A sweeper, too, ends a job whose worker was lost on the last attempt.
            | EventBody::Failed { .. } => {}
        }
        if gives_up_hold(&event.body) {
            holder = None;
        }
        ended = ended || ends(&event.body);
    }
}

fn ends(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::Succeeded { .. }
            | EventBody::Failed { .. }
            | EventBody::Canceled {}
            | EventBody::DependencyFailed { .. }
    )
}

/// Whether nobody holds the job after this event.
pub fn gives_up_hold(body: &EventBody) -> bool {
    matches!(
        body,
        EventBody::Released { .. }
            | EventBody::AttemptFailed { .. }
            | EventBody::Blocked { .. }
            | EventBody::Succeeded { .. }
            | EventBody::Failed { .. }
            | EventBody::Canceled {}
    )
}
