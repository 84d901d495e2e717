//! The motor: claims jobs, runs their handlers, keeps their leases, records how they end.
//!
//! ```text
//! feed ─ wake ─▶ worker ── claim (compare and set) ──▶ attempt ─┬─ handler.run
//! store ─ poll ─▶   ▲                                           ├─ heartbeat: renew, progress, cancel seen
//!                   └──────────── slot free again ──────────────┴─ ending: succeed, fail, release, confirm cancel
//! ```
//!
//! Beside it, in every worker: the settler lets jobs go on that wait for another one, the sweeper ends what nobody can take
//! over, and old jobs are forgotten.
//!
//! Invariant: nothing here decides a transition; every one is asked of `lucid_core::transition` and made true by the
//! store. A worker that was stopped for an hour finds itself fenced at its next write.

mod attempt;
mod backoff;
mod claims;
mod context;
mod gate;
mod heartbeat;
mod look;
mod metrics;
mod moment;
mod options;
mod rank;
mod redact;
mod retention;
mod scheduler;
mod seats;
mod settler;
mod slots;
mod step;
mod sweeper;
mod upkeep;
mod worker;

pub use backoff::retry_delay_ms;
pub use metrics::{Counter, Metrics, NAMES as METRIC_NAMES};
pub use options::{OptionsError, WorkerOptions};
pub use scheduler::{Scheduler, SchedulerHandle, SchedulerOptions, SchedulerStatus};
pub use worker::{Worker, WorkerHandle};
