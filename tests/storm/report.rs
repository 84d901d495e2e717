//! What a run has shown: for people, or as JSON for programs.

use super::{check::Broken, ledger::Answer, ledger::Known, plan::Counts};
use lucid_schemas::{EventBody, Job};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// The outcome of a run.
#[derive(Debug, Default)]
pub struct Report {
    pub seed: u64,
    pub seconds: u64,
    /// What couldn't be done on this machine.
    pub left_out: Vec<String>,
    pub faults: Counts,
    /// Jobs by kind and end.
    pub jobs: BTreeMap<String, BTreeMap<String, usize>>,
    /// Answers by what they were.
    pub answers: BTreeMap<&'static str, usize>,
    pub takeovers: usize,
    pub reconnects: usize,
    /// Longest time without any event while clients were asking.
    pub standstill: Duration,
    /// From the end of the faults until every job had ended.
    pub drained: Duration,
    pub void_manifests: usize,
    pub proven_backups: usize,
    pub forgotten_backups: usize,
    pub violations: Vec<Broken>,
}

impl Report {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Counts what the history shows; `until_ms` is when clients stopped asking, by the primary's clock.
    pub fn count(&mut self, jobs: &[Job], known: &Known, until_ms: i64) {
        let mut times = Vec::new();
        for job in jobs {
            let ends = self.jobs.entry(job.kind().to_string()).or_default();
            *ends.entry(job.head.state.to_string()).or_default() += 1;
            let is_takeover = |body: &EventBody| matches!(body, EventBody::Claimed { takeover: true, .. });
            self.takeovers += job.events.iter().filter(|event| is_takeover(&event.body)).count();
            times.extend(job.events.iter().filter_map(|event| Some(event.at.stored()?.timestamp_millis())));
        }
        times.retain(|at_ms| *at_ms <= until_ms);
        times.sort_unstable();
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        self.standstill = Duration::from_millis(u64::try_from(longest).unwrap_or(0));
        for answer in known.asked.iter().flat_map(|asked| &asked.answers) {
            let word = match answer {
                Answer::Accepted(_) => "accepted",
                Answer::Refused(_) => "refused",
                Answer::Unknown => "unknown",
            };
            *self.answers.entry(word).or_default() += 1;
        }
    }

    /// Prints it.
    pub fn print(&self, jobs: &[Job], as_json: bool) {
        if as_json {
            println!("{}", self.to_json(jobs));
            return;
        }
        println!("chaos: seed {}, {} s of faults", self.seed, self.seconds);
        for why in &self.left_out {
            println!("left out: {why}");
        }
        let list = |counts: &BTreeMap<&str, usize>| {
            counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
        };
        println!("faults: {}", list(&self.faults.iter().map(|(kind, count)| (kind.as_str(), *count)).collect()));
        println!("answers: {}", list(&self.answers));
        for (kind, ends) in &self.jobs {
            println!("{kind}: {}", list(&ends.iter().map(|(end, count)| (end.as_str(), *count)).collect()));
        }
        println!(
            "{} takeovers, {} change streams opened afresh, longest standstill {:.1} s, all jobs ended {:.1} s after the last fault",
            self.takeovers,
            self.reconnects,
            self.standstill.as_secs_f64(),
            self.drained.as_secs_f64(),
        );
        println!(
            "{} backups proven, {} forgotten, {} void manifests",
            self.proven_backups, self.forgotten_backups, self.void_manifests
        );
        for broken in &self.violations {
            println!("VIOLATION: {}", broken.what);
            for job in jobs.iter().filter(|job| broken.jobs.iter().any(|id| id == job.id().as_str())) {
                print_job(job);
            }
        }
        println!("{} violations", self.violations.len());
    }

    fn to_json(&self, jobs: &[Job]) -> Value {
        let faults: BTreeMap<&str, usize> = self.faults.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
        let violations = self.violations.iter().map(|broken| {
            let told = jobs.iter().filter(|job| broken.jobs.iter().any(|id| id == job.id().as_str()));
            let events = told.map(|job| json!({ "job": job.id().as_str(), "events": lines(job) }));
            json!({ "what": broken.what, "jobs": events.collect::<Vec<_>>() })
        });
        json!({
            "seed": self.seed, "seconds": self.seconds, "left_out": self.left_out, "faults": faults,
            "answers": self.answers, "jobs": self.jobs, "takeovers": self.takeovers, "reconnects": self.reconnects,
            "standstill_ms": ms(self.standstill), "drained_ms": ms(self.drained),
            "proven_backups": self.proven_backups,
            "forgotten_backups": self.forgotten_backups, "void_manifests": self.void_manifests,
            "violations": violations.collect::<Vec<_>>(),
        })
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn print_job(job: &Job) {
    println!("  {} is {}, lease {:?}", job.id(), job.head.state, job.lease);
    for line in lines(job) {
        println!("    {line}");
    }
}

/// One line an event.
fn lines(job: &Job) -> Vec<String> {
    let line = |event: &lucid_schemas::Event| {
        let at = event.at.stored().map_or_else(String::new, |at| at.try_to_rfc3339_string().unwrap_or_default());
        let data = event.body.data().unwrap_or_default();
        format!("{} {at} {} by {} {data}", event.seq, event.body.name(), event.by)
    };
    job.events.iter().map(line).collect()
}
