//! Alerts: each open fingerprint once, whoever writes them, and nothing written late or by a claim that is over.

use super::{
    agreement::{distant, normal},
    chance::Chance,
    hostile::documents,
    kit::{Bench, LONG_MS, OVER_MS, bytes, enqueue, name, request},
};
use crate::{AlertFilter, AlertOutcome, AlertPlace, JobFilter, Raised};
use bson::{DateTime, Document};
use lucid_core::alert::{
    Command, Fence, Finding, Sighting, Transition, Wanted, invariant::violations, raise, transition,
};
use lucid_schemas::{
    Kind,
    alert::{Alert, AlertId, AlertState, ResolvedBy, Severity, Token, What},
};
use std::collections::{BTreeMap, BTreeSet};

const HOLDER: Token = Token { generation: 2, epoch: 3 };

fn fence() -> Fence {
    Fence { token: HOLDER, deadline: distant(LONG_MS) }
}

fn sighting(value: f64) -> Sighting {
    Sighting { value: Some(value), summary: format!("it is {value}"), rules_version: 7, times: 2, flapping: false }
}

fn wanted(channels: &[&str], in_ms: i64) -> Vec<Wanted> {
    channels.iter().map(|channel| Wanted { channel: (*channel).into(), in_ms }).collect()
}

/// What nobody else finds.
pub(super) fn finding() -> Finding {
    Finding {
        id: AlertId::compose(DateTime::now(), uuid::Uuid::new_v4().as_u64_pair().0),
        rule: "replication_lag".into(),
        labels: [("member".to_owned(), name("pi"))].into(),
        severity: Severity::Warning,
        starts_at: distant(OVER_MS),
        starts_at_uncertain: false,
        incident: None,
        previous: None,
        sighting: sighting(12.5),
        notify: wanted(&["mail", "hook"], OVER_MS),
    }
}

pub(super) async fn put(bench: &Bench, finding: &Finding) -> Alert {
    match bench.alerts.raise_alert(&raise(finding, fence(), "monitor:a", &name("raise"))).await.expect("raised") {
        Raised::New(alert) => {
            assert_eq!(violations(&alert), []);
            assert_eq!(bench.alerts.alert(&finding.id).await.expect("read").as_ref(), Some(&*alert));
            *alert
        }
        other => panic!("{other:?}"),
    }
}

fn prepared(alert: &Alert, command: &Command) -> Transition {
    transition(alert, command, "monitor:a", &name("write")).expect("the law allows it")
}

pub(super) async fn make(bench: &Bench, alert: &Alert, command: &Command) -> Alert {
    match bench.alerts.apply_alert(&prepared(alert, command)).await.expect("applied") {
        AlertOutcome::Won(alert) => {
            assert_eq!(violations(&alert), [], "after '{}'", command.name());
            *alert
        }
        AlertOutcome::Lost(current) => panic!("'{}' lost; the alert is {current:?}", command.name()),
    }
}

async fn document(bench: &Bench, id: &AlertId) -> Document {
    (bench.documents)(id.to_string()).await.expect("the alert's document is there")
}

async fn loses(bench: &Bench, next: &Transition, why: &str) {
    let before = document(bench, next.id()).await;
    let outcome = bench.alerts.apply_alert(next).await.expect("applied");
    assert!(matches!(outcome, AlertOutcome::Lost(Some(_))), "{why}: {outcome:?}");
    assert_eq!(bytes(&document(bench, next.id()).await), bytes(&before), "{why}: nothing is changed");
}

fn see() -> Command {
    Command::SeeAgain { fence: fence(), sighting: sighting(13.0) }
}

pub(super) fn resolve() -> Command {
    Command::Resolve { fence: fence(), how: ResolvedBy::Condition, ended_at: None }
}

/// Seen last so long ago that it may be seen again: as of a store whose writer has a longer memory.
async fn rested(bench: &Bench, mut alert: Alert) -> Alert {
    // A sight that lies in the future by a clock that was put back counts as long ago.
    let mut next = prepared(&alert, &Command::MissData { fence: fence() });
    next.after.seen.last_seen_at = lucid_schemas::Stamp::NOW.plus(LONG_MS);
    if let AlertOutcome::Won(won) = bench.alerts.apply_alert(&next).await.expect("applied") {
        alert = *won;
    }
    alert
}

