//! The bench of backups: our jobs from request to end, beside the raw floors of the same server and, where they are on the
//! `PATH`, the tools that people use otherwise.
//!
//! | chapter | what is measured |
//! |---|---|
//! | `mixed` | full and repeated backups, what changes cost, verify and restore |
//! | `tiny`, `huge`, `many` | documents of 60 bytes, of 12 MB, ten thousand collections |
//! | `sizes` | time and memory at 1x, 4x and 16x |
//! | `nights` | thirty nights of updates |
//! | `chunks` | memory of a repository of four million chunks |
//! | `members` | reading from another member than the time before |
//!
//! Invariant: a chapter has a house of its own, so that its peak of memory is its own.

mod chunks;
mod edges;
mod floors;
mod house;
mod members;
mod mixed;
mod nights;
mod peers;

use crate::{Outcome, figures::Report, stage::Stage};

/// What `backup` measures, in this order.
pub const CHAPTERS: [&str; 8] = ["mixed", "tiny", "huge", "many", "sizes", "nights", "chunks", "members"];

/// Measures one of [`CHAPTERS`]; false for any other name.
pub async fn measure(chapter: &str, stage: &mut Stage, report: &mut Report) -> Outcome<bool> {
    match chapter {
        "mixed" => mixed::measure(stage, report).await?,
        "tiny" | "huge" | "many" => edges::measure(chapter, stage, report).await?,
        "sizes" => edges::sizes(stage, report).await?,
        "nights" => nights::measure(stage, report).await?,
        "chunks" => chunks::measure(stage, report).await?,
        "members" => members::measure(report).await?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Notes what a job took, and what it stored of how much.
fn add(report: &mut Report, name: &str, took: &house::Took) {
    use crate::figures::Goal;
    report.add(format!("{name}_s"), took.seconds, Goal::None);
    report.add(format!("{name}_cpu_s"), took.cpu_s, Goal::None);
    report.add(format!("{name}_peak_mb"), took.peak_mb, Goal::None);
}
