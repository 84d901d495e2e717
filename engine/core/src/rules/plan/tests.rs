//! What a holder asks, for each way in which what is open differs from what should be.

use super::*;
use crate::alert::{
    Finding,
    invariant::violations,
    kit::{NOW, at, fence, finding, lawful, raised, wanted},
    raise,
};
use bson::DateTime;
use lucid_schemas::alert::{AlertState, Token};

static LAG: Rule = Rule { id: "replication_lag", for_ms: 60_000, subject: &["member"], ..Rule::PLAIN };
const HOLDER: Token = Token { generation: 1, epoch: 1 };

fn judged(standing: Standing) -> BTreeMap<Fingerprint, Judged> {
    let Finding { rule, labels, .. } = finding(1);
    [(Fingerprint::of(&rule, &labels), Judged { rule: &LAG, labels, standing })].into()
}

fn lagging(severity: Severity) -> Standing {
    Standing::Open { since_ms: 0, severity, value: Some(3.0), summary: "3 s".into(), flapping: false, silent: false }
}

fn round(later_ms: i64) -> Round<'static> {
    static RULES: [&Rule; 1] = [&LAG];
    Round { fence: fence(HOLDER), now_ms: NOW.timestamp_millis() + later_ms, rules: &RULES, cold: &[] }
}

/// The one thing that is asked of the one alert.
fn asked(alert: &Alert, standing: Option<Standing>, round: Round<'_>) -> Option<Command> {
    let judged = standing.map(judged).unwrap_or_default();
    let mut steps = plan(&judged, std::slice::from_ref(alert), round, |_| wanted());
    assert!(steps.len() <= 1, "{steps:?}");
    match steps.pop()? {
        Step::Ask(id, command) => {
            assert_eq!(id, *alert.id());
            assert!(lawful(alert, &command).is_ok(), "the law allows it: {command:?}");
            Some(command)
        }
        Step::Raise { .. } => panic!("it is open already"),
    }
}

fn name(command: Option<Command>) -> &'static str {
    command.map_or("nothing", |command| command.name())
}

#[test]
fn what_should_be_open_and_is_not_is_raised() {
    let raises = |standing| plan(&judged(standing), &[], round(0), |_| wanted());
    let [Step::Raise { sighting, notify, .. }] = &raises(lagging(Severity::Critical))[..] else { panic!("one raise") };
    assert_eq!((sighting.value, sighting.rules_version, notify), (Some(3.0), RULES_VERSION, &wanted()));
    assert_eq!(raises(Standing::Over(ResolvedBy::Condition)), []);
    assert_eq!(raises(Standing::Undecided), []);
    assert_eq!(raises(Standing::Unseen), []);
}

#[test]
fn what_is_open_and_should_be_is_seen_again_once_a_minute() {
    let same = || Some(lagging(Severity::Warning));
    assert_eq!(name(asked(&raised(), same(), round(59_000))), "nothing");
    assert_eq!(name(asked(&raised(), same(), round(60_000))), "see_again");
    let silent = || {
        let Standing::Open { since_ms, severity, value, summary, flapping, .. } = lagging(Severity::Warning) else {
            panic!("it is open")
        };
        Some(Standing::Open { since_ms, severity, value, summary, flapping, silent: true })
    };
    assert_eq!(name(asked(&raised(), silent(), round(0))), "miss_data");
    let missed = lawful(&raised(), &Command::MissData { fence: fence(HOLDER) }).expect("lawful");
    assert_eq!(name(asked(&missed, silent(), round(60_000))), "nothing", "once");
}

#[test]
fn what_matters_more_is_told_and_what_matters_less_is_noted() {
    let Some(Command::ChangeSeverity { notify, .. }) = asked(&raised(), Some(lagging(Severity::Critical)), round(0))
    else {
        panic!("it rose")
    };
    assert_eq!(notify, wanted());
    let rise = Command::ChangeSeverity { fence: fence(HOLDER), to: Severity::Critical, notify };
    let risen = lawful(&raised(), &rise).expect("lawful");
    let less = || Some(lagging(Severity::Warning));
    assert_eq!(name(asked(&risen, less(), round(0))), "nothing", "not within ten minutes");
    let Some(Command::ChangeSeverity { notify, .. }) = asked(&risen, less(), round(600_000)) else { panic!("it fell") };
    assert_eq!(notify, []);
}

#[test]
fn an_acknowledgement_that_ran_out_ends() {
    let acknowledge = Command::Acknowledge { for_ms: Some(60_000), comment: String::new() };
    let known = lawful(&raised(), &acknowledge).expect("lawful");
    let same = || Some(lagging(Severity::Warning));
    assert_eq!(name(asked(&known, same(), round(30_000))), "nothing");
    assert_eq!(name(asked(&known, same(), round(60_000))), "end_acknowledgement");
}

