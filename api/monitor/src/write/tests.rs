//! Who holds the job writes, nobody else does, and what is open follows what is found: real workers on the twin.

use super::*;
use bson::DateTime;
use lucid_core::{
    alert::invariant::violations,
    rules::{Judged, Rule, Standing},
};
use lucid_notify::{Channels, Direct, Hush, Hushed, Sender, direct::Look};
use lucid_ports::{AlertFilter, Feed, Pause, Reach, memory::MemoryStore};
use lucid_runtime::{Worker, WorkerHandle, WorkerOptions};
use lucid_schemas::{
    Stamp,
    alert::{Alert, AlertState, Fingerprint, ResolvedBy, Severity},
    kinds::monitor::INTERVAL_SHORTEST,
};
use std::collections::BTreeMap;
use tokio::{sync::watch, time::timeout};

static LAG: Rule = Rule { id: "lag", ..Rule::PLAIN };

/// One monitor: what it finds, and its worker.
struct Monitor {
    finds: watch::Sender<Option<Arc<Evaluation>>>,
    chain: Chain,
    worker: WorkerHandle,
    problems: Problems,
    direct: Direct,
}

fn monitor(store: &Arc<MemoryStore>, name: &str) -> Monitor {
    monitor_with(store, name, Arc::new(tell::Quiet { silences: store.clone(), alerts: store.clone() }))
}

fn monitor_with(store: &Arc<MemoryStore>, name: &str, hush: Arc<dyn Hush>) -> Monitor {
    let (finds, evaluations) = watch::channel(None);
    let (problems, direct) = (Problems::default(), Direct::new(Channels::none(), Sender::default()));
    let chain = Chain::new(store.clone(), store.clone(), format!("monitor:{name}"));
    let desk = Desk {
        store: store.clone(),
        alerts: store.clone(),
        silences: store.clone(),
        evaluations,
        teller: Teller { channels: Channels::none(), hush, rounds: watch::channel(None).0, direct: direct.clone() },
        chain: chain.clone(),
        problems: problems.clone(),
    };
    let handlers: Vec<Arc<dyn Handler>> = vec![Arc::new(MonitorHandler::new(desk))];
    let options = WorkerOptions { poll_ms: 200, ..WorkerOptions::new(name).with_lease_ms(1_000) };
    let feed: &dyn Feed = &**store;
    let worker = Worker::start(store.clone(), feed, handlers, Reach::default(), options).expect("a worker");
    Monitor { finds, chain, worker, problems, direct }
}

impl Monitor {
    /// A round finds that these members are behind, so long after it was.
    fn finds(&self, members: &[&str], late: Duration) {
        let one = |member: &&str| {
            let labels = BTreeMap::from([("member".to_owned(), (*member).to_owned())]);
            let standing = Standing::Open {
                since_ms: 0,
                severity: Severity::Warning,
                value: None,
                summary: format!("{member} is behind"),
                flapping: false,
                silent: false,
            };
            (Fingerprint::of(LAG.id, &labels), Judged { rule: &LAG, labels, standing })
        };
        let primary_at =
            DateTime::from_millis(DateTime::now().timestamp_millis() - i64::try_from(late.as_millis()).expect("short"));
        self.finds.send_replace(Some(Arc::new(Evaluation {
            at: Instant::now(),
            primary_at: Some(primary_at),
            judged: members.iter().map(one).collect(),
            cold: Vec::new(),
            rules: vec![&LAG],
            clock_ms: 4_000,
            can_write: true,
            term: None,
        })));
    }
}

async fn all(store: &MemoryStore) -> Vec<Alert> {
    let alerts = store.list_alerts(&AlertFilter { limit: 100, ..AlertFilter::default() }).await.expect("alerts").alerts;
    for alert in &alerts {
        assert_eq!(violations(alert), []);
    }
    alerts
}