pub(super) async fn an_alert_reads_back_as_it_was_raised(bench: Bench) {
    for word in ["$$NOW", "$state", "a.b", "", "{\"$set\": 1} \u{0} ü"] {
        let mut finding = finding();
        finding.labels.extend([("$database".to_owned(), word.to_owned()), ("a.b".into(), "$$REMOVE".into())]);
        finding.sighting.summary = word.into();
        finding.incident = Some(word.into());
        finding.starts_at_uncertain = true;
        finding.previous = Some(AlertId::compose(DateTime::from_millis(0), 5));
        finding.notify = wanted(&[word, "mail", word], LONG_MS);
        let alert = put(&bench, &finding).await;
        let asked = raise(&finding, fence(), "monitor:a", "x").alert;
        assert_eq!(alert.origin, asked.origin);
        assert_eq!((alert.head.state, alert.token, alert.touches), (AlertState::Raised, HOLDER, 0));
        assert_eq!((alert.seen.occurrences, alert.seen.value), (2, Some(12.5)));
        assert_eq!(alert.notify.len(), 2, "each channel once");
        let now = alert.head.created_at;
        assert_eq!((alert.seen.last_seen_at, alert.notify[0].due_at), (now, now.plus(LONG_MS)));
        assert_eq!(alert.events[0].at, now);
    }
}

pub(super) async fn one_write_makes_one_alert_of_an_open_fingerprint(bench: Bench) {
    let first = finding();
    let asked = raise(&first, fence(), "monitor:a", "the same");
    let Ok(Raised::New(alert)) = bench.alerts.raise_alert(&asked).await else { panic!("nothing is open") };
    assert_eq!(
        bench.alerts.raise_alert(&asked).await.expect("raised"),
        Raised::New(alert.clone()),
        "its answer was lost"
    );
    let taken = raise(&Finding { labels: BTreeMap::new(), ..first.clone() }, fence(), "monitor:b", "another");
    assert!(bench.alerts.raise_alert(&taken).await.is_err(), "the id is taken");
    let second = Finding { id: finding().id, ..first };
    let twice = raise(&second, fence(), "monitor:b", "a second");
    assert_eq!(bench.alerts.raise_alert(&twice).await.expect("raised"), Raised::Open(alert.clone()));
    assert_eq!(bench.alerts.alert(&second.id).await.expect("read"), None);
    make(&bench, &alert, &resolve()).await;
    let recurrence = put(&bench, &Finding { previous: Some(alert.id().clone()), ..second }).await;
    assert_eq!(recurrence.origin.previous.as_ref(), Some(alert.id()));
    let found = bench.alerts.open_alerts().await.expect("read");
    assert_eq!(found, [recurrence]);
}

pub(super) async fn one_of_many_raises_makes_the_alert(bench: Bench) {
    let first = finding();
    let raises = (0..8).map(|number| {
        let finding = Finding { id: finding().id, ..first.clone() };
        let (alerts, raise) = (bench.alerts.clone(), raise(&finding, fence(), "monitor:a", &format!("raise-{number}")));
        tokio::spawn(async move { alerts.raise_alert(&raise).await })
    });
    let mut new = BTreeSet::new();
    let mut open = BTreeSet::new();
    for raised in futures::future::join_all(raises).await {
        match raised.expect("no panic") {
            Ok(Raised::New(alert)) => drop(new.insert(alert.id().clone())),
            Ok(Raised::Open(alert)) => drop(open.insert(alert.id().clone())),
            // A store that can't tell yet which one is open says so.
            Err(error) => assert!(error.is_retryable(), "{error}"),
            Ok(Raised::Late) => panic!("it isn't late"),
        }
    }
    assert!(new.len() == 1 && open.is_subset(&new), "{new:?} and {open:?}");
    assert_eq!(bench.alerts.open_alerts().await.expect("read").len(), 1);
}

pub(super) async fn what_comes_late_does_nothing(bench: Bench) {
    let late = Fence { deadline: distant(OVER_MS), ..fence() };
    let finding = finding();
    let raised = bench.alerts.raise_alert(&raise(&finding, late, "monitor:a", "late")).await;
    assert_eq!(raised.expect("asked"), Raised::Late);
    assert_eq!(bench.alerts.alert(&finding.id).await.expect("read"), None);
    let alert = put(&bench, &finding).await;
    for command in [
        Command::Resolve { fence: late, how: ResolvedBy::Condition, ended_at: None },
        Command::MissData { fence: late },
        Command::ChangeSeverity { fence: late, to: Severity::Critical, notify: Vec::new() },
    ] {
        loses(&bench, &prepared(&alert, &command), command.name()).await;
    }
}