/// Another monitor has raised it, and whoever writes now can't see what it is about, or never could.
#[test]
fn what_a_new_holder_cannot_see_says_so_and_its_acknowledgement_ends() {
    static COLD: [&Rule; 1] = [&LAG];
    let cold = |later_ms| Round { cold: &COLD, ..round(later_ms) };
    for standing in [Some(Standing::Unseen), None] {
        let acknowledge = Command::Acknowledge { for_ms: Some(600_000), comment: String::new() };
        let known = lawful(&raised(), &acknowledge).expect("lawful");
        assert_eq!(name(asked(&known, standing.clone(), cold(120_000))), "miss_data", "{standing:?}");
        let silent = lawful(&known, &Command::MissData { fence: fence(HOLDER) }).expect("lawful");
        assert_eq!(name(asked(&silent, standing.clone(), cold(599_000))), "nothing", "once: {standing:?}");
        let command = asked(&silent, standing.clone(), cold(600_000));
        let Some(Command::EndAcknowledgement { notify, .. }) = command else { panic!("{standing:?}: {command:?}") };
        assert_eq!(notify, wanted());
    }
    let mut full = raised();
    full.head.version = EVENTS_MAX;
    assert_eq!(name(asked(&full, Some(Standing::Unseen), round(0))), "miss_data", "nobody would raise another");
    assert_eq!(name(asked(&raised(), None, cold(119_000))), "nothing", "it may yet be seen by one that has just begun");
}

#[test]
fn what_should_not_be_open_is_resolved_unless_nobody_can_tell() {
    let resolved = |standing, round| match asked(&raised(), standing, round) {
        Some(Command::Resolve { how, .. }) => Some(how),
        None => None,
        other => panic!("{other:?}"),
    };
    let over = || Some(Standing::Over(ResolvedBy::Condition));
    assert_eq!(resolved(over(), round(0)), Some(ResolvedBy::Condition));
    assert_eq!(resolved(Some(Standing::Over(ResolvedBy::Gone)), round(0)), Some(ResolvedBy::Gone));
    assert_eq!(resolved(None, round(0)), Some(LAG.absent), "its subject isn't there");
    let cold = Round { cold: &[&LAG], ..round(0) };
    assert_eq!(resolved(None, cold), None, "it may only not have been seen for long enough");
    assert_eq!(resolved(over(), cold), Some(ResolvedBy::Condition), "it was seen to be right");
    assert_eq!(resolved(Some(Standing::Undecided), round(0)), None);
    let nobody = Round { rules: &[], ..round(0) };
    assert_eq!(resolved(None, nobody), Some(ResolvedBy::Gone), "no rule finds it any more");
    let mut later = raised();
    later.seen.rules_version = RULES_VERSION + 1;
    assert_eq!(name(asked(&later, None, nobody)), "nothing", "a later program's rule does");
}

#[test]
fn a_full_stream_is_continued_by_another_alert() {
    let mut full = raised();
    full.head.version = EVENTS_MAX;
    let command = asked(&full, Some(lagging(Severity::Critical)), round(0));
    assert!(matches!(command, Some(Command::Resolve { how: ResolvedBy::Continued, .. })), "{command:?}");
}

/// A holder that stops anywhere, and another one that goes on: in the end what is open is what should be.
#[test]
fn whoever_goes_on_ends_where_the_first_would_have() {
    let mut open: Vec<Alert> = Vec::new();
    let mut number = 0;
    let script = [Severity::Warning, Severity::Critical];
    let standings = script.map(lagging).into_iter().chain([Standing::Over(ResolvedBy::Condition)]);
    for (turn, standing) in standings.enumerate() {
        for holder in 0..3 {
            let token = Token { generation: 1, epoch: i64::try_from(3 * turn + holder).expect("small") };
            let later_ms = i64::try_from(turn).expect("small") * 700_000;
            let now = DateTime::from_millis(NOW.timestamp_millis() + later_ms);
            let round = Round { fence: fence(token), ..round(later_ms) };
            let steps = plan(&judged(standing.clone()), &open, round, |_| wanted());
            // The first holder stops before it has done anything.
            for step in steps.into_iter().filter(|_| holder > 0) {
                match step {
                    Step::Raise { notify, sighting, .. } => {
                        number += 1;
                        let finding = Finding { sighting, notify, ..finding(number) };
                        open.push(at(raise(&finding, fence(token), "monitor", "w").alert, now));
                    }
                    Step::Ask(_, command) => open[0] = lawful(&open[0], &command).expect("lawful"),
                }
                assert_eq!(violations(&open[0]), []);
            }
            open.retain(|alert| alert.head.state != AlertState::Resolved);
        }
        let severities: Vec<_> = open.iter().map(|alert| alert.head.severity).collect();
        assert_eq!(severities, script.get(turn).copied().into_iter().collect::<Vec<_>>(), "turn {turn}");
    }
    assert_eq!(number, 1);
}
