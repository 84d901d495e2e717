//! Rules that every family keeps.

use super::*;
use crate::{
    host::{Disk, Host},
    jobs::{
        Backup, Counted, Fleet, Jobs, Planned, Space, Usual, Verification,
        ended::Ended,
        plans::{Plan, Promise},
    },
    process::Process,
    seen::tests::seen,
};
use bson::DateTime;
use lucid_core::alert::{Fence, Finding, Sighting, raise};
use lucid_core::rules::facts::Facts;
use lucid_notify::channels::Sends;
use lucid_ports::members::{Collection, Collections, Hello, Member, Oplog, Peer, Server, Set};
use lucid_ports::{Watch, members};
use lucid_schemas::{
    Head, Job, JobId, Kind, MonitorSpec, Progress, Stamp, State,
    alert::{AlertId, Severity, Token},
};
use std::{collections::BTreeSet, sync::Arc};

fn server() -> Server {
    let one = Histogram::new([(64, 1)], 70);
    Server {
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
        read_tickets: [("used", 1), ("available", 1), ("total", 2)].into(),
        write_tickets: [("used", 1), ("available", 1), ("total", 2)].into(),
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
        ttl_deleted: Some(1),
        page_faults: Some(1),
        write_concern: [("waits", 1), ("waited_ms", 1), ("timeouts", 1)].into(),
        applying: [("buffered", 1), ("applied", 1), ("apply_ms", 1), ("fetch_ms", 1)].into(),
    }
}

/// Everything that can be seen, of one member.
fn everything() -> Seen {
    let peer = Peer {
        state: Some(1),
        is_healthy: Some(true),
        applied_at: Some(9.0),
        ping_seconds: Some(0.001),
        votes: Some(1),
        elected_at: Some(5.0),
        heard_at: Some(9.0),
        ..Peer::default()
    };
    let member = Member {
        hello: Hello { set: Some("rs0".into()), is_primary: true, config_version: Some(3), ..Hello::default() },
        server: Some(server()),
        set: Some(Set { state: Some(1), term: Some(2), elected_at: Some(5.0), members: [("a:1".into(), peer)].into() }),
        oplog: Some(Oplog { oldest_at: Some(1.0), newest_at: Some(3_601.0), bytes: Some(7), max_bytes: Some(9) }),
        disk: Some(members::Disk { used_bytes: Some(1), total_bytes: Some(2) }),
        refused: [].into(),
    };
    let mut seen = seen([("a:1", Ok(member))]);
    let largest = vec![Collection {
        database: "lucid".into(),
        name: "users".into(),
        latencies: [("reads", Histogram::default())].into(),
        ..Collection::default()
    }];
    seen.members.collections = Some(Arc::new(Collections { largest, dropped: 3, ..Collections::default() }));
    seen.jobs = Ok(Arc::new(jobs()));
    seen.host = Some(Arc::new(host()));
    seen.stream_at = Some(3_600.0);
    let sends = Sends { sent: 2, failed: 1, succeeded_at: Some(std::time::SystemTime::now()), trouble: None };
    seen.sends = [("pager".to_owned(), sends)].into();
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
    let plan = Plan {
        is_paused: false,
        next_due_at: Some(3.0),
        last_planned_at: Some(2.0),
        made_job: Some(true),
        last_success: Some(true),
    };
    Jobs {
        open: [((Kind::Backup, State::Queued), 2)].into(),
        due_seconds: [(Kind::Backup, 4.0)].into(),
        counted: Counted {
            ended: [((Kind::Backup, State::Succeeded), Ended::default())].into(),
            leases_lost: [(Kind::Backup, 1)].into(),
        },
        clock_offset_seconds: Some(-0.1),
        able: [(Kind::Backup, 1)].into(),
        facts: Facts { channels: [("pager".to_owned(), None)].into(), ..Facts::default() },
        watch: watch(),
        fleet: Fleet {
            clock_skew_seconds: Some(0.1),
            silent_seconds: Some(3.0),
            counts: [("gaps".into(), 1)].into(),
            with_problems: 0,
        },
        planned: Planned {
            plans: [("nightly".into(), plan)].into(),
            promises: [("lucid".into(), Promise { interval_seconds: 60.0, next_due_at: 3.0 })].into(),
        },
        backups: [("lucid".into(), Backup { job: "b".into(), read_at, took_seconds, raw_bytes, stored_bytes })].into(),
        usual: [("lucid".into(), Usual { raw_bytes: Some(1.0), took_seconds: Some(1.0) })].into(),
        attempts: [("lucid".into(), (1.0, true))].into(),
        verifications: [(("lucid".into(), "data"), Verification { job: "v".into(), ended_at: 1.0, is_success: true })]
            .into(),
        repositories: [("main".into(), Ok(Space { free_bytes: 1.0, total_bytes: 2.0 }))].into(),
        ..Jobs::empty()
    }
}

fn host() -> Host {
    Host {
        celsius: [("cpu-thermal".into(), 61.0)].into(),
        throttled: [("throttled", (false, true))].into(),
        pressure_seconds: [(("io", "some"), 1.0)].into(),
        load: Some([0.1, 0.2, 0.3]),
        processors: Some(4.0),
        memory: Some((2.0, 1.0)),
        swap: Some((2.0, 1.0)),
        oom_kills: Some(0.0),
        booted_at: Some(1.0),
        disks: [("/data".into(), Some(Disk { bytes: (1.0, 2.0), files: (1.0, 2.0) }))].into(),
    }
}

