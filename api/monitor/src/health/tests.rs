//! What is said of which samples.

use super::*;
use crate::{jobs::Jobs, open::Found, seen::tests::seen};
use bson::DateTime;
use lucid_core::rules::facts::Facts;
use lucid_ports::{
    Pause, Watch,
    members::{Hello, Member, Peer, Set},
};
use lucid_schemas::{Head, Job, JobId, Kind, MonitorSpec, Progress, Stamp, State, alert::Alert};
use std::sync::Arc;

/// A member in this state, which sees the others so.
fn member(state: i64, view: &[(&str, i64, f64)]) -> Member {
    let peer = |(address, state, applied_at): &(&str, i64, f64)| {
        ((*address).to_owned(), Peer { state: Some(*state), applied_at: Some(*applied_at), ..Peer::default() })
    };
    Member {
        hello: Hello { set: Some("rs0".into()), is_primary: state == PRIMARY, ..Hello::default() },
        set: Some(Set { state: Some(state), members: view.iter().map(peer).collect(), ..Set::default() }),
        ..Member::default()
    }
}

/// What the store tells, where a monitor has just evaluated.
fn told(open: Vec<Alert>) -> Seen {
    let now = DateTime::now();
    let request = MonitorSpec::sample().request(JobId::compose(Kind::Monitor, now, 1), "monitor:pi-1");
    let progress = Some(Progress { updated_at: Some(now), ..Progress::default() });
    let head = Head { state: State::Running, ..Head::born(Stamp::At(now)) };
    let monitor = Job { request, head, lease: None, progress, events: Vec::new(), fate: None };
    let watch = Watch { monitors: vec![monitor], open, paused: None };
    let facts = Facts { now_ms: now.timestamp_millis(), ..Facts::default() };
    Seen { jobs: Ok(Arc::new(Jobs { facts, watch, ..Jobs::empty() })), ..seen([]) }
}

#[test]
fn it_is_as_the_open_alerts_say() {
    assert_eq!(health(&told(vec![])).status, Status::Healthy);
    let unwatched = Seen { jobs: Ok(Arc::new(Jobs::empty())), ..seen([]) };
    let unknown = health(&unwatched);
    assert!(
        unknown.status == Status::Unknown && unknown.problems[0].contains("no monitor has ever run"),
        "{unknown:?}"
    );
}

#[test]
fn without_the_store_nobody_knows_unless_the_members_say_that_there_is_no_primary() {
    let said = |seen: &Seen| (health(seen).status, health(seen).problems.len());
    assert_eq!(said(&seen([])), (Status::Unknown, 2));
    let silent = seen([("a:1", Err("no answer".into())), ("b:1", Err("no answer".into()))]);
    assert_eq!(said(&silent), (Status::Unknown, 4), "it may be the monitor that is cut off");
    let none = [("a:1", 8, 1.0), ("b:1", 2, 1.0)];
    let voteless = seen([("a:1", Err("gone".into())), ("b:1", Ok(member(2, &none)))]);
    assert_eq!(said(&voteless), (Status::Critical, 3));
    let hidden_from_us = [("a:1", 1, 1.0), ("b:1", 2, 1.0)];
    let led = seen([("a:1", Err("gone".into())), ("b:1", Ok(member(2, &hidden_from_us)))]);
    assert_eq!(said(&led), (Status::Unknown, 2));
    assert_eq!(
        health(&seen([("a:1", Ok(Member::default()))])).status,
        Status::Unknown,
        "without a set there is nothing to elect"
    );
}

#[test]
fn what_is_wrong_at_this_process_is_told() {
    let broken = vec!["the sampler broke off".to_owned()];
    let said = health(&Seen { problems: broken.clone(), ..told(vec![]) });
    assert_eq!((said.status, said.problems), (Status::Degraded, broken));
}

#[test]
fn what_can_not_be_written_counts_all_the_same() {
    let found = |severity| Found {
        rule: "no_majority".into(),
        labels: [("set".to_owned(), "rs0".to_owned())].into(),
        severity,
        since_ms: 0,
        summary: "half of the votes are down".into(),
        value: None,
    };
    let with = |severity, seen: Seen| {
        let said = health(&Seen { found: vec![found(severity)], ..seen });
        assert_eq!(said.problems[0], "half of the votes are down");
        said.status
    };
    assert_eq!(with(Severity::Warning, told(vec![])), Status::Degraded);
    assert_eq!(with(Severity::Critical, told(vec![])), Status::Critical);
    assert_eq!(with(Severity::Critical, seen([])), Status::Critical, "the store tells nothing, but this is known");
    assert_eq!(with(Severity::Warning, seen([])), Status::Unknown);
    let mut paused = told(vec![]);
    if let Ok(jobs) = &mut paused.jobs {
        let pause = Pause { kind: Kind::Monitor, by: "somebody".into(), reason: String::new(), at: None };
        let watch = Watch { paused: Some(pause), ..jobs.watch.clone() };
        *jobs = Arc::new(Jobs { watch, ..(**jobs).clone() });
    }
    assert_eq!(with(Severity::Critical, paused), Status::Unknown);
}
