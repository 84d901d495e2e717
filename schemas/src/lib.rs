//! The vocabulary: what is stored in MongoDB and what is spoken over HTTP.
//!
//! This floor knows names, shapes and their validation, nothing else: no I/O, no clock, no decisions.
//!
//! | module | stored | spoken over HTTP | what |
//! |---|---|---|---|
//! | [`id`] | yes | yes | job ids |
//! | [`kind`], [`state`] | yes | yes | what a job does, where it stands |
//! | [`spec`], [`prune`], [`copy`], [`share`], [`kinds`] | yes | yes | what a job is asked to do, per kind |
//! | [`event`] | yes | yes | facts about a job, numbered from 1 |
//! | [`fate`] | yes | yes | what became of a backup after its job had ended |
//! | [`request`] | yes | yes | what was asked for: the part of a job that never changes |
//! | [`job`] | yes | yes | the job document: request, head, lease, progress, events |
//! | [`alert`] | yes | - | alerts: the second kind of documents in `ops` |
//! | [`silence`] | yes | yes | which alerts nobody is told of for a while |
//! | [`access`] | yes | - | roles, scopes and tokens: who may do what over HTTP |
//! | [`key`] | yes | yes | concurrency keys and their slots |
//! | [`schedule`], [`cron`] | yes | - | when jobs are asked for by themselves |
//! | [`stamp`] | as dates | as dates | time that only the server knows |
//! | [`names`] | - | - | which database and collection names are acceptable |
//! | [`http`], [`run`], [`problem`] | - | yes | request and response bodies |
//! | [`collections`] | yes | - | collections, validators, indexes and views of `lucid_ops` |
//! | [`roles`] | - | - | which service may do what in MongoDB |

pub mod access;
pub mod alert;
pub mod collections;
pub mod copy;
pub mod cron;
pub mod event;
pub mod failure;
pub mod fate;
pub mod http;
pub mod id;
pub mod job;
pub mod key;
pub mod kind;
pub mod kinds;
pub mod names;
pub mod problem;
pub mod prune;
pub mod request;
pub mod roles;
pub mod run;
pub mod schedule;
pub mod share;
pub mod silence;
pub mod spec;
pub mod stamp;
pub mod state;
pub mod unique_key;
mod upcast;
pub mod zones;

pub use copy::{CopySpec, ReencryptSpec};
pub use event::{Event, EventBody, Failure};
pub use failure::Code;
pub use fate::{Fate, FateState};
pub use id::JobId;
pub use job::{Head, Job, Lease, Progress};
pub use key::ConcurrencyKey;
pub use kind::Kind;
pub use kinds::{MonitorSpec, NotifySpec};
pub use problem::FieldError;
pub use prune::{Keep, PruneSpec};
pub use request::{After, RepositoryName, Request, Requires};
pub use schedule::{Overlap, Schedule};
pub use share::{Part, Sample};
pub use spec::{BackupSpec, ManifestName, RestoreSpec, Spec, VerifyLevel, VerifySpec};
pub use stamp::Stamp;
pub use state::State;

/// Number of the job document's shape; older numbers, from 1, are read through upcasters.
pub const JOB_SCHEMA: i32 = 2;
