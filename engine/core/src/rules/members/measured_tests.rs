//! The rules that compare figures with limits, the node of the only monitor, and a day of noise.

use super::{
    super::{Evaluator, FLAPPING_MS, FLAPS_MAX},
    tests::{SECONDARY, change, facts, firing, leaderless, said, severities, silence, three, well},
    *,
};
use crate::rules::facts::members::Latency;
use lucid_schemas::alert::{
    Fingerprint,
    Severity::{Critical, Warning},
};
use std::collections::BTreeSet;

type Set = fn(&mut Figures, f64);

/// A rule, how its figure is set, and values: right, nearly right, and wrong in this way.
#[derive(Clone, Copy)]
struct Case(&'static Rule, Set, f64, Option<f64>, &'static [(f64, Severity)]);

#[rustfmt::skip] // A row is a row.
static CASES: [Case; 15] = [
    Case(&OPLOG_WINDOW, |figures, hours| (figures.oplog_window_seconds, figures.oplog_percent) = (Some(hours * 3_600.0), Some(99.0)),
        30.0, Some(25.0), &[(23.0, Warning), (3.0, Critical)]),
    Case(&REPLICATION_HEADROOM, |figures, percent| (figures.oplog_window_seconds, figures.lag_seconds) = (Some(1_000.0), Some(percent * 10.0)),
        50.0, Some(70.0), &[(76.0, Critical)]),
    Case(&CONNECTIONS, |figures, percent| figures.connections_percent = Some(percent), 60.0, Some(75.0), &[(81.0, Warning), (96.0, Critical)]),
    Case(&QUEUED_OPERATIONS, |figures, queued| figures.queued = Some(queued), 5.0, Some(8.0), &[(11.0, Warning), (101.0, Critical)]),
    Case(&CURSORS_OPEN, |figures, open| figures.cursors = Some(open), 100.0, Some(9_000.0), &[(10_001.0, Warning)]),
    Case(&CURSORS_TIMED_OUT, |figures, rate| figures.cursors_timed_out_per_minute = Some(rate), 0.0, Some(15.0), &[(21.0, Warning)]),
    Case(&CACHE_USED, |figures, percent| figures.cache_percent = Some(percent), 80.0, Some(93.0), &[(96.0, Warning)]),
    Case(&CACHE_DIRTY, |figures, percent| figures.dirty_percent = Some(percent), 5.0, Some(12.0), &[(16.0, Warning), (21.0, Critical)]),
    Case(&APP_EVICTIONS, |figures, rate| figures.app_evictions_per_second = Some(rate), 0.0, Some(0.7), &[(2.0, Warning)]),
    Case(&FLOW_CONTROL, |figures, is| figures.is_flow_controlled = Some(is > 0.0), 0.0, None, &[(1.0, Warning)]),
    Case(&LATENCY, |figures, seconds| figures.latencies = latencies(100.0, seconds), 0.01, Some(0.22), &[(0.3, Warning)]),
    Case(&DISK_SPACE, |figures, percent| figures.disk_percent = Some(percent), 50.0, Some(82.0), &[(86.0, Warning), (91.0, Critical)]),
    Case(&DISK_FILLING, |figures, percent| (figures.disk_percent, figures.disk_percent_tomorrow) = (Some(70.0), Some(percent)),
        71.0, Some(97.0), &[(110.0, Warning)]),
    Case(&RIGHTS_MISSING, |figures, parts| figures.refused = ["oplog", "set"].into_iter().filter(|_| parts > 0.0).map(str::to_owned).collect(),
        0.0, None, &[(1.0, Warning)]),
    Case(&REPLICATION_LAG, |figures, seconds| figures.lag_seconds = Some(seconds), 1.0, Some(25.0), &[(31.0, Warning), (121.0, Critical)]),
];

fn latencies(operations: f64, p99_seconds: f64) -> BTreeMap<&'static str, Latency> {
    [("reads", Latency { operations, p99_seconds }), ("writes", Latency { operations, p99_seconds: 0.0 })].into()
}

/// What the rule says of a secondary whose figure was set so.
fn verdict(rule: &Rule, set: impl FnOnce(&mut Figures)) -> Verdict {
    let mut facts = three();
    change(&mut facts, "b:1", set);
    let of_b = |reading: &Reading| {
        reading.rule == rule
            && reading.labels["member"] == "b:1"
            && reading.labels.get("op_type").is_none_or(|op_type| op_type == "reads")
    };
    read(&facts, &Parameters::default()).into_iter().find(of_b).expect("it is a subject").verdict
}