pub(super) async fn a_claim_that_is_over_is_fenced_off(bench: Bench) {
    let alert = put(&bench, &finding()).await;
    let good = prepared(&alert, &resolve());
    for (generation, epoch) in [(2, 2), (1, 3), (1, 9), (0, 0)] {
        let mut next = good.clone();
        // As of a monitor that has read nothing since.
        (next.token, next.after.token) = (Some(Token { generation, epoch }), Token { generation, epoch });
        loses(&bench, &next, &format!("claim {generation}.{epoch}")).await;
    }
    for (generation, epoch) in [(2, 4), (3, 0)] {
        let token = Token { generation, epoch };
        let fence = Fence { token, ..fence() };
        let alert = put(&bench, &finding()).await;
        let next = make(&bench, &alert, &Command::MissData { fence }).await;
        assert_eq!(next.token, token, "a later one is taken, and kept");
        loses(&bench, &prepared(&alert, &resolve()), "the one before").await;
    }
}

pub(super) async fn another_version_or_touch_is_fenced_off(bench: Bench) {
    let alert = put(&bench, &finding()).await;
    let good = prepared(&alert, &resolve());
    for (version, touches) in [(-1, 0), (1, 0), (0, 1), (0, -1)] {
        let mut next = good.clone();
        next.before.head.version += version;
        next.before.touches += touches;
        loses(&bench, &next, &format!("version {version:+}, touches {touches:+}")).await;
    }
    let begin = |what| Command::BeginNotice { channel: "mail".into(), what };
    let begun = make(&bench, &alert, &begin(What::Firing)).await;
    assert_eq!((begun.head.version, begun.touches), (1, 1), "no event tells of it");
    loses(&bench, &good, "a resolve that doesn't know of the notice on its way").await;
    let over = make(&bench, &begun, &resolve()).await;
    assert_eq!(
        over.notify.iter().map(|due| (due.channel.as_str(), due.what)).collect::<Vec<_>>(),
        [("mail", What::Resolved)]
    );
}

pub(super) async fn a_lost_answer_is_recognised_by_its_write_there_too(bench: Bench) {
    let alert = put(&bench, &finding()).await;
    for command in
        [Command::MissData { fence: fence() }, Command::Acknowledge { for_ms: None, comment: "$$NOW".into() }]
    {
        let alert = bench.alerts.alert(alert.id()).await.expect("read").expect("there");
        let next = prepared(&alert, &command);
        let won = bench.alerts.apply_alert(&next).await.expect("applied");
        assert!(matches!(won, AlertOutcome::Won(_)));
        let before = document(&bench, alert.id()).await;
        assert_eq!(bench.alerts.apply_alert(&next).await.expect("applied"), won, "again, with the same write");
        assert_eq!(bytes(&document(&bench, alert.id()).await), bytes(&before), "it happened once");
    }
    let nowhere = finding();
    let mut next = prepared(&alert, &resolve());
    next.before.origin.id = nowhere.id;
    assert_eq!(bench.alerts.apply_alert(&next).await.expect("applied"), AlertOutcome::Lost(None));
}

pub(super) async fn times_of_alerts_are_judged_by_the_store(bench: Bench) {
    let alert = put(&bench, &finding()).await;
    loses(&bench, &prepared(&alert, &see()), "it was seen within the minute").await;
    let alert = rested(&bench, alert).await;
    assert!(alert.seen.silent_since.is_some());
    let seen = make(&bench, &alert, &see()).await;
    assert_eq!((seen.seen.occurrences, seen.seen.value, seen.seen.silent_since), (4, Some(13.0), None));
    assert_eq!(seen.head.version, 1);

    let severity = |to| Command::ChangeSeverity { fence: fence(), to, notify: wanted(&["mail"], 0) };
    let risen = make(&bench, &seen, &severity(Severity::Critical)).await;
    loses(&bench, &prepared(&risen, &severity(Severity::Warning)), "it changed within ten minutes").await;

    let acknowledge = |for_ms| Command::Acknowledge { for_ms: Some(for_ms), comment: String::new() };
    let end = Command::EndAcknowledgement { fence: fence(), notify: Vec::new() };
    let known = make(&bench, &risen, &acknowledge(LONG_MS)).await;
    assert_eq!(known.notify, [], "who knows needn't be told");
    loses(&bench, &prepared(&known, &end), "its time runs").await;
    let known = make(&bench, &known, &acknowledge(OVER_MS)).await;
    let again = make(&bench, &known, &end).await;
    assert_eq!((again.head.state, &again.head.acknowledged_by), (AlertState::Raised, &None));
    let stored = document(&bench, again.id()).await;
    for never in ["acknowledged_by", "acknowledged_until", "silent_since", "resolved_at", "notify", "flapping"] {
        assert!(!stored.contains_key(never), "{never} is absent, not null: {stored}");
    }
}

