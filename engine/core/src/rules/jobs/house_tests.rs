//! What jobs need, and what backups are like: each rule fires, stays silent, recovers, and says nothing where nobody can tell.

use super::{
    tests::{at, facts, is_wrong, ms, plan, said},
    *,
};
use crate::rules::{
    Change, Evaluator, FLAPPING_MS, FLAPS_MAX,
    facts::{Space, Worker},
};
use lucid_schemas::alert::Fingerprint;
use std::collections::BTreeSet;

const NOW: &str = "2026-03-03T08:00:00Z";
const GIB: i64 = 1 << 30;

/// A shop that is backed up every night, all well.
fn shop() -> Facts {
    Facts {
        own_database: "lucid_ops".into(),
        databases: Some([("shop".to_owned(), GIB), ("lucid_ops".to_owned(), GIB)].into()),
        leases_lost: Some(0),
        change_stream_lag_seconds: Some(0.0),
        oplog_window_seconds: Some(86_400.0),
        ..facts(NOW, plan("0 2 * * *", "UTC"), Some("2026-03-03T02:00:00Z"))
    }
}

fn with_backups(change: impl FnOnce(&mut Backups)) -> Facts {
    let mut facts = shop();
    change(facts.backups.get_mut("shop").expect("known"));
    facts
}

fn unknown_rules(facts: &Facts) -> BTreeSet<&'static str> {
    let unknown = |reading: &Reading| reading.verdict == Verdict::Unknown;
    read(facts, &Parameters::default()).into_iter().filter(unknown).map(|reading| reading.rule.id).collect()
}

#[test]
fn nothing_is_wrong_with_a_house_that_is_in_order() {
    let wrong = |reading: &Reading| matches!(reading.verdict, Verdict::Wrong { .. } | Verdict::Unknown);
    let found: Vec<_> = read(&shop(), &Parameters::default()).into_iter().filter(wrong).collect();
    assert_eq!(found, []);
}

#[test]
fn a_backup_that_shrank_to_less_than_half_is_told() {
    let shrunk = |bytes: &[i64]| said(&BACKUP_SHRUNK, &with_backups(|backups| backups.bytes = bytes.to_vec()));
    assert!(shrunk(&[49, 100, 90, 110])["shop"].1.contains("49 %"), "of the median of those before");
    assert_eq!(shrunk(&[51, 100, 90, 110]).len(), 0);
    assert_eq!(shrunk(&[1, 100, 100]).len(), 0, "two tell nothing of what is usual");
    assert_eq!(shrunk(&[0, 0, 0, 0, 0]).len(), 0, "an empty database stays empty");
    let since_then = [&[50; 11][..], &[100; 30]].concat();
    assert_eq!(shrunk(&since_then).len(), 0, "once ten are as small, that is usual");
}

#[test]
fn a_backup_that_took_long_beside_the_others_is_told() {
    let minutes = |took: &[i64]| with_backups(|backups| backups.took_ms = took.iter().map(|m| m * MINUTE_MS).collect());
    assert!(is_wrong(&BACKUP_SLOW, &minutes(&[31, 10, 10, 10])));
    assert!(!is_wrong(&BACKUP_SLOW, &minutes(&[29, 10, 10, 10])));
    assert!(!is_wrong(&BACKUP_SLOW, &minutes(&[9, 1, 1, 1])), "nine minutes are no trouble");
}

#[test]
fn a_database_whose_backups_nobody_tries_is_told() {
    let with = |oldest: Option<&str>, drilled: Option<&str>| {
        let facts = with_backups(|backups| (backups.oldest, backups.drilled) = (oldest.map(at), drilled.map(at)));
        said(&DRILL_OVERDUE, &facts).remove("shop")
    };
    let long_ago = Some("2026-01-01T00:00:00Z");
    assert_eq!(with(long_ago, Some("2026-02-24T00:00:00Z")), None);
    let overdue = with(long_ago, Some("2026-02-20T08:00:00Z")).expect("overdue");
    assert!(overdue.0 == Severity::Warning && overdue.1.contains("for 11 days"), "{overdue:?}");
    assert!(with(long_ago, None).is_some(), "none ever was");
    assert_eq!(with(Some("2026-03-01T00:00:00Z"), None), None, "the first one is two days old");
    assert_eq!(with(None, None), None, "there is nothing to try");
}

