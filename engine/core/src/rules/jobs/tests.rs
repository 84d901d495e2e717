//! Each rule: fires, stays silent, recovers, and says nothing of what isn't there.

use super::*;
use crate::rules::{Evaluator, FLAPPING_MS, FLAPS_MAX, facts::Verified};
use lucid_schemas::{JobId, alert::Fingerprint, cron::Calendar};

pub fn at(time: &str) -> DateTime {
    DateTime::parse_rfc3339_str(time).expect("a time")
}

pub fn ms(time: &str) -> i64 {
    at(time).timestamp_millis()
}

/// A schedule that backs up the shop, made on New Year's day of 2026.
pub fn plan(cron: &str, timezone: &str) -> Plan {
    Plan {
        name: "nightly".into(),
        backs_up: Some("shop".into()),
        calendar: Some(Calendar::new(cron, timezone).expect("a calendar")),
        since: at("2026-01-01T00:00:00Z"),
        is_paused: false,
        refused: None,
        ended: Some(Ok(())),
    }
}

pub fn facts(now: &str, plan: Plan, newest: Option<&str>) -> Facts {
    let backups = Backups { newest: newest.map(at), ..Backups::default() };
    Facts { now_ms: ms(now), plans: vec![plan], backups: [("shop".to_owned(), backups)].into(), ..Facts::default() }
}

/// What a rule says, by the value of the subject's label; of what is right, nothing.
pub fn said(rule: &Rule, facts: &Facts) -> BTreeMap<String, (Severity, String)> {
    let wrong = |reading: Reading| match reading.verdict {
        Verdict::Wrong { severity, summary, .. } if reading.rule == rule => {
            Some((reading.labels.into_values().next().unwrap_or_default(), (severity, summary)))
        }
        _ => None,
    };
    read(facts, &Parameters::default()).into_iter().filter_map(wrong).collect()
}

pub fn is_wrong(rule: &Rule, facts: &Facts) -> bool {
    !said(rule, facts).is_empty()
}

#[test]
fn a_failed_backup_is_told_and_more_loudly_the_second_time() {
    let after = |failed: i64| {
        let mut facts = facts("2026-03-03T08:00:00Z", plan("0 2 * * *", "UTC"), Some("2026-03-03T02:00:00Z"));
        let backups = facts.backups.get_mut("shop").expect("known");
        (backups.failed, backups.reason) = (failed, Some("the repository is full".into()));
        said(&BACKUP_FAILED, &facts).remove("shop")
    };
    assert_eq!(after(0), None);
    let once = after(1).expect("it is wrong");
    assert_eq!(once, (Severity::Warning, "the backup of 'shop' failed: the repository is full".into()));
    let often = after(3).expect("it is wrong");
    assert!(often.0 == Severity::Critical && often.1.contains("3 times in a row"), "{often:?}");
}

#[test]
fn a_backup_is_overdue_once_half_the_time_until_the_next_one_has_passed() {
    let nightly = |now, newest| is_wrong(&BACKUP_OVERDUE, &facts(now, plan("0 2 * * *", "UTC"), newest));
    let last_night = Some("2026-03-02T02:00:10Z");
    assert!(!nightly("2026-03-03T01:59:00Z", last_night), "the next one isn't due");
    assert!(!nightly("2026-03-03T13:59:00Z", last_night), "it has time until the afternoon");
    assert!(nightly("2026-03-03T14:00:00Z", last_night));
    assert!(!nightly("2026-03-03T14:00:00Z", Some("2026-03-03T02:00:10Z")));
    assert!(nightly("2026-03-04T02:30:00Z", last_night), "also while the one after it has time yet");

    let hourly = |now, newest| is_wrong(&BACKUP_OVERDUE, &facts(now, plan("0 * * * *", "UTC"), newest));
    assert!(!hourly("2026-03-03T10:29:00Z", Some("2026-03-03T09:00:10Z")));
    assert!(hourly("2026-03-03T10:30:00Z", Some("2026-03-03T09:00:10Z")));

    let weekdays = |now, newest| is_wrong(&BACKUP_OVERDUE, &facts(now, plan("0 2 * * 1-5", "UTC"), newest));
    assert!(!weekdays("2026-03-09T01:59:00Z", Some("2026-03-06T02:00:10Z")), "nothing was due at the weekend");
    assert!(weekdays("2026-03-06T14:00:00Z", Some("2026-03-05T02:00:10Z")));

    // The clocks are put forward on the 29th: 2:30 isn't there.
    let berlin = |now, newest| is_wrong(&BACKUP_OVERDUE, &facts(now, plan("30 2 * * *", "Europe/Berlin"), newest));
    assert!(!berlin("2026-03-29T12:00:00Z", Some("2026-03-28T01:30:10Z")));
    assert!(berlin("2026-03-29T13:00:00Z", Some("2026-03-28T01:30:10Z")));
}

