//! The rules for Prometheus, tried by its own tool: each fires, stays silent before, recovers, and says nothing where there are no data.

use crate::support::prometheus::program;
use lucid_core::rules::all;
use std::{
    collections::BTreeSet,
    fmt::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What a series shows, in each of three phases: before the fault, meanwhile, and after it.
#[derive(Clone, Copy)]
enum Shows {
    /// These values; nothing where there is none.
    Values([Option<f64>; 3]),
    /// Beginning here, so much more with each step.
    Grows(f64, [f64; 3]),
    /// The time of now, but for the fault, when it stands still.
    Clock,
}

/// A rule, how severe, the seconds of a step, the steps of a phase, and what is to be seen.
struct Case(&'static str, &'static str, u32, u32, &'static [(&'static str, Shows)]);

const fn gauge(good: f64, bad: f64) -> Shows {
    Shows::Values([Some(good), Some(bad), Some(good)])
}

const fn always(value: f64) -> Shows {
    gauge(value, value)
}

const MISSING: Shows = Shows::Values([Some(1.0), None, Some(1.0)]);
const APPEARS: Shows = Shows::Values([None, Some(1.0), None]);
const MINUTE: u32 = 60;
const HOUR: u32 = 3_600;
const CRITICAL: &str = "critical";
const WARNING: &str = "warning";

