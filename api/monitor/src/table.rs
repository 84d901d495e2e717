//! The families of metrics: name, type, unit, sentence, and the pure function that fills each.
//!
//! Rules: base units; a counter's name ends in `_total`; one quantity a name, so that sums over labels mean something; no ids and no
//! states that change in labels, but for sets of states, of which exactly one is 1.

mod backups;
mod compat;
mod fill;
mod host;
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
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a gauge or a counter.
    Number(f64),
    /// Of a histogram.
    Histogram(Buckets),
}

/// How many were how large.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Buckets {
    /// Bounds, rising, and how many were at most so large; without the last bucket, of all.
    pub at_most: Vec<(f64, u64)>,
    /// How many there are.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl From<Histogram> for Buckets {
    fn from(counted: Histogram) -> Self {
        Self { at_most: counted.buckets().collect(), count: counted.count, sum: counted.sum_seconds() }
    }
}

/// Every family.
pub static FAMILIES: LazyLock<Vec<&'static Family>> = LazyLock::new(|| {
    let rooms = [server::FAMILIES, set::FAMILIES, ops::FAMILIES, backups::FAMILIES, host::FAMILIES];
    rooms.into_iter().flatten().collect()
});

/// Every family with those of the exporter that others' dashboards were made for; where a name is in both, only theirs, which says the same.
pub static COMPATIBLE: LazyLock<Vec<&'static Family>> = LazyLock::new(|| {
    let is_theirs = |family: &&Family| compat::FAMILIES.iter().any(|theirs| theirs.name == family.name);
    FAMILIES.iter().copied().filter(|family| !is_theirs(family)).chain(compat::FAMILIES).collect()
});

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
    rows(FAMILIES.iter().copied())
}

/// The same of what `--compat-metrics` adds.
pub fn compat_markdown() -> String {
    rows(compat::FAMILIES.iter())
}

fn rows(families: impl Iterator<Item = &'static Family>) -> String {
    let mut text = String::from("| metric | type | unit | labels | what it tells |\n|---|---|---|---|---|\n");
    for Family { name, kind, unit, labels, help, .. } in families {
        let kind = format!("{kind:?}").to_lowercase();
        // Writing to a String can't fail.
        let _ = writeln!(text, "| `{name}` | {kind} | {unit} | {} | {help} |", labels.join(", "));
    }
    text
}

#[cfg(test)]
mod dashboards;
#[cfg(test)]
mod named;
#[cfg(test)]
mod tests;
