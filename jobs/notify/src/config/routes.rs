//! Who is told of what.

use super::section::Section;
use lucid_schemas::alert::{Alert, Severity};
use std::collections::BTreeMap;

/// What somebody is to be told of.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The rule.
    pub rule: &'a str,
    /// What it is about.
    pub labels: &'a BTreeMap<String, String>,
    /// How much it matters.
    pub severity: Severity,
}

impl<'a> Subject<'a> {
    /// That of an alert.
    pub fn of(alert: &'a Alert) -> Self {
        Self { rule: &alert.origin.rule, labels: &alert.origin.labels, severity: alert.head.severity }
    }
}

/// What all of these hold of goes to these channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub(super) to: Vec<String>,
    severity: Option<Severity>,
    rule: Option<String>,
    labels: Vec<(String, String)>,
}

impl Route {
    pub(super) fn read(mut section: Section) -> Result<Self, String> {
        let words = Severity::ALL.map(Severity::as_str);
        let severity = section.choice("severity", &words)?.and_then(|word| word.parse().ok());
        let to = section.texts("to")?.ok_or_else(|| section.missing("to"))?;
        let route = Self { to, severity, rule: section.text("rule")?, labels: section.pairs("labels")? };
        section.end()?;
        Ok(route)
    }

    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        let is_label = |(name, value): &(String, String)| subject.labels.get(name) == Some(value);
        self.severity.is_none_or(|severity| severity == subject.severity)
            && self.rule.as_ref().is_none_or(|rule| rule == subject.rule)
            && self.labels.iter().all(is_label)
    }
}