#[test]
fn what_was_never_backed_up_is_told_though_nothing_failed() {
    let made = |since: &str, now: &str| {
        let plan = Plan { since: at(since), ..plan("0 2 * * *", "UTC") };
        let facts = facts(now, plan, None);
        assert!(!is_wrong(&BACKUP_OVERDUE, &facts), "one alert for one thing");
        is_wrong(&BACKUP_NEVER, &facts)
    };
    assert!(made("2026-03-01T12:00:00Z", "2026-03-02T14:00:00Z"));
    assert!(!made("2026-03-02T12:00:00Z", "2026-03-02T23:00:00Z"), "its first night is to come");
    let mut unknown = facts("2026-03-02T14:00:00Z", plan("0 2 * * *", "UTC"), None);
    unknown.backups.clear();
    assert!(is_wrong(&BACKUP_NEVER, &unknown), "also where nobody has heard of the database");
}

#[test]
fn a_schedule_that_rests_promises_nothing_but_is_not_forgotten() {
    let mut facts = facts("2026-03-03T14:00:00Z", plan("0 2 * * *", "UTC"), Some("2026-02-01T02:00:10Z"));
    assert!(is_wrong(&BACKUP_OVERDUE, &facts) && !is_wrong(&SCHEDULE_PAUSED, &facts));
    facts.plans[0].is_paused = true;
    assert!(!is_wrong(&BACKUP_OVERDUE, &facts) && is_wrong(&SCHEDULE_PAUSED, &facts));
    facts.plans[0].since = at("2026-03-03T12:00:00Z");
    assert!(!is_wrong(&SCHEDULE_PAUSED, &facts), "for two hours");
}

#[test]
fn a_schedule_that_makes_no_jobs_is_told() {
    let mut facts = facts("2026-03-03T08:00:00Z", plan("0 2 * * *", "UTC"), Some("2026-03-03T02:00:00Z"));
    assert!(!is_wrong(&SCHEDULE_REFUSED, &facts));
    facts.plans[0].refused = Some("no worker has made the repository 'main' known yet".into());
    assert!(said(&SCHEDULE_REFUSED, &facts)["nightly"].1.contains("'main'"));
    facts.plans[0].refused = None;
    facts.plans[0].calendar = None;
    assert!(is_wrong(&SCHEDULE_REFUSED, &facts));
    facts.plans.clear();
    assert!(read(&facts, &Parameters::default()).iter().all(|reading| reading.rule != &SCHEDULE_REFUSED), "it is gone");
}

#[test]
fn a_schedule_whose_jobs_fail_is_told_where_no_database_tells_of_it() {
    let mut facts = facts("2026-03-03T08:00:00Z", plan("0 2 * * *", "UTC"), Some("2026-03-03T02:00:00Z"));
    facts.plans[0].ended = Some(Err("there is no such collection".into()));
    assert!(!is_wrong(&SCHEDULE_FAILED, &facts), "the database's backups tell");
    facts.plans[0].backs_up = None;
    let (severity, summary) = said(&SCHEDULE_FAILED, &facts).remove("nightly").expect("it is wrong");
    assert!(severity == Severity::Warning && summary.ends_with("failed: there is no such collection"), "{summary}");
    let verdict = |facts: &Facts| {
        let mut readings = read(facts, &Parameters::default()).into_iter();
        readings.find(|reading| reading.rule == &SCHEDULE_FAILED).expect("a subject").verdict
    };
    facts.plans[0].ended = None;
    assert_eq!(verdict(&facts), Verdict::Unknown, "its newest job runs, and how those before ended isn't known");
    facts.plans[0].ended = Some(Ok(()));
    assert_eq!(verdict(&facts), Verdict::Right);
}

#[test]
fn a_verification_that_failed_is_told_until_one_succeeds() {
    let mut facts = Facts::default();
    let mut verified = |failure: Option<&str>| {
        let verified = Verified { job: id(Kind::Verify, 1), failure: failure.map(str::to_owned) };
        facts.verified.insert("shop".into(), verified);
        is_wrong(&VERIFICATION_FAILED, &facts)
    };
    assert!(verified(Some("chunk 3 is damaged")));
    assert!(!verified(None));
    assert!(!is_wrong(&VERIFICATION_FAILED, &Facts::default()));
}

