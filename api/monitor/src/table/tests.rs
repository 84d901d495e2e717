//! Rules that every family keeps.

use super::*;
use crate::{
    jobs::{Backup, Jobs, Space, Verification},
    process::Process,
    seen::tests::seen,
};
use lucid_ports::members::{Collection, Collections, Disk, Hello, Member, Oplog, Peer, Server, Set};
use lucid_schemas::{Kind, State};
use std::{collections::BTreeSet, sync::Arc};

/// Everything that can be seen, of one member.
fn everything() -> Seen {
    let one = Histogram::new([(64, 1)], 70);
    let server = Server {
        version: Some("8.0.1".into()),
        uptime_seconds: Some(1.0),
        connections: [("current", 1)].into(),
        connections_created: Some(1),
        operations: [("query", 1)].into(),
        replicated_operations: [("query", 1)].into(),
        latencies: [("reads", one)].into(),
        working: [("reads", one)].into(),
        queued: [("read", 1)].into(),
        active: [("read", 1)].into(),
        read_tickets: [("used", 1)].into(),
        write_tickets: [("used", 1)].into(),
        cursors: [("total", 1)].into(),
        cursors_timed_out: Some(1),
        asserts: [("user", 1)].into(),
        documents: [("returned", 1)].into(),
        keys_examined: Some(1),
        documents_examined: Some(1),
        network: [("in", 1)].into(),
        cache: [("used", 1), ("dirty", 1), ("max", 2)].into(),
        app_evictions: Some(1),
        checkpoint_seconds: Some(1.0),
        flow_control_lagged: Some(false),
        resident_bytes: Some(1),
    };
    let peer =
        Peer { state: Some(1), applied_at: Some(9.0), ping_seconds: Some(0.001), votes: Some(1), ..Peer::default() };
    let member = Member {
        hello: Hello { set: Some("rs0".into()), is_primary: true, config_version: Some(3), ..Hello::default() },
        server: Some(server),
        set: Some(Set { state: Some(1), term: Some(2), elected_at: Some(5.0), members: [("a:1".into(), peer)].into() }),
        oplog: Some(Oplog { oldest_at: Some(1.0), newest_at: Some(3_601.0), bytes: Some(7), max_bytes: Some(9) }),
        disk: Some(Disk { used_bytes: Some(1), total_bytes: Some(2) }),
        refused: [].into(),
    };
    let mut seen = seen([("a:1", Ok(member))]);
    let largest = vec![Collection { database: "lucid".into(), name: "users".into(), ..Collection::default() }];
    seen.members.collections = Some(Arc::new(Collections { at: None, largest, dropped: 3 }));
    seen.jobs = Ok(Arc::new(jobs()));
    seen.process = Process {
        cpu_seconds: Some(1.0),
        started_at: Some(1.0),
        resident_bytes: Some(1.0),
        threads: Some(1.0),
        open_files: Some(1.0),
        open_files_max: Some(1.0),
    };
    seen
}

fn jobs() -> Jobs {
    let (read_at, took_seconds, raw_bytes, stored_bytes) = (Some(1.0), Some(1.0), Some(1), Some(1));
    Jobs {
        open: [((Kind::Backup, State::Queued), 2)].into(),
        due_seconds: [(Kind::Backup, 4.0)].into(),
        workers: 1,
        slots_busy: 1,
        slots_free: 1,
        able: [(Kind::Backup, 1)].into(),
        backups: [("lucid".into(), Backup { job: "b".into(), read_at, took_seconds, raw_bytes, stored_bytes })].into(),
        attempts: [("lucid".into(), (1.0, true))].into(),
        verifications: [(("lucid".into(), "data"), Verification { job: "v".into(), ended_at: 1.0, is_success: true })]
            .into(),
        repositories: [("main".into(), Some(Space { free_bytes: 1.0, total_bytes: 2.0 }))].into(),
        ..Jobs::empty()
    }
}

#[test]
fn every_family_is_filled_by_something_and_keeps_the_rules() {
    let (all, nothing) = (everything(), seen([]));
    let names: BTreeSet<_> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(names.len(), FAMILIES.len(), "a name twice");
    for Family { name, kind, unit, labels, help, fill } in FAMILIES.iter() {
        assert_eq!(name.ends_with("_total"), *kind == Type::Counter, "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert!(help.ends_with('.') && !help.contains(['|', '\n']) && !unit.is_empty(), "{name}: {help}");
        for (ending, wanted) in [("_seconds", "seconds"), ("_bytes", "bytes")] {
            assert!(!name.ends_with(ending) || unit.starts_with(wanted), "{name} is in {unit}");
        }
        let points = fill(&all);
        assert!(!points.is_empty(), "{name} is never filled");
        for point in points {
            assert_eq!(point.labels.len(), labels.len(), "{name}");
            assert_eq!(matches!(point.value, Value::Histogram(_)), *kind == Type::Histogram, "{name}");
            assert!(!matches!(point.value, Value::Number(number) if !number.is_finite()), "{name}");
        }
        let of_nothing = fill(&nothing);
        let always = ["database_health_status", "ops_build_info", "ops_store_up"];
        assert_eq!(of_nothing.is_empty(), !always.contains(name), "{name}: {of_nothing:?}");
    }
}

#[test]
fn the_metrics_of_the_mission_have_their_names_and_types() {
    for (name, kind) in [
        ("mongodb_connections", Type::Gauge),
        ("mongodb_operations_total", Type::Counter),
        ("mongodb_query_duration_seconds", Type::Histogram),
        ("mongodb_collection_size_bytes", Type::Gauge),
        ("database_health_status", Type::Gauge),
    ] {
        assert!(FAMILIES.iter().any(|family| (family.name, family.kind) == (name, kind)), "{name}");
    }
}

#[test]
fn exactly_one_status_is_1() {
    let status = FAMILIES.iter().find(|family| family.name == "database_health_status").expect("there");
    for seen in [everything(), seen([]), seen([("a:1", Err("gone".into()))])] {
        let points = (status.fill)(&seen);
        assert_eq!(points.len(), 4);
        assert_eq!(points.iter().filter(|point| point.value == Value::Number(1.0)).count(), 1, "{points:?}");
    }
}

#[test]
fn the_table_in_the_documents_is_this_one() {
    let document = include_str!("../../../monitor.md");
    assert!(
        document.contains(&markdown()),
        "api/monitor.md is outdated: put in the output of `cargo run -p lucid-monitor --example table`"
    );
}