/// Says it again and again until it is so.
async fn until(what: &str, mut round: impl AsyncFnMut() -> bool) {
    let reached = async {
        while !round().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(Duration::from_secs(30), reached).await.is_ok(), "not {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_raised_once_and_resolved_when_it_is_over() {
    let store = Arc::new(MemoryStore::new());
    let (one, other) = (monitor(&store, "one"), monitor(&store, "other"));
    let asked = [
        one.chain.ask(MonitorSpec::every(INTERVAL_SHORTEST)).await,
        other.chain.ask(MonitorSpec::every(INTERVAL_SHORTEST)).await,
    ];
    assert_eq!(asked[0].as_ref().ok(), asked[1].as_ref().ok(), "two who ask get one job");
    until("raised", async || {
        one.finds(&["a", "b"], Duration::ZERO);
        other.finds(&["a", "b"], Duration::ZERO);
        store.open_alerts().await.expect("alerts").len() == 2
    })
    .await;
    let raised = store.open_alerts().await.expect("alerts").remove(0);
    let since_ms = raised.head.created_at.stored().expect("stored").timestamp_millis()
        - raised.origin.starts_at.timestamp_millis();
    assert!((4_000..8_000).contains(&since_ms), "it was so 4 s before the round: {since_ms}");
    until("resolved", async || {
        one.finds(&["b"], Duration::ZERO);
        other.finds(&["b"], Duration::ZERO);
        store.open_alerts().await.expect("alerts").len() == 1
    })
    .await;
    until("raised again", async || {
        one.finds(&["a"], Duration::ZERO);
        other.finds(&["a"], Duration::ZERO);
        all(&store).await.len() == 3
    })
    .await;
    let again = all(&store).await.remove(0);
    let first = again.origin.previous.clone().expect("it names the one before");
    assert_eq!(store.alert(&first).await.expect("read").expect("there").head.state, AlertState::Resolved);
    for monitor in [one, other] {
        monitor.worker.stop().await.expect("stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_of_long_ago_writes_nothing() {
    let store = Arc::new(MemoryStore::new());
    let monitor = monitor(&store, "one");
    let job = monitor.chain.ask_next(INTERVAL_SHORTEST).await.expect("asked");
    until("a round", async || {
        monitor.finds(&["a"], Duration::from_secs(3));
        let job = store.load(&job).await.expect("read").expect("there");
        job.progress.is_some_and(|progress| progress.phase == "evaluate")
    })
    .await;
    assert_eq!(all(&store).await, []);
    monitor.worker.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_job_goes_on_and_a_paused_one_writes_nothing() {
    let store = Arc::new(MemoryStore::new());
    let monitor = monitor(&store, "one");
    let first = monitor.chain.ask_next(INTERVAL_SHORTEST).await.expect("asked");
    until("raised", async || {
        monitor.finds(&["a"], Duration::ZERO);
        !all(&store).await.is_empty()
    })
    .await;
    let second = monitor.chain.ask_next(30).await.expect("asked");
    until("handed on", async || {
        monitor.finds(&["a"], Duration::ZERO);
        let second = store.load(&second).await.expect("read").expect("there");
        second.progress.is_some()
    })
    .await;
    let ended = store.load(&first).await.expect("read").expect("there");
    assert_eq!(ended.head.state, State::Succeeded);
    let result = ended.head.result.expect("a result");
    assert_eq!(result.get_str("successor").expect("named"), second.as_str());
    assert!(
        result.get_i64("raised").is_ok_and(|raised| raised == 1)
            && result.get_i64("rounds").is_ok_and(|rounds| rounds > 0),
        "{result}"
    );
    let pause = Pause { kind: Kind::Monitor, by: "somebody".into(), reason: "a test".into(), at: None };
    store.pause(&pause).await.expect("paused");
    until("given back", async || {
        monitor.finds(&["a"], Duration::ZERO);
        store.load(&second).await.expect("read").expect("there").head.state == State::Queued
    })
    .await;
    store.unpause(Kind::Monitor).await.expect("resumed");
    until("written again", async || {
        monitor.finds(&[], Duration::ZERO);
        store.open_alerts().await.expect("alerts").is_empty()
    })
    .await;
    let alert = all(&store).await.remove(0);
    assert_eq!((alert.token.generation, alert.head.resolved_by), (2, Some(ResolvedBy::Gone)));
    monitor.worker.stop().await.expect("stopped");
}

#[tokio::test]
async fn the_chain_goes_on_behind_what_was_written_and_stops_where_a_person_ended_it() {
    let store = Arc::new(MemoryStore::new());
    let chain = Chain::new(store.clone(), store.clone(), "monitor:one".into());
    chain.ask_where_none(30).await.expect("asked");
    chain.ask_where_none(30).await.expect("asked");
    let jobs =
        async || store.list(&lucid_ports::JobFilter { limit: 9, ..Default::default() }).await.expect("jobs").jobs;
    assert_eq!(jobs().await.len(), 1, "there is one already");
    let first = jobs().await.remove(0);
    let cancel = lucid_core::transition(&first, &lucid_core::Command::RequestCancel, "somebody", "w").expect("lawful");
    store.apply(&cancel).await.expect("applied");
    chain.ask_where_none(30).await.expect("asked");
    assert_eq!(jobs().await.len(), 1, "a person ended it");
    chain.ask_next(10).await.expect("asked");
    // Both may be of one millisecond, so either may stand first.
    let next = jobs().await.into_iter().find(|job| job.id() != first.id()).expect("another one");
    let Spec::Monitor(spec) = next.request.spec else { panic!("a monitor job") };
    assert_eq!(spec, MonitorSpec::every(10).with_generation(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_can_be_read_by_name() {
    let store = Arc::new(MemoryStore::new());
    let monitor = monitor(&store, "one");
    let job = monitor.chain.ask_next(INTERVAL_SHORTEST).await.expect("asked");
    let members: Vec<String> = (0..130).map(|number| format!("pi-{number:03}")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    until("kept", async || {
        store.set_now(DateTime::now());
        monitor.finds(&members, Duration::ZERO);
        let Some(list) = store.detail(&job, "left_out/lag").await.expect("read") else { return false };
        let open = store.open_alerts().await.expect("alerts");
        let told = open.iter().find(|alert| alert.origin.rule == "alerts_left_out");
        let names = list.data.get_array("names").expect("names").clone();
        let is_open = |name: &bson::Bson| {
            open.iter().any(|alert| alert.origin.labels.values().any(|known| Some(known.as_str()) == name.as_str()))
        };
        told.is_some_and(|told| told.seen.summary.contains("left_out/lag"))
            && names.len() == 30
            && !names.iter().any(is_open)
    })
    .await;
    monitor.worker.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_forgets_what_was_over_long_ago() {
    let store = Arc::new(MemoryStore::new());
    let mut old = Vec::new();
    for days in [200, 100] {
        store.set_now(DateTime::from_millis(DateTime::now().timestamp_millis() - days * 86_400_000));
        let raise = crate::alerts::tests::world::raised("lag", ("member", "a"), Severity::Warning);
        store.raise_alert(&raise).await.expect("raised");
        let how = lucid_core::alert::Command::ResolveByHand { comment: String::new() };
        let next =
            lucid_core::alert::transition(&all(&store).await[0], &how, "me", &format!("{days}")).expect("lawful");
        store.apply_alert(&next).await.expect("applied");
        old.push(raise.alert.origin.id);
    }
    store.set_now(DateTime::now());
    let monitor = monitor(&store, "one");
    monitor.chain.ask_next(INTERVAL_SHORTEST).await.expect("asked");
    until("forgotten", async || {
        store.set_now(DateTime::now());
        monitor.finds(&[], Duration::ZERO);
        store.alert(&old[0]).await.expect("read").is_none()
    })
    .await;
    assert!(store.alert(&old[1]).await.expect("read").is_some(), "the newest about the same stays");
    monitor.worker.stop().await.expect("stopped");
}

/// Silences that can't be read for a while.
#[derive(Default)]
struct Deaf(std::sync::atomic::AtomicBool);

#[async_trait]
impl Hush for Deaf {
    async fn look(&self) -> Result<Hushed, StoreError> {
        if self.0.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(StoreError::Rejected("not authorized on silences".into()));
        }
        Ok(Box::new(|_| false))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_be_told_the_alerts_are_written_all_the_same_and_it_says_so() {
    let store = Arc::new(MemoryStore::new());
    let deaf = Arc::new(Deaf(true.into()));
    let monitor = monitor_with(&store, "one", deaf.clone());
    let job = monitor.chain.ask_next(INTERVAL_SHORTEST).await.expect("asked");
    let said = |monitor: &Monitor| monitor.problems.sentences().join("; ");
    until("raised, and said", async || {
        monitor.finds(&["a"], Duration::ZERO);
        said(&monitor).contains("alerts are written, but nobody is told of them: MongoDB refuses: not authorized")
    })
    .await;
    assert!(!said(&monitor).contains("can't be written"), "{}", said(&monitor));
    assert_eq!(all(&store).await.len(), 1);
    until("reported", async || {
        monitor.finds(&["a"], Duration::ZERO);
        store.load(&job).await.expect("read").expect("there").progress.is_some()
    })
    .await;
    deaf.0.store(false, std::sync::atomic::Ordering::SeqCst);
    until("told again", async || {
        monitor.finds(&["a"], Duration::ZERO);
        said(&monitor).is_empty()
    })
    .await;
    deaf.0.store(true, std::sync::atomic::Ordering::SeqCst);
    until("said again", async || {
        monitor.finds(&["a"], Duration::ZERO);
        !said(&monitor).is_empty()
    })
    .await;
    let pause = Pause { kind: Kind::Monitor, by: "somebody".into(), reason: "a test".into(), at: None };
    store.pause(&pause).await.expect("paused");
    until("left to whoever holds it next", async || {
        monitor.finds(&["a"], Duration::ZERO);
        said(&monitor).is_empty()
    })
    .await;
    monitor.worker.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_over_before_it_could_be_written_is_an_alert_with_its_own_times() {
    let store = Arc::new(MemoryStore::new());
    let one = monitor(&store, "one");
    let labels = BTreeMap::from([("member".to_owned(), "a:1".to_owned())]);
    let standing = |standing| {
        let judged = Judged { rule: &LAG, labels: labels.clone(), standing };
        BTreeMap::from([(Fingerprint::of(LAG.id, &labels), judged)])
    };
    let behind = Standing::Open {
        since_ms: 1_000,
        severity: Severity::Critical,
        value: Some(40.0),
        summary: "a:1 is behind".into(),
        flapping: false,
        silent: false,
    };
    let (began, written) = (DateTime::from_millis(DateTime::now().timestamp_millis() - 600_000), BTreeMap::new());
    let at = |clock_ms: i64| DateTime::from_millis(began.timestamp_millis() + clock_ms);
    for (clock_ms, judged) in [(4_000, standing(behind)), (64_000, standing(Standing::Over(ResolvedBy::Condition)))] {
        one.direct.round(&Look {
            judged: &judged,
            written: &written,
            silences: &[],
            can_write: false,
            term: 7,
            rank: 0,
            clock_ms,
            now: at(clock_ms),
            is_uncertain: true,
        });
    }
    one.chain.ask_next(1).await.expect("asked");
    until("written", async || {
        one.finds(&[], Duration::ZERO);
        all(&store).await.iter().any(|alert| !alert.head.state.is_open())
    })
    .await;
    for _ in 0..3 {
        one.finds(&[], Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let alerts = all(&store).await;
    let [alert] = alerts.as_slice() else { panic!("one alert: {alerts:?}") };
    assert_eq!((alert.origin.starts_at, alert.origin.starts_at_uncertain), (at(1_000), true));
    assert_eq!(alert.head.resolved_at.and_then(Stamp::stored), Some(at(64_000)));
    assert_eq!((alert.incident(), alert.head.severity, alert.seen.value), ("t7", Severity::Critical, Some(40.0)));
    assert!(alert.notify.is_empty() && one.direct.over().is_empty());
}
