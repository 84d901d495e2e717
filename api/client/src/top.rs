//! All that one screen shows: of the monitor its health, members, backups and alerts, of the API the jobs. Each part is known, or why not.

use crate::{AlertQuery, Client, ClientError, JobQuery};
use lucid_schemas::http::{AlertView, JobView};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, thread};

const JOBS_MAX: u32 = 100;
const ALERTS_MAX: u32 = 500;
/// Open states; asked for apart, so that however many jobs wait, those that are worked on are shown, and shown first.
const HELD: [&str; 4] = ["blocked", "committing", "canceling", "running"];
const TO_COME: [&str; 2] = ["queued", "waiting"];
/// Kinds of jobs that monitors ask for: they tell nobody how backups are.
const OF_MONITORS: [&str; 2] = ["monitor", "notify"];

/// The members of a set, by address.
pub type Members = BTreeMap<String, Member>;
/// The newest whole backups, by database.
pub type Backups = BTreeMap<String, Backup>;

/// A part of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Part<T> {
    /// This.
    Known(T),
    /// Nothing.
    Unknown {
        /// Why, as a sentence.
        problem: String,
    },
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Top {
    /// When it was asked for, in milliseconds since 1970 by the clock of this machine.
    pub at_ms: i64,
    /// How the set and the service are: as the monitor says, or without one the API.
    pub health: Part<Condition>,
    /// The members of the set, by address.
    pub members: Part<Members>,
    /// Open jobs that people or schedules have asked for, those that are worked on first.
    pub jobs: Part<Vec<JobView>>,
    /// The newest whole backup that is there, by database.
    pub backups: Part<Backups>,
    /// Open alerts, the critical ones first, each newest first.
    pub alerts: Part<Vec<AlertView>>,
}

/// How the set and the service are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// In one word.
    pub status: String,
    /// When a monitor has evaluated last, RFC 3339.
    #[serde(default)]
    pub evaluated_at: Option<String>,
    /// What somebody should look at, a sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// A member of the set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Whether it answers.
    pub up: bool,
    /// Why it doesn't.
    #[serde(default)]
    pub problem: Option<String>,
    /// Seconds behind the primary.
    #[serde(default)]
    pub lag_seconds: Option<f64>,
    /// How it sees itself.
    #[serde(default)]
    pub set: Option<Own>,
}

/// How a member sees itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// Its state by number.
    #[serde(default)]
    pub state: Option<i64>,
}

/// A whole backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    /// Its job.
    pub job: String,
    /// The instant that it shows, in seconds since 1970.
    #[serde(default)]
    pub read_at: Option<f64>,
}

/// `GET /stats`, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Stats {
    members: BTreeMap<String, Member>,
    jobs: Store,
}

/// What the store told the monitor, or why it didn't.
#[derive(Debug, Deserialize)]
struct Store {
    #[serde(default)]
    problem: Option<String>,
    #[serde(default)]
    backups: BTreeMap<String, Backup>,
}

impl<T> Part<T> {
    fn of(asked: Result<T, ClientError>) -> Self {
        asked.map_or_else(|error| Self::Unknown { problem: error.to_string() }, Self::Known)
    }
}

impl Top {
    /// Asks both services at once. One that doesn't answer leaves out its part.
    pub fn look(api: &Client, monitor: &Client) -> Self {
        let at_ms = chrono::Utc::now().timestamp_millis();
        thread::scope(|scope| {
            let of_api = scope.spawn(|| (jobs(api), api.condition()));
            let (stats, own) = (monitor.get::<Stats>("/stats", Vec::new()), monitor.condition());
            let alerts = alerts(monitor);
            // Nothing in there panics.
            let (jobs, instead) =
                of_api.join().unwrap_or_else(|_| (Ok(Vec::new()), Err(api.odd("asking it broke off"))));
            let (members, backups) = split(stats);
            Self {
                at_ms,
                health: Part::of(own.or(instead)),
                members,
                jobs: Part::of(jobs),
                backups,
                alerts: Part::of(alerts),
            }
        })
    }

    /// Whether nobody answered.
    pub const fn is_blind(&self) -> bool {
        matches!(
            (&self.health, &self.members, &self.jobs),
            (Part::Unknown { .. }, Part::Unknown { .. }, Part::Unknown { .. })
        )
    }
}

impl Client {
    /// `GET /health` of any service, as far as all of them tell the same.
    fn condition(&self) -> Result<Condition, ClientError> {
        let (status, text) = self.text(self.agent.get(self.address("/health")).call())?;
        serde_json::from_str(&text).or_else(|_| self.parse(status, &text))
    }
}

fn split(stats: Result<Stats, ClientError>) -> (Part<Members>, Part<Backups>) {
    match stats {
        Ok(Stats { members, jobs: Store { problem: None, backups } }) => (Part::Known(members), Part::Known(backups)),
        Ok(Stats { members, jobs: Store { problem: Some(problem), .. } }) => {
            (Part::Known(members), Part::Unknown { problem })
        }
        Err(error) => {
            let problem = error.to_string();
            (Part::Unknown { problem: problem.clone() }, Part::Unknown { problem })
        }
    }
}

fn jobs(api: &Client) -> Result<Vec<JobView>, ClientError> {
    let mut jobs = Vec::new();
    for states in [&HELD[..], &TO_COME] {
        let states = states.iter().map(|state| (*state).to_owned()).collect();
        jobs.extend(api.jobs(&JobQuery { states, limit: Some(JOBS_MAX), ..JobQuery::default() })?.jobs);
    }
    jobs.retain(|job| !OF_MONITORS.contains(&job.kind.as_str()));
    Ok(jobs)
}

fn alerts(monitor: &Client) -> Result<Vec<AlertView>, ClientError> {
    let mut alerts = monitor.alerts(&AlertQuery { limit: Some(ALERTS_MAX), ..AlertQuery::default() })?.alerts;
    alerts.sort_by_key(|alert| alert.severity != "critical");
    Ok(alerts)
}
