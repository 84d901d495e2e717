//! The doors of the engine: what stands on each side of them, as traits.
//!
//! | door | behind it | in front of it |
//! |---|---|---|
//! | [`Store`] | MongoDB, or the twin in memory | workers, API |
//! | [`ScheduleStore`] | the same | schedulers, API |
//! | [`Alerts`] | the same | monitors, senders of notices, API |
//! | [`Silences`] | the same | monitors, senders of notices |
//! | [`Tokens`] | the same | API and monitors: who may do what |
//! | [`Feed`] | one change stream per process, or the twin | workers, API |
//! | [`History`] | one change stream per API, with events; or the twin | API: live streams of events |
//! | [`Archive`] | all job documents, page by page | API: audit and export |
//! | [`Catalog`] | the databases of the replica set | API: early checks of requests |
//! | [`Handler`] | backup, restore, verify | the worker |
//! | [`JobContext`] | the worker | handlers |
//! | [`Watch`] | the store | monitor, API: how all of it is |
//! | [`members::Snapshot`] | whoever asks the members of the set | monitor |
//!
//! Every store passes the same [`conformance`] suite; [`memory`] is the twin.

pub mod alerts;
pub mod archive;
pub mod card;
pub mod catalog;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod context;
pub mod feed;
pub mod handler;
pub mod history;
pub mod members;
pub mod memory;
pub mod problems;
pub mod schedules;
pub mod silences;
pub mod store;
pub mod tokens;
pub mod watch;
pub mod watched;

pub use alerts::{AlertFilter, AlertOutcome, AlertPage, AlertPlace, Alerts, DueAlert, Raised};
pub use archive::Archive;
pub use card::WorkerCard;
pub use catalog::Catalog;
pub use context::{ContextError, JobContext};
pub use feed::{Birth, Feed, Reached, Wake};
pub use handler::{Ending, GIVEN_UP, GivenUp, Handler, JobError};
pub use history::{
    AlertChange, CatchUpError, Caught, Change, Changed, History, JobChange, Joined, News, Numbered, Recent,
    ResumeToken, Subject,
};
pub use problems::Problems;
pub use schedules::ScheduleStore;
pub use silences::{NewSilence, SilenceLook, Silences};
pub use store::{
    BoundKey, Detail, Enqueue, IDEMPOTENCY_MS, JobFilter, ListPage, Outcome, Pause, Place, Reach, Renewal, Store,
    StoreError,
};
pub use tokens::{NewToken, TokenLook, TokenSeen, Tokens};
pub use watch::Watch;
pub use watched::watched;
