//! What is said of which samples.

use super::*;
use crate::{
    jobs::{Jobs, Verification},
    seen::tests::seen,
};
use lucid_ports::members::{Hello, Member, Peer, Set};
use lucid_schemas::Kind;
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;

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

fn jobs() -> Jobs {
    Jobs {
        at: Instant::now(),
        open: BTreeMap::new(),
        due_seconds: BTreeMap::new(),
        workers: 1,
        slots_busy: 0,
        slots_free: 2,
        able: BTreeMap::new(),
        backups: BTreeMap::new(),
        attempts: BTreeMap::new(),
        verifications: BTreeMap::new(),
        repositories: BTreeMap::new(),
    }
}

/// What is said of members, where the jobs are well.
fn said<const N: usize>(members: [(&str, Result<Member, String>); N]) -> (Status, Vec<String>) {
    let Health { status, problems, .. } = health(&Seen { jobs: Ok(Arc::new(jobs())), ..seen(members) });
    (status, problems)
}

#[test]
fn a_set_with_a_primary_and_nothing_wrong_is_healthy() {
    let view = [("a:1", 1, 100.0), ("b:1", 2, 99.0), ("c:1", 7, 100.0)];
    let all = [("a:1", Ok(member(1, &view))), ("b:1", Ok(member(2, &view))), ("c:1", Ok(member(7, &view)))];
    assert_eq!(said(all), (Status::Healthy, vec![]));
}

#[test]
fn who_knows_nothing_says_so() {
    assert_eq!(said([]).0, Status::Unknown);
    let mut never = seen([("a:1", Err("x".into()))]);
    never.members.members.insert("a:1".into(), None);
    assert_eq!(health(&never).status, Status::Unknown);
    let (status, problems) = said([("a:1", Err("no answer".into())), ("b:1", Err("no answer".into()))]);
    assert_eq!((status, problems.len()), (Status::Unknown, 3), "it may be the monitor that is cut off");
}

#[test]
fn no_primary_is_claimed_only_where_nobody_knows_one() {
    let none = [("a:1", 8, 1.0), ("b:1", 2, 1.0)];
    let (status, problems) = said([("a:1", Err("gone".into())), ("b:1", Ok(member(2, &none)))]);
    assert_eq!((status, problems.len()), (Status::Critical, 2));
    let hidden_from_us = [("a:1", 1, 1.0), ("b:1", 2, 1.0)];
    let (status, problems) = said([("a:1", Err("gone".into())), ("b:1", Ok(member(2, &hidden_from_us)))]);
    assert_eq!((status, problems), (Status::Degraded, vec!["a:1 doesn't answer: gone".to_owned()]));
    let alone = Member::default();
    assert_eq!(said([("a:1", Ok(alone))]).0, Status::Healthy, "without a set there is nothing to elect");
}

#[test]
fn what_lags_or_is_not_ready_is_named() {
    let view = [("a:1", 1, 1_000.0), ("b:1", 2, 939.0), ("c:1", 3, 1_000.0)];
    let all = [("a:1", Ok(member(1, &view))), ("b:1", Ok(member(2, &view))), ("c:1", Ok(member(3, &view)))];
    assert_eq!(said(all), (Status::Degraded, vec!["c:1 is recovering".to_owned(), "b:1 is 61 s behind".to_owned()]));
}

#[test]
fn what_is_wrong_at_this_process_is_told() {
    let view = [("a:1", 1, 1.0)];
    let all = seen([("a:1", Ok(member(1, &view)))]);
    let broken = vec!["the sampler broke off".to_owned()];
    let said = health(&Seen { jobs: Ok(Arc::new(jobs())), problems: broken.clone(), ..all });
    assert_eq!((said.status, said.problems), (Status::Degraded, broken));
}

#[test]
fn trouble_of_jobs_and_backups_degrades() {
    let view = [("a:1", 1, 1.0)];
    let well = || seen([("a:1", Ok(member(1, &view)))]);
    assert_eq!(health(&well()).status, Status::Degraded, "nothing is known of jobs");
    let with = |change: fn(&mut Jobs)| {
        let mut jobs = jobs();
        change(&mut jobs);
        health(&Seen { jobs: Ok(Arc::new(jobs)), ..well() })
    };
    assert_eq!(with(|_| {}).status, Status::Healthy);
    let troubles: [fn(&mut Jobs); 5] = [
        |jobs| jobs.workers = 0,
        |jobs| jobs.open = [((Kind::Restore, State::Blocked), 1)].into(),
        |jobs| jobs.attempts = [("lucid".into(), (1.0, false))].into(),
        |jobs| {
            let failed = Verification { job: "verify_1".into(), ended_at: 1.0, is_success: false };
            jobs.verifications.insert(("lucid".into(), "data"), failed);
        },
        |jobs| jobs.repositories = [("main".into(), None)].into(),
    ];
    for trouble in troubles {
        let health = with(trouble);
        assert_eq!((health.status, health.problems.len()), (Status::Degraded, 1), "{health:?}");
    }
}
