//! Schedules: jobs that are asked for by themselves, again and again.
//!
//! Exactly once: an occurrence is a job whose id and enqueueing write follow from the schedule and the planned time
//! alone, so that any number of schedulers make one job of it; and `high_water` says up to which planned time
//! occurrences have been dealt with, so that none comes back when its job has been forgotten.

use crate::{FieldError, JobId, Kind, RepositoryName, Request, Spec, cron::Calendar, unique_key};
use bson::{DateTime, Document, doc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// Number of the schedule document's shape.
pub const SCHEDULE_SCHEMA: i32 = 1;
/// How many missed occurrences `all` makes up for, unless told otherwise.
pub const MISSED_LIMIT: i32 = 24;
/// How many it may be told to make up for.
pub const MISSED_LIMIT_MAX: i32 = 1_000;

/// How far the clocks of two primaries may differ without a word.
const MARK_AHEAD_MS_MAX: i64 = 60_000;
const NAME_CHARACTERS_MAX: usize = 64;

/// What becomes of occurrences that were missed: while no scheduler ran, or no primary could be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are left out.
    Skip,
    /// The newest of them is made up for.
    #[default]
    Once,
    /// Each is made up for, the newest so many at most.
    All,
}

/// What becomes of an occurrence while the job of an earlier one is still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It is run all the same.
    Allow,
}

/// What a person sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// When, as a cron expression of five fields.
    pub cron: String,
    /// By which clock, as an IANA name.
    pub timezone: String,
    /// What each job is asked to do.
    pub spec: Spec,
    /// The repository that each job needs, by name; what the name is bound to is looked up for each job.
    pub repository: String,
    /// How many attempts of a job may fail before the job does.
    pub max_attempts: i32,
    /// Whether occurrences are left out until further notice.
    pub paused: bool,
    /// What becomes of missed occurrences.
    pub missed: Missed,
    /// How many missed occurrences [`Missed::All`] makes up for at once.
    pub missed_limit: i32,
    /// What becomes of an occurrence while an earlier one's job is open.
    pub overlap: Overlap,
}

/// What came of the newest occurrence that was dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// When it was planned.
    pub planned_at: DateTime,
    /// The job that was made, unless it was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Why it was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// A stored schedule. Times are by the primary's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// +1 with each edit; an edit names the version that it builds on.
    pub version: i64,
    /// What a person set.
    pub terms: Terms,
    /// Occurrences planned until then have been dealt with.
    pub high_water: DateTime,
    /// What came of the newest of them.
    pub last: Option<Outcome>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime,
    /// Who edited it last.
    pub updated_by: String,
    /// When.
    pub updated_at: DateTime,
    /// Names the write that created or edited it last; told from others by it when an answer is lost.
    pub write: String,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "_id")]
    name: String,
    version: i64,
    cron: String,
    timezone: String,
    kind: Kind,
    spec: Document,
    repository: String,
    max_attempts: i32,
    paused: bool,
    missed: Missed,
    missed_limit: i32,
    overlap: Overlap,
    high_water: DateTime,
    #[serde(default)]
    last: Option<Outcome>,
    created_by: String,
    created_at: DateTime,
    updated_by: String,
    updated_at: DateTime,
    write: String,
}

/// Checks the name of a schedule, which stands in paths and keys.
///
/// # Errors
/// One sentence that says what is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well && name.len() <= NAME_CHARACTERS_MAX && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "must have 1 to {NAME_CHARACTERS_MAX} letters, digits, '_', '-' or '.', and begin with a letter or digit"
    ))
}

impl Terms {
    /// When occurrences are due.
    ///
    /// # Errors
    /// What is wrong with the fields `cron` and `timezone`.
    pub fn calendar(&self) -> Result<Calendar, Vec<FieldError>> {
        Calendar::new(&self.cron, &self.timezone)
    }

    /// Whether both are due at the same times.
    pub fn same_times(&self, other: &Self) -> bool {
        self.cron == other.cron && self.timezone == other.timezone
    }