pub(super) async fn who_was_told_is_told_of_the_end(bench: Bench) {
    let begin = |channel: &str, what| Command::BeginNotice { channel: channel.into(), what };
    let take = |channel: &str, what| Command::TakeNotice { channel: channel.into(), what, repeat_in_ms: Some(LONG_MS) };
    let mut alert = put(&bench, &finding()).await;
    let due = bench.alerts.due_alerts(9).await.expect("read");
    assert_eq!(due.iter().map(|due| (due.alert.id(), due.due.len())).collect::<Vec<_>>(), [(alert.id(), 2)]);
    for command in [begin("mail", What::Firing), take("mail", What::Firing)] {
        alert = make(&bench, &alert, &command).await;
    }
    assert_eq!(alert.head.notified, ["mail"]);
    let due = bench.alerts.due_alerts(9).await.expect("read").remove(0);
    assert_eq!(due.due.iter().map(|due| due.channel.as_str()).collect::<Vec<_>>(), ["hook"], "the repeat is for later");
    for command in [resolve(), begin("mail", What::Resolved), take("mail", What::Resolved)] {
        alert = make(&bench, &alert, &command).await;
    }
    assert_eq!(alert.notify, []);
    let names: Vec<_> = alert.events.iter().map(|event| event.body.name()).collect();
    assert_eq!(names, ["raised", "notified", "resolved", "notified"]);
    assert_eq!(bench.alerts.due_alerts(9).await.expect("read"), []);
    assert_eq!(bench.alerts.due_alerts(0).await.expect("read"), []);
}

pub(super) async fn lists_of_alerts_join_and_are_filtered(bench: Bench) {
    let mut all = Vec::new();
    for number in 0..5 {
        let rule = if number % 2 == 0 { "lag" } else { "$lag" };
        let severity = if number < 2 { Severity::Critical } else { Severity::Warning };
        let alert = put(&bench, &Finding { rule: rule.into(), severity, ..finding() }).await;
        all.push(if number == 4 { make(&bench, &alert, &resolve()).await } else { alert });
    }
    let list = async |filter: AlertFilter| bench.alerts.list_alerts(&filter).await.expect("listed");
    let mut found: Vec<Alert> = Vec::new();
    loop {
        let after = found.last().map(AlertPlace::of);
        let page = list(AlertFilter { after, limit: 2, ..AlertFilter::default() }).await;
        found.extend(page.alerts);
        if !page.more {
            break;
        }
    }
    let ids = |alerts: &[Alert]| alerts.iter().map(|alert| alert.id().clone()).collect::<BTreeSet<_>>();
    assert!(found.len() == all.len() && ids(&found) == ids(&all));
    assert!(found.is_sorted_by(|one, next| AlertPlace::of(one).created_at >= AlertPlace::of(next).created_at));
    let some = |filter: AlertFilter| AlertFilter { limit: 9, ..filter };
    let none = AlertFilter::default;
    assert_eq!(list(none()).await.alerts, [], "none means none");
    let by = list(some(AlertFilter { rule: Some("$lag".into()), ..none() })).await.alerts;
    assert_eq!(ids(&by), ids(&[all[1].clone(), all[3].clone()]));
    let by = list(some(AlertFilter { severity: Some(Severity::Critical), ..none() })).await.alerts;
    assert_eq!(ids(&by), ids(&all[..2]));
    let by = list(some(AlertFilter { states: vec![AlertState::Resolved], ..none() })).await.alerts;
    assert_eq!(by, all[4..]);
    let by = list(some(AlertFilter { fingerprint: Some(all[2].origin.fingerprint.clone()), ..none() })).await.alerts;
    assert_eq!(by, all[2..3]);
    assert_eq!(ids(&bench.alerts.open_alerts().await.expect("read")), ids(&all[..4]));
}

