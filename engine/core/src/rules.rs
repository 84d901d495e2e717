//! What is wrong: rules over what a monitor has seen, and which alerts should be open because of it.
//!
//! Pure, with time as a value: a rule turns facts into one [`Reading`] for each of its subjects, right or wrong, and the
//! [`Evaluator`] remembers for how long. What it says is what should be so, not what to do: whoever writes alerts compares
//! that with what is open, so that nothing depends on who said it before.

pub mod evaluator;
pub mod facts;
pub mod jobs;
pub mod plan;

pub use evaluator::{Evaluator, FLAPPING_MS, FLAPS_MAX, Judged, Standing};
pub use plan::{Round, Step, plan};

use lucid_schemas::alert::{ResolvedBy, Severity};
use std::collections::BTreeMap;

/// Number of these rules: it rises with every change of them.
pub const RULES_VERSION: i32 = 1;

/// A rule, as far as it is data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name, such as `backup_overdue`; stored, so it never changes.
    pub id: &'static str,
    /// For how many milliseconds it must be so before it counts.
    pub for_ms: i64,
    /// What becomes of an alert whose subject isn't there any more: it was taken away on purpose, or that was the mending.
    pub absent: ResolvedBy,
    /// What it finds, for people.
    pub finds: &'static str,
}

/// What a rule says of a subject.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is so.
    Wrong {
        /// How much it matters.
        severity: Severity,
        /// What was measured, in the rule's unit.
        value: Option<f64>,
        /// One sentence for people: what is wrong.
        summary: String,
    },
    /// It isn't so, but nearly: an alert that is open stays open.
    Between,
    /// It isn't so.
    Right,
    /// Nobody can tell.
    Unknown,
}

/// What a rule says of a subject at a time. A subject that is there always has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The rule.
    pub rule: &'static Rule,
    /// The subject.
    pub labels: BTreeMap<String, String>,
    /// What it says.
    pub verdict: Verdict,
}