#[test]
fn a_database_that_nobody_backs_up_is_told_but_for_exceptions() {
    let mut facts = shop();
    let databases = facts.databases.as_mut().expect("measured");
    databases.extend(["admin", "config", "local", "wiki"].map(|name| (name.to_owned(), 1)));
    assert_eq!(said(&UNPROTECTED_DATABASE, &facts).into_keys().collect::<Vec<_>>(), ["wiki"]);
    let mut parameters = Parameters::default();
    let except = Change { except: ["wiki".to_owned()].into(), ..Change::default() };
    parameters.change(&RULES, UNPROTECTED_DATABASE.id, except).expect("good");
    let wrong = |reading: &Reading| matches!(reading.verdict, Verdict::Wrong { .. });
    assert!(!read(&facts, &parameters).iter().any(wrong));
    facts.plans[0].backs_up = Some("wiki".into());
    assert_eq!(said(&UNPROTECTED_DATABASE, &facts).len(), 0, "one has a backup, the other will have one");
    facts.backups.clear();
    assert_eq!(said(&UNPROTECTED_DATABASE, &facts).into_keys().collect::<Vec<_>>(), ["shop"]);
    facts.databases = None;
    assert!(unknown_rules(&facts).is_superset(&["unprotected_database", "own_database_size"].into()));
}

#[test]
fn repositories_that_are_gone_or_full_or_refuse_the_key_are_told() {
    let with = |space: Option<(i64, i64)>| {
        let space = space.map(|(free_bytes, total_bytes)| Space { free_bytes, total_bytes });
        Facts { repositories: [("main".to_owned(), space)].into(), ..shop() }
    };
    assert!(said(&REPOSITORY_GONE, &with(None))["main"].1.contains("mounted"));
    assert_eq!(unknown_rules(&with(None)), ["repository_full"].into());
    let full =
        |percent: i64| said(&REPOSITORY_FULL, &with(Some((percent, 100)))).remove("main").map(|(severity, _)| severity);
    assert_eq!(
        [full(20), full(16), full(14), full(4)],
        [None, None, Some(Severity::Warning), Some(Severity::Critical)]
    );
    assert!(!is_wrong(&REPOSITORY_GONE, &with(Some((1, 100)))));
    let mut refused = with(Some((50, 100)));
    assert!(!is_wrong(&KEY_REFUSED, &refused));
    refused.keys_refused.insert("far".into(), "no slot is opened by this key".into());
    assert_eq!(said(&KEY_REFUSED, &refused).into_keys().collect::<Vec<_>>(), ["far"]);
}

#[test]
fn nodes_are_told_of_once_however_many_workers_they_have() {
    let worker = |name: &str, clock_skew_ms: Option<i64>, problems: &[&str]| Worker {
        name: name.into(),
        clock_skew_ms,
        problems: problems.iter().map(|problem| (*problem).to_owned()).collect(),
    };
    let workers = vec![
        worker("pi-1/7-aaa", Some(-1_500), &["repository main: away"]),
        worker("pi-1/8-bbb", Some(100), &["repository main: away", "the key file may be read by others"]),
        worker("pi-2/9-ccc", Some(700), &[]),
        worker("pi-3/1-ddd", None, &[]),
    ];
    let facts = Facts { workers, ..shop() };
    let skewed = said(&CLOCK_SKEW, &facts);
    assert!(skewed.len() == 1 && skewed["pi-1"].1.contains("1.5 s behind"), "{skewed:?}");
    let readings = read(&facts, &Parameters::default());
    let of = |rule: &Rule, node: &str| {
        let mut own = readings.iter().filter(|reading| reading.rule == rule && reading.labels["node"] == node);
        (own.next().expect("a subject").verdict.clone(), own.count())
    };
    assert_eq!(of(&CLOCK_SKEW, "pi-2"), (Verdict::Between, 0));
    assert_eq!(of(&CLOCK_SKEW, "pi-3"), (Verdict::Unknown, 0));
    let problems = said(&WORKER_PROBLEM, &facts);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems["pi-1"].1.matches("away").count(), 1, "{problems:?}");
}

