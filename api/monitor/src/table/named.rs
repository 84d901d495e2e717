//! Every metric that a rule for Prometheus names is there, with the labels that it asks for.

use super::{FAMILIES, Type};
use lucid_core::rules::all;
use std::collections::BTreeSet;

/// The metrics that a condition names, each with the labels that it selects by.
fn named(promql: &str) -> Vec<(&str, Vec<&str>)> {
    let is_name = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
    let mut found = Vec::new();
    let mut rest = promql;
    while let Some(start) = rest.find(|byte: char| byte.is_ascii_alphabetic()) {
        rest = &rest[start..];
        let end = rest.find(|byte| !is_name(byte)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        if !name.starts_with("mongodb_") && !name.starts_with("ops_") {
            continue;
        }
        let selected = after.strip_prefix('{').and_then(|after| after.split_once('}')).map_or("", |(inside, _)| inside);
        let labels = selected.split(',').filter_map(|matcher| matcher.split(['=', '!']).next());
        found.push((name, labels.filter(|label| !label.is_empty()).collect()));
    }
    found
}

#[test]
fn every_metric_that_a_rule_names_is_there() {
    let mut seen = BTreeSet::new();
    for rule in all() {
        for (name, labels) in named(rule.promql) {
            let family = FAMILIES.iter().find(|family| {
                let parts = ["_bucket", "_count", "_sum"].into_iter().filter_map(|part| name.strip_suffix(part));
                family.name == name || (family.kind == Type::Histogram && parts.clone().any(|part| part == family.name))
            });
            seen.insert(name);
            match family {
                None => panic!("{}: there is no metric {name}", rule.id),
                Some(family) => assert!(
                    labels.iter().all(|label| family.labels.contains(label)),
                    "{}: {name} has the labels {:?}",
                    rule.id,
                    family.labels
                ),
            }
        }
    }
    assert!(seen.len() > 30, "only {seen:?} were found");
}
