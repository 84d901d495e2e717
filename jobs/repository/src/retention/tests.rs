//! Which backups are kept, and why, by example; and by chance, whatever clocks do.

use proptest::prelude::*;

use super::*;

/// A backup each night, the newest 2025-03-10 (a Monday), numbered by age.
fn nights(count: i64) -> Vec<Candidate> {
    let newest = DateTime::parse_rfc3339_str("2025-03-10T02:00:00Z").expect("a time").timestamp_millis();
    let night = |age: i64| Candidate {
        key: format!("k{age}"),
        job: format!("backup_{age}"),
        cluster: Some("ours".into()),
        database: "lucid".into(),
        selected: None,
        copied: false,
        at: DateTime::from_millis(newest - age * DAY_MS),
        increment: 0,
        held: None,
        orphaned: None,
    };
    (0..count).map(night).collect()
}

fn ours() -> Scope {
    let now = DateTime::parse_rfc3339_str("2025-03-10T02:05:00Z").expect("a time");
    Scope { cluster: "ours".into(), unknown: true, now, forget_many: true }
}

fn kept(policy: RetentionPolicy, candidates: &[Candidate]) -> Vec<i64> {
    let verdicts = judge(&policy, &ours(), candidates).verdicts;
    assert!(verdicts.iter().all(|verdict| !verdict.reasons.is_empty()));
    verdicts.iter().filter(|verdict| verdict.keep).map(|verdict| verdict.key[1..].parse().expect("age")).collect()
}

#[test]
fn each_rule_keeps_the_newest_of_its_stretches() {
    let none = RetentionPolicy::default();
    let all = nights(400);
    assert_eq!(kept(none, &all), [0], "the newest stays whatever is asked");
    assert_eq!(kept(RetentionPolicy { last: 3, ..none }, &all), [0, 1, 2]);
    assert_eq!(kept(RetentionPolicy { daily: 2, ..none }, &all), [0, 1]);
    assert_eq!(kept(RetentionPolicy { weekly: 3, ..none }, &all), [0, 1, 8], "Monday, then two Sundays");
    assert_eq!(kept(RetentionPolicy { monthly: 3, ..none }, &all), [0, 10, 38]);
    assert_eq!(kept(RetentionPolicy { yearly: 9, ..none }, &all), [0, 69], "years that have one");
    assert_eq!(kept(RetentionPolicy { days: 30, ..none }, &all).len(), 31);
    let mixed = RetentionPolicy { last: 2, weekly: 2, ..none };
    let verdicts = judge(&mixed, &ours(), &all).verdicts;
    assert_eq!(verdicts[0].reasons, ["the newest", "the newest of week 2025-W11"]);
    assert_eq!(verdicts[1].reasons, ["one of the last 2", "the newest of week 2025-W10"]);
    assert_eq!(verdicts[2].reasons, ["no rule keeps it"]);
}

#[test]
fn within_a_second_the_increment_tells() {
    let mut all = nights(2);
    all[1] = Candidate { at: all[0].at, increment: 1, ..all[1].clone() };
    assert_eq!(kept(RetentionPolicy::default(), &all), [1]);
}

#[test]
fn several_in_an_hour_count_once() {
    let mut all = nights(2);
    let at = all[0].at.timestamp_millis() + 60_000;
    all.push(Candidate { key: "k9".into(), at: DateTime::from_millis(at), ..all[0].clone() });
    assert_eq!(kept(RetentionPolicy { hourly: 1, ..RetentionPolicy::default() }, &all), [9]);
    assert_eq!(kept(RetentionPolicy { hourly: 2, ..RetentionPolicy::default() }, &all), [9, 1]);
}

#[test]
fn what_is_held_stays_and_orphans_neither_stay_nor_count() {
    let mut all = nights(5);
    all[0].orphaned = Some("its job failed".into());
    all[3].held = Some("pinned: before the upgrade".into());
    let policy = RetentionPolicy { last: 1, ..RetentionPolicy::default() };
    assert_eq!(kept(policy, &all), [1, 3]);
    let verdicts = judge(&policy, &ours(), &all).verdicts;
    assert_eq!(verdicts[0].reasons, ["its job failed"]);
    assert_eq!(verdicts[3].reasons, ["pinned: before the upgrade"]);
}

