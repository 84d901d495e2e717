//! The rules for those who run Prometheus: the same conditions, as a file that it reads.

use super::{Rule, all};
use lucid_schemas::alert::Severity;
use std::fmt::Write;

const HEAD: &str = "\
# Alerting rules for Prometheus, over the metrics of `lucid-ops monitor`.
#
# Use these or the alerts of Lucid Ops itself, not both: else everybody is told twice. Each alert has the label source=\"lucid-ops\".
# The conditions are the same, with two differences: Prometheus has one limit where Lucid Ops has another one for when it is over, and
# what depends on single jobs is told by kind. Not here, since no metric tells: {without}.
#
# This file is made of the rules: `cargo run -p lucid-core --example prometheus > deploy/prometheus/alerts.yml`. For other limits, copy it.
#
# Where one fault explains others, Alertmanager can keep quiet about these; put this into its configuration:
#
";

/// The file of alerting rules.
pub fn alerts() -> String {
    let rules = all();
    let without: Vec<_> = rules.iter().filter(|rule| rule.promql.is_empty()).map(|rule| rule.id).collect();
    let mut text = HEAD.replace("{without}", &without.join(", "));
    // Writing to a String can't fail.
    inhibitions(&rules, &mut text);
    let _ = writeln!(text, "\ngroups:\n- name: lucid-ops\n  rules:");
    for rule in rules.into_iter().filter(|rule| !rule.promql.is_empty()) {
        for severity in severities(rule) {
            alert(rule, severity, &mut text);
        }
    }
    text
}

/// One rule for each limit; one without limits matters as little as it may, since Prometheus can't tell its cases apart.
fn severities(rule: &Rule) -> Vec<Severity> {
    let limits =
        [Severity::Warning, Severity::Critical].into_iter().filter(|severity| rule.limits.of(*severity).is_some());
    let limits: Vec<_> = limits.collect();
    if limits.is_empty() { rule.severities.first().copied().into_iter().collect() } else { limits }
}

fn alert(rule: &Rule, severity: Severity, text: &mut String) {
    let limit = rule.limits.of(severity).unwrap_or_default();
    let condition = rule.promql.replace("{limit}", &limit.to_string());
    let mut subject = String::new();
    for label in rule.subject {
        // A monitor is an instance to Prometheus; of some rules it tells no subject.
        let label = if *label == "monitor" { "instance" } else { label };
        let _ = write!(subject, "{{{{ with $labels.{label} }}}} {{{{ . }}}}{{{{ end }}}}");
    }
    let value = if rule.unit.is_empty() { String::new() } else { format!(": {{{{ $value }}}} {}", rule.unit) };
    let _ = writeln!(
        text,
        "  - alert: {id}\n    expr: |-\n      {condition}\n    for: {seconds}s\n    labels:\n      severity: {severity}\n      \
         source: lucid-ops\n    annotations:\n      summary: '{finds} ({id}{subject}{value})'\n      runbook: {runbook}",
        id = rule.id,
        seconds = rule.for_ms / 1_000,
        severity = severity.as_str(),
        finds = rule.finds.replace('\'', "''"),
        runbook = rule.runbook(),
    );
}

/// As comments, since they are no part of Prometheus's own configuration.
fn inhibitions(rules: &[&Rule], text: &mut String) {
    text.push_str(
        "# inhibit_rules:\n# - source_matchers: [source = lucid-ops, severity = critical]\n\
         #   target_matchers: [source = lucid-ops, severity = warning]\n\
         #   equal: [alertname, member, database, repository, op_type]\n",
    );
    for source in rules {
        let muted: Vec<_> = rules.iter().filter(|rule| rule.inhibited_by.contains(&source.id)).collect();
        for is_same in [true, false] {
            let shares = |rule: &&&&Rule| rule.subject.iter().any(|label| source.subject.contains(label)) == is_same;
            let names: Vec<_> = muted.iter().filter(shares).map(|rule| rule.id).collect();
            if !names.is_empty() {
                let equal = if is_same { source.subject.join(", ") } else { String::new() };
                let _ = writeln!(
                    text,
                    "# - source_matchers: [alertname = {}]\n#   target_matchers: ['alertname =~ \"{}\"']\n#   equal: [{equal}]",
                    source.id,
                    names.join("|"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
