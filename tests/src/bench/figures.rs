//! Figures, their goals, and how they are shown: a table for people, JSON for machines.

use crate::Outcome;
use serde_json::{Map, Value};
use std::{fmt::Write, fs, time::Duration};

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    None,
    AtLeast(f64),
    AtMost(f64),
}

/// All figures of a run, in the order of their making.
#[derive(Debug, Default)]
pub struct Report {
    figures: Vec<(String, f64, Goal)>,
}

impl Report {
    /// Adds a figure; the unit is the last word of its name.
    pub fn add(&mut self, name: impl Into<String>, figure: f64, goal: Goal) {
        let name = name.into();
        eprintln!("{name}: {}", rounded(figure));
        self.figures.push((name, figure, goal));
    }

    /// Adds p50, p95 and p99 of some times.
    pub fn add_spread(&mut self, name: &str, spread: Spread) {
        self.add(format!("{name}_p50_ms"), spread.p50_ms, Goal::None);
        self.add(format!("{name}_p95_ms"), spread.p95_ms, Goal::None);
        self.add(format!("{name}_p99_ms"), spread.p99_ms, Goal::None);
    }

    pub fn table(&self) -> String {
        let mut text = format!("{:<42} {:>12}   goal\n", "figure", "measured");
        for (name, figure, goal) in &self.figures {
            let verdict = match *goal {
                Goal::None => String::new(),
                Goal::AtLeast(least) => format!("{}>= {}", missed(*figure >= least), rounded(least)),
                Goal::AtMost(most) => format!("{}<= {}", missed(*figure <= most), rounded(most)),
            };
            let _ = writeln!(text, "{name:<42} {:>12}   {verdict}", rounded(*figure));
        }
        text
    }

    pub fn json(&self) -> String {
        let figures: Map<String, Value> =
            self.figures.iter().map(|(name, figure, _)| (name.clone(), Value::from(*figure))).collect();
        Value::Object(figures).to_string()
    }
}

const fn missed(reached: bool) -> &'static str {
    if reached { "" } else { "MISSED " }
}

fn rounded(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

/// How times spread.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_field_names)] // The unit is the last word.
pub struct Spread {
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

impl Spread {
    /// Of at least one time.
    pub fn of(mut times: Vec<Duration>) -> Outcome<Self> {
        times.sort();
        let last = times.len().checked_sub(1).ok_or("nothing was measured")?;
        let at = |percent: usize| times[(times.len() * percent / 100).min(last)].as_secs_f64() * 1_000.0;
        Ok(Self { p50_ms: at(50), p95_ms: at(95), p99_ms: at(99) })
    }
}

/// The middle one, so that one disturbed round doesn't count.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// So many in this time, a second.
#[allow(clippy::cast_precision_loss)] // Counts of a bench are far below 2^52.
pub fn per_s(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// CPU seconds that a process has used.
pub fn cpu_s(pid: u32) -> Outcome<f64> {
    times_s(&pid.to_string(), [11, 12])
}

/// CPU seconds of this process's children that have ended.
pub fn children_cpu_s() -> Outcome<f64> {
    times_s("self", [13, 14])
}

/// The sum of two of a process's times, by their place behind its name.
fn times_s(pid: &str, places: [usize; 2]) -> Outcome<f64> {
    /// Linux counts in hundredths of a second for programs, whatever it uses inside.
    const TICKS_PER_S: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before it may hold blanks.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).ok_or("no CPU time");
    Ok((ticks(places[0])? + ticks(places[1])?) / TICKS_PER_S)
}

/// Memory that a process holds, in MB (10^6 bytes).
pub fn resident_mb(pid: u32) -> Outcome<f64> {
    memory_mb(pid, "VmRSS:")
}

/// The most memory that a process has held since it began, or since [`reset_peak`].
pub fn peak_mb(pid: u32) -> Outcome<f64> {
    memory_mb(pid, "VmHWM:")
}

/// Lets the peak begin again.
pub fn reset_peak(pid: u32) -> Outcome<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn memory_mb(pid: u32, what: &str) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).ok_or_else(|| format!("no {what}"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1_024.0 / 1_000_000.0)
}