#[test]
fn each_figure_is_wrong_beyond_its_limits_nearly_right_before_and_unknown_where_nobody_tells() {
    for Case(rule, set, right, nearly, wrong) in CASES {
        let with = |value: f64| verdict(rule, |figures| set(figures, value));
        assert_eq!(with(right), Verdict::Right, "{}", rule.id);
        assert!(nearly.is_none_or(|nearly| with(nearly) == Verdict::Between), "{}", rule.id);
        for (value, severity) in wrong {
            let found = with(*value);
            let Verdict::Wrong { severity: found, summary, .. } = found else { panic!("{}: {found:?}", rule.id) };
            assert!(found == *severity && summary.starts_with("b:1 "), "{}: {found:?} {summary}", rule.id);
            assert!(rule.severities.contains(severity), "{}", rule.id);
        }
        let untold = verdict(rule, |figures| *figures = Figures { state: Some(SECONDARY), ..Figures::default() });
        let expected = if *rule == RIGHTS_MISSING { Verdict::Right } else { Verdict::Unknown };
        assert_eq!(untold, expected, "{}", rule.id);
    }
}

#[test]
fn what_is_new_or_small_or_begins_proves_nothing() {
    let right = |rule: &Rule, set: fn(&mut Figures)| assert_eq!(verdict(rule, set), Verdict::Right, "{}", rule.id);
    right(&OPLOG_WINDOW, |figures| (figures.oplog_window_seconds, figures.oplog_percent) = (Some(60.0), Some(10.0)));
    right(&REPLICATION_HEADROOM, |figures| {
        (figures.oplog_window_seconds, figures.lag_seconds) = (Some(10.0), Some(9.0));
    });
    right(&LATENCY, |figures| figures.latencies = latencies(99.0, 5.0));
    right(&DISK_FILLING, |figures| (figures.disk_percent, figures.disk_percent_tomorrow) = (Some(50.0), Some(300.0)));
    let copying = verdict(&RIGHTS_MISSING, |figures| {
        (figures.state, figures.refused) = (Some(STARTUP2), ["oplog".to_owned()].into());
    });
    assert_eq!(copying, Verdict::Unknown);
    let untold = verdict(&RIGHTS_MISSING, |figures| {
        (figures.state, figures.refused) = (None, ["set".to_owned()].into());
    });
    assert!(matches!(untold, Verdict::Wrong { .. }), "who doesn't even tell its state is one that lacks rights");
}

#[test]
fn a_silent_member_leaves_its_other_rules_undecided_and_an_arbiter_has_none() {
    let mut facts = facts([("a:1", well(1)), ("b:1", well(SECONDARY)), ("c:1", well(7))]);
    silence(&mut facts, "b:1", Some(false));
    for Case(rule, ..) in CASES {
        let said: BTreeMap<_, _> = said_of(rule, &facts);
        assert!(said["b:1"].iter().all(|verdict| *verdict == Verdict::Unknown), "{}", rule.id);
        assert!(!said.contains_key("c:1"), "{}", rule.id);
    }
}

fn said_of(rule: &Rule, facts: &Members) -> BTreeMap<String, Vec<Verdict>> {
    let mut said: BTreeMap<String, Vec<Verdict>> = BTreeMap::new();
    for reading in read(facts, &Parameters::default()).into_iter().filter(|reading| reading.rule == rule) {
        said.entry(reading.labels["member"].clone()).or_default().push(reading.verdict);
    }
    said
}

