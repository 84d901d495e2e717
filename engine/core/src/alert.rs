//! The law of alerts: a second small life cycle beside that of jobs, over documents of the same collection.
//!
//! The same rule holds: no I/O, no clock, no chance. [`decide()`] says what a command leads to and under which [`Guard`]s
//! on time; [`evolve()`] says what an event changes. What no event tells of (a later sight of the same, a notice that is
//! being sent) is part of the decision. An evaluator's write carries a [`Fence`]: who has lost the claim to write, or comes
//! late, changes nothing.
//!
//! Read in this order: [`table`] (the picture), [`command`], [`decide()`], [`evolve()`], [`invariant`].

pub mod command;
pub mod decide;
pub mod evolve;
pub mod invariant;
#[cfg(test)]
pub(crate) mod kit;
#[cfg(test)]
mod model;
pub mod refusal;
pub mod silence;
pub mod table;
pub mod transition;

pub use command::{Command, Fence, Finding, Sighting, Wanted};
pub use decide::{Decision, EVENTS_MAX, Guard, SEEN_EACH_MS, SEVERITY_EACH_MS, decide};
pub use evolve::{birth, evolve, fold};
pub use refusal::Refusal;
pub use silence::is_silenced;
pub use transition::{Raise, Transition, raise, transition};
