//! Bodies about schedules.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `POST /schedules`, `PUT /schedules/{name}`; `S` is the body that `POST /backup` or `POST /verify` would take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleBody<S> {
    /// Its name; in a `PUT` the path has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its jobs do: `backup` (where absent) or `verify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// When, as five fields: minute, hour, day, month, weekday.
    pub cron: String,
    /// By which clock, as an IANA name; `UTC` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// What its jobs are asked to do.
    pub spec: S,
    /// What becomes of missed occurrences: `skip`, `once` (where absent) or `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<String>,
    /// How many missed occurrences `all` makes up for at once; 24 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_limit: Option<i64>,
    /// What becomes of an occurrence while an earlier one's job is open: `skip` (where absent) or `allow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
    /// Whether it rests; in a `PUT` as it was where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Deals with nothing planned until then (RFC 3339): an earlier time than now makes up for what was missed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_water: Option<String>,
    /// The version that the edit builds on, as an alternative to the header `If-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

/// One schedule. Times are RFC 3339 in UTC by the primary's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleView {
    /// Its name.
    pub name: String,
    /// +1 with each edit.
    pub version: i64,
    /// What its jobs do.
    pub kind: String,
    /// When.
    pub cron: String,
    /// By which clock.
    pub timezone: String,
    /// What its jobs are asked to do, in the form that a request takes.
    pub spec: Value,
    /// Whether it rests.
    pub paused: bool,
    /// What becomes of missed occurrences.
    pub missed: String,
    /// How many missed occurrences `all` makes up for at once.
    pub missed_limit: i64,
    /// What becomes of an occurrence while an earlier one's job is open.
    pub overlap: String,
    /// Occurrences planned until then have been dealt with.
    pub high_water: String,
    /// What came of the newest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<OutcomeView>,
    /// When it is due next; empty while it rests.
    pub next: Vec<String>,
    /// The same by its own clock, such as `2026-11-25 02:00 +01:00`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_local: Vec<String>,
    /// What keeps it from doing what one would expect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What somebody might not expect of its times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: String,
    /// Who edited it last.
    pub updated_by: String,
    /// When.
    pub updated_at: String,
}

/// What came of an occurrence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeView {
    /// When it was planned.
    pub planned_at: String,
    /// The same by the schedule's own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_local: Option<String>,
    /// Where the job stands that was made of it; absent where there is none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why it failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The job that was made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Why it was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// `GET /schedules`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleList {
    /// In order of their names.
    pub schedules: Vec<ScheduleView>,
    /// One sentence on each that this program can't read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}