#[rustfmt::skip] // A row is a row.
static CASES: &[Case] = &[
    Case("monitor_blind", CRITICAL, MINUTE, 10, &[(r#"mongodb_up{instance="i",member="a"}"#, gauge(1.0, 0.0)), (r#"mongodb_up{instance="i",member="b"}"#, gauge(1.0, 0.0))]),
    Case("no_majority", CRITICAL, MINUTE, 10, &[
        (r#"mongodb_replset_member_votes{member="a"}"#, always(1.0)), (r#"mongodb_replset_member_votes{member="b"}"#, MISSING), (r#"mongodb_replset_member_votes{member="c"}"#, MISSING)]),
    Case("no_primary", CRITICAL, MINUTE, 10, &[(r#"mongodb_replset_writable_primaries{rs="rs0"}"#, gauge(1.0, 0.0)), (r#"mongodb_replset_last_election_timestamp_seconds{rs="rs0"}"#, MISSING)]),
    Case("elections", WARNING, MINUTE, 70, &[(r#"mongodb_replset_term{rs="rs0"}"#, Shows::Grows(7.0, [0.0, 0.1, 0.0]))]),
    Case("member_down", CRITICAL, MINUTE, 10, &[(r#"mongodb_up{member="a"}"#, gauge(1.0, 0.0)), (r#"mongodb_up{member="b"}"#, always(1.0))]),
    Case("member_state", CRITICAL, MINUTE, 10, &[(r#"mongodb_replset_member_state{member="a"}"#, gauge(2.0, 3.0)), (r#"mongodb_replset_member_state{member="b"}"#, always(7.0))]),
    Case("member_syncing", WARNING, MINUTE, 70, &[(r#"mongodb_replset_member_state{member="a"}"#, gauge(2.0, 5.0))]),
    Case("member_rollback", CRITICAL, MINUTE, 10, &[(r#"mongodb_replset_member_state{member="a"}"#, gauge(2.0, 9.0))]),
    Case("replication_lag", WARNING, MINUTE, 10, &[(r#"mongodb_replset_member_replication_lag_seconds{member="a"}"#, gauge(1.0, 60.0))]),
    Case("replication_lag", CRITICAL, MINUTE, 10, &[(r#"mongodb_replset_member_replication_lag_seconds{member="a"}"#, gauge(60.0, 200.0)),
        (r#"mongodb_replset_member_replication_lag_seconds{member="b"}"#, always(9e9)), (r#"mongodb_replset_member_state{member="b"}"#, always(5.0))]),
    Case("replication_headroom", CRITICAL, MINUTE, 10, &[(r#"mongodb_replset_member_replication_lag_seconds{member="a"}"#, gauge(500.0, 900.0)), (r#"mongodb_oplog_window_seconds{member="b"}"#, always(1_000.0))]),
    Case("oplog_window", WARNING, MINUTE, 10, &[(r#"mongodb_oplog_window_seconds{member="a"}"#, gauge(90_000.0, 50_000.0)),
        (r#"mongodb_oplog_used_bytes{member="a"}"#, always(99.0)), (r#"mongodb_oplog_max_bytes{member="a"}"#, always(100.0)),
        (r#"mongodb_oplog_window_seconds{member="new"}"#, always(60.0)), (r#"mongodb_oplog_used_bytes{member="new"}"#, always(9.0)), (r#"mongodb_oplog_max_bytes{member="new"}"#, always(100.0))]),
    Case("oplog_window", CRITICAL, MINUTE, 10, &[(r#"mongodb_oplog_window_seconds{member="a"}"#, gauge(50_000.0, 9_000.0)),
        (r#"mongodb_oplog_used_bytes{member="a"}"#, always(99.0)), (r#"mongodb_oplog_max_bytes{member="a"}"#, always(100.0))]),
    Case("connections", WARNING, MINUTE, 10, &[(r#"mongodb_connections{member="a",state="current"}"#, gauge(50.0, 85.0)), (r#"mongodb_connections{member="a",state="available"}"#, gauge(50.0, 15.0))]),
    Case("connections", CRITICAL, MINUTE, 10, &[(r#"mongodb_connections{member="a",state="current"}"#, gauge(85.0, 99.0)), (r#"mongodb_connections{member="a",state="available"}"#, gauge(15.0, 1.0))]),
    Case("queued_operations", WARNING, MINUTE, 10, &[(r#"mongodb_queued_operations{member="a",type="read"}"#, gauge(5.0, 6.0)), (r#"mongodb_queued_operations{member="a",type="write"}"#, always(5.0))]),
    Case("queued_operations", CRITICAL, MINUTE, 10, &[(r#"mongodb_queued_operations{member="a",type="read"}"#, gauge(11.0, 101.0))]),
    Case("cursors_open", WARNING, MINUTE, 10, &[(r#"mongodb_cursors_open{member="a",state="total"}"#, gauge(10.0, 20_000.0)), (r#"mongodb_cursors_open{member="a",state="pinned"}"#, always(90_000.0))]),
    Case("cursors_timed_out", WARNING, MINUTE, 20, &[(r#"mongodb_cursors_timed_out_total{member="a"}"#, Shows::Grows(5.0, [1.0, 30.0, 1.0]))]),
    Case("cache_used", WARNING, MINUTE, 10, &[(r#"mongodb_wiredtiger_cache_used_bytes{member="a"}"#, gauge(80.0, 97.0)), (r#"mongodb_wiredtiger_cache_max_bytes{member="a"}"#, always(100.0))]),
    Case("cache_dirty", WARNING, MINUTE, 10, &[(r#"mongodb_wiredtiger_cache_dirty_bytes{member="a"}"#, gauge(5.0, 17.0)), (r#"mongodb_wiredtiger_cache_max_bytes{member="a"}"#, always(100.0))]),
    Case("cache_dirty", CRITICAL, MINUTE, 10, &[(r#"mongodb_wiredtiger_cache_dirty_bytes{member="a"}"#, gauge(17.0, 25.0)), (r#"mongodb_wiredtiger_cache_max_bytes{member="a"}"#, always(100.0))]),
    Case("app_evictions", WARNING, MINUTE, 20, &[(r#"mongodb_wiredtiger_app_thread_evictions_total{member="a"}"#, Shows::Grows(0.0, [1.0, 600.0, 1.0]))]),
    Case("flow_control", WARNING, MINUTE, 10, &[(r#"mongodb_flow_control_lagged{member="a"}"#, gauge(0.0, 1.0))]),
    Case("latency", WARNING, MINUTE, 30, &[
        (r#"mongodb_query_duration_seconds_bucket{member="a",op_type="reads",le="0.1"}"#, Shows::Grows(0.0, [100.0, 50.0, 100.0])),
        (r#"mongodb_query_duration_seconds_bucket{member="a",op_type="reads",le="0.5"}"#, Shows::Grows(0.0, [100.0, 100.0, 100.0])),
        (r#"mongodb_query_duration_seconds_bucket{member="a",op_type="reads",le="+Inf"}"#, Shows::Grows(0.0, [100.0, 100.0, 100.0])),
        (r#"mongodb_query_duration_seconds_count{member="a",op_type="reads"}"#, Shows::Grows(0.0, [100.0, 100.0, 100.0])),
        (r#"mongodb_query_duration_seconds_bucket{member="idle",op_type="reads",le="0.1"}"#, Shows::Grows(0.0, [0.0, 0.0, 0.0])),
        (r#"mongodb_query_duration_seconds_bucket{member="idle",op_type="reads",le="0.5"}"#, Shows::Grows(0.0, [0.0, 0.0, 0.0])),
        (r#"mongodb_query_duration_seconds_bucket{member="idle",op_type="reads",le="+Inf"}"#, Shows::Grows(0.0, [1.0, 1.0, 1.0])),
        (r#"mongodb_query_duration_seconds_count{member="idle",op_type="reads"}"#, Shows::Grows(0.0, [1.0, 1.0, 1.0]))]),
    Case("disk_space", WARNING, MINUTE, 10, &[(r#"mongodb_filesystem_used_bytes{member="a"}"#, gauge(80.0, 87.0)), (r#"mongodb_filesystem_total_bytes{member="a"}"#, always(100.0))]),
    Case("disk_space", CRITICAL, MINUTE, 10, &[(r#"mongodb_filesystem_used_bytes{member="a"}"#, gauge(87.0, 95.0)), (r#"mongodb_filesystem_total_bytes{member="a"}"#, always(100.0))]),
    Case("disk_filling", WARNING, 5 * MINUTE, 50, &[(r#"mongodb_filesystem_used_bytes{member="a"}"#, Shows::Grows(62.0, [0.0, 0.5, 0.0])), (r#"mongodb_filesystem_total_bytes{member="a"}"#, always(100.0)),
        (r#"mongodb_filesystem_used_bytes{member="empty"}"#, Shows::Grows(1.0, [0.3, 0.3, 0.3])), (r#"mongodb_filesystem_total_bytes{member="empty"}"#, always(100.0))]),
    Case("rights_missing", WARNING, MINUTE, 10, &[(r#"mongodb_sample_parts_refused{member="a"}"#, gauge(0.0, 1.0)), (r#"mongodb_replset_members{rs="rs0"}"#, always(2.0)),
        (r#"mongodb_sample_parts_refused{member="b"}"#, always(1.0)), (r#"mongodb_replset_member_state{member="b"}"#, always(5.0))]),
    Case("backup_failed", WARNING, MINUTE, 10, &[(r#"ops_backup_last_attempt_success{database="shop"}"#, gauge(1.0, 0.0))]),
    Case("backup_overdue", CRITICAL, HOUR, 50, &[(r#"ops_backup_last_success_timestamp_seconds{database="shop"}"#, Shows::Clock), (r#"ops_backup_expected_interval_seconds{database="shop"}"#, always(86_400.0))]),
    Case("backup_never_succeeded", CRITICAL, HOUR, 50, &[(r#"ops_backup_next_due_timestamp_seconds{database="shop"}"#, Shows::Grows(0.0, [0.0, 3_600.0, 0.0])),
        (r#"ops_backup_last_success_timestamp_seconds{database="shop"}"#, Shows::Values([None, None, Some(1.0)]))]),
    Case("backup_shrunk", WARNING, MINUTE, 10, &[(r#"ops_backup_last_size_bytes{database="shop"}"#, gauge(90.0, 40.0)), (r#"ops_backup_usual_size_bytes{database="shop"}"#, always(100.0))]),
    Case("backup_slow", WARNING, MINUTE, 10, &[(r#"ops_backup_last_duration_seconds{database="shop"}"#, gauge(900.0, 4_000.0)), (r#"ops_backup_usual_duration_seconds{database="shop"}"#, always(1_000.0)),
        (r#"ops_backup_last_duration_seconds{database="small"}"#, always(500.0)), (r#"ops_backup_usual_duration_seconds{database="small"}"#, always(1.0))]),
    Case("verification_failed", CRITICAL, MINUTE, 10, &[(r#"ops_verification_last_success{database="shop",level="data"}"#, gauge(1.0, 0.0)), (r#"ops_verification_last_success{database="shop",level="drill"}"#, always(1.0))]),
    Case("drill_overdue", WARNING, 6 * HOUR, 40, &[(r#"ops_verification_last_timestamp_seconds{database="shop",level="drill"}"#, Shows::Clock)]),
    Case("drill_overdue", WARNING, 6 * HOUR, 40, &[(r#"ops_backup_last_success_timestamp_seconds{database="shop"}"#, APPEARS)]),
    Case("unprotected_database", WARNING, MINUTE, 20, &[(r#"mongodb_collection_size_bytes{database="shop",collection="a"}"#, always(5.0)), (r#"mongodb_collection_size_bytes{database="admin",collection="a"}"#, always(5.0)),
        (r#"ops_backup_last_success_timestamp_seconds{database="shop"}"#, MISSING),
        (r#"mongodb_collection_size_bytes{database="new",collection="a"}"#, always(5.0)), (r#"ops_backup_next_due_timestamp_seconds{database="new"}"#, always(9e9))]),
    Case("no_worker", CRITICAL, MINUTE, 10, &[(r#"ops_workers_able{kind="backup"}"#, gauge(1.0, 0.0)), (r#"ops_oldest_due_job_age_seconds{kind="backup"}"#, always(5.0)), (r#"ops_workers_able{kind="prune"}"#, always(0.0))]),
    Case("job_stuck", WARNING, MINUTE, 10, &[(r#"ops_oldest_due_job_age_seconds{kind="backup"}"#, gauge(60.0, 4_000.0)), (r#"ops_workers_able{kind="backup"}"#, always(1.0)),
        (r#"ops_oldest_due_job_age_seconds{kind="prune"}"#, always(9_000.0)), (r#"ops_workers_able{kind="prune"}"#, always(0.0))]),
    Case("job_stuck", WARNING, MINUTE, 10, &[(r#"ops_jobs{kind="restore",state="blocked"}"#, APPEARS), (r#"ops_jobs{kind="restore",state="running"}"#, always(1.0))]),
    Case("schedule_failed", WARNING, MINUTE, 10, &[(r#"ops_schedule_last_success{schedule="offsite"}"#, gauge(1.0, 0.0))]),
    Case("schedule_paused", WARNING, 6 * HOUR, 20, &[(r#"ops_schedule_paused{schedule="nightly"}"#, gauge(0.0, 1.0))]),
    Case("repository_gone", CRITICAL, MINUTE, 10, &[(r#"ops_repository_up{repository="main"}"#, gauge(1.0, 0.0))]),
    Case("repository_full", WARNING, MINUTE, 10, &[(r#"ops_repository_free_bytes{repository="main"}"#, gauge(20.0, 10.0)), (r#"ops_repository_total_bytes{repository="main"}"#, always(100.0))]),
    Case("repository_full", CRITICAL, MINUTE, 10, &[(r#"ops_repository_free_bytes{repository="main"}"#, gauge(10.0, 2.0)), (r#"ops_repository_total_bytes{repository="main"}"#, always(100.0))]),
    Case("store_silent", CRITICAL, MINUTE, 10, &[("ops_store_up", gauge(1.0, 0.0))]),
    Case("worker_problem", WARNING, MINUTE, 10, &[("ops_workers_with_problems", gauge(0.0, 1.0))]),
    Case("clock_skew", WARNING, MINUTE, 10, &[("ops_workers_clock_skew_seconds", gauge(0.2, -2.0))]),
    Case("leases_lost", WARNING, MINUTE, 70, &[(r#"ops_leases_lost_total{kind="backup"}"#, Shows::Grows(1.0, [0.0, 0.1, 0.0]))]),
    Case("change_stream_lag", WARNING, MINUTE, 10, &[("ops_change_stream_lag_seconds", gauge(5.0, 60.0))]),
    Case("channel_torn", WARNING, MINUTE, 20, &[(r#"ops_channel_torn{channel="pager"}"#, gauge(0.0, 1.0)), (r#"ops_channel_torn{channel="chat"}"#, always(0.0))]),
    Case("host_hot", WARNING, MINUTE, 20, &[(r#"ops_host_temperature_celsius{instance="i",sensor="cpu"}"#, gauge(60.0, 80.0)), (r#"ops_host_temperature_celsius{instance="i",sensor="wifi"}"#, always(40.0))]),
    Case("host_hot", CRITICAL, MINUTE, 20, &[(r#"ops_host_temperature_celsius{instance="i",sensor="cpu"}"#, gauge(80.0, 84.0))]),
    Case("host_slowed", WARNING, MINUTE, 10, &[(r#"ops_host_throttled{instance="i",reason="under_voltage"}"#, gauge(0.0, 1.0)), (r#"ops_host_throttled{instance="i",reason="throttled"}"#, always(0.0))]),
    Case("host_memory", WARNING, MINUTE, 20, &[(r#"ops_host_memory_available_bytes{instance="i"}"#, gauge(50.0, 8.0)), (r#"ops_host_memory_bytes{instance="i"}"#, always(100.0))]),
    Case("host_memory", CRITICAL, MINUTE, 20, &[(r#"ops_host_memory_available_bytes{instance="i"}"#, gauge(8.0, 2.0)), (r#"ops_host_memory_bytes{instance="i"}"#, always(100.0))]),
    Case("host_memory_waits", WARNING, MINUTE, 30, &[(r#"ops_host_pressure_seconds_total{instance="i",resource="memory",share="some"}"#, Shows::Grows(0.0, [1.0, 30.0, 1.0])),
        (r#"ops_host_pressure_seconds_total{instance="i",resource="cpu",share="some"}"#, Shows::Grows(0.0, [50.0, 50.0, 50.0]))]),
    Case("host_disk", WARNING, MINUTE, 20, &[(r#"ops_host_disk_free_bytes{instance="i",path="/data"}"#, gauge(50.0, 10.0)), (r#"ops_host_disk_bytes{instance="i",path="/data"}"#, always(100.0))]),
    Case("host_disk", CRITICAL, MINUTE, 20, &[(r#"ops_host_disk_free_bytes{instance="i",path="/data"}"#, gauge(10.0, 2.0)), (r#"ops_host_disk_bytes{instance="i",path="/data"}"#, always(100.0))]),
    Case("own_database_size", WARNING, MINUTE, 10, &[(r#"mongodb_collection_storage_bytes{database="lucid_ops",collection="ops"}"#, gauge(1e9, 2e9)), (r#"mongodb_collection_index_bytes{database="lucid_ops",collection="ops"}"#, always(5e8))]),
];

impl Case {
    fn test(&self, text: &mut String) {
        let Self(rule, severity, step, steps, series) = self;
        let _ = writeln!(text, "- interval: {step}s\n  input_series:");
        for (name, shows) in *series {
            let _ = writeln!(text, "  - {{series: '{name}', values: '{}'}}", shows.values(f64::from(*step), *steps));
        }
        let _ = writeln!(text, "  promql_expr_test:");
        let firing = format!(
            "ALERTS{{alertname=\"{rule}\",severity=\"{severity}\",alertstate=\"firing\",source=\"lucid-ops\"}}"
        );
        let last = |phase: u32| (phase * steps - 1) * step;
        let mut expected = vec![(last(1), 0), (last(2), 1), (last(3), 0)];
        let for_seconds = all().iter().find(|known| known.id == *rule).expect("a rule").for_ms / 1_000;
        if for_seconds > i64::from(*step) {
            // It is so for one step only.
            expected.push((last(1) + 2 * step, 0));
        }
        for (at, alerts) in expected {
            let _ = writeln!(
                text,
                "  - {{expr: 'count({firing}) or vector(0)', eval_time: {at}s, exp_samples: [{{labels: '{{}}', value: {alerts}}}]}}"
            );
        }
    }
}

impl Shows {
    /// A value for each step of all three phases.
    fn values(self, step: f64, steps: u32) -> String {
        let (mut values, mut grown, mut stood) = (Vec::new(), 0.0, 0.0);
        for place in 0..3 * steps {
            let phase = usize::try_from(place / steps).expect("small");
            values.push(match self {
                Self::Values(shown) => shown[phase].map_or_else(|| "stale".into(), |value| value.to_string()),
                Self::Grows(from, by) => {
                    grown += if place == 0 { 0.0 } else { by[phase] };
                    (from + grown).to_string()
                }
                Self::Clock => {
                    stood = if phase == 1 { stood } else { f64::from(place) * step };
                    stood.to_string()
                }
            });
        }
        values.join(" ")
    }
}

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("deploy/prometheus").join(name)
}

fn promtool(arguments: &[&str], file: &Path) -> Output {
    Command::new(program("promtool")).args(arguments).arg(file).output().expect("promtool runs")
}

fn expect_good(output: &Output) {
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

#[test]
fn prometheus_takes_the_files_as_they_are() {
    expect_good(&promtool(&["check", "rules"], &deployed("alerts.yml")));
    expect_good(&promtool(&["check", "config"], &deployed("prometheus.yml")));
}

#[test]
fn each_rule_fires_in_time_stays_silent_before_and_recovers() {
    let tried: BTreeSet<_> = CASES.iter().map(|case| case.0).collect();
    let told: BTreeSet<_> = all().iter().filter(|rule| !rule.promql.is_empty()).map(|rule| rule.id).collect();
    assert_eq!(tried, told, "each rule that Prometheus is told has a case");
    let steps = CASES.iter().map(|case| case.2).collect::<BTreeSet<_>>();
    for step in steps {
        let mut text =
            format!("rule_files: ['{}']\nevaluation_interval: {step}s\ntests:\n", deployed("alerts.yml").display());
        CASES.iter().filter(|case| case.2 == step).for_each(|case| case.test(&mut text));
        try_rules(&text);
    }
}

/// But for the one that tells that there are none.
#[test]
fn without_data_no_rule_claims_anything() {
    let mut text = format!("rule_files: ['{}']\nevaluation_interval: 60s\ntests:\n", deployed("alerts.yml").display());
    text.push_str("- interval: 60s\n  input_series: []\n  promql_expr_test:\n");
    for rule in all().into_iter().filter(|rule| !rule.promql.is_empty()) {
        let alerts = u8::from(rule.id == "monitor_blind");
        let _ = writeln!(
            text,
            "  - {{expr: 'count(ALERTS{{alertname=\"{}\",alertstate=\"firing\"}}) or vector(0)', eval_time: 30m, \
             exp_samples: [{{labels: '{{}}', value: {alerts}}}]}}",
            rule.id
        );
    }
    try_rules(&text);
}

fn try_rules(text: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tests.yml");
    std::fs::write(&file, text).expect("written");
    expect_good(&promtool(&["test", "rules"], &file));
}
