//! The table against the law, exhaustively.

use super::{MOVES, Move};
use crate::alert::{
    Command, EVENTS_MAX, Refusal, decide,
    invariant::violations,
    kit::{commands, fence, lawful, raised},
};
use lucid_schemas::alert::{Alert, AlertState, ResolvedBy, Severity, What};
use std::collections::BTreeSet;

const ONE: [&str; 1] = ["mail"];

/// What tells one alert from another here: which commands it takes, and what comes of them.
fn key(alert: &Alert) -> impl Ord + use<> {
    let mut due: Vec<_> = alert.notify.iter().map(|due| (due.channel.clone(), due.what, due.begun)).collect();
    due.sort();
    let head = &alert.head;
    let told = (head.notified.clone(), due);
    let known = head.acknowledged_until.is_some();
    (head.state, head.severity, known, alert.seen.silent_since.is_some(), told, lengths(alert))
}

/// How full the stream is, as far as that matters.
fn lengths(alert: &Alert) -> [bool; 3] {
    LENGTHS.map(|most| alert.head.version >= most)
}

const LENGTHS: [i64; 3] = [EVENTS_MAX, 940, 990];

/// Every alert with one channel that can be reached, with every move that led there.
fn explore() -> (Vec<Alert>, BTreeSet<Move>) {
    let mut alerts = Vec::new();
    let (mut seen, mut moves) = (BTreeSet::new(), BTreeSet::new());
    let mut frontier = vec![raised()];
    while let Some(alert) = frontier.pop() {
        if !seen.insert(key(&alert)) {
            continue;
        }
        for command in commands(alert.token, &ONE) {
            if let Ok(next) = lawful(&alert, &command) {
                assert!(lengths(&alert)[0] || violations(&next).is_empty(), "{} on {alert:?}", command.name());
                let event = next.events.get(alert.events.len()).map(|event| event.body.name());
                moves.insert(Move { from: alert.head.state, command: command.name(), event, to: next.head.state });
                frontier.push(next);
            }
        }
        for version in LENGTHS.into_iter().filter(|version| alert.head.version < *version) {
            let mut long = alert.clone();
            long.head.version = version;
            frontier.push(long);
        }
        alerts.push(alert);
    }
    (alerts, moves)
}

#[test]
fn the_table_is_what_the_law_does() {
    let (alerts, moves) = explore();
    assert_eq!(moves, BTreeSet::from(MOVES));
    let reached: BTreeSet<_> = alerts.iter().map(|alert| alert.head.state).collect();
    assert_eq!(reached, BTreeSet::from(AlertState::ALL));
}

#[test]
fn an_evaluator_whose_claim_is_over_can_do_nothing() {
    let (alerts, _) = explore();
    for alert in &alerts {
        for older in [(0, 9), (1, 0)] {
            for command in commands(lucid_schemas::alert::Token { generation: older.0, epoch: older.1 }, &ONE) {
                let decision = decide(alert, &command);
                let fenced = matches!(decision, Err(Refusal::Fenced { .. }));
                assert_eq!(fenced, command.fence().is_some(), "{} on {alert:?}", command.name());
            }
        }
    }
}

#[test]
fn an_open_alert_can_always_be_resolved_and_its_end_told() {
    let (alerts, _) = explore();
    for alert in alerts.iter().filter(|alert| alert.head.state.is_open()) {
        for end in [
            Command::ResolveByHand { comment: String::new() },
            Command::Resolve { fence: fence(alert.token), how: ResolvedBy::Condition, ended_at: None },
            Command::Resolve { fence: fence(alert.token), how: ResolvedBy::Gone, ended_at: None },
        ] {
            let mut over = lawful(alert, &end).expect("there is always room for an end");
            for channel in ONE {
                let (channel, what) = (channel.to_owned(), What::Resolved);
                let told = alert.head.notified.contains(&channel)
                    || alert.due(&channel, What::Firing).is_some_and(|due| due.begun);
                assert_eq!(over.due(&channel, what).is_some(), told, "{alert:?}");
                if told {
                    over = lawful(&over, &Command::BeginNotice { channel: channel.clone(), what }).expect("due");
                    let take = Command::TakeNotice { channel, what, repeat_in_ms: Some(1) };
                    over = lawful(&over, &take).expect("begun");
                }
            }
            assert_eq!(over.notify, [], "nothing is left to tell");
        }
    }
}

#[test]
fn only_a_full_stream_is_continued_and_it_takes_little_else() {
    let (alerts, _) = explore();
    for alert in alerts.iter().filter(|alert| alert.head.state.is_open()) {
        let full = alert.head.version >= EVENTS_MAX;
        let fence = fence(alert.token);
        let continued = decide(alert, &Command::Resolve { fence, how: ResolvedBy::Continued, ended_at: None });
        assert_eq!(continued.is_ok(), full);
        let to = if alert.head.severity == Severity::Warning { Severity::Critical } else { Severity::Warning };
        let changed = decide(alert, &Command::ChangeSeverity { fence, to, notify: Vec::new() });
        assert_eq!(changed.is_ok(), !full);
        let by_hand = decide(alert, &Command::Resolve { fence, how: ResolvedBy::Operator, ended_at: None });
        assert_eq!(by_hand, Err(Refusal::NotByHand));
    }
}

#[test]
fn what_was_begun_before_the_end_and_noted_after_it_is_told_to_be_over() {
    let begun = lawful(&raised(), &Command::BeginNotice { channel: "mail".into(), what: What::Firing }).expect("due");
    let over = lawful(&begun, &Command::ResolveByHand { comment: String::new() }).expect("open");
    assert!(over.due("mail", What::Resolved).is_some() && over.due("hook", What::Resolved).is_none());
    let take = Command::TakeNotice { channel: "mail".into(), what: What::Firing, repeat_in_ms: Some(1) };
    let noted = lawful(&over, &take).expect("it was sent");
    assert_eq!((noted.head.notified.as_slice(), noted.notify.len()), (&["mail".to_owned()][..], 1));
    assert!(lawful(&noted, &take).is_err(), "once");
    assert_eq!(violations(&noted), []);
}

#[test]
fn news_is_not_held_up_by_a_repeat_in_hours_nor_by_one_that_is_being_sent() {
    let mut alert = raised();
    for command in [
        Command::BeginNotice { channel: "mail".into(), what: What::Firing },
        Command::TakeNotice { channel: "mail".into(), what: What::Firing, repeat_in_ms: Some(14_400_000) },
        Command::BeginNotice { channel: "mail".into(), what: What::Repeat },
    ] {
        alert = lawful(&alert, &command).expect("lawful");
    }
    let rise = Command::ChangeSeverity {
        fence: fence(alert.token),
        to: Severity::Critical,
        notify: vec![crate::alert::Wanted { channel: "mail".into(), in_ms: 0 }],
    };
    let risen = lawful(&alert, &rise).expect("lawful");
    let due = risen.due("mail", What::Repeat).expect("it is told anew");
    assert!(!due.begun && due.due_at.stored() == Some(crate::alert::kit::NOW));
    let late = Command::TakeNotice { channel: "mail".into(), what: What::Repeat, repeat_in_ms: None };
    assert!(decide(&risen, &late).is_err(), "what was on its way told of less");
}
