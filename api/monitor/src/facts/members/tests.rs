//! What samples become: each figure, each gap, and what only two looks can tell.

use super::*;
use crate::seen::tests::{sample, seen};
use lucid_ports::members::{Disk, Hello};

const SECONDARY: i64 = 2;

fn peers(states: &[(&str, i64, bool)]) -> BTreeMap<String, Peer> {
    let peer = |(address, state, is_healthy): &(&str, i64, bool)| {
        let applied_at = is_healthy.then_some(if *state == PRIMARY { 1_000.0 } else { 990.0 });
        let (state, is_healthy, votes) = (Some(*state), Some(*is_healthy), Some(1));
        ((*address).to_owned(), Peer { state, is_healthy, votes, applied_at, ..Peer::default() })
    };
    states.iter().map(peer).collect()
}

/// A member of `rs0` that sees the set so.
fn member(state: i64, term: i64, states: &[(&str, i64, bool)]) -> ports::Member {
    let hello = Hello { set: Some("rs0".into()), is_primary: state == PRIMARY, ..Hello::default() };
    let set = Set { state: Some(state), term: Some(term), members: peers(states), ..Set::default() };
    ports::Member { hello, set: Some(set), server: Some(Server::default()), ..ports::Member::default() }
}

fn figures_of<'a>(facts: &'a Members, address: &str) -> &'a Figures {
    facts.answering().find(|(answering, _)| *answering == address).expect("it answers").1
}

