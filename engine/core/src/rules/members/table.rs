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
