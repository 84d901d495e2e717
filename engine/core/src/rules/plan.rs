//! From what should be open to what is asked of the alerts that are: for whoever holds the claim to write them.
//!
//! Level against level: a plan goes by what is open now, whoever wrote it, so that a lost write, or a holder that stopped in
//! between, is made up for by the next round.

use super::{
    Judged, RULES_VERSION, Rule, Standing,
    limit::{LEFT_OUT, bounded},
};
use crate::alert::{Command, EVENTS_MAX, Fence, SEEN_EACH_MS, Sighting, Wanted};
use lucid_schemas::{
    Stamp,
    alert::{Alert, AlertId, Fingerprint, Origin, ResolvedBy, Severity},
};
use std::collections::BTreeMap;

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Raise an alert.
    Raise {
        /// What its fingerprint is made of, and what is wrong.
        judged: Judged,
        /// What was seen.
        sighting: Sighting,
        /// Who is to be told.
        notify: Vec<Wanted>,
    },
    /// Ask this of an alert.
    Ask(AlertId, Command),
}

/// What a plan goes by, beside what was judged.
#[derive(Debug, Clone, Copy)]
pub struct Round<'a> {
    /// The holder's claim, and until when this round counts.
    pub fence: Fence,
    /// What the primary's clock shows, in milliseconds since 1970: only what is worth asking depends on it, since the store
    /// judges.
    pub now_ms: i64,
    /// Every rule that this program knows.
    pub rules: &'a [&'static Rule],
    /// Those of them whose silence means nothing, since the evaluator hasn't seen for long enough what they go by.
    pub cold: &'a [&'static Rule],
}

/// What somebody may be told of.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The rule that found it.
    pub rule: &'a str,
    /// The subject.
    pub labels: &'a BTreeMap<String, String>,
    /// How much it matters.
    pub severity: Severity,
}

/// What to do so that what is open is what should be. `route` says who is told of what.
pub fn plan(
    judged: &BTreeMap<Fingerprint, Judged>,
    open: &[Alert],
    round: Round<'_>,
    route: impl Fn(About<'_>) -> Vec<Wanted>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = bounded(judged, open);
    for alert in open {
        let command = match rest.remove(&alert.origin.fingerprint).map(|judged| judged.standing) {
            Some(Standing::Open { severity, value, summary, flapping, silent, .. }) => {
                let seen = (!silent).then(|| sighting(value, &summary, flapping));
                of_open(alert, severity, seen, round, &route)
            }
            Some(Standing::Over(how)) => Some(Command::Resolve { fence: round.fence, how, ended_at: None }),
            // Neither over nor seen again.
            Some(Standing::Undecided) => None,
            Some(Standing::Unseen) => of_unseen(alert, round, &route),
            None => of_unknown(alert, round, &route),
        };
        steps.extend(command.map(|command| Step::Ask(alert.id().clone(), command)));
    }
    for judged in rest.into_values() {
        match judged.standing.clone() {
            Standing::Open { severity, value, summary, flapping, .. } => {
                let sighting = sighting(value, &summary, flapping);
                let notify = route(About { rule: judged.rule.id, labels: &judged.labels, severity });
                steps.push(Step::Raise { judged, sighting, notify });
            }
            Standing::Over(_) | Standing::Undecided | Standing::Unseen => {}
        }
    }
    steps
}

/// `seen` is missing where there was nothing to see.
fn of_open(
    alert: &Alert,
    severity: Severity,
    seen: Option<Sighting>,
    round: Round<'_>,
    route: impl Fn(About<'_>) -> Vec<Wanted>,
) -> Option<Command> {
    let fence = round.fence;
    let Origin { rule, labels, .. } = &alert.origin;
    let told = || route(About { rule, labels, severity });
    let has_come = |at: Option<Stamp>| at.is_some_and(|at| has_come(at, round));
    if alert.head.version >= EVENTS_MAX {
        return Some(Command::Resolve { fence, how: ResolvedBy::Continued, ended_at: None });
    }
    if has_come(alert.head.acknowledged_until) {
        return Some(Command::EndAcknowledgement { fence, notify: told() });
    }
    let Some(sighting) = seen else {
        return alert.seen.silent_since.is_none().then_some(Command::MissData { fence });
    };
    let is_steady =
        alert.head.severity_changed_at.is_none_or(|at| has_come(Some(at.plus(crate::alert::SEVERITY_EACH_MS))));
    if severity != alert.head.severity && is_steady {
        let notify = if severity > alert.head.severity { told() } else { Vec::new() };
        return Some(Command::ChangeSeverity { fence, to: severity, notify });
    }
    has_come(Some(alert.seen.last_seen_at.plus(SEEN_EACH_MS))).then_some(Command::SeeAgain { fence, sighting })
}

/// There was nothing to see, of what others have raised. A full stream isn't continued: only who sees it could raise another.
fn of_unseen(alert: &Alert, round: Round<'_>, route: impl Fn(About<'_>) -> Vec<Wanted>) -> Option<Command> {
    if alert.head.version >= EVENTS_MAX {
        return alert.seen.silent_since.is_none().then_some(Command::MissData { fence: round.fence });
    }
    of_open(alert, alert.head.severity, None, round, route)
}

/// Nothing was said of it: it is over, or this program can't tell.
fn of_unknown(alert: &Alert, round: Round<'_>, route: impl Fn(About<'_>) -> Vec<Wanted>) -> Option<Command> {
    let fence = round.fence;
    let mut known = round.rules.iter().copied().chain([&LEFT_OUT]);
    match known.find(|rule| rule.id == alert.origin.rule) {
        Some(rule) if round.cold.contains(&rule) => {
            // Whoever has just begun may see it yet.
            let late = alert.seen.last_seen_at.plus(rule.for_ms + SEEN_EACH_MS);
            has_come(late, round).then(|| of_unseen(alert, round, route)).flatten()
        }
        Some(rule) => Some(Command::Resolve { fence, how: rule.absent, ended_at: None }),
        None if alert.seen.rules_version > RULES_VERSION => None,
        None => Some(Command::Resolve { fence, how: ResolvedBy::Gone, ended_at: None }),
    }
}

fn has_come(at: Stamp, round: Round<'_>) -> bool {
    at.stored().is_some_and(|at| at.timestamp_millis() <= round.now_ms)
}

fn sighting(value: Option<f64>, summary: &str, flapping: bool) -> Sighting {
    Sighting { value, summary: summary.to_owned(), rules_version: RULES_VERSION, times: 1, flapping }
}

#[cfg(test)]
mod tests;