#[test]
fn other_databases_and_other_selections_do_not_stand_in() {
    let mut all = nights(3);
    all[0].selected = Some(vec!["b".into(), "a".into()]);
    all[1].selected = Some(vec!["a".into(), "b".into()]);
    all.push(Candidate { key: "k7".into(), database: "shop".into(), ..all[2].clone() });
    assert_eq!(kept(RetentionPolicy::default(), &all), [0, 2, 7]);
}

#[test]
fn another_clusters_backups_stay_and_stand_in_for_none_of_ours() {
    let mut all = nights(4);
    // Theirs are the newer ones, as where they run later in the night.
    for theirs in &mut all[..2] {
        theirs.cluster = Some("theirs".into());
    }
    let policy = RetentionPolicy { last: 1, ..RetentionPolicy::default() };
    let verdicts = judge(&policy, &ours(), &all).verdicts;
    let kept: Vec<_> = verdicts.iter().map(|verdict| verdict.keep).collect();
    assert_eq!(kept, [true, true, true, false]);
    assert_eq!(verdicts[0].reasons, ["another cluster's: theirs"]);
    assert_eq!(verdicts[2].reasons, ["the newest"]);
    // Who owns the repository can be asked to judge theirs; then ours stay.
    let theirs = Scope { cluster: "theirs".into(), unknown: false, ..ours() };
    let kept: Vec<_> = judge(&policy, &theirs, &all).verdicts.iter().map(|verdict| verdict.keep).collect();
    assert_eq!(kept, [true, false, true, true]);
}

#[test]
fn backups_of_nobody_knows_whom_go_in_time_and_displace_none_of_ours() {
    let mut all = nights(6);
    for place in [0, 2, 4] {
        all[place].cluster = None;
    }
    let policy = RetentionPolicy { last: 2, ..RetentionPolicy::default() };
    assert_eq!(
        kept(policy, &all),
        [0, 1, 3],
        "1 and 3 are ours; of the others only one is among the newest two of all"
    );
    let others = Scope { unknown: false, ..ours() };
    let verdicts = judge(&policy, &others, &all).verdicts;
    assert_eq!(verdicts[4].reasons, ["nobody knows which cluster made it"]);
    assert_eq!(verdicts.iter().filter(|verdict| !verdict.keep).count(), 1, "5 is ours");
}