/// A server that has counted so many cursors, and operations of 100 µs and of half a second.
fn server(cursors: i64, fast: u64, slow: u64) -> ports::Member {
    let counts = |pairs: &[(&'static str, i64)]| pairs.iter().copied().collect::<Counts>();
    let server = Server {
        connections: counts(&[("current", 30), ("available", 90)]),
        queued: counts(&[("read", 3), ("write", 4)]),
        cursors: counts(&[("total", 12), ("pinned", 2)]),
        cursors_timed_out: Some(cursors),
        app_evictions: Some(cursors * 2),
        cache: counts(&[("used", 50), ("dirty", 5), ("max", 200)]),
        flow_control_lagged: Some(false),
        latencies: [("reads", Histogram::new([(64, fast), (393_216, slow)], 0))].into(),
        ..Server::default()
    };
    let disk = Some(Disk { used_bytes: Some(3), total_bytes: Some(4) });
    let oplog = Oplog { oldest_at: Some(100.0), newest_at: Some(700.0), bytes: Some(9), max_bytes: Some(10) };
    ports::Member { server: Some(server), disk, oplog: Some(oplog), ..ports::Member::default() }
}

#[test]
fn what_members_say_of_themselves_and_of_each_other_becomes_facts() {
    let view = [("a:1", PRIMARY, true), ("b:1", SECONDARY, true), ("c:1", DOWN, false), ("d:1", SECONDARY, true)];
    let mut snapshot = seen([
        ("a:1", Ok(member(PRIMARY, 7, &view))),
        ("b:1", Ok(member(SECONDARY, 7, &view))),
        ("c:1", Err("refused".into())),
        ("d:1", Err("no answer within 2 s".into())),
    ])
    .members;
    snapshot.members.insert("e:1".into(), None);
    let facts = members(&snapshot, &Snapshot::default(), "pi-1");
    assert_eq!((facts.monitor.as_str(), facts.set.as_deref(), facts.members.len()), ("pi-1", Some("rs0"), 5));
    let primary = figures_of(&facts, "a:1");
    assert!(primary.is_primary && primary.knows_primary == Some(true) && primary.state == Some(PRIMARY));
    assert_eq!(figures_of(&facts, "b:1").lag_seconds, Some(10.0));
    assert_eq!(facts.members["c:1"].answer, Answer::Silence("refused".into()));
    let seen_by_others = |address: &str| facts.members[address].is_seen;
    assert_eq!((seen_by_others("c:1"), seen_by_others("d:1"), seen_by_others("e:1")), (Some(false), Some(true), None));
    assert_eq!((facts.members["e:1"].answer.clone(), facts.members["e:1"].votes), (Answer::Unasked, None));
    assert_eq!(facts.members["a:1"].votes, Some(1));
}

#[test]
fn without_a_primary_members_say_so() {
    let view = [("a:1", DOWN, false), ("b:1", SECONDARY, true)];
    let snapshot = seen([("b:1", Ok(member(SECONDARY, 7, &view)))]).members;
    let facts = members(&snapshot, &Snapshot::default(), "pi-1");
    assert_eq!(figures_of(&facts, "b:1").knows_primary, Some(false));
    let unable = ports::Member { set: None, ..member(SECONDARY, 7, &[]) };
    let facts = members(&seen([("b:1", Ok(unable))]).members, &Snapshot::default(), "pi-1");
    assert_eq!(figures_of(&facts, "b:1").knows_primary, None, "it may not tell");
    let arbiter = ports::Member { hello: Hello { is_arbiter: true, ..Hello::default() }, ..ports::Member::default() };
    let facts = members(&seen([("b:1", Ok(arbiter))]).members, &Snapshot::default(), "pi-1");
    assert_eq!((figures_of(&facts, "b:1").state, figures_of(&facts, "b:1").is_arbiter), (Some(ARBITER), true));
}

#[test]
fn shares_are_of_the_whole_and_rates_of_the_time_between_two_looks() {
    let before = seen([("a:1", Ok(server(10, 1_000, 0)))]).members;
    let mut after = seen([("a:1", Ok(server(40, 1_950, 50)))]).members;
    let later = before.members["a:1"].as_ref().expect("sampled").at + Duration::from_secs(60);
    let moved = Sample { at: later, ..Sample::clone(&sample(Ok(server(40, 1_950, 50)))) };
    after.members.insert("a:1".into(), Some(std::sync::Arc::new(moved)));
    let facts = members(&after, &before, "pi-1");
    let figures = figures_of(&facts, "a:1");
    assert_eq!((figures.connections_percent, figures.queued, figures.cursors), (Some(25.0), Some(7.0), Some(12.0)));
    assert_eq!(
        (figures.cache_percent, figures.dirty_percent, figures.disk_percent),
        (Some(25.0), Some(2.5), Some(75.0))
    );
    assert_eq!((figures.oplog_window_seconds, figures.oplog_percent), (Some(600.0), Some(90.0)));
    assert_eq!((figures.cursors_timed_out_per_minute, figures.app_evictions_per_second), (Some(30.0), Some(1.0)));
    let reads = figures.latencies["reads"];
    assert!((reads.operations - 1_000.0).abs() < 1e-9, "{reads:?}");
    assert!(
        (0.262_144..0.524_288).contains(&reads.p99_seconds),
        "of those in between, one in twenty was slow: {reads:?}"
    );
    // Started anew: what was counted before is no part of it.
    let facts = members(&before, &after, "pi-1");
    let figures = figures_of(&facts, "a:1");
    assert_eq!((figures.cursors_timed_out_per_minute, figures.latencies.len()), (None, 0));
    let facts = members(&after, &Snapshot::default(), "pi-1");
    assert_eq!(figures_of(&facts, "a:1").app_evictions_per_second, None, "one look tells no rate");
}

#[test]
fn a_trail_counts_elections_and_the_time_in_a_state_and_stays_short() {
    let begin = Instant::now();
    let mut trail = Trail::default();
    let mut look = |minute: u64, state: i64, term: i64| {
        let seen = seen([("a:1", Ok(member(state, term, &[])))]);
        let facts = trail.facts(begin + Duration::from_secs(minute * 60), &seen, "pi-1");
        let figures = figures_of(&facts, "a:1");
        (facts.elections, figures.state_seconds / 60.0, trail.looks.len())
    };
    assert_eq!(look(0, 5, 7), (Some(0), 0.0, 1));
    assert_eq!(look(20, 5, 8), (Some(1), 20.0, 2));
    assert_eq!(look(30, SECONDARY, 10), (Some(3), 0.0, 2));
    assert_eq!(look(40, SECONDARY, 9), (Some(3), 10.0, 2), "who was cut off knows less");
    assert_eq!(look(79, SECONDARY, 10), (Some(3), 49.0, 2));
    assert_eq!(look(81, SECONDARY, 10), (Some(2), 51.0, 3), "the first one was more than an hour ago");
    assert_eq!(look(91, SECONDARY, 10).0, Some(0));
    let kept = (0..60).map(|minute| look(100 + minute, SECONDARY, 10).2).max();
    assert!(kept <= Some(12), "{kept:?} looks are kept");
    let gone = trail.facts(begin + Duration::from_secs(10_000), &seen([("b:1", Err("gone".into()))]), "pi-1");
    assert_eq!((gone.elections, trail.states.len(), trail.disks.len()), (Some(0), 0, 0));
}

#[test]
fn the_oplog_to_go_by_is_the_primarys() {
    let with = |is_primary: bool, window: f64| {
        let oplog = Some(Oplog { oldest_at: Some(0.0), newest_at: Some(window), ..Oplog::default() });
        Ok(ports::Member { hello: Hello { is_primary, ..Hello::default() }, oplog, ..ports::Member::default() })
    };
    assert_eq!(oplog_window(&seen([("a:1", with(true, 5.0)), ("b:1", with(false, 9.0))])), Some(5.0));
    assert_eq!(oplog_window(&seen([("a:1", with(false, 5.0)), ("b:1", with(false, 9.0))])), Some(9.0));
    assert_eq!(oplog_window(&seen([("a:1", Ok(ports::Member::default()))])), None);
}

#[test]
fn databases_are_those_that_were_measured() {
    let mut all = seen([]);
    assert_eq!(databases(&all), None);
    let collection = |database: &str, storage_bytes, index_bytes| ports::Collection {
        database: database.into(),
        storage_bytes,
        index_bytes,
        ..ports::Collection::default()
    };
    let largest = vec![collection("shop", 5, 1), collection("shop", 2, 0), collection("lucid_ops", 1, 1)];
    let collections = ports::Collections { largest, ..ports::Collections::default() };
    all.members.collections = Some(std::sync::Arc::new(collections));
    assert_eq!(databases(&all), Some([("lucid_ops".to_owned(), 2), ("shop".to_owned(), 8)].into()));
}
