//! The families of metrics: name, type, unit, sentence, and the pure function that fills each.
//!
//! Rules: base units; a counter's name ends in `_total`; one quantity a name, so that sums over labels mean something; no ids and no
//! states that change in labels, but for sets of states, of which exactly one is 1.

mod fill;
mod ops;
mod server;
mod set;

use crate::Seen;
use lucid_ports::members::Histogram;
use std::{fmt::Write, sync::LazyLock};

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A value that rises and falls.
    Gauge,
    /// A count that only rises, until what counts is started again.
    Counter,
    /// Counts by how large what was counted was.
    Histogram,
}

/// A family of metrics.
#[derive(Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What kind.
    pub kind: Type,
    /// Of what its values are.
    pub unit: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
    /// Its points, of what is seen.
    pub fill: fn(&Seen) -> Vec<Point>,
}

/// One value with the values of its labels, in the order of [`Family::labels`].
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The values of the labels.
    pub labels: Vec<String>,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Of a gauge or a counter.
    Number(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

/// Every family.
pub static FAMILIES: LazyLock<Vec<&'static Family>> =
    LazyLock::new(|| [server::FAMILIES, set::FAMILIES, ops::FAMILIES].into_iter().flatten().collect());

const fn family(
    name: &'static str,
    kind: Type,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    fill: fn(&Seen) -> Vec<Point>,
) -> Family {
    Family { name, kind, unit, labels, help, fill }
}

/// The table for people.
pub fn markdown() -> String {
    let mut text = String::from("| metric | type | unit | labels | what it tells |\n|---|---|---|---|---|\n");
    for Family { name, kind, unit, labels, help, .. } in FAMILIES.iter() {
        let kind = format!("{kind:?}").to_lowercase();
        // Writing to a String can't fail.
        let _ = writeln!(text, "| `{name}` | {kind} | {unit} | {} | {help} |", labels.join(", "));
    }
    text
}

#[cfg(test)]
mod named;
#[cfg(test)]
mod tests;
