//! Messages of `GET /events`.

use super::EventView;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Whose event a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A job's.
    #[default]
    Job,
    /// An alert's.
    Alert,
}

impl FromStr for Class {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "job" => Ok(Self::Job),
            "alert" => Ok(Self::Alert),
            _ => Err("must be job or alert".into()),
        }
    }
}

/// A message about a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEventView {
    /// `job`.
    #[serde(default)]
    pub class: Class,
    /// The job.
    pub job_id: String,
    /// Its state after this, where that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub event: EventView,
}

/// A message about an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertEventView {
    /// `alert`.
    pub class: Class,
    /// The alert.
    pub alert_id: String,
    /// Its state after this, where that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub event: EventView,
}

/// The message of `GET /events` that tells of a hole in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetView {
    /// Why, and what to do.
    pub reason: String,
}