#[test]
fn days_never_go_alone() {
    let all = nights(400);
    let policy = RetentionPolicy { days: 3, ..RetentionPolicy::default() };
    assert_eq!(kept(policy, &all), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(kept(RetentionPolicy { last: 2, ..policy }, &all), [0, 1, 2, 3], "unless somebody says how many");
    // A pause of five weeks: all but the newest are older than the days that are kept.
    let mut paused = nights(20);
    for before in &mut paused[1..] {
        before.at = DateTime::from_millis(before.at.timestamp_millis() - 35 * DAY_MS);
    }
    assert_eq!(kept(RetentionPolicy { days: 30, ..policy }, &paused), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn what_claims_to_be_of_the_future_stays_and_nothing_counts_from_it() {
    let mut all = nights(40);
    for ahead in &mut all[..10] {
        ahead.at = DateTime::from_millis(ahead.at.timestamp_millis() + 45 * DAY_MS);
    }
    let policy = RetentionPolicy { days: 14, ..RetentionPolicy::default() };
    let judgement = judge(&policy, &ours(), &all);
    assert_eq!(judgement.ahead, 10);
    let kept: Vec<_> = judgement.verdicts.iter().map(|verdict| verdict.keep).collect();
    assert_eq!(
        kept,
        [[true; 25].as_slice(), &[false; 15]].concat(),
        "10 of the future, and 15 nights up to the newest"
    );
    assert_eq!(judgement.verdicts[10].reasons[0], "the newest");
    // Clocks that are right may differ a little.
    let mut all = nights(2);
    all[0].at = DateTime::from_millis(ours().now.timestamp_millis() + AHEAD_MS);
    assert_eq!(judge(&policy, &ours(), &all).ahead, 0);
}

#[test]
fn most_of_a_series_goes_only_at_a_word() {
    let policy = RetentionPolicy { last: 2, ..RetentionPolicy::default() };
    let careful = Scope { forget_many: false, ..ours() };
    let going = |scope: &Scope, count: i64| {
        let judgement = judge(&policy, scope, &nights(count));
        (judgement.verdicts.iter().filter(|verdict| !verdict.keep).count(), judgement.spared.len())
    };
    assert_eq!(going(&careful, 7), (5, 0), "a few may go");
    assert_eq!(going(&careful, 8), (0, 1));
    assert_eq!(going(&ours(), 8), (6, 0), "at a word");
    let mut all = nights(30);
    all[29].orphaned = Some("its job failed".into());
    let other = |candidate: &Candidate| Candidate { database: "shop".into(), ..candidate.clone() };
    all.extend(nights(4).iter().map(other));
    let judgement = judge(&policy, &careful, &all);
    let spared = Spared { database: "lucid".into(), selected: None, backups: 29, would_go: 27 };
    assert_eq!(judgement.spared, [spared]);
    let going: Vec<_> = judgement.verdicts.iter().filter(|verdict| !verdict.keep).map(|verdict| &verdict.key).collect();
    assert_eq!(going, ["k29", "k2", "k3"], "what is no backup, and what goes of the other series");
    assert_eq!(judgement.verdicts[5].reasons, ["27 of the 29 of its series would go at once, so none does"]);
}

/// What a night does to the clocks, in days; and whether a backup is made.
fn night() -> impl Strategy<Value = (i64, bool)> {
    let jump = prop_oneof![6 => Just(0), 1 => -60..60_i64, 1 => 0..3_i64];
    (jump, prop::bool::weighted(0.9))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Backups and prunes by schedule through a hundred nights, whatever the clock of the machine that is both the database and the
    /// storage does, or that of the database alone.
    #[test]
    fn no_clock_and_no_pause_costs_the_newest_nor_most_of_a_series(
        days in 1..40_u32,
        calendar in prop::collection::vec(night(), 100),
        one_machine in any::<bool>(),
    ) {
        let policy = RetentionPolicy { days, ..RetentionPolicy::default() };
        let (mut there, mut off, mut last_ms) = (Vec::<Candidate>::new(), 0, i64::MIN);
        for (number, (jump, backs_up)) in (0..).zip(&calendar) {
            // Clocks that are wrong are put right again some time.
            off = if number % 25 == 24 { 0 } else { off + jump };
            let real = ours().now.timestamp_millis() + number * DAY_MS;
            let shown = real + off * DAY_MS;
            // Whatever its clock shows, a cluster's time never goes back.
            let at = DateTime::from_millis(shown.max(last_ms.saturating_add(1_000)));
            let now = DateTime::from_millis(if one_machine { shown } else { real });
            if *backs_up {
                let made = Candidate { key: format!("k{number:03}"), at, ..nights(1).remove(0) };
                there.push(made);
                last_ms = at.timestamp_millis();
            }
            let scope = Scope { now, forget_many: false, ..ours() };
            let verdicts = judge(&policy, &scope, &there).verdicts;
            let going = verdicts.iter().filter(|verdict| !verdict.keep).count();
            prop_assert!(going <= FEW || going * 2 <= there.len(), "{going} of {}", there.len());
            let bound = DateTime::from_millis(now.timestamp_millis() + AHEAD_MS);
            let (ahead, past): (Vec<_>, Vec<_>) = verdicts.iter().partition(|verdict| verdict.at > bound);
            prop_assert!(ahead.iter().chain(past.iter().take(7)).all(|verdict| verdict.keep), "{verdicts:?}");
            let made_now = verdicts.iter().find(|verdict| verdict.key == format!("k{number:03}"));
            prop_assert!(made_now.is_none_or(|verdict| verdict.keep), "{made_now:?}");
            let gone: BTreeSet<_> = verdicts.into_iter().filter(|verdict| !verdict.keep).map(|verdict| verdict.key).collect();
            there.retain(|candidate| !gone.contains(&candidate.key));
        }
    }
}
