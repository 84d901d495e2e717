//! The set as a whole, and what members are: each rule fires, stays silent, and says nothing where nobody can tell.

use super::*;
use crate::rules::{Evaluator, Standing};
use std::collections::BTreeSet;

const PRIMARY: i64 = 1;
pub const SECONDARY: i64 = 2;
const ARBITER: i64 = 7;

/// A member that is well.
pub fn well(state: i64) -> Member {
    let figures = Figures {
        is_primary: state == PRIMARY,
        knows_primary: Some(true),
        is_arbiter: state == ARBITER,
        state: Some(state),
        state_seconds: 86_400.0,
        lag_seconds: (state != ARBITER).then_some(0.0),
        ..Figures::default()
    };
    Member { answer: Answer::Figures(Box::new(figures)), is_seen: Some(true), votes: Some(1) }
}

/// A set in which all is well.
pub fn facts<const N: usize>(members: [(&str, Member); N]) -> Members {
    Members {
        monitor: "pi-1".into(),
        set: Some("rs0".into()),
        members: members.into_iter().map(|(address, member)| (address.to_owned(), member)).collect(),
        elections: Some(0),
        monitors: Some(["pi-1".to_owned(), "pi-2".to_owned()].into()),
    }
}

pub fn three() -> Members {
    facts([("a:1", well(PRIMARY)), ("b:1", well(SECONDARY)), ("c:1", well(SECONDARY))])
}

pub fn change(facts: &mut Members, address: &str, change: impl FnOnce(&mut Figures)) {
    match &mut facts.members.get_mut(address).expect("it is there").answer {
        Answer::Figures(figures) => change(figures),
        Answer::Unasked | Answer::Silence(_) => panic!("{address} tells nothing"),
    }
}

/// The others say what they think of one that is silent.
pub fn silence(facts: &mut Members, address: &str, is_seen: Option<bool>) {
    let member = facts.members.get_mut(address).expect("it is there");
    (member.answer, member.is_seen) = (Answer::Silence("no answer within 2 s".into()), is_seen);
}

/// Without a primary, as members say that answer.
pub fn leaderless(facts: &mut Members) {
    for member in facts.members.values_mut() {
        if let Answer::Figures(figures) = &mut member.answer {
            (figures.is_primary, figures.knows_primary) = (false, figures.knows_primary.map(|_| false));
        }
    }
}

/// What a rule says, by the subject's label.
pub fn said(rule: &Rule, facts: &Members) -> BTreeMap<String, Verdict> {
    let mine = read(facts, &Parameters::default()).into_iter().filter(|reading| reading.rule == rule);
    mine.map(|reading| (reading.labels.into_values().next().unwrap_or_default(), reading.verdict)).collect()
}

/// How much what the rule finds matters, by subject.
pub fn severities(rule: &Rule, facts: &Members) -> BTreeMap<String, Severity> {
    let wrong = |(subject, verdict)| match verdict {
        Verdict::Wrong { severity, .. } => Some((subject, severity)),
        Verdict::Between | Verdict::Right | Verdict::Unknown => None,
    };
    said(rule, facts).into_iter().filter_map(wrong).collect()
}

fn wrong_of(rule: &Rule, facts: &Members) -> BTreeSet<String> {
    severities(rule, facts).into_keys().collect()
}

/// The rules that find something wrong.
pub fn firing(facts: &Members) -> BTreeSet<&'static str> {
    let wrong = |reading: &Reading| matches!(reading.verdict, Verdict::Wrong { .. });
    read(facts, &Parameters::default()).into_iter().filter(wrong).map(|reading| reading.rule.id).collect()
}

#[test]
fn nothing_is_wrong_with_a_set_that_is_well() {
    assert_eq!(firing(&three()), BTreeSet::new());
    assert_eq!(firing(&facts([("a:1", well(PRIMARY))])), BTreeSet::new(), "a set of one");
    let arbiter = facts([("a:1", well(PRIMARY)), ("b:1", well(SECONDARY)), ("c:1", well(ARBITER))]);
    assert_eq!(firing(&arbiter), BTreeSet::new(), "a set with an arbiter");
    assert!(!said(&REPLICATION_LAG, &arbiter).contains_key("c:1"), "an arbiter has no data that could lag");
}

