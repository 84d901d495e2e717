//! A small world for the law of alerts: two evaluators of which one has lost its claim, a person, a sender of notices, and
//! a store that keeps each open fingerprint once. Whoever acts builds on what he read some steps ago.

use super::{
    Command, Guard, SEEN_EACH_MS, SEVERITY_EACH_MS, Transition,
    invariant::violations,
    kit::{CHANNELS, NOW, at, commands, fence, finding},
    raise, transition,
};
use bson::DateTime;
use lucid_schemas::alert::{Alert, AlertEventBody, ResolvedBy, Token, What};
use proptest::{prelude::*, strategy::ValueTree};
use std::collections::BTreeMap;

const ROUNDS_MS: i64 = 20_000;

#[derive(Default)]
struct Store {
    alerts: Vec<Alert>,
    now_ms: i64,
    /// How often a write was tried whose token is older than the stored one.
    stale: usize,
}

impl Store {
    fn now(&self) -> DateTime {
        DateTime::from_millis(NOW.timestamp_millis() + self.now_ms)
    }

    fn open(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter(|alert| alert.head.state.is_open())
    }

    /// What the store promises of a transition: see the ports.
    fn apply(&mut self, next: &Transition) {
        let now = self.now();
        let Some(stored) = self.alerts.iter_mut().find(|alert| alert.id() == next.id()) else { return };
        let is_stale = next.token.is_some_and(|token| token < stored.token);
        self.stale += usize::from(is_stale);
        let same = (stored.head.version, stored.touches) == (next.before.head.version, next.before.touches);
        if same && !is_stale && next.guards.iter().all(|guard| holds(*guard, stored, now)) {
            *stored = at(next.after.clone(), now);
        }
    }

    fn check(&self) {
        let mut open = BTreeMap::<_, usize>::new();
        for alert in &self.alerts {
            assert_eq!(violations(alert), []);
            if alert.head.state.is_open() {
                *open.entry(&alert.origin.fingerprint).or_default() += 1;
            }
        }
        assert!(open.values().all(|count| *count == 1), "{open:?}");
    }
}

fn holds(guard: Guard, alert: &Alert, now: DateTime) -> bool {
    let longer_ago = |at: Option<DateTime>, ms: i64| {
        at.is_none_or(|at| !(0..ms).contains(&(now.timestamp_millis() - at.timestamp_millis())))
    };
    match guard {
        Guard::Before(deadline) => now < deadline,
        Guard::SeenLongAgo => longer_ago(alert.seen.last_seen_at.stored(), SEEN_EACH_MS),
        Guard::SeveritySteady => {
            longer_ago(alert.head.severity_changed_at.and_then(lucid_schemas::Stamp::stored), SEVERITY_EACH_MS)
        }
        Guard::AcknowledgementOver => {
            alert.head.acknowledged_until.and_then(lucid_schemas::Stamp::stored).is_some_and(|until| until <= now)
        }
    }
}

/// What somebody does: which of what he knows, as whom, how late, and whether his answer is lost so that he does it again.
#[derive(Debug, Clone)]
struct Step {
    raises: bool,
    about: usize,
    command: usize,
    evaluator: usize,
    read_ago: usize,
    twice: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (prop::bool::weighted(0.2), 0..8_usize, 0..64_usize, 0..3_usize, 0..12_usize, any::<bool>()).prop_map(
        |(raises, about, command, evaluator, read_ago, twice)| Step {
            raises,
            about,
            command,
            evaluator,
            read_ago,
            twice,
        },
    )
}

/// Claims change hands all the time, and each holder goes on for a while after he has lost his.
fn token(number: usize, evaluator: usize) -> Token {
    let claims = i64::try_from((number / 5).saturating_sub(evaluator)).unwrap_or(0);
    Token { generation: claims / 3, epoch: claims % 3 }
}

const LAST: Token = Token { generation: i64::MAX, epoch: 0 };

