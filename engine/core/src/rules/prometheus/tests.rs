//! The files beside the rules are those that the rules make, and each rule is whole.

use super::*;
use std::collections::BTreeSet;

const RUNBOOKS: &str = include_str!("../../../../../deploy/runbooks.md");

#[test]
fn the_file_for_prometheus_is_made_of_the_rules() {
    let committed = include_str!("../../../../../deploy/prometheus/alerts.yml");
    assert!(
        committed == alerts(),
        "outdated: `cargo run -p lucid-core --example prometheus > deploy/prometheus/alerts.yml`"
    );
}

#[test]
fn each_rule_has_a_section_in_the_runbooks_and_each_section_a_rule() {
    let sections: Vec<&str> = RUNBOOKS.split("\n## ").skip(1).collect();
    let titles: Vec<&str> = sections.iter().filter_map(|section| section.lines().next()).collect();
    let rules: Vec<&str> = all().iter().map(|rule| rule.id).collect();
    assert_eq!(titles, rules);
    for section in sections {
        let lines: Vec<&str> = section.lines().skip(1).filter(|line| !line.is_empty()).collect();
        let parts = ["- **What it means.** ", "- **What to look at.** ", "- **What to do.** "];
        assert!(lines.len() == 3 && lines.iter().zip(parts).all(|(line, part)| line.starts_with(part)), "{section}");
    }
}

#[test]
fn each_rule_is_whole() {
    let rules = all();
    let ids: BTreeSet<_> = rules.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), rules.len(), "a name twice");
    for rule in &rules {
        let Rule { id, limits, severities, .. } = rule;
        assert!(!rule.finds.is_empty() && !severities.is_empty() && severities.is_sorted(), "{id}");
        assert!(rule.for_ms % 1_000 == 0 && rule.for_ms >= 0, "{id}");
        for severity in [Severity::Warning, Severity::Critical] {
            assert!(limits.of(severity).is_none() || severities.contains(&severity), "{id}");
        }
        let has_limits = limits.warning.or(limits.critical).is_some();
        assert!(!has_limits || !rule.unit.is_empty(), "{id}: its limits are of nothing");
        assert!(has_limits || !rule.promql.contains("{limit}"), "{id}");
        assert!(rule.inhibited_by.iter().all(|other| ids.contains(other) && other != id), "{id}");
    }
}

/// Two that explain each other would both be silent.
#[test]
fn no_rule_explains_what_explains_it() {
    let rules = all();
    let explains = |rule: &Rule| rule.inhibited_by.iter().filter_map(|id| rules.iter().find(|rule| rule.id == *id));
    for rule in &rules {
        let mut seen: Vec<&str> = Vec::new();
        let mut next: Vec<&&Rule> = explains(rule).collect();
        while let Some(other) = next.pop() {
            assert!(other.id != rule.id, "{} explains itself by {seen:?}", rule.id);
            if !seen.contains(&other.id) {
                seen.push(other.id);
                next.extend(explains(other));
            }
        }
    }
}