#[test]
fn whoever_reaches_nobody_claims_that_alone() {
    let mut facts = three();
    for address in ["a:1", "b:1", "c:1"] {
        silence(&mut facts, address, None);
    }
    assert_eq!(firing(&facts), ["monitor_blind"].into());
    assert_eq!(wrong_of(&MONITOR_BLIND, &facts), ["pi-1".to_owned()].into());
    let unknown: BTreeSet<_> = read(&facts, &Parameters::default())
        .into_iter()
        .filter(Reading::is_of_all)
        .map(|reading| reading.rule.id)
        .collect();
    assert_eq!(unknown.len(), RULES.len() - 1, "of all else it says that it can't tell");
    for member in facts.members.values_mut() {
        member.answer = Answer::Unasked;
    }
    assert_eq!(firing(&facts), BTreeSet::new(), "it has just begun");
    assert_eq!(said(&MONITOR_BLIND, &facts)["pi-1"], Verdict::Unknown);
    assert_eq!(said(&MONITOR_BLIND, &three())["pi-1"], Verdict::Right);
}

#[test]
fn a_member_that_is_silent_is_down() {
    let mut facts = three();
    silence(&mut facts, "b:1", Some(false));
    assert_eq!(firing(&facts), ["member_down"].into());
    assert_eq!(severities(&MEMBER_DOWN, &facts), [("b:1".to_owned(), Severity::Critical)].into());
    assert_eq!(said(&REPLICATION_LAG, &facts)["b:1"], Verdict::Unknown, "what it was is the past");
    facts.members.get_mut("b:1").expect("there").answer = Answer::Unasked;
    assert_eq!(said(&MEMBER_DOWN, &facts)["b:1"], Verdict::Unknown);
    facts.members.remove("b:1");
    assert!(!said(&MEMBER_DOWN, &facts).contains_key("b:1"), "removed from the set, it is no subject");
}

#[test]
fn no_primary_is_claimed_by_members_that_say_so_or_by_a_majority() {
    let mut facts = three();
    leaderless(&mut facts);
    assert_eq!(firing(&facts), ["no_primary"].into());
    // The monitor doesn't reach the primary, others do.
    let mut reached = three();
    silence(&mut reached, "a:1", Some(true));
    assert_eq!(said(&NO_PRIMARY, &reached)["rs0"], Verdict::Right);
    // One of three is left, and says so itself.
    leaderless(&mut facts);
    silence(&mut facts, "b:1", Some(false));
    silence(&mut facts, "c:1", Some(false));
    assert_eq!(wrong_of(&NO_PRIMARY, &facts).len(), 1);
    // Who doesn't tell how it sees the set proves nothing alone.
    change(&mut facts, "a:1", |figures| figures.knows_primary = None);
    assert_eq!(said(&NO_PRIMARY, &facts)["rs0"], Verdict::Unknown);
    facts.members.insert("b:1".into(), well(SECONDARY));
    change(&mut facts, "b:1", |figures| figures.knows_primary = None);
    assert_eq!(wrong_of(&NO_PRIMARY, &facts).len(), 1, "two of three are a majority, and neither is it");
}

/// As a member does that has begun anew and hasn't read its configuration yet.
#[test]
fn a_set_that_nobody_names_is_not_gone() {
    let mut facts = three();
    leaderless(&mut facts);
    silence(&mut facts, "b:1", Some(false));
    silence(&mut facts, "c:1", Some(false));
    let mut evaluator = Evaluator::default();
    let mut standings = |now_ms: i64, facts: &Members| {
        let judged = evaluator.round(now_ms, Some(&read(facts, &Parameters::default())));
        let of_set = judged.into_values().filter(|judged| judged.labels.get("rs").is_some_and(|set| set == "rs0"));
        of_set.map(|judged| (judged.rule.id, judged.standing)).collect::<BTreeMap<_, _>>()
    };
    for minute in 0..=5 {
        standings(minute * 60_000, &facts);
    }
    facts.set = None;
    let silent = standings(360_000, &facts);
    for rule in ["no_majority", "no_primary"] {
        assert!(matches!(silent[rule], Standing::Open { silent: true, .. }), "{rule}: {silent:?}");
    }
}

