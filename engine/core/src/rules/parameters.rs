//! What operators may change of rules: limits, for how long, exceptions, and whether they are there at all.

use super::{Limits, Reading, Rule};
use lucid_schemas::alert::Severity;
use std::collections::{BTreeMap, BTreeSet};

/// What is changed of each rule; of the others, what they say themselves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    changed: BTreeMap<&'static str, Change>,
}

/// What is changed of a rule: what is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// For how many milliseconds it must be so before it counts.
    pub for_ms: Option<i64>,
    /// See [`Limits::warning`].
    pub warning: Option<f64>,
    /// See [`Limits::critical`].
    pub critical: Option<f64>,
    /// See [`Limits::clear`].
    pub clear: Option<f64>,
    /// Whether it says nothing at all.
    pub off: bool,
    /// Subjects of which it says nothing: values of their labels.
    pub except: BTreeSet<String>,
}

/// Why a change can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChange {
    /// Nobody is called so.
    #[error("{0}: there is no such rule: `lucid-ops alerts rules` lists them")]
    NoRule(String),
    /// It measures something else, or nothing.
    #[error("{rule}.{field}: this rule has no such limit: `lucid-ops alerts rules` tells which it has")]
    NoLimit {
        /// The rule.
        rule: &'static str,
        /// The field.
        field: &'static str,
    },
    /// It is no number that can be meant.
    #[error("{rule}.{field}: {problem}")]
    Value {
        /// The rule.
        rule: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Parameters {
    /// Changes one of these rules.
    ///
    /// # Errors
    /// Where the rule doesn't have what is changed, or the change makes no sense.
    pub fn change(&mut self, rules: &[&'static Rule], id: &str, change: Change) -> Result<(), BadChange> {
        let rule = rules.iter().find(|rule| rule.id == id).ok_or_else(|| BadChange::NoRule(id.to_owned()))?;
        check(rule, &change)?;
        self.changed.insert(rule.id, change);
        Ok(())
    }

    /// For how many milliseconds what this rule finds must be so.
    pub fn for_ms(&self, rule: &Rule) -> i64 {
        self.changed.get(rule.id).and_then(|change| change.for_ms).unwrap_or(rule.for_ms)
    }

    /// The limits of a rule.
    pub fn limits(&self, rule: &Rule) -> Limits {
        self.changed.get(rule.id).map_or(rule.limits, |change| changed(rule.limits, change))
    }

    /// The limit of a severity, where the rule has it; else one that nothing reaches.
    pub fn limit(&self, rule: &Rule, severity: Severity) -> f64 {
        self.limits(rule).of(severity).unwrap_or(f64::INFINITY)
    }

    /// Whether a rule says nothing.
    pub fn is_off(&self, rule: &Rule) -> bool {
        self.changed.get(rule.id).is_some_and(|change| change.off)
    }

    /// Subjects of which a rule says nothing.
    pub fn exceptions(&self, rule: &Rule) -> impl Iterator<Item = &str> {
        self.changed.get(rule.id).into_iter().flat_map(|change| change.except.iter().map(String::as_str))
    }

    /// Whether what a rule says of a subject counts.
    pub fn counts(&self, reading: &Reading) -> bool {
        let is_exception =
            |change: &Change| reading.labels.values().any(|value| change.except.contains(value.as_str()));
        self.changed.get(reading.rule.id).is_none_or(|change| !change.off && !is_exception(change))
    }
}

fn changed(limits: Limits, change: &Change) -> Limits {
    Limits {
        warning: change.warning.or(limits.warning),
        critical: change.critical.or(limits.critical),
        clear: change.clear.or(limits.clear),
        ..limits
    }
}

fn check(rule: &'static Rule, change: &Change) -> Result<(), BadChange> {
    let bad = |field, problem| Err(BadChange::Value { rule: rule.id, field, problem });
    let Rule { limits, .. } = rule;
    for (field, wanted, known) in [
        ("warning", change.warning, limits.warning),
        ("critical", change.critical, limits.critical),
        ("clear", change.clear, limits.clear),
    ] {
        if wanted.is_some() && known.is_none() {
            return Err(BadChange::NoLimit { rule: rule.id, field });
        }
        if wanted.is_some_and(|wanted| !wanted.is_finite() || wanted < 0.0) {
            return bad(field, "give a number that isn't negative");
        }
    }
    if change.for_ms.is_some_and(|for_ms| for_ms < 0) {
        return bad("for_seconds", "give a number that isn't negative");
    }
    if !change.except.is_empty() && rule.subject.is_empty() {
        return bad("except", "this rule has one subject only: switch it off instead");
    }
    let limits = changed(*limits, change);
    let in_order = |nearer: Option<f64>, further: Option<f64>| match (nearer, further) {
        (Some(nearer), Some(further)) => match limits.side {
            super::Side::Above => nearer <= further,
            super::Side::Below => nearer >= further,
        },
        _ => true,
    };
    if !in_order(limits.warning, limits.critical) {
        return bad("critical", "it must lie beyond the warning");
    }
    if !in_order(limits.clear, limits.warning.or(limits.critical)) {
        return bad("clear", "it must lie on the right side of the other limits");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Verdict;

    static LAG: Rule = Rule {
        id: "replication_lag",
        for_ms: 120_000,
        subject: &["member"],
        limits: Limits::above(Some(30.0), Some(120.0), Some(20.0)),
        ..Rule::PLAIN
    };
    static NONE: Rule = Rule { id: "no_primary", ..Rule::PLAIN };
    static RULES: [&Rule; 2] = [&LAG, &NONE];

    fn change(id: &str, change: Change) -> Result<Parameters, String> {
        let mut parameters = Parameters::default();
        parameters.change(&RULES, id, change).map_err(|bad| bad.to_string())?;
        Ok(parameters)
    }

    #[test]
    fn what_is_not_changed_stays_as_the_rule_says() {
        let wanted = Change { for_ms: Some(4_000), critical: Some(60.0), ..Change::default() };
        let parameters = change("replication_lag", wanted).expect("good");
        assert_eq!(parameters.for_ms(&LAG), 4_000);
        assert_eq!(parameters.limits(&LAG), Limits::above(Some(30.0), Some(60.0), Some(20.0)));
        assert_eq!((parameters.for_ms(&NONE), parameters.limits(&NONE)), (0, Limits::NONE));
    }

    #[test]
    fn exceptions_and_rules_that_are_off_say_nothing() {
        let reading = |member: &str| Reading {
            rule: &LAG,
            labels: [("member".to_owned(), member.to_owned())].into(),
            verdict: Verdict::Right,
        };
        let wanted = Change { except: ["a:1".to_owned()].into(), ..Change::default() };
        let parameters = change("replication_lag", wanted).expect("good");
        assert!(!parameters.counts(&reading("a:1")) && parameters.counts(&reading("b:1")));
        let parameters = change("replication_lag", Change { off: true, ..Change::default() }).expect("good");
        assert!(parameters.is_off(&LAG) && !parameters.counts(&reading("b:1")));
        assert!(!parameters.is_off(&NONE));
    }

    #[test]
    fn a_bad_change_is_refused_by_the_name_of_its_field() {
        let plain = Change::default;
        for (id, wanted, word) in [
            ("nobody", plain(), "nobody: there is no such rule"),
            ("no_primary", Change { warning: Some(1.0), ..plain() }, "no_primary.warning: "),
            ("no_primary", Change { except: ["rs0".to_owned()].into(), ..plain() }, "no_primary.except: "),
            ("replication_lag", Change { warning: Some(-1.0), ..plain() }, "replication_lag.warning: "),
            ("replication_lag", Change { clear: Some(f64::NAN), ..plain() }, "replication_lag.clear: "),
            ("replication_lag", Change { for_ms: Some(-1), ..plain() }, "replication_lag.for_seconds: "),
            ("replication_lag", Change { warning: Some(121.0), ..plain() }, "replication_lag.critical: "),
            ("replication_lag", Change { clear: Some(31.0), ..plain() }, "replication_lag.clear: "),
        ] {
            let refused = change(id, wanted).expect_err(word);
            assert!(refused.starts_with(word), "{refused}");
        }
    }
}
