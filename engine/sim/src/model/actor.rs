//! A worker of the model: what it believes and what it is about to say. It may be stopped between any two actions for
//! as long as the search likes, so it speaks for claims that are long over.

use super::stored::Stored;
use lucid_core::Command;
use lucid_schemas::{EventBody, Failure};

/// What a worker may ask of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    Claim,
    Expire,
    Record,
    Commit,
    Succeed,
    FailOnce,
    FailForGood,
    ConfirmCancel,
    Release,
}

impl Order {
    /// What somebody without a claim asks.
    pub const FREE: [Self; 2] = [Self::Claim, Self::Expire];
    /// What a holder asks.
    pub const HELD: [Self; 7] = [
        Self::Record,
        Self::Commit,
        Self::Succeed,
        Self::FailOnce,
        Self::FailForGood,
        Self::ConfirmCancel,
        Self::Release,
    ];

    /// The command, as the holder of `epoch` gives it.
    pub fn command(self, worker: &str, epoch: i64) -> Command {
        let error = |retryable| Failure { code: "drawn".into(), message: String::new(), retryable };
        match self {
            Self::Claim => Command::Claim { worker: worker.to_owned(), lease_ms: 1, slots: Vec::new() },
            Self::Expire => Command::Expire,
            Self::Record => {
                let cluster_time = bson::Timestamp { time: 1, increment: 1 };
                Command::Record { epoch, fact: EventBody::SnapshotTaken { cluster_time } }
            }
            Self::Commit => Command::Commit { epoch, fact: EventBody::CommitStarted {} },
            Self::Succeed => Command::Succeed { epoch, result: bson::doc! { "epoch": epoch } },
            Self::FailOnce => Command::Fail { epoch, error: error(true), retry_in_ms: 1, out_of_time: false },
            Self::FailForGood => Command::Fail { epoch, error: error(false), retry_in_ms: 1, out_of_time: false },
            Self::ConfirmCancel => Command::ConfirmCancel { epoch },
            Self::Release => Command::Release { epoch, reason: String::new() },
        }
    }
}

/// Where a worker stands.
#[derive(Debug, Clone, PartialEq, Hash)]
pub enum Actor {
    /// It holds nothing.
    Idle,
    /// It has sent a write, or is about to; it doesn't know what came of it.
    Sending {
        /// What it asks.
        order: Order,
        /// The epoch that it believes to hold; 0 for none.
        epoch: i64,
        /// The job as it knows it.
        base: Stored,
        /// The version at which it began; the write's name says it, and keeps it through all tries.
        begun: i64,
        /// The job as the write made it, once it has arrived.
        landed: Option<Stored>,
    },
    /// It believes to hold this epoch.
    Holding {
        /// The epoch.
        epoch: i64,
        /// The name of the write that claimed.
        token: String,
        /// The job as it knows it.
        seen: Stored,
    },
}