/// A monitor that has just evaluated, and an alert.
fn watch() -> Watch {
    let now = DateTime::now();
    let request = MonitorSpec::sample().request(JobId::compose(Kind::Monitor, now, 1), "monitor:pi-1");
    let progress = Some(Progress { updated_at: Some(now), ..Progress::default() });
    let head = Head { state: State::Running, ..Head::born(Stamp::At(now)) };
    let monitor = Job { request, head, lease: None, progress, events: Vec::new(), fate: None };
    let finding = Finding {
        id: AlertId::compose(now, 1),
        rule: "no_worker".into(),
        labels: [("kind".to_owned(), "backup".to_owned())].into(),
        severity: Severity::Critical,
        starts_at: now,
        starts_at_uncertain: false,
        incident: None,
        previous: None,
        sighting: Sighting { value: None, summary: "none".into(), rules_version: 1, times: 1, flapping: false },
        notify: Vec::new(),
    };
    let fence = Fence { token: Token { generation: 1, epoch: 1 }, deadline: now };
    let open = vec![raise(&finding, fence, "monitor:pi-1", "birth").alert];
    Watch { monitors: vec![monitor], open, paused: None }
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

/// What the dashboards and rules of the public mixin for that exporter ask of a replica set, but for what no server since 4.2 counts.
const MIXIN: [&str; 31] = [
    "mongodb_asserts_total",
    "mongodb_connections",
    "mongodb_extra_info_page_faults_total",
    "mongodb_instance_uptime_seconds",
    "mongodb_mongod_global_lock_current_queue",
    "mongodb_mongod_metrics_cursor_open",
    "mongodb_mongod_metrics_cursor_timed_out_total",
    "mongodb_mongod_metrics_document_total",
    "mongodb_mongod_metrics_get_last_error_wtime_num_total",
    "mongodb_mongod_metrics_get_last_error_wtime_total_milliseconds",
    "mongodb_mongod_metrics_get_last_error_wtimeouts_total",
    "mongodb_mongod_metrics_query_executor_total",
    "mongodb_mongod_metrics_repl_apply_batches_total_milliseconds",
    "mongodb_mongod_metrics_repl_apply_ops_total",
    "mongodb_mongod_metrics_repl_buffer_count",
    "mongodb_mongod_metrics_repl_network_getmores_total_milliseconds",
    "mongodb_mongod_metrics_ttl_deleted_documents_total",
    "mongodb_mongod_op_counters_repl_total",
    "mongodb_mongod_op_latencies_latency_total",
    "mongodb_mongod_op_latencies_ops_total",
    "mongodb_mongod_replset_member_election_date",
    "mongodb_mongod_replset_member_last_heartbeat",
    "mongodb_mongod_replset_member_ping_ms",
    "mongodb_mongod_replset_member_replication_lag",
    "mongodb_mongod_replset_my_name",
    "mongodb_mongod_replset_my_state",
    "mongodb_mongod_replset_number_of_members",
    "mongodb_mongod_replset_oplog_head_timestamp",
    "mongodb_mongod_replset_oplog_tail_timestamp",
    "mongodb_op_counters_total",
    "mongodb_up",
];

#[test]
fn the_names_of_public_dashboards_are_there_where_they_are_asked_for_typed_and_once() {
    let (all, nothing) = (everything(), seen([]));
    let filled = |name: &str| {
        let named: Vec<_> = COMPATIBLE.iter().filter(|family| family.name == name).collect();
        assert_eq!(named.len(), 1, "{name}");
        (named[0].fill)(&all)
    };
    for name in MIXIN {
        assert!(!filled(name).is_empty(), "{name}");
    }
    for Family { name, kind, labels, help, fill, .. } in compat::FAMILIES {
        let points = fill(&all);
        assert!(!points.is_empty() && points.iter().all(|point| point.labels.len() == labels.len()), "{name}");
        assert!(fill(&nothing).is_empty() && help.ends_with('.'), "{name}");
        let counts = name.ends_with("_total") || name.ends_with("_total_milliseconds");
        assert_eq!(counts, *kind == Type::Counter, "{name}");
    }
    // Two of the names are ours as well: those keep our labels, and have theirs besides.
    for ours in FAMILIES.iter() {
        let theirs = COMPATIBLE.iter().find(|family| family.name == ours.name).expect("nothing of ours is missing");
        assert!(
            theirs.kind == ours.kind && ours.labels.iter().all(|label| theirs.labels.contains(label)),
            "{}",
            ours.name
        );
    }
    let types: Vec<_> =
        filled("mongodb_mongod_op_latencies_ops_total").into_iter().map(|point| point.labels[1].clone()).collect();
    assert_eq!(types, ["read"], "their word for it");
    assert_eq!(filled("mongodb_mongod_replset_member_replication_lag")[0].labels, ["rs0", "a:1", "PRIMARY"]);
}

#[test]
fn the_table_in_the_documents_is_this_one() {
    let document = include_str!("../../../monitor.md");
    assert!(
        document.contains(&markdown()) && document.contains(&compat_markdown()),
        "api/monitor.md is outdated: put in the output of `cargo run -p lucid-monitor --example table`, and of the same with `-- compat`"
    );
}
