//! The law of jobs.
//!
//! Read in this order: [`table`] (the picture), [`command`], [`decide()`], [`evolve()`], [`invariant`].

pub mod command;
pub mod decide;
pub mod evolve;
#[cfg(test)]
mod goldens;
pub mod invariant;
pub mod refusal;
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
