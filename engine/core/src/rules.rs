//! What is wrong: rules over what a monitor has seen, and which alerts should be open because of it.
//!
//! Pure, with time as a value: a rule turns facts into one [`Reading`] for each of its subjects, right or wrong, and the
//! [`Evaluator`] remembers for how long. What it says is what should be so, not what to do: whoever writes alerts compares
//! that with what is open, so that nothing depends on who said it before.

pub mod evaluator;
pub mod facts;
pub mod host;
pub mod jobs;
pub mod limit;
pub mod members;
mod parameters;
pub mod plan;
pub mod prometheus;
mod rule;

pub use evaluator::{Evaluator, FLAPPING_MS, FLAPS_MAX, Judged, Standing};
pub use parameters::{BadChange, Change, Parameters};
pub use plan::{About, Round, Step, plan};
pub use rule::{Limits, Rule, Side};

use lucid_schemas::alert::Severity;
use std::collections::BTreeMap;

/// Number of these rules: it rises with every change of them.
pub const RULES_VERSION: i32 = 3;

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

impl Reading {
    /// That nobody can tell of any subject of this rule, as its facts weren't there.
    pub const fn unknown(rule: &'static Rule) -> Self {
        Self { rule, labels: BTreeMap::new(), verdict: Verdict::Unknown }
    }

    /// Whether it is about all subjects of its rule, see [`Self::unknown`].
    pub fn is_of_all(&self) -> bool {
        self.labels.is_empty() && !self.rule.subject.is_empty()
    }
}

/// Every rule that this program knows.
pub fn all() -> Vec<&'static Rule> {
    members::RULES.into_iter().chain(jobs::RULES).chain(host::RULES).collect()
}
