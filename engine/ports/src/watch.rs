//! Who looks after the set, and what they have found: what the condition of all of it is judged by.

use crate::{Alerts, JobFilter, Pause, Store, StoreError};
use bson::DateTime;
use lucid_core::condition::{Condition, Looked, condition};
use lucid_schemas::{Job, Kind, alert::Alert};

/// The last one, the one before, and one that waits.
const MONITORS: u32 = 3;

/// What a look at the store has shown.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// The newest monitor jobs.
    pub monitors: Vec<Job>,
    /// Who has paused them, where somebody has.
    pub paused: Option<Pause>,
    /// Every alert that is open.
    pub open: Vec<Alert>,
}

impl Watch {
    /// Looks.
    ///
    /// # Errors
    /// Where the store can't tell.
    pub async fn look(store: &dyn Store, alerts: &dyn Alerts) -> Result<Self, StoreError> {
        let filter = JobFilter { kind: Some(Kind::Monitor), limit: MONITORS, ..JobFilter::default() };
        Ok(Self {
            monitors: store.list(&filter).await?.jobs,
            paused: store.paused().await?.into_iter().find(|pause| pause.kind == Kind::Monitor),
            open: alerts.open_alerts().await?,
        })
    }

    /// How all of it is when the primary's clock shows `now`.
    pub fn condition(&self, now: DateTime) -> Condition {
        let paused = self.paused.as_ref().map(|pause| (pause.by.as_str(), pause.at));
        condition(&Looked { now, monitors: &self.monitors, paused, open: &self.open })
    }
}
