//! What the rules about machines go by. A figure is missing where the platform doesn't tell it.

use std::collections::{BTreeMap, BTreeSet};

/// The machines that monitors run on.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    /// The node of this monitor.
    pub monitor: String,
    /// What its machine tells; none where it wasn't looked at lately.
    pub figures: Option<Figures>,
    /// The other nodes on which monitors live: of their machines this one knows nothing. None where the store doesn't tell.
    pub others: Option<BTreeSet<String>>,
}

/// What a machine tells of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// The sensor that is hottest, and its degrees Celsius.
    pub hottest: Option<(String, f64)>,
    /// Why it is slowed down now, a word each; none where nothing tells.
    pub slowed: Option<BTreeSet<String>>,
    /// Percents of its memory that could be had without swapping.
    pub memory_percent: Option<f64>,
    /// Percents of the time in which some task waited for memory.
    pub memory_waits_percent: Option<f64>,
    /// Percents that are free of the file systems that the monitor was told of, by path; none where one doesn't answer.
    pub disks_percent: BTreeMap<String, Option<f64>>,
}
