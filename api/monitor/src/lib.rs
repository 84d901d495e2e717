//! The monitor: what is known of the members of the set and of the jobs, as metrics, as statistics, and in one word.
//!
//! Invariants: nothing that is asked over HTTP waits for a member, nor for the store: all of it is answered from memory, but for alerts,
//! whose store is waited for some seconds at most; what is too old to be the present is left out; every metric has a type, a unit and a sentence, in [`table`] and nowhere else.
//!
//! | room | what it is for |
//! |---|---|
//! | [`seen`] | what is known at a moment |
//! | [`terms`] | what is looked at, and how often |
//! | [`table`] | the families of metrics: each one row, filled by a pure function of what is seen |
//! | `expose` | their text, for Prometheus |
//! | [`facts`] | what the rules go by |
//! | [`health`] | how the set and the service are |
//! | `stats` | the samples as JSON |
//! | [`jobs`] | what the store tells: jobs, workers, backups, verifications |
//! | [`mod@evaluate`] | rounds: what is seen, judged by every rule |
//! | [`write`] | the monitor job: from what was judged to alerts |
//! | [`retention`] | what was over long ago goes |
//! | [`host`] | the machine that this runs on |
//! | `lock` | who may read the metrics from elsewhere |
//! | `process` | this process |
//! | `alerts`, [`open`] | alerts and silences over HTTP; what of them is known without the store |
//! | [`rules`] | the rules as operators see and change them |
//! | `routes` | which path leads where; serving |

mod alerts;
mod begin;
pub mod evaluate;
mod expose;
pub mod facts;
pub mod health;
pub mod host;
pub mod jobs;
mod lock;
pub mod open;
mod process;
pub mod retention;
mod routes;
pub mod rules;
pub mod seen;
mod stats;
pub mod table;
pub mod terms;
pub mod write;

pub use lock::Lock;
pub use prometheus::Registry;
pub use routes::{Access, Door, ServeError, routes, serve};
pub use seen::{Monitor, Seen};