#[test]
fn the_only_monitor_should_not_live_on_the_primarys_node() {
    let with = |monitors: &[&str], addresses: [&str; 2]| {
        let mut facts = facts([(addresses[0], well(1)), (addresses[1], well(SECONDARY))]);
        facts.monitors = Some(monitors.iter().map(|node| (*node).to_owned()).collect());
        severities(&MONITOR_BESIDE_PRIMARY, &facts).into_values().next()
    };
    let apart = ["pi-1.lan:27017", "pi-2.lan:27017"];
    assert_eq!(with(&["pi-1"], apart), Some(Warning));
    assert_eq!(with(&["PI-1.lan"], apart), Some(Warning), "however the node writes its name");
    assert_eq!(with(&["pi-2"], apart), None);
    assert_eq!(with(&["pi-1", "pi-2"], apart), None, "another one tells");
    assert_eq!(with(&["pi-1"], ["pi-1:27017", "pi-1:27018"]), None, "all of the set is on one node");
    assert_eq!(with(&["10.0.0.1"], ["10.0.0.2:27017", "10.0.0.3:27017"]), None, "numbers are no names with domains");
    let mut unknown = facts([("pi-1:1", well(1)), ("pi-2:1", well(SECONDARY))]);
    unknown.monitors = None;
    assert_eq!(said(&MONITOR_BESIDE_PRIMARY, &unknown)["rs0"], Verdict::Unknown);
    unknown.monitors = Some(["pi-1".to_owned()].into());
    leaderless(&mut unknown);
    assert_eq!(said(&MONITOR_BESIDE_PRIMARY, &unknown)["rs0"], Verdict::Unknown);
}

#[test]
fn what_operators_change_counts() {
    let mut facts = three();
    change(&mut facts, "b:1", |figures| figures.disk_percent = Some(70.0));
    assert_eq!(firing(&facts), BTreeSet::new());
    let mut parameters = Parameters::default();
    let lower = crate::rules::Change { warning: Some(65.0), clear: Some(60.0), ..crate::rules::Change::default() };
    parameters.change(&RULES, "disk_space", lower).expect("good");
    let wrong = |parameters: &Parameters| {
        let wrong = |reading: &Reading| matches!(reading.verdict, Verdict::Wrong { .. });
        read(&facts, parameters).into_iter().filter(wrong).map(|reading| reading.rule.id).collect::<Vec<_>>()
    };
    assert_eq!(wrong(&parameters), ["disk_space"]);
    let except = ["b:1".to_owned()].into();
    let but =
        crate::rules::Change { warning: Some(65.0), clear: Some(60.0), except, ..crate::rules::Change::default() };
    parameters.change(&RULES, "disk_space", but).expect("good");
    assert_eq!(wrong(&parameters), [""; 0]);
}

/// A day in which every figure wanders between right and wrong, members fall silent and come back, and nobody is primary for a while.
#[test]
fn a_day_of_noise_never_flaps_more_than_is_allowed() {
    for seed in 0..6_u64 {
        let mut noise = seed;
        let mut below = |bound: u32| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::try_from(noise >> 33).unwrap_or(0) % bound
        };
        let mut evaluator = Evaluator::default();
        let (mut before, mut resolves): (BTreeMap<Fingerprint, bool>, BTreeMap<_, Vec<i64>>) = Default::default();
        for round in 0..2_880_i64 {
            let now_ms = round * 30_000;
            let mut facts = three();
            for Case(_, set, right, _, wrong) in CASES {
                let (worst, share) = (wrong[0].0, f64::from(below(1_000)) / 1_000.0);
                // Long calm and long trouble, each with noise that crosses the limit.
                let middle = if (round / 200) % 2 == 0 { 0.7 } else { 1.0 };
                let value = right + (worst - right) * (middle + (share - 0.5) * 0.8);
                change(&mut facts, "b:1", |figures| set(figures, value));
            }
            facts.elections = Some(i64::from(below(5)));
            if below(40) == 0 {
                leaderless(&mut facts);
            }
            if below(6) == 0 {
                silence(&mut facts, "c:1", Some(below(2) == 0));
            }
            let readings = read(&facts, &Parameters::default());
            let seen = (below(50) > 0).then_some(readings.as_slice());
            for (fingerprint, judged) in evaluator.round(now_ms, seen) {
                let is_open = judged.standing.leaves_open(before.get(&fingerprint) == Some(&true));
                if before.insert(fingerprint.clone(), is_open) == Some(true) && !is_open {
                    resolves.entry((judged.rule.id, fingerprint)).or_default().push(now_ms);
                }
            }
        }
        assert!(resolves.len() >= 3, "seed {seed}: only {} subjects were ever wrong", resolves.len());
        for ((rule, _), times) in resolves {
            for from in &times {
                let within = times.iter().filter(|at| (*from..from + FLAPPING_MS).contains(*at)).count();
                assert!(within <= FLAPS_MAX, "seed {seed}: {rule}: {within} in half an hour");
            }
        }
    }
}
