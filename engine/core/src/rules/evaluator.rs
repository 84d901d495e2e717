//! For how long something has been so, and whether it comes and goes.

use super::{Parameters, Reading, Rule, Verdict};
use lucid_schemas::alert::{Fingerprint, ResolvedBy, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// So many resolves within [`FLAPPING_MS`], and the next alert stays open until it is quiet for as long.
pub const FLAPS_MAX: usize = 3;
/// See [`FLAPS_MAX`], in milliseconds.
pub const FLAPPING_MS: i64 = 1_800_000;

/// Whether there should be an open alert about a subject.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// There should.
    Open {
        /// Since when it is so, on the clock of the rounds.
        since_ms: i64,
        /// How much it matters.
        severity: Severity,
        /// What was measured last.
        value: Option<f64>,
        /// What is wrong, for people.
        summary: String,
        /// Whether it comes and goes.
        flapping: bool,
        /// Whether there was nothing to see in this round.
        silent: bool,
    },
    /// There shouldn't, for this reason.
    Over(ResolvedBy),
    /// One that is open stays open, and none is raised: it isn't so for long enough yet, it is nearly so, or it comes and goes and
    /// isn't so just now.
    Undecided,
    /// The same, as nobody can tell: there was nothing to see in this round, and not enough before it.
    Unseen,
}

/// What is said of a subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// By which rule.
    pub rule: &'static Rule,
    /// The subject.
    pub labels: BTreeMap<String, String>,
    /// Whether there should be an open alert.
    pub standing: Standing,
}

/// What was wrong last.
#[derive(Debug, Clone, PartialEq)]
struct Wrong {
    severity: Severity,
    value: Option<f64>,
    summary: String,
}

#[derive(Debug, Clone)]
struct Memory {
    rule: &'static Rule,
    labels: BTreeMap<String, String>,
    /// Since when it is wrong without a break.
    wrong_since: Option<i64>,
    /// Since when it was wrong that counts now.
    open_since: Option<i64>,
    /// Since when it is right without a break.
    right_since: Option<i64>,
    wrong: Option<Wrong>,
    silent: bool,
    flapping: bool,
    /// When it was over, lately.
    resolves: Vec<i64>,
}

/// What every monitor remembers from round to round, on a clock that is never put back. Begun anew, or after a round in which it
/// saw nothing, it knows little: see [`Evaluator::is_warm`].
#[derive(Debug, Clone, Default)]
pub struct Evaluator {
    parameters: Parameters,
    /// Since when it has seen something in each round.
    began_ms: Option<i64>,
    /// When the facts of a rule were missing last, where they ever were.
    blind_ms: BTreeMap<&'static str, i64>,
    known: BTreeMap<Fingerprint, Memory>,
}

impl Evaluator {
    /// One that goes by what operators have changed of the rules.
    pub fn new(parameters: Parameters) -> Self {
        Self { parameters, ..Self::default() }
    }

    /// Takes what the rules say at this time; `None` where nothing was seen at all. Says of every subject that it knows
    /// whether there should be an open alert about it.
    pub fn round(&mut self, now_ms: i64, readings: Option<&[Reading]>) -> BTreeMap<Fingerprint, Judged> {
        let Some(readings) = readings else {
            self.began_ms = None;
            self.known.values_mut().for_each(Memory::miss);
            return self.judged();
        };
        let (blind, readings): (Vec<&Reading>, Vec<&Reading>) =
            readings.iter().partition(|reading| reading.is_of_all());
        let blind: BTreeSet<&'static str> = blind.into_iter().map(|reading| reading.rule.id).collect();
        self.began_ms.get_or_insert(now_ms);
        self.blind_ms.extend(blind.iter().map(|rule| (*rule, now_ms)));
        let mut said: BTreeMap<Fingerprint, &Reading> =
            readings.into_iter().map(|reading| (Fingerprint::of(reading.rule.id, &reading.labels), reading)).collect();
        let mut gone = BTreeMap::new();
        let Self { parameters, known, .. } = self;
        known.retain(|fingerprint, memory| {
            let for_ms = parameters.for_ms(memory.rule);
            if let Some(reading) = said.remove(fingerprint) {
                memory.take(now_ms, for_ms, &reading.verdict);
            } else if blind.contains(memory.rule.id) {
                memory.miss();
            } else if memory.rule.absent == ResolvedBy::Condition {
                memory.take(now_ms, for_ms, &Verdict::Right);
            } else {
                gone.insert(fingerprint.clone(), memory.judged(Standing::Over(memory.rule.absent)));
                return false;
            }
            !memory.is_forgotten(now_ms)
        });
        for (fingerprint, reading) in said {
            let mut memory = Memory::of(reading);
            memory.take(now_ms, parameters.for_ms(reading.rule), &reading.verdict);
            known.insert(fingerprint, memory);
        }
        let mut judged = self.judged();
        judged.extend(gone);
        judged
    }

