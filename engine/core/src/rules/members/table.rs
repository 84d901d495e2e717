//! The rules about members as data.
//!
//! In PromQL the greatest of what several monitors tell of a member counts, so that each fault makes one alert however many of
//! them are scraped.

use crate::rules::{Limits, Rule};
use lucid_schemas::alert::{
    ResolvedBy::Condition,
    Severity::{Critical, Warning},
};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;

/// About the set as a whole.
const SET: Rule = Rule { subject: &["rs"], ..Rule::PLAIN };
/// About a member; told of one that is down there is nothing else to tell.
const MEMBER: Rule = Rule { subject: &["member"], inhibited_by: &["member_down"], ..Rule::PLAIN };

/// A monitor reaches no member.
pub static MONITOR_BLIND: Rule = Rule {
    id: "monitor_blind",
    for_ms: 30 * SECOND_MS,
    absent: Condition,
    finds: "a monitor reaches no member: the set is down, or the monitor is cut off",
    subject: &["monitor"],
    promql: "sum by (instance) (mongodb_up) == 0 or absent(mongodb_up)",
    ..Rule::PLAIN
};
/// Too few members that vote are up.
pub static NO_MAJORITY: Rule = Rule {
    id: "no_majority",
    for_ms: 30 * SECOND_MS,
    finds: "half of the votes of the set, or more, are down: no primary can be elected",
    promql: "sum(max by (member) (mongodb_replset_member_votes)) * 2 \
             <= sum(max by (member) (max_over_time(mongodb_replset_member_votes[1d])))",
    ..SET
};
/// Nobody takes writes. Elections take less than its time.
pub static NO_PRIMARY: Rule = Rule {
    id: "no_primary",
    for_ms: 30 * SECOND_MS,
    finds: "the set has no primary: nothing can be written, and no job goes on",
    inhibited_by: &["no_majority"],
    promql: "max by (rs) (mongodb_replset_writable_primaries) == 0 \
             unless on (rs) mongodb_replset_last_election_timestamp_seconds",
    ..SET
};
/// The primary changes often.
pub static ELECTIONS: Rule = Rule {
    id: "elections",
    finds: "the set has held several elections within an hour",
    severities: &[Warning],
    unit: "elections in an hour",
    limits: Limits::above(Some(2.0), None, Some(1.0)),
    inhibited_by: &["no_primary", "no_majority"],
    promql: "max by (rs) (mongodb_replset_term) - min by (rs) (min_over_time(mongodb_replset_term[1h])) > {limit}",
    ..SET
};
/// A member doesn't answer.
pub static MEMBER_DOWN: Rule = Rule {
    id: "member_down",
    for_ms: MINUTE_MS,
    finds: "a member of the set doesn't answer",
    inhibited_by: &[],
    promql: "max by (member) (mongodb_up) == 0 and on () sum(mongodb_up) > 0",
    ..MEMBER
};
/// A member is neither primary nor secondary nor arbiter.
pub static MEMBER_STATE: Rule = Rule {
    id: "member_state",
    for_ms: 5 * MINUTE_MS,
    finds: "a member is in a state in which it serves nobody, such as recovering",
    promql: "max by (member) (mongodb_replset_member_state) != 1 != 2 != 5 != 7 != 9",
    ..MEMBER
};
/// A member copies all data for long.
pub static MEMBER_SYNCING: Rule = Rule {
    id: "member_syncing",
    finds: "a member has been copying all data of the set for long",
    severities: &[Warning],
    unit: "seconds",
    limits: Limits::above(Some(3_600.0), None, None),
    promql: "min by (member) (min_over_time(mongodb_replset_member_state[1h])) == 5 \
             and max by (member) (max_over_time(mongodb_replset_member_state[1h])) == 5 \
             and max by (member) (mongodb_replset_member_state offset 1h) == 5",
    ..MEMBER
};
/// A member undoes writes.
pub static MEMBER_ROLLBACK: Rule = Rule {
    id: "member_rollback",
    finds: "a member undoes writes that no majority had",
    promql: "max by (member) (mongodb_replset_member_state) == 9",
    ..MEMBER
};
/// A member is behind.
pub static REPLICATION_LAG: Rule = Rule {
    id: "replication_lag",
    for_ms: 2 * MINUTE_MS,
    finds: "a member is behind the primary",
    severities: &[Warning, Critical],
    unit: "seconds",
    limits: Limits::above(Some(30.0), Some(120.0), Some(20.0)),
    inhibited_by: &["no_primary", "no_majority", "member_down", "member_syncing"],
    promql: "max by (member) (mongodb_replset_member_replication_lag_seconds) > {limit} \
             unless on (member) mongodb_replset_member_state == 5",
    ..MEMBER
};
/// A member is so far behind that the others will soon have thrown away what it needs.
pub static REPLICATION_HEADROOM: Rule = Rule {
    id: "replication_headroom",
    for_ms: 5 * MINUTE_MS,
    finds: "a member is nearly too far behind to catch up: the oplog of the others will not last",
    unit: "percent of the longest oplog",
    limits: Limits::above(None, Some(75.0), Some(60.0)),
    inhibited_by: &["member_down", "member_syncing"],
    promql: "100 * max by (member) (mongodb_replset_member_replication_lag_seconds) \
             / on () group_left () max(mongodb_oplog_window_seconds) > {limit} \
             and on (member) mongodb_replset_member_replication_lag_seconds > 30",
    ..MEMBER
};
/// An oplog keeps little.
pub static OPLOG_WINDOW: Rule = Rule {
    id: "oplog_window",
    for_ms: 5 * MINUTE_MS,
    finds: "the oplog of a member keeps only a few hours",
    severities: &[Warning, Critical],
    unit: "seconds",
    limits: Limits::below(Some(86_400.0), Some(14_400.0), Some(93_600.0)),
    promql: "min by (member) (mongodb_oplog_window_seconds) < {limit} \
             and on (member) 100 * max by (member) (mongodb_oplog_used_bytes) / max by (member) (mongodb_oplog_max_bytes) > 90",
    ..MEMBER
};
/// Few connections are left.
pub static CONNECTIONS: Rule = Rule {
    id: "connections",
    for_ms: 2 * MINUTE_MS,
    finds: "a member has few connections left for clients",
    severities: &[Warning, Critical],
    unit: "percent",
    limits: Limits::above(Some(80.0), Some(95.0), Some(70.0)),
    promql: "100 * max by (member) (mongodb_connections{state=\"current\"}) \
             / (max by (member) (mongodb_connections{state=\"current\"}) + max by (member) (mongodb_connections{state=\"available\"})) > {limit}",
    ..MEMBER
};
/// Operations wait.
pub static QUEUED_OPERATIONS: Rule = Rule {
    id: "queued_operations",
    for_ms: 5 * MINUTE_MS,
    finds: "operations wait for a member that has more to do than it can",
    severities: &[Warning, Critical],
    unit: "operations",
    limits: Limits::above(Some(10.0), Some(100.0), Some(5.0)),
    promql: "sum by (member) (max by (member, type) (mongodb_queued_operations)) > {limit}",
    ..MEMBER
};
/// Many cursors are open.
pub static CURSORS_OPEN: Rule = Rule {
    id: "cursors_open",
    for_ms: 2 * MINUTE_MS,
    finds: "a member has very many cursors open",
    severities: &[Warning],
    unit: "cursors",
    limits: Limits::above(Some(10_000.0), None, Some(8_000.0)),
    promql: "max by (member) (mongodb_cursors_open{state=\"total\"}) > {limit}",
    ..MEMBER
};
/// Clients leave cursors open.
pub static CURSORS_TIMED_OUT: Rule = Rule {
    id: "cursors_timed_out",
    for_ms: 2 * MINUTE_MS,
    finds: "a member closes many cursors that nobody reads on",
    severities: &[Warning],
    unit: "cursors a minute",
    limits: Limits::above(Some(20.0), None, Some(10.0)),
    promql: "60 * max by (member) (rate(mongodb_cursors_timed_out_total[5m])) > {limit}",
    ..MEMBER
};
/// The cache is full.
pub static CACHE_USED: Rule = Rule {
    id: "cache_used",
    for_ms: 5 * MINUTE_MS,
    finds: "the cache of a member is full, so that clients make room in it themselves",
    severities: &[Warning],
    unit: "percent",
    limits: Limits::above(Some(95.0), None, Some(90.0)),
    promql: "100 * max by (member) (mongodb_wiredtiger_cache_used_bytes) / max by (member) (mongodb_wiredtiger_cache_max_bytes) > {limit}",
    ..MEMBER
};
/// The disk doesn't keep up.
pub static CACHE_DIRTY: Rule = Rule {
    id: "cache_dirty",
    for_ms: 5 * MINUTE_MS,
    finds: "the disk of a member doesn't keep up with what is written",
    severities: &[Warning, Critical],
    unit: "percent",
    limits: Limits::above(Some(15.0), Some(20.0), Some(10.0)),
    promql: "100 * max by (member) (mongodb_wiredtiger_cache_dirty_bytes) / max by (member) (mongodb_wiredtiger_cache_max_bytes) > {limit}",
    ..MEMBER
};
/// Clients do the work of the storage engine.
pub static APP_EVICTIONS: Rule = Rule {
    id: "app_evictions",
    for_ms: 5 * MINUTE_MS,
    finds: "clients of a member make room in its cache themselves, and wait for that",
    severities: &[Warning],
    unit: "pages a second",
    limits: Limits::above(Some(1.0), None, Some(0.5)),
    promql: "max by (member) (rate(mongodb_wiredtiger_app_thread_evictions_total[5m])) > {limit}",
    ..MEMBER
};
/// Writes are slowed down.
pub static FLOW_CONTROL: Rule = Rule {
    id: "flow_control",
    for_ms: 2 * MINUTE_MS,
    finds: "the primary slows down writes, since too few members keep up",
    severities: &[Warning],
    unit: "0 or 1",
    limits: Limits::above(Some(0.0), None, None),
    promql: "max by (member) (mongodb_flow_control_lagged) > {limit}",
    ..MEMBER
};
/// Operations take long.
pub static LATENCY: Rule = Rule {
    id: "latency",
    for_ms: 10 * MINUTE_MS,
    finds: "one of a hundred reads or writes takes long",
    subject: &["member", "op_type"],
    severities: &[Warning],
    unit: "seconds",
    limits: Limits::above(Some(0.25), None, Some(0.2)),
    promql: "histogram_quantile(0.99, max by (member, op_type, le) (rate(mongodb_query_duration_seconds_bucket{op_type=~\"reads|writes\"}[5m]))) > {limit} \
             and on (member, op_type) increase(mongodb_query_duration_seconds_count[5m]) >= 100",
    ..MEMBER
};
/// A disk is nearly full.
pub static DISK_SPACE: Rule = Rule {
    id: "disk_space",
    for_ms: 5 * MINUTE_MS,
    finds: "the disk of a member is nearly full",
    severities: &[Warning, Critical],
    unit: "percent",
    limits: Limits::above(Some(85.0), Some(90.0), Some(80.0)),
    promql: "100 * max by (member) (mongodb_filesystem_used_bytes) / max by (member) (mongodb_filesystem_total_bytes) > {limit}",
    ..MEMBER
};
/// A disk fills up.
pub static DISK_FILLING: Rule = Rule {
    id: "disk_filling",
    for_ms: 10 * MINUTE_MS,
    finds: "the disk of a member will be full within a day if it goes on like this",
    severities: &[Warning],
    unit: "percent in a day",
    limits: Limits::above(Some(100.0), None, Some(95.0)),
    inhibited_by: &["member_down", "disk_space"],
    promql: "100 * max by (member) (predict_linear(mongodb_filesystem_used_bytes[3h], 86400)) / max by (member) (mongodb_filesystem_total_bytes) > {limit} \
             and on (member) 100 * max by (member) (mongodb_filesystem_used_bytes) / max by (member) (mongodb_filesystem_total_bytes) > 60",
    ..MEMBER
};
/// The monitor may not see all.
pub static RIGHTS_MISSING: Rule = Rule {
    id: "rights_missing",
    for_ms: 5 * MINUTE_MS,
    finds: "a member refuses to tell the monitor something that rules go by",
    severities: &[Warning],
    unit: "parts",
    limits: Limits::above(Some(0.0), None, None),
    promql: "max by (member) (mongodb_sample_parts_refused) > {limit} \
             unless on (member) (mongodb_replset_member_state != 1 != 2) and on () mongodb_replset_members",
    ..MEMBER
};
/// Who would tell that the primary's node is gone goes with it.
pub static MONITOR_BESIDE_PRIMARY: Rule = Rule {
    id: "monitor_beside_primary",
    for_ms: 5 * MINUTE_MS,
    finds: "the only monitor runs on the node of the primary: if that goes, nobody tells",
    severities: &[Warning],
    inhibited_by: &["no_primary", "no_majority"],
    ..SET
};
