//! The laws: which transitions there are, and what they mean.
//!
//! One rule holds this floor together: no I/O, no clock, no chance. [`decide()`] says which events a command
//! leads to and under which [`Guard`]s on time; [`evolve()`] says what an event changes. The live path and the
//! replay share both, so that they can't disagree. Time is a [`lucid_schemas::Stamp`]: only the store knows it.
//!
//! | room | what it is for |
//! |---|---|
//! | [`job`] | the law of jobs; what it exports is also found here |
//! | [`alert`] | the law of alerts |
//! | [`mod@condition`] | how all of it is, in one word |
//! | [`rules`] | what a monitor finds wrong, and which alerts should be open because of it |
//! | [`mod@schedule`] | which occurrences of a schedule are due |

pub mod alert;
pub mod condition;
pub mod job;
pub mod rules;
pub mod schedule;

pub use job::{
    Command, Decision, EVENTS_MAX, Guard, LEASE_LONGEST_MS, LeaseChange, RESERVATION_MS, Refusal, Transition, birth,
    command, decide, evolve, fold, invariant, is_given_up, losses, may_claim, refusal, slots, table, transition,
    was_lost_twice,
};
