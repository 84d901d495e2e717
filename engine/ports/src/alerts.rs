//! Where alerts are kept: beside the jobs, each write one atomic compare-and-set on one document.

use crate::StoreError;
use async_trait::async_trait;
use bson::DateTime;
use lucid_core::alert::{Raise, Transition};
use lucid_schemas::alert::{Alert, AlertId, AlertState, Due, Fingerprint, Severity};

/// What came of raising an alert.
#[derive(Debug, Clone, PartialEq)]
pub enum Raised {
    /// It was written, by this call or by an earlier one of the same write; this is the alert as it is.
    New(Box<Alert>),
    /// Another one of the same fingerprint is open: this one.
    Open(Box<Alert>),
    /// It came later than its deadline: nothing was written.
    Late,
}

/// What came of a compare-and-set.
#[derive(Debug, Clone, PartialEq)]
pub enum AlertOutcome {
    /// It happened; this is the alert as it is, which others may have written since.
    Won(Box<Alert>),
    /// Somebody else has written it, a later claim has, or a guard didn't hold; nothing was changed. This is the alert as it
    /// is, `None` where it doesn't exist. Also said of a write that no event tells of and whose answer was lost, where
    /// another one has followed it.
    Lost(Option<Box<Alert>>),
}

impl AlertOutcome {
    /// What came of `transition`, read from the alert as it is `afterwards`: the name of the write decides. Every store
    /// judges by this.
    pub fn of(transition: &Transition, afterwards: Option<Alert>) -> Self {
        let Some(alert) = afterwards else {
            return Self::Lost(None);
        };
        let write = transition.write();
        if alert.write == write || alert.events.iter().any(|event| event.write == write) {
            Self::Won(Box::new(alert))
        } else {
            Self::Lost(Some(Box::new(alert)))
        }
    }
}

/// A place in a list: that of an alert, whether it is still there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertPlace {
    /// When the alert was written first.
    pub created_at: DateTime,
    /// The alert.
    pub id: AlertId,
}

impl AlertPlace {
    /// Where an alert stands.
    pub fn of(alert: &Alert) -> Self {
        Self { created_at: alert.head.created_at.stored().unwrap_or(DateTime::MAX), id: alert.id().clone() }
    }
}

/// Which alerts a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlertFilter {
    /// In one of these states; in any where empty.
    pub states: Vec<AlertState>,
    /// Of this severity.
    pub severity: Option<Severity>,
    /// Found by this rule.
    pub rule: Option<String>,
    /// About the same as these.
    pub fingerprint: Option<Fingerprint>,
    /// After this place in the list's order (newest first).
    pub after: Option<AlertPlace>,
    /// At most so many; 0 means none.
    pub limit: u32,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlertPage {
    /// Newest first, by `created_at`, then id.
    pub alerts: Vec<Alert>,
    /// Whether there are more.
    pub more: bool,
}

/// An alert of which somebody is to be told now.
#[derive(Debug, Clone, PartialEq)]
pub struct DueAlert {
    /// The alert.
    pub alert: Alert,
    /// The notices whose time has come, by the store's clock.
    pub due: Vec<Due>,
}

impl DueAlert {
    /// What is due of an alert at this time.
    pub fn at(alert: Alert, now: DateTime) -> Self {
        let due = alert.notify.iter().filter(|due| due.due_at.stored().is_some_and(|at| at <= now)).cloned().collect();
        Self { alert, due }
    }
}

/// Where alerts are kept. What these answers promise is durable on a majority. One that a later program wrote in a shape of
/// its own is passed over by all but [`Self::alert`].
#[async_trait]
pub trait Alerts: Send + Sync + 'static {
    /// Writes an alert for the first time, unless it is too late, or another one of the same fingerprint is open.
    async fn raise_alert(&self, raise: &Raise) -> Result<Raised, StoreError>;

    /// Makes the transition true, or reports that another one was.
    async fn apply_alert(&self, transition: &Transition) -> Result<AlertOutcome, StoreError>;

    /// The alert.
    async fn alert(&self, id: &AlertId) -> Result<Option<Alert>, StoreError>;

    /// The ids of at most `limit` alerts that begin so, in order.
    async fn alert_ids_with_prefix(&self, prefix: &AlertId, limit: u32) -> Result<Vec<AlertId>, StoreError>;

    /// Every alert that is open, in the order of their fingerprints.
    async fn open_alerts(&self) -> Result<Vec<Alert>, StoreError>;

    /// A list of alerts, open or over.
    async fn list_alerts(&self, filter: &AlertFilter) -> Result<AlertPage, StoreError>;

    /// Alerts of which somebody is to be told now, whoever waits longest first, at most `limit`.
    async fn due_alerts(&self, limit: u32) -> Result<Vec<DueAlert>, StoreError>;

    /// Deletes alerts that were resolved longer ago than this, the oldest first, `limit` at most; how many that were. The newest
    /// about the same stays: who looks when it was so last still finds it.
    async fn forget_alerts(&self, older_ms: i64, limit: u32) -> Result<u64, StoreError>;
}
