//! The law of jobs: which transitions there are, and what they mean.
//!
//! One rule holds this floor together: no I/O, no clock, no chance. [`decide()`] says which events a command
//! leads to and under which [`Guard`]s on time; [`evolve()`] says what an event changes. The live path and the
//! replay share both, so that they can't disagree. Time is a [`lucid_schemas::Stamp`]: only the store knows it.
//!
//! Read in this order: [`table`] (the picture), [`command`], [`decide()`], [`evolve()`], [`invariant`]; and, by itself, [`schedule`].

pub mod command;
pub mod decide;
pub mod evolve;
#[cfg(test)]
mod goldens;
pub mod invariant;
pub mod refusal;
pub mod schedule;
pub mod slots;
pub mod table;
pub mod transition;

pub use command::Command;
pub use decide::{
    Decision, EVENTS_MAX, Guard, LEASE_LONGEST_MS, LeaseChange, RESERVATION_MS, decide, is_given_up, losses, may_claim,
    was_lost_twice,
};
pub use evolve::{birth, evolve, fold};
pub use refusal::Refusal;
pub use transition::{Transition, transition};
