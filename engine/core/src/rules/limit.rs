//! How many alerts are open at most: a storm of findings must not become a storm of documents, nor pass in silence.

use super::{Judged, Rule, Standing};
use lucid_schemas::alert::{Alert, Fingerprint, ResolvedBy, Severity};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// So many alerts of one rule are open at most.
pub const OF_RULE_MAX: usize = 100;
/// So many alerts are open at most, beside those that say what was left out.
pub const OPEN_MAX: usize = 500;
/// So many names a sentence holds.
const NAMES_MAX: usize = 10;

/// Findings that became no alert, since enough are open.
pub static LEFT_OUT: Rule = Rule {
    id: "alerts_left_out",
    absent: ResolvedBy::Condition,
    finds: "more subjects of a rule than alerts are kept of it",
    subject: &["rule"],
    severities: &Severity::ALL,
    unit: "alerts",
    ..Rule::PLAIN
};

/// What there should be alerts about: of what isn't open yet no more than there is room for, the most severe first; and one that counts
/// the rest, for each rule.
pub fn bounded(judged: &BTreeMap<Fingerprint, Judged>, open: &[Alert]) -> BTreeMap<Fingerprint, Judged> {
    let (mut kept, left) = split(judged, open);
    kept.extend(left.into_iter().map(|(rule, left)| told(rule, &left)));
    kept
}

/// The names of what became no alert, in order, by rule: what they are about.
pub fn left_out(judged: &BTreeMap<Fingerprint, Judged>, open: &[Alert]) -> BTreeMap<&'static str, Vec<String>> {
    let named = |(rule, left): (&'static str, Vec<&Judged>)| {
        let mut names: Vec<String> = left.into_iter().map(name).collect();
        names.sort();
        (rule, names)
    };
    split(judged, open).1.into_iter().map(named).collect()
}

/// Under which name the list of these names is kept, as a detail of the monitor job.
pub fn list_of(rule: &str) -> String {
    format!("left_out/{rule}")
}

/// What alerts are kept of, and what none are kept of, by rule.
fn split<'a>(
    judged: &'a BTreeMap<Fingerprint, Judged>,
    open: &[Alert],
) -> (BTreeMap<Fingerprint, Judged>, BTreeMap<&'static str, Vec<&'a Judged>>) {
    let known: BTreeSet<&Fingerprint> = open.iter().map(|alert| &alert.origin.fingerprint).collect();
    let is_over = |fingerprint| judged.get(fingerprint).is_some_and(|one| matches!(one.standing, Standing::Over(_)));
    let mut of_rule: BTreeMap<&str, usize> = BTreeMap::new();
    let mut all = 0;
    for alert in open.iter().filter(|alert| alert.origin.rule != LEFT_OUT.id && !is_over(&alert.origin.fingerprint)) {
        *of_rule.entry(&alert.origin.rule).or_default() += 1;
        all += 1;
    }
    let mut kept = judged.clone();
    let mut left: BTreeMap<&'static str, Vec<&Judged>> = BTreeMap::new();
    let fresh = judged.iter().filter(|(fingerprint, _)| !known.contains(fingerprint));
    let mut fresh: Vec<_> =
        fresh.filter_map(|(fingerprint, one)| Some((Reverse(severity(one)?), fingerprint, one))).collect();
    fresh.sort_by_key(|(severity, fingerprint, _)| (*severity, *fingerprint));
    for (_, fingerprint, one) in fresh {
        let of_same = of_rule.entry(one.rule.id).or_default();
        if *of_same < OF_RULE_MAX && all < OPEN_MAX {
            *of_same += 1;
            all += 1;
        } else {
            kept.remove(fingerprint);
            left.entry(one.rule.id).or_default().push(one);
        }
    }
    (kept, left)
}

/// What it is about, in short.
fn name(judged: &Judged) -> String {
    judged.labels.values().cloned().collect::<Vec<_>>().join("/")
}

/// How much it matters, where there should be an alert.
const fn severity(judged: &Judged) -> Option<Severity> {
    match judged.standing {
        Standing::Open { severity, .. } => Some(severity),
        Standing::Over(_) | Standing::Undecided | Standing::Unseen => None,
    }
}

