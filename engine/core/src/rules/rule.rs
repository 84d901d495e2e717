//! What a rule is, as far as it is data: all that tables, Prometheus and runbooks are made of.

use super::Verdict;
use lucid_schemas::alert::{ResolvedBy, Severity};
use std::collections::BTreeMap;

/// A rule, as far as it is data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Its name, such as `backup_overdue`, which is its section in the runbooks, too; stored, so it never changes.
    pub id: &'static str,
    /// For how many milliseconds it must be so before it counts.
    pub for_ms: i64,
    /// What becomes of an alert whose subject isn't there any more: it was taken away on purpose, or that was the mending.
    pub absent: ResolvedBy,
    /// What it finds, for people.
    pub finds: &'static str,
    /// Names of the labels that its subjects have.
    pub subject: &'static [&'static str],
    /// How much what it finds can matter, least first.
    pub severities: &'static [Severity],
    /// Of what its value and its limits are; empty where it measures nothing.
    pub unit: &'static str,
    /// From where on a value is wrong.
    pub limits: Limits,
    /// Rules that explain what this one finds: while one of them has an open alert with no other value of a label that both have,
    /// nobody is told of this one's.
    pub inhibited_by: &'static [&'static str],
    /// The same condition for Prometheus, over our metrics; `{limit}` stands for the limit of the severity. Empty where no metric
    /// tells what the rule goes by.
    pub promql: &'static str,
}

/// From where on a value is wrong: each of them where the rule has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// On which side of a limit a value is wrong.
    pub side: Side,
    /// Beyond it, somebody should look in the morning.
    pub warning: Option<f64>,
    /// Beyond it, somebody should look now.
    pub critical: Option<f64>,
    /// An alert that is open stays open until the value isn't beyond this either.
    pub clear: Option<f64>,
}

/// Which values are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those above a limit.
    Above,
    /// Those below it.
    Below,
}

impl Rule {
    /// A rule about nothing, from which others are made.
    pub const PLAIN: Self = Self {
        id: "",
        for_ms: 0,
        absent: ResolvedBy::Gone,
        finds: "",
        subject: &[],
        severities: &[Severity::Critical],
        unit: "",
        limits: Limits::NONE,
        inhibited_by: &[],
        promql: "",
    };

    /// Where its runbook is, in the folder of this project.
    pub fn runbook(&self) -> String {
        format!("deploy/runbooks.md#{}", self.id)
    }

    /// Whether an open alert of another rule explains what this one finds about a subject.
    pub fn is_explained_by(
        &self,
        labels: &BTreeMap<String, String>,
        other: &str,
        its: &BTreeMap<String, String>,
    ) -> bool {
        self.inhibited_by.contains(&other)
            && labels.iter().all(|(name, value)| its.get(name).is_none_or(|other| other == value))
    }
}

impl Limits {
    /// None.
    pub const NONE: Self = Self { side: Side::Above, warning: None, critical: None, clear: None };

    /// Values above these are wrong.
    pub const fn above(warning: Option<f64>, critical: Option<f64>, clear: Option<f64>) -> Self {
        Self { side: Side::Above, warning, critical, clear }
    }

    /// Values below these are wrong.
    pub const fn below(warning: Option<f64>, critical: Option<f64>, clear: Option<f64>) -> Self {
        Self { side: Side::Below, warning, critical, clear }
    }

    /// The limit of a severity.
    pub const fn of(&self, severity: Severity) -> Option<f64> {
        match severity {
            Severity::Warning => self.warning,
            Severity::Critical => self.critical,
        }
    }

    /// What they say of a value; the sentence is for where it is wrong. What isn't a number tells nothing.
    pub fn judge(&self, value: f64, summary: impl FnOnce() -> String) -> Verdict {
        let is_beyond = |limit: Option<f64>| {
            limit.is_some_and(|limit| match self.side {
                Side::Above => value > limit,
                Side::Below => value < limit,
            })
        };
        let wrong = |severity| Verdict::Wrong { severity, value: Some(value), summary: summary() };
        if value.is_nan() {
            Verdict::Unknown
        } else if is_beyond(self.critical) {
            wrong(Severity::Critical)
        } else if is_beyond(self.warning) {
            wrong(Severity::Warning)
        } else if is_beyond(self.clear) {
            Verdict::Between
        } else {
            Verdict::Right
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(limits: Limits, value: f64) -> &'static str {
        match limits.judge(value, String::new) {
            Verdict::Wrong { severity: Severity::Critical, .. } => "critical",
            Verdict::Wrong { severity: Severity::Warning, .. } => "warning",
            Verdict::Between => "between",
            Verdict::Right => "right",
            Verdict::Unknown => "unknown",
        }
    }

    #[test]
    fn a_value_is_wrong_beyond_its_limits_and_right_beyond_the_clear_one() {
        let above = Limits::above(Some(30.0), Some(120.0), Some(20.0));
        let expected = [
            (0.0, "right"),
            (20.0, "right"),
            (21.0, "between"),
            (30.0, "between"),
            (31.0, "warning"),
            (121.0, "critical"),
        ];
        assert_eq!(expected.map(|(value, _)| (value, said(above, value))), expected);
        let below = Limits::below(Some(24.0), Some(4.0), Some(26.0));
        let expected = [
            (3.0, "critical"),
            (4.0, "warning"),
            (23.0, "warning"),
            (24.0, "between"),
            (25.0, "between"),
            (26.0, "right"),
        ];
        assert_eq!(expected.map(|(value, _)| (value, said(below, value))), expected);
        assert_eq!((said(above, f64::NAN), said(below, f64::NAN)), ("unknown", "unknown"));
        assert_eq!(said(Limits::NONE, 1e9), "right");
    }

    #[test]
    fn an_alert_explains_those_that_have_no_other_value_of_its_labels() {
        let rule = Rule { inhibited_by: &["member_down", "no_primary"], ..Rule::PLAIN };
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let own = labels(&[("member", "a:1")]);
        assert!(rule.is_explained_by(&own, "member_down", &labels(&[("member", "a:1")])));
        assert!(!rule.is_explained_by(&own, "member_down", &labels(&[("member", "b:1")])), "another member");
        assert!(rule.is_explained_by(&own, "no_primary", &labels(&[("rs", "rs0")])), "the whole set");
        assert!(!rule.is_explained_by(&own, "disk_space", &own), "one that explains nothing");
    }
}