#[test]
fn a_majority_is_one_of_votes() {
    let mut facts = three();
    silence(&mut facts, "b:1", Some(false));
    assert_eq!(said(&NO_MAJORITY, &facts)["rs0"], Verdict::Right);
    silence(&mut facts, "c:1", Some(true));
    assert_eq!(said(&NO_MAJORITY, &facts)["rs0"], Verdict::Right, "others find it well");
    silence(&mut facts, "c:1", Some(false));
    assert_eq!(wrong_of(&NO_MAJORITY, &facts).len(), 1);
    facts.members.get_mut("b:1").expect("there").votes = Some(0);
    assert_eq!(wrong_of(&NO_MAJORITY, &facts).len(), 1, "one of two is none");
    facts.members.get_mut("c:1").expect("there").votes = Some(0);
    assert_eq!(said(&NO_MAJORITY, &facts)["rs0"], Verdict::Right, "both had no votes");
    facts.members.get_mut("c:1").expect("there").votes = None;
    assert_eq!(said(&NO_MAJORITY, &facts)["rs0"], Verdict::Unknown);
}

#[test]
fn lag_is_told_in_two_steps_and_clears_below_both() {
    let lag = |lag_seconds: Option<f64>| {
        let mut facts = three();
        change(&mut facts, "b:1", |figures| figures.lag_seconds = lag_seconds);
        said(&REPLICATION_LAG, &facts).remove("b:1").expect("it is a subject")
    };
    let severity = |verdict: Verdict| match verdict {
        Verdict::Wrong { severity, .. } => Some(severity),
        Verdict::Between | Verdict::Right | Verdict::Unknown => None,
    };
    assert_eq!(lag(Some(10.0)), Verdict::Right);
    assert_eq!(lag(Some(25.0)), Verdict::Between);
    assert_eq!(severity(lag(Some(31.0))), Some(Severity::Warning));
    assert_eq!(severity(lag(Some(121.0))), Some(Severity::Critical));
    assert_eq!(lag(None), Verdict::Unknown);
}

#[test]
fn who_copies_all_data_has_an_hour_and_no_lag() {
    let mut facts = three();
    let mut copying = |minutes: f64| {
        change(&mut facts, "c:1", |figures| {
            (figures.state, figures.state_seconds, figures.lag_seconds) = (Some(STARTUP2), minutes * 60.0, Some(1e9));
        });
        assert_eq!(said(&REPLICATION_LAG, &facts)["c:1"], Verdict::Unknown);
        firing(&facts)
    };
    assert_eq!(copying(59.0), BTreeSet::new());
    assert_eq!(copying(61.0), ["member_syncing"].into());
}

#[test]
fn states_in_which_a_member_serves_nobody_are_told() {
    let in_state = |state: Option<i64>| {
        let mut facts = three();
        change(&mut facts, "b:1", |figures| figures.state = state);
        (firing(&facts), said(&MEMBER_STATE, &facts).remove("b:1"))
    };
    for state in [0, 3, 6, 8, 10] {
        assert_eq!(in_state(Some(state)).0, ["member_state"].into(), "{state}");
    }
    assert_eq!(in_state(Some(ROLLBACK)).0, ["member_rollback"].into());
    assert_eq!(in_state(Some(SECONDARY)), (BTreeSet::new(), Some(Verdict::Right)));
    assert_eq!(in_state(None), (BTreeSet::new(), Some(Verdict::Unknown)), "a user with too few rights");
}

#[test]
fn elections_are_told_where_they_come_one_after_the_other() {
    let held =
        |elections: Option<i64>| said(&ELECTIONS, &Members { elections, ..three() }).remove("rs0").expect("there");
    assert_eq!((held(Some(1)), held(Some(2)), held(None)), (Verdict::Right, Verdict::Between, Verdict::Unknown));
    assert!(matches!(held(Some(3)), Verdict::Wrong { severity: Severity::Warning, value: Some(3.0), .. }));
}
