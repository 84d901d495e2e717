//! Facts about an alert, in the past tense, numbered from 1.

use super::{AlertId, Fingerprint, ResolvedBy, Severity, What};
use crate::Stamp;
use bson::{DateTime, Document};
use serde::{Deserialize, Serialize};

/// What happened. Stored as `type` and `data`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum AlertEventBody {
    /// A rule found it.
    Raised {
        /// Of the rule and the labels, so that neither can be changed unseen.
        fingerprint: Fingerprint,
        /// How much it matters.
        severity: Severity,
        /// Since when it was so.
        starts_at: DateTime,
        /// The rule's sentence then, for people.
        summary: String,
        /// What was measured then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<f64>,
        /// The alert of the same fingerprint before this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<AlertId>,
    },
    /// Somebody said that he knows.
    Acknowledged {
        /// For how many milliseconds that counts; absent: until it is over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_ms: Option<i64>,
        /// What he said, for people.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        comment: String,
    },
    /// The time that somebody took for it ran out, and it is still so.
    AcknowledgementEnded {},
    /// It matters more, or less, than before. More than what somebody has acknowledged is news.
    SeverityChanged {
        /// How much it mattered.
        from: Severity,
        /// How much it matters.
        to: Severity,
    },
    /// Somebody was told: for the first time that it was raised, or that it is over.
    Notified {
        /// The name of the channel.
        channel: String,
        /// What he was told: `firing` or `resolved`.
        what: What,
    },
    /// It is over.
    Resolved {
        /// Why.
        how: ResolvedBy,
        /// When it was over, where that could only be written later.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended_at: Option<DateTime>,
        /// What a person said about it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        comment: String,
    },
}

/// One numbered fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertEvent {
    /// Its number within the alert, from 1, without gaps. Order within an alert is this, never time.
    pub seq: i64,
    /// When, by the primary's clock.
    pub at: Stamp,
    /// Who: `monitor:pi-2/4711`, `token:ci`.
    pub by: String,
    /// Which write it came with; tells its writer after a lost answer that it was his.
    pub write: String,
    /// What.
    #[serde(flatten)]
    pub body: AlertEventBody,
}

impl AlertEventBody {
    /// The stored `type`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Raised { .. } => "raised",
            Self::Acknowledged { .. } => "acknowledged",
            Self::AcknowledgementEnded {} => "acknowledgement_ended",
            Self::SeverityChanged { .. } => "severity_changed",
            Self::Notified { .. } => "notified",
            Self::Resolved { .. } => "resolved",
        }
    }

    /// The stored `data`.
    ///
    /// # Errors
    /// Where a value has no BSON form.
    pub fn data(&self) -> Result<Document, bson::error::Error> {
        let mut document = bson::serialize_to_document(self)?;
        Ok(match document.remove("data") {
            Some(bson::Bson::Document(data)) => data,
            _ => Document::new(),
        })
    }
}