fn id(kind: Kind, number: u64) -> JobId {
    JobId::compose(kind, DateTime::from_millis(0), number)
}

fn open(kind: Kind, number: u64, state: State, run_at_ms: i64) -> OpenJob {
    OpenJob { id: id(kind, number), kind, state, run_at_ms }
}

#[test]
fn jobs_that_nobody_runs_are_told_by_kind_and_stuck_ones_by_job() {
    let now_ms = ms("2026-03-03T08:00:00Z");
    let blocked = open(Kind::Restore, 1, State::Blocked, now_ms);
    let mut facts = Facts {
        now_ms,
        open: vec![
            open(Kind::Backup, 1, State::Queued, now_ms - 2 * HOUR_MS),
            open(Kind::Backup, 2, State::Queued, now_ms - MINUTE_MS),
            open(Kind::Verify, 3, State::Queued, now_ms + 1),
            open(Kind::Prune, 4, State::Running, now_ms - 2 * HOUR_MS),
            blocked.clone(),
        ],
        able: [(Kind::Backup, 0)].into(),
        ..Facts::default()
    };
    assert_eq!(said(&NO_WORKER, &facts).into_keys().collect::<Vec<_>>(), ["backup"], "what isn't due waits for nobody");
    assert_eq!(said(&JOB_STUCK, &facts).into_keys().collect::<Vec<_>>(), [blocked.id.to_string()]);
    facts.able.insert(Kind::Backup, 1);
    assert!(!is_wrong(&NO_WORKER, &facts));
    let stuck: BTreeSet<_> = said(&JOB_STUCK, &facts).into_keys().collect();
    assert_eq!(stuck, [blocked.id.to_string(), id(Kind::Backup, 1).to_string()].into(), "due for two hours");
    facts.open.clear();
    let of_jobs = |reading: &Reading| [&JOB_STUCK, &NO_WORKER].contains(&reading.rule);
    assert!(!read(&facts, &Parameters::default()).iter().any(of_jobs), "who has ended is no subject any more");
}

/// Workers that come and go, jobs that fail and succeed, looks that see nothing: for a day.
#[test]
fn a_day_of_bad_luck_never_flaps_more_than_is_allowed() {
    for seed in 0..10_u64 {
        let mut noise = seed;
        let mut chance = |times: u64| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 33) % times == 0
        };
        let begin_ms = ms("2026-03-03T00:00:00Z");
        let mut facts = facts("2026-03-03T00:00:00Z", plan("*/15 * * * *", "UTC"), Some("2026-03-02T23:45:00Z"));
        let mut evaluator = Evaluator::default();
        let mut before: BTreeMap<Fingerprint, bool> = BTreeMap::new();
        let mut resolves: BTreeMap<Fingerprint, Vec<i64>> = BTreeMap::new();
        for round in 0..2_880 {
            facts.now_ms = begin_ms + round * 30_000;
            facts.able.insert(Kind::Backup, i64::from(!chance(3)));
            facts.open = vec![open(Kind::Backup, 1, State::Queued, facts.now_ms - i64::from(chance(2)) * 2 * HOUR_MS)];
            let backups = facts.backups.get_mut("shop").expect("known");
            backups.failed = i64::from(chance(4)) * 2;
            if chance(60) {
                backups.newest = Some(DateTime::from_millis(facts.now_ms));
            }
            let readings = read(&facts, &Parameters::default());
            let seen = (!chance(50)).then_some(readings.as_slice());
            for (fingerprint, judged) in evaluator.round(facts.now_ms, seen) {
                let is_open = judged.standing.leaves_open(before.get(&fingerprint) == Some(&true));
                if before.insert(fingerprint.clone(), is_open) == Some(true) && !is_open {
                    resolves.entry(fingerprint).or_default().push(facts.now_ms);
                }
            }
        }
        assert!(resolves.len() >= 3, "seed {seed}: only {} subjects were ever wrong", resolves.len());
        for times in resolves.values() {
            for from in times {
                let within = times.iter().filter(|at| (*from..from + FLAPPING_MS).contains(*at)).count();
                assert!(within <= FLAPS_MAX, "seed {seed}: {within} in half an hour");
            }
        }
    }
}