fn live(steps: &[Step]) -> Store {
    let mut store = Store::default();
    let mut past: Vec<Vec<Alert>> = vec![Vec::new()];
    for (number, step) in steps.iter().enumerate() {
        store.now_ms += ROUNDS_MS;
        let token = token(number, step.evaluator);
        let write = format!("write-{number}");
        if step.raises {
            let mut finding = finding(number as u64);
            finding.labels.insert("about".into(), (step.about % 2).to_string());
            let raised = raise(&finding, fence(token), "monitor", &write).alert;
            if store.open().all(|open| open.origin.fingerprint != raised.origin.fingerprint) {
                let now = store.now();
                store.alerts.push(at(raised, now));
            }
        } else {
            let known = &past[past.len() - 1 - step.read_ago.min(past.len() - 1)];
            let all = commands(token, &CHANNELS);
            let command = with_deadline(all[step.command % all.len()].clone(), store.now());
            if let Some(alert) = known.iter().rev().nth(step.about % 4).cloned()
                && let Ok(next) = transition(&alert, &command, "somebody", &write)
            {
                let before = store.alerts.clone();
                store.apply(&next);
                let stale = next
                    .token
                    .is_some_and(|token| before.iter().any(|stored| stored.id() == alert.id() && token < stored.token));
                assert!(!stale || store.alerts == before, "an older claim has changed something: {next:?}");
                if step.twice {
                    let once = store.alerts.clone();
                    store.apply(&next);
                    assert_eq!(store.alerts, once, "what happened happens once");
                }
            }
        }
        store.check();
        past.push(store.alerts.clone());
    }
    store
}

fn with_deadline(mut command: Command, now: DateTime) -> Command {
    let deadline = DateTime::from_millis(now.timestamp_millis() + 1);
    match &mut command {
        Command::SeeAgain { fence, .. }
        | Command::MissData { fence }
        | Command::ChangeSeverity { fence, .. }
        | Command::EndAcknowledgement { fence, .. }
        | Command::Resolve { fence, .. } => fence.deadline = deadline,
        Command::Acknowledge { .. }
        | Command::ResolveByHand { .. }
        | Command::BeginNotice { .. }
        | Command::TakeNotice { .. } => {}
    }
    command
}

fn count(alert: &Alert, sought: &str) -> usize {
    alert.events.iter().filter(|event| event.body.name() == sought).count()
}

/// What a last evaluator and a last sender do: whatever is open is over, and whatever is due is told.
fn settle(store: &mut Store) {
    let now = store.now();
    for alert in store.alerts.clone() {
        let end = Command::Resolve { fence: fence(LAST), how: ResolvedBy::Condition, ended_at: None };
        if let Ok(next) = transition(&alert, &with_deadline(end, now), "monitor", "end") {
            store.apply(&next);
        }
    }
    for place in 0..store.alerts.len() {
        for channel in CHANNELS.map(str::to_owned) {
            let what = What::Resolved;
            for command in [
                Command::BeginNotice { channel: channel.clone(), what },
                Command::TakeNotice { channel: channel.clone(), what, repeat_in_ms: None },
            ] {
                if let Ok(next) = transition(&store.alerts[place], &command, "notify", "told") {
                    store.apply(&next);
                }
            }
        }
    }
    store.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_raise_is_resolved_once_and_told_to_whom_it_was_told(steps in prop::collection::vec(step(), 1..120)) {
        let mut store = live(&steps);
        settle(&mut store);
        for alert in &store.alerts {
            prop_assert_eq!((count(alert, "raised"), count(alert, "resolved")), (1, 1));
            prop_assert_eq!(&alert.notify, &vec![]);
            let told = |sought: What| {
                alert.events.iter().filter_map(move |event| match &event.body {
                    AlertEventBody::Notified { channel, what } if *what == sought => Some(channel.clone()),
                    _ => None,
                })
            };
            for channel in told(What::Firing) {
                prop_assert_eq!(told(What::Resolved).filter(|other| *other == channel).count(), 1);
            }
        }
    }
}

/// The random lives above are worth something only where they meet what they are about.
#[test]
fn random_lives_meet_what_matters() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut stale, mut recurrences, mut seen) = (0, 0, BTreeMap::<&str, usize>::new());
    for _ in 0..200 {
        let steps = prop::collection::vec(step(), 120).new_tree(&mut runner).expect("a tree").current();
        let store = live(&steps);
        stale += store.stale;
        recurrences += store.alerts.len().saturating_sub(2);
        for event in store.alerts.iter().flat_map(|alert| &alert.events) {
            *seen.entry(event.body.name()).or_default() += 1;
        }
    }
    assert!(stale > 20 && recurrences > 50, "{stale} stale writes, {recurrences} recurrences");
    assert!(seen.len() == 6 && seen.values().all(|count| *count > 20), "{seen:?}");
}