#[test]
fn lost_leases_a_late_stream_and_a_large_house_are_told() {
    let leases = |lost| is_wrong(&LEASES_LOST, &Facts { leases_lost: lost, ..shop() });
    assert_eq!([leases(Some(3)), leases(Some(4)), leases(None)], [false, true, false]);
    let stream = |lag, window| {
        let facts = Facts { change_stream_lag_seconds: lag, oplog_window_seconds: window, ..shop() };
        said(&CHANGE_STREAM_LAG, &facts).into_values().next().map(|(severity, _)| severity)
    };
    assert_eq!(stream(Some(31.0), Some(86_400.0)), Some(Severity::Warning));
    assert_eq!(stream(Some(31.0), None), Some(Severity::Warning));
    assert_eq!(stream(Some(50_000.0), Some(86_400.0)), Some(Severity::Critical));
    assert_eq!(stream(Some(5.0), Some(6.0)), None, "in a new set it is soon half of all");
    let missing = Facts { change_stream_lag_seconds: None, leases_lost: None, ..shop() };
    assert_eq!(unknown_rules(&missing), ["change_stream_lag", "leases_lost"].into());
    let mut facts = shop();
    facts.databases.as_mut().expect("measured").insert("lucid_ops".into(), 3 * GIB);
    assert!(said(&OWN_DATABASE_SIZE, &facts)["lucid_ops"].1.contains("3.0 GiB"));
}

#[test]
fn a_channel_on_which_monitors_differ_is_told_with_how() {
    let channels = [("chat".to_owned(), None), ("pager".to_owned(), Some("pi-1 and pi-2 differ".to_owned()))];
    let told = said(&CHANNEL_TORN, &Facts { channels: channels.into(), ..shop() });
    assert_eq!(
        told.into_iter().collect::<Vec<_>>(),
        [("pager".to_owned(), (Severity::Warning, "pi-1 and pi-2 differ".to_owned()))]
    );
}

#[test]
fn while_the_store_tells_nothing_that_is_told_and_nothing_else_is_claimed() {
    let readings = unknown("it hasn't answered for 100 s", &Parameters::default());
    let wrong: Vec<_> = readings.iter().filter(|reading| reading.verdict != Verdict::Unknown).collect();
    assert!(wrong.len() == 1 && wrong[0].rule == &STORE_SILENT, "{wrong:?}");
    assert_eq!(readings.len(), RULES.len());
    assert!(!is_wrong(&STORE_SILENT, &shop()));
}

/// Sizes, times, clocks and disks that wander, leases that are lost, looks that see nothing: for a day.
#[test]
fn a_day_of_noise_never_flaps_more_than_is_allowed() {
    for seed in 0..6_u64 {
        let mut noise = seed;
        let mut below = |bound: i64| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from(noise >> 33).unwrap_or(0) % bound
        };
        let mut evaluator = Evaluator::default();
        let (mut before, mut resolves): (BTreeMap<Fingerprint, bool>, BTreeMap<_, Vec<i64>>) = Default::default();
        for round in 0..2_880_i64 {
            let mut facts = with_backups(|backups| {
                backups.bytes = vec![30 + below(50), 100, 100, 100];
                backups.took_ms = vec![(20 + below(30)) * MINUTE_MS, 10 * MINUTE_MS, 10 * MINUTE_MS, 10 * MINUTE_MS];
            });
            facts.now_ms = ms(NOW) + round * 30_000;
            let space = (below(30) > 0).then(|| Space { free_bytes: 10 + below(15), total_bytes: 100 });
            facts.repositories.insert("main".into(), space);
            let clock_skew_ms = Some(below(2_000) - 1_000 + round % 700);
            facts.workers = vec![Worker { name: "pi-1/7-aaa".into(), clock_skew_ms, problems: Vec::new() }];
            facts.leases_lost = (below(10) > 0).then(|| below(7));
            facts.change_stream_lag_seconds = Some(count(10 + below(40)));
            let readings = if below(60) == 0 {
                unknown("not the primary", &Parameters::default())
            } else {
                read(&facts, &Parameters::default())
            };
            for (fingerprint, judged) in evaluator.round(round * 30_000, (below(50) > 0).then_some(&readings)) {
                let is_open = judged.standing.leaves_open(before.get(&fingerprint) == Some(&true));
                if before.insert(fingerprint.clone(), is_open) == Some(true) && !is_open {
                    resolves.entry((judged.rule.id, fingerprint)).or_default().push(round * 30_000);
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