    /// Whether it has seen for long enough what each of these rules needs: until then, that it knows nothing of the subject of
    /// an alert that is open means nothing.
    pub fn is_warm(&self, now_ms: i64, rules: &[&Rule]) -> bool {
        let is_warm = |began_ms: i64, rule: &Rule| {
            let since_ms = self.blind_ms.get(rule.id).map_or(began_ms, |blind_ms| began_ms.max(*blind_ms));
            now_ms - since_ms > self.parameters.for_ms(rule)
        };
        self.began_ms.is_some_and(|began_ms| rules.iter().all(|rule| is_warm(began_ms, rule)))
    }

    fn judged(&self) -> BTreeMap<Fingerprint, Judged> {
        let judged = |memory: &Memory| memory.judged(memory.standing());
        self.known.iter().map(|(fingerprint, memory)| (fingerprint.clone(), judged(memory))).collect()
    }
}

#[cfg(test)]
impl Standing {
    /// Whether an alert is open after it.
    pub(crate) const fn leaves_open(&self, was_open: bool) -> bool {
        match self {
            Self::Open { .. } => true,
            Self::Over(_) => false,
            Self::Undecided | Self::Unseen => was_open,
        }
    }
}

impl Memory {
    fn of(reading: &Reading) -> Self {
        Self {
            rule: reading.rule,
            labels: reading.labels.clone(),
            wrong_since: None,
            open_since: None,
            right_since: None,
            wrong: None,
            silent: false,
            flapping: false,
            resolves: Vec::new(),
        }
    }

    /// No data isn't health; nor does it prove anything: what hasn't counted yet begins anew.
    const fn miss(&mut self) {
        self.silent = true;
        self.wrong_since = None;
        self.right_since = None;
    }

    fn take(&mut self, now_ms: i64, for_ms: i64, verdict: &Verdict) {
        self.resolves.retain(|at| now_ms - at < FLAPPING_MS);
        match verdict {
            Verdict::Unknown => return self.miss(),
            Verdict::Wrong { severity, value, summary } => {
                self.right_since = None;
                self.wrong = Some(Wrong { severity: *severity, value: *value, summary: summary.clone() });
                let since = *self.wrong_since.get_or_insert(now_ms);
                if self.open_since.is_none() && now_ms - since >= for_ms {
                    self.open_since = Some(since);
                    self.flapping = self.resolves.len() >= FLAPS_MAX;
                }
            }
            Verdict::Between => {
                self.wrong_since = None;
                self.right_since = None;
            }
            Verdict::Right => {
                self.wrong_since = None;
                let quiet_ms = now_ms - *self.right_since.get_or_insert(now_ms);
                if self.open_since.is_some() && (!self.flapping || quiet_ms >= FLAPPING_MS) {
                    self.open_since = None;
                    self.flapping = false;
                    self.resolves.push(now_ms);
                }
            }
        }
        self.silent = false;
    }

    /// Whether nothing depends on it any more.
    fn is_forgotten(&self, now_ms: i64) -> bool {
        let is_old = self.right_since.is_some_and(|since| now_ms - since >= FLAPPING_MS);
        self.open_since.is_none() && self.resolves.is_empty() && is_old && self.rule.absent == ResolvedBy::Condition
    }

    fn standing(&self) -> Standing {
        match (self.open_since, &self.wrong) {
            (Some(_), _) if self.right_since.is_some() => Standing::Undecided,
            (Some(since_ms), Some(Wrong { severity, value, summary })) => Standing::Open {
                since_ms,
                severity: *severity,
                value: *value,
                summary: summary.clone(),
                flapping: self.flapping,
                silent: self.silent,
            },
            _ if self.right_since.is_some() => Standing::Over(ResolvedBy::Condition),
            _ if self.silent => Standing::Unseen,
            _ => Standing::Undecided,
        }
    }

    fn judged(&self, standing: Standing) -> Judged {
        Judged { rule: self.rule, labels: self.labels.clone(), standing }
    }
}

#[cfg(test)]
mod tests;