/// The one that counts the rest of a rule.
fn told(rule: &str, left: &[&Judged]) -> (Fingerprint, Judged) {
    let names = left.iter().take(NAMES_MAX).map(|one| name(one));
    let all = || format!(", …; all of them: db.ops_details.find({{ name: '{}' }})", list_of(rule));
    let rest = if left.len() > NAMES_MAX { all() } else { String::new() };
    let summary = format!(
        "{} more of {rule} are found than alerts are kept of: {}{rest}",
        left.len(),
        names.collect::<Vec<_>>().join(", ")
    );
    let labels = BTreeMap::from([("rule".to_owned(), rule.to_owned())]);
    let since = left.iter().filter_map(|one| match one.standing {
        Standing::Open { since_ms, .. } => Some(since_ms),
        Standing::Over(_) | Standing::Undecided | Standing::Unseen => None,
    });
    #[allow(clippy::cast_precision_loss)] // Thousands.
    let count = left.len() as f64;
    let standing = Standing::Open {
        since_ms: since.min().unwrap_or_default(),
        severity: left.iter().filter_map(|one| severity(one)).max().unwrap_or(Severity::Warning),
        value: Some(count),
        summary,
        flapping: false,
        silent: false,
    };
    (Fingerprint::of(LEFT_OUT.id, &labels), Judged { rule: &LEFT_OUT, labels, standing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        alert::{
            Finding,
            kit::{fence, finding},
            raise,
        },
        rules::{Round, Step, plan},
    };
    use lucid_schemas::alert::Token;

    static RULES: [Rule; 8] = {
        const fn rule(id: &'static str) -> Rule {
            Rule { id, ..Rule::PLAIN }
        }
        [rule("a"), rule("b"), rule("c"), rule("d"), rule("e"), rule("f"), rule("g"), rule("h")]
    };

    /// So many subjects of each of these rules.
    fn found(rules: &'static [Rule], of_each: usize, severity: Severity) -> BTreeMap<Fingerprint, Judged> {
        let one = |rule: &'static Rule, number: usize| {
            let labels = BTreeMap::from([("member".to_owned(), format!("pi-{number:04}"))]);
            let standing = Standing::Open {
                since_ms: 5,
                severity,
                value: None,
                summary: "bad".into(),
                flapping: false,
                silent: false,
            };
            (Fingerprint::of(rule.id, &labels), Judged { rule, labels, standing })
        };
        rules.iter().flat_map(|rule| (0..of_each).map(move |number| one(rule, number))).collect()
    }

    fn alert(judged: &Judged) -> Alert {
        let token = Token { generation: 1, epoch: 1 };
        let finding = Finding { rule: judged.rule.id.into(), labels: judged.labels.clone(), ..finding(1) };
        raise(&finding, fence(token), "monitor:a", "birth").alert
    }

    /// What becomes of the alerts in a round.
    fn next(judged: &BTreeMap<Fingerprint, Judged>, open: &[Alert]) -> (usize, usize) {
        let rules: Vec<&'static Rule> = RULES.iter().collect();
        let token = Token { generation: 1, epoch: 1 };
        let round = Round { fence: fence(token), now_ms: 0, rules: &rules, cold: &[] };
        let steps = plan(judged, open, round, |_| Vec::new());
        let raises = steps.iter().filter(|step| matches!(step, Step::Raise { .. })).count();
        (raises, steps.len() - raises)
    }

    #[test]
    fn a_hundred_of_a_rule_and_one_that_counts_the_rest() {
        let storm = found(&RULES[..1], 143, Severity::Warning);
        let kept = bounded(&storm, &[]);
        assert_eq!(kept.len(), 101);
        let counts = kept.values().find(|one| one.rule == &LEFT_OUT).expect("one counts the rest");
        let Standing::Open { value, summary, .. } = &counts.standing else { panic!("{counts:?}") };
        assert!(*value == Some(43.0) && summary.starts_with("43 more of a are found"), "{summary}");
        let open: Vec<Alert> = kept.values().map(alert).collect();
        assert_eq!(next(&storm, &open).0, 0, "it goes on like that");
        let mut less = storm;
        less.retain(|fingerprint, _| kept.contains_key(fingerprint));
        assert_eq!(next(&less, &open), (0, 1), "the one that counts is resolved");
    }

    #[test]
    fn five_hundred_in_all_and_the_most_severe_first() {
        let mut storm = found(&RULES[..7], 100, Severity::Warning);
        storm.extend(found(&RULES[7..], 100, Severity::Critical));
        let kept = bounded(&storm, &[]);
        let of = |rule: &Rule| kept.values().filter(|one| one.rule.id == rule.id).count();
        assert_eq!(of(&RULES[7]), 100);
        assert_eq!(kept.len() - of(&LEFT_OUT), OPEN_MAX);
        assert!(of(&LEFT_OUT) <= 7);
    }

    #[test]
    fn the_names_of_all_that_is_left_out_can_be_told() {
        let storm = found(&RULES[..1], 130, Severity::Warning);
        let open: Vec<Alert> = bounded(&storm, &[]).values().map(alert).collect();
        for open in [&[][..], &open] {
            let left = left_out(&storm, open);
            let [names] = &left.values().collect::<Vec<_>>()[..] else { panic!("{left:?}") };
            assert!(names.len() == 30 && names.is_sorted(), "{names:?}");
            let kept = bounded(&storm, open);
            let known = |name: &String| kept.values().any(|one| one.labels.get("member") == Some(name));
            assert!(!names.iter().any(known), "no alert is open about any of them");
            let Some(Standing::Open { summary, .. }) =
                kept.values().find(|one| one.rule == &LEFT_OUT).map(|one| &one.standing)
            else {
                panic!("it isn't told")
            };
            assert!(summary.contains("name: 'left_out/a'"), "{summary}");
        }
        assert!(left_out(&found(&RULES[..1], 100, Severity::Warning), &[]).is_empty());
    }

    #[test]
    fn what_is_open_stays_and_what_is_over_makes_room() {
        let mut storm = found(&RULES[..1], 150, Severity::Warning);
        let open: Vec<Alert> = bounded(&storm, &[]).values().map(alert).collect();
        for alert in open.iter().filter(|alert| alert.origin.rule == "a").take(30) {
            let over = storm.get_mut(&alert.origin.fingerprint).expect("found");
            over.standing = Standing::Over(ResolvedBy::Condition);
        }
        assert_eq!(next(&storm, &open), (30, 30), "as many take their places");
    }
}
