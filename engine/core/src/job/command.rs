//! What may be asked of a job that exists. Every command of a worker names the epoch of its claim.

use bson::Document;
use lucid_schemas::{EventBody, Failure, State};

/// What may be asked of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A worker wants to hold the job: a queued one, or one whose holder was lost.
    Claim {
        /// The worker's name.
        worker: String,
        /// How long its lease is.
        lease_ms: i64,
        /// Slots of the job's concurrency keys that it takes with the claim, beside those that the job has reserved.
        slots: Vec<String>,
    },
    /// A worker takes slots for a queued job that needs a key to itself, which isn't all free yet.
    Reserve {
        /// The slots.
        slots: Vec<String>,
    },
    /// A worker gives up what a queued job has reserved, as others have waited for it for too long.
    ReturnSlots {
        /// Delay until the job tries again.
        retry_in_ms: i64,
    },
    /// Somebody saw how the job that this one waits for ended; `None`: it doesn't exist any more.
    Settle {
        /// How it ended.
        dependency: Option<State>,
        /// What of its result this job needs.
        result: Option<Document>,
    },
    /// The holder gives the job back unharmed: it was asked to stop.
    Release {
        /// Epoch of the holder's claim.
        epoch: i64,
        /// Why, for people.
        reason: String,
    },
    /// The holder states a fact that a successor must know.
    Record {
        /// Epoch of the holder's claim.
        epoch: i64,
        /// The fact: `snapshot_taken`.
        fact: EventBody,
    },
    /// The holder passes the point of no return.
    Commit {
        /// Epoch of the holder's claim.
        epoch: i64,
        /// `commit_started` or `swap_started`.
        fact: EventBody,
    },
    /// The holder has finished.
    Succeed {
        /// Epoch of the holder's claim.
        epoch: i64,
        /// What came of it.
        result: Document,
    },
    /// The holder's attempt ended badly.
    Fail {
        /// Epoch of the holder's claim.
        epoch: i64,
        /// Why.
        error: Failure,
        /// Delay before the next attempt, where there is one.
        retry_in_ms: i64,
        /// Whether the time for further attempts is said to be over; the store judges. Asked first without it.
        out_of_time: bool,
    },
    /// The holder has cleaned up after a request to cancel.
    ConfirmCancel {
        /// Epoch of the holder's claim.
        epoch: i64,
    },
    /// Somebody wants the job to end.
    RequestCancel,
    /// An operator lets a blocked job go on.
    Resume,
    /// An operator gives a blocked job up: it is cleaned up after, and fails.
    GiveUp {
        /// Why, for people.
        reason: String,
    },
    /// A sweeper found a lease that has ended on a job with no attempts left.
    Expire,
}

impl Command {
    /// The word used in refusals and in the transition table.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Claim { .. } => "claim",
            Self::Reserve { .. } => "reserve",
            Self::ReturnSlots { .. } => "return_slots",
            Self::Settle { .. } => "settle",
            Self::Release { .. } => "release",
            Self::Record { .. } => "record",
            Self::Commit { .. } => "commit",
            Self::Succeed { .. } => "succeed",
            Self::Fail { .. } => "fail",
            Self::ConfirmCancel { .. } => "confirm_cancel",
            Self::RequestCancel => "request_cancel",
            Self::Resume => "resume",
            Self::GiveUp { .. } => "give_up",
            Self::Expire => "expire",
        }
    }
}
