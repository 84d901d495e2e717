//! What the rules go by: about jobs, read from the store by a monitor, at one time of the primary's clock; about members, of its samples;
//! about machines, of its own.

pub mod host;
pub mod members;

pub use members::Members;

use bson::DateTime;
use lucid_schemas::{JobId, Kind, State, cron::Calendar};
use std::collections::{BTreeMap, BTreeSet};

/// What a look at the store has shown.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// When, in milliseconds since 1970.
    pub now_ms: i64,
    /// Every schedule.
    pub plans: Vec<Plan>,
    /// What is known of backups, by database: of every one that has a schedule or a backup that ended.
    pub backups: BTreeMap<String, Backups>,
    /// The newest verification of backups, by database.
    pub verified: BTreeMap<String, Verified>,
    /// Every open job.
    pub open: Vec<OpenJob>,
    /// Live workers by kind of job that they run; a kind that isn't there has none.
    pub able: BTreeMap<Kind, i64>,
    /// Live workers, of their cards.
    pub workers: Vec<Worker>,
    /// The nodes on which workers live that write alerts.
    pub monitors: BTreeSet<String>,
    /// Repositories that this monitor was told of, by name; none where one isn't there.
    pub repositories: BTreeMap<String, Option<Space>>,
    /// Repositories that refused the newest job that used them, by name, and why.
    pub keys_refused: BTreeMap<String, String>,
    /// How many claims of jobs were lost in the last hour, as their workers fell silent; none where nobody has counted.
    pub leases_lost: Option<i64>,
    /// The channels that live monitors have, by name; for one on which they differ, how, as a sentence.
    pub channels: BTreeMap<String, Option<String>>,
    /// Bytes on disk of every database that was measured; none where none was. Filled from the samples, not from the store.
    pub databases: Option<BTreeMap<String, i64>>,
    /// Name of the engine's own database.
    pub own_database: String,
    /// Seconds by which the change stream of this process is behind; none where nobody measures it.
    pub change_stream_lag_seconds: Option<f64>,
    /// Seconds that the primary's oplog keeps; none where nobody tells. Filled from the samples.
    pub oplog_window_seconds: Option<f64>,
}

/// A live worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Worker {
    /// Its name, which begins with that of its node, before a slash.
    pub name: String,
    /// How far its clock is ahead of the primary's, in milliseconds.
    pub clock_skew_ms: Option<i64>,
    /// What is wrong there, a sentence each.
    pub problems: Vec<String>,
}

/// Space of the file system of a repository, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What is free.
    pub free_bytes: i64,
    /// All of it.
    pub total_bytes: i64,
}

/// A schedule, as far as it promises something.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// The database whose whole it backs up; `None` where it does something else.
    pub backs_up: Option<String>,
    /// When it comes due; `None` where its terms can't be read, so that it never does.
    pub calendar: Option<Calendar>,
    /// Since when it promises what it does, or rests: it was made, its times were changed, it was paused or resumed.
    pub since: DateTime,
    /// Whether it rests, since that time.
    pub is_paused: bool,
    /// Why the newest occurrence made no job, where it made none and wasn't simply too many.
    pub refused: Option<String>,
    /// How the newest of its jobs that ended did; why, where that was badly. None where it may have made some, and this monitor has seen
    /// none of them end.
    pub ended: Option<Result<(), String>>,
}

/// Backups of a whole database.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Backups {
    /// The instant that the newest one shows which is there.
    pub newest: Option<DateTime>,
    /// How many ended badly since the last one that ended well.
    pub failed: i64,
    /// Why the newest of them did.
    pub reason: Option<String>,
    /// The instant that the oldest one shows which is known.
    pub oldest: Option<DateTime>,
    /// When one was restored last to try it, and was whole.
    pub drilled: Option<DateTime>,
    /// Bytes of documents in those that are known, newest first; the newest eleven are enough.
    pub bytes: Vec<i64>,
    /// How long those took, in milliseconds, newest first.
    pub took_ms: Vec<i64>,
}

/// A verification.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Its job.
    pub job: JobId,
    /// Why the backup isn't whole, or isn't known to be; `None` where it is.
    pub failure: Option<String>,
}

/// An open job.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenJob {
    /// The job.
    pub id: JobId,
    /// What it does.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// When it is due, or was, in milliseconds since 1970.
    pub run_at_ms: i64,
}