pub(super) async fn jobs_and_alerts_do_not_show_among_one_another(bench: Bench) {
    let alert = put(&bench, &finding()).await;
    let job = bench.put(&enqueue(request(Kind::Backup))).await;
    let jobs = bench.store.list(&JobFilter { limit: 9, ..JobFilter::default() }).await.expect("listed");
    assert_eq!((jobs.jobs.as_slice(), jobs.more), (std::slice::from_ref(&job), false));
    let one = bench.store.list(&JobFilter { limit: 1, ..JobFilter::default() }).await.expect("listed");
    assert_eq!((one.jobs.len(), one.more), (1, false));
    assert_eq!(bench.store.ids_with_prefix("a", 9).await.expect("looked for"), []);
    assert_eq!(bench.archive.page(None, 9).await.expect("read").len(), 1);
    assert_eq!(bench.archive.page(Some("a"), 9).await.expect("read").len(), 1);
    assert_eq!(bench.store.open_jobs().await.expect("counted").values().sum::<i64>(), 1);
    let claimable = bench.store.claimable(&super::kit::reach(), 9).await.expect("looked for");
    assert_eq!(claimable, std::slice::from_ref(&job));
    assert_eq!(bench.alerts.open_alerts().await.expect("read"), [alert]);
    let listed = bench.alerts.list_alerts(&AlertFilter { limit: 9, ..AlertFilter::default() }).await.expect("listed");
    assert_eq!(listed.alerts.len(), 1);
}

/// Leads the same random life of alerts on both benches; panics where their documents part.
pub async fn agree_on_alerts(one: &Bench, other: &Bench, seed: u64, steps: u32) {
    let mut chance = Chance(seed);
    let words = ["mail", "$$NOW", "a.b"];
    let mut ids: Vec<AlertId> = Vec::new();
    for step in 0..steps {
        let write = format!("${seed}-{step}");
        if ids.len() < 2 || chance.one_in(10) {
            let mut finding = finding();
            finding.labels = [("n".to_owned(), chance.of(&["1", "2", "$3"]).to_owned())].into();
            finding.sighting.summary = documents()[0].to_string();
            let raise = raise(&finding, fence(), chance.of(&words), &write);
            let left = matches!(one.alerts.raise_alert(&raise).await.expect("raised"), Raised::New(_));
            let right = matches!(other.alerts.raise_alert(&raise).await.expect("raised"), Raised::New(_));
            assert_eq!(left, right, "seed {seed}, step {step}");
            ids.extend(left.then_some(finding.id));
            if ids.is_empty() {
                continue;
            }
        }
        let id = chance.of(&ids[ids.len().saturating_sub(2)..]);
        let command = random(&mut chance);
        let mut told = Vec::new();
        for bench in [one, other] {
            let alert = bench.alerts.alert(&id).await.expect("read").expect("there");
            told.push(match transition(&alert, &command, "w", &write) {
                Ok(next) => matches!(bench.alerts.apply_alert(&next).await, Ok(AlertOutcome::Won(_))).to_string(),
                Err(refusal) => refusal.to_string(),
            });
        }
        assert_eq!(told[0], told[1], "seed {seed}, step {step}: {command:?}");
        let (left, right) = (document(one, &id).await, document(other, &id).await);
        let same = bytes(&normal(left.clone())) == bytes(&normal(right.clone()));
        assert!(same, "seed {seed}, step {step}, after {command:?}:\n{left}\n{right}");
    }
}

fn random(chance: &mut Chance) -> Command {
    let channel: String = chance.of(&["mail", "hook"]).into();
    let what = chance.of(&[What::Firing, What::Repeat, What::Resolved]);
    let notify = wanted(&["hook", "mail", "$x"], chance.of(&[OVER_MS, LONG_MS]));
    match chance.below(11) {
        0 | 1 => see(),
        2 => Command::MissData { fence: fence() },
        3 => Command::ChangeSeverity { fence: fence(), to: chance.of(&Severity::ALL), notify },
        4 => Command::EndAcknowledgement { fence: fence(), notify },
        5 => Command::Acknowledge { for_ms: chance.of(&[None, Some(OVER_MS), Some(LONG_MS)]), comment: "$c".into() },
        6 if chance.one_in(3) => resolve(),
        6 => Command::ResolveByHand { comment: "$$ROOT".into() },
        7 | 8 => Command::BeginNotice { channel, what },
        _ => Command::TakeNotice { channel, what, repeat_in_ms: chance.of(&[None, Some(OVER_MS), Some(LONG_MS)]) },
    }
}
