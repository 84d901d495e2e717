//! What the rules about jobs go by: read from the store by a monitor, at one time of the primary's clock.

pub mod members;

pub use members::Members;

use bson::DateTime;
use lucid_schemas::{JobId, Kind, State, cron::Calendar};
use std::collections::BTreeMap;

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