    /// The stored fields, in stored order.
    ///
    /// # Errors
    /// Where a value has no BSON form.
    pub fn to_document(&self) -> Result<Document, bson::error::Error> {
        Ok(doc! {
            "cron": &self.cron,
            "timezone": &self.timezone,
            "kind": self.spec.kind().as_str(),
            "spec": self.spec.to_document()?,
            "repository": &self.repository,
            "max_attempts": self.max_attempts,
            "paused": self.paused,
            "missed": bson::serialize_to_bson(&self.missed)?,
            "missed_limit": self.missed_limit,
            "overlap": bson::serialize_to_bson(&self.overlap)?,
        })
    }
}

impl Schedule {
    /// Reads a stored document.
    ///
    /// # Errors
    /// One sentence on why this program can't.
    pub fn from_document(document: Document) -> Result<Self, String> {
        let name = document.get_str("_id").unwrap_or("without a name").to_owned();
        let unreadable = |reason: String| format!("the schedule '{name}' can't be read: {reason}");
        match document.get_i32("schema") {
            Ok(SCHEDULE_SCHEMA) => {}
            Ok(other) => {
                return Err(unreadable(format!(
                    "its schema is {other}, this program knows {SCHEDULE_SCHEMA}: upgrade this node"
                )));
            }
            Err(_) => return Err(unreadable("it has no schema number".into())),
        }
        let said = |error: bson::error::Error| unreadable(error.to_string());
        let stored: Stored = bson::deserialize_from_document(document).map_err(said)?;
        Ok(Self {
            terms: Terms {
                cron: stored.cron,
                timezone: stored.timezone,
                spec: Spec::from_document(stored.kind, stored.spec).map_err(said)?,
                repository: stored.repository,
                max_attempts: stored.max_attempts,
                paused: stored.paused,
                missed: stored.missed,
                missed_limit: stored.missed_limit,
                overlap: stored.overlap,
            },
            name: stored.name,
            version: stored.version,
            high_water: stored.high_water,
            last: stored.last,
            created_by: stored.created_by,
            created_at: stored.created_at,
            updated_by: stored.updated_by,
            updated_at: stored.updated_at,
            write: stored.write,
        })
    }

    /// The id of the job of the occurrence planned at this time. A schedule that is removed and made anew has others.
    pub fn occurrence_id(&self, planned_at: DateTime) -> JobId {
        let Self { name, created_at, .. } = self;
        let (created_ms, planned_ms) = (created_at.timestamp_millis(), planned_at.timestamp_millis());
        let digest = Sha256::digest(format!("{name}\0{created_ms}\0{planned_ms}").as_bytes());
        let chance = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        JobId::compose(self.terms.spec.kind(), planned_at, chance)
    }

    /// The request of a job of this schedule.
    pub fn request(&self, id: JobId, requested_by: String, repository: RepositoryName) -> Request {
        Request {
            unique_key: match self.terms.overlap {
                Overlap::Skip => Some(unique_key::of_schedule(&self.name)),
                Overlap::Allow => None,
            },
            max_attempts: self.terms.max_attempts,
            ..Request::new(id, self.terms.spec.clone(), requested_by, Some(repository))
        }
    }

    /// What keeps it from doing what a person expects, as one sentence.
    pub fn problem(&self, now: DateTime) -> Option<String> {
        let name = &self.name;
        if let Err(errors) = self.terms.calendar() {
            let said: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.problem)).collect();
            return Some(format!("the schedule '{name}' is never due: {}", said.join("; ")));
        }
        let ahead_ms = self.high_water.timestamp_millis().saturating_sub(now.timestamp_millis());
        let mark = self.high_water.try_to_rfc3339_string().unwrap_or_else(|_| "the end of time".into());
        (ahead_ms > MARK_AHEAD_MS_MAX).then(|| {
            format!(
                "the schedule '{name}' does nothing before {mark}: its high-water mark lies in the future, as it does \
                 after a clock was ahead; set 'high_water' to mend that"
            )
        })
    }

    /// Who asks, in the events of its occurrences.
    pub fn signature(&self) -> String {
        format!("schedule:{}", self.name)
    }
}

macro_rules! words {
    ($type:ident, $what:literal, $($word:literal => $variant:ident),*) => {
        impl $type {
            /// The stored and spoken word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(format!(concat!("must be ", $what, ", not '{}'"), word)),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words!(Missed, "'skip', 'once' or 'all'", "skip" => Skip, "once" => Once, "all" => All);
words!(Overlap, "'skip' or 'allow'", "skip" => Skip, "allow" => Allow);

#[cfg(test)]
mod tests;
