//! Having people told: jobs for what is due, a sign for the heartbeat, and what is told directly while nothing can be written.

use super::Desk;
use crate::{evaluate::Evaluations, jobs::Jobs, open::AlertSource, seen::Told};
use async_trait::async_trait;
use bson::DateTime;
use lucid_core::{
    alert::is_silenced,
    rules::{self, Rule},
};
use lucid_notify::{
    Channels, Direct, Hush, Hushed,
    direct::Look,
    due::{DUE_MOST, Held},
    heartbeat,
};
use lucid_ports::{Alerts, Enqueue, Silences, StoreError, silences::SilenceLook};
use lucid_schemas::{
    JobId, Kind, NotifySpec,
    alert::{Alert, Fingerprint, Origin},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

/// What is due for longer than this, beside the time that a group waits, isn't told by anybody.
const LATE: Duration = Duration::from_secs(300);
/// So many intervals long a round that was written counts for the heartbeat.
const INTERVALS_FRESH: u32 = 3;

/// What is needed to have people told.
#[derive(Clone)]
pub struct Teller {
    /// The channels of this node.
    pub channels: Channels,
    /// What keeps alerts quiet.
    pub hush: Arc<dyn Hush>,
    /// Whoever sends heartbeats.
    pub rounds: watch::Sender<Option<heartbeat::Round>>,
    /// What is told while nothing can be written.
    pub direct: Direct,
}

impl Teller {
    /// Asks for a job for each group of which something is due and none is open, after a round that was written.
    pub(super) async fn after(
        &self,
        desk: &Desk,
        now: DateTime,
        by: &str,
        interval: Duration,
    ) -> Result<(), StoreError> {
        let due = desk.alerts.due_alerts(DUE_MOST).await?;
        let (hushed, config) = (self.hush.look().await?, self.channels.current());
        let held = Held { config: &config, now_ms: now.timestamp_millis(), is_hushed: &*hushed };
        for group in held.groups(&due) {
            let id = JobId::compose(Kind::Notify, now, Uuid::new_v4().as_u64_pair().0);
            let request = NotifySpec::from(group).request(id, by);
            let delay_ms = ms(config.group_wait);
            let enqueue = Enqueue { request, delay_ms, run_at: None, write: Uuid::new_v4().simple().to_string() };
            match desk.store.enqueue(&enqueue).await {
                // The one that is open tells what has become due meanwhile.
                Ok(_) | Err(StoreError::NotUnique { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let late = held.late(&due, ms(config.group_wait + LATE));
        let round = heartbeat::Round { at: Instant::now(), counts_for: interval * INTERVALS_FRESH, late };
        self.rounds.send_replace(Some(round));
        Ok(())
    }
}

/// Tells, round after round, what can't be written, as the monitor whose worker has this name; until nobody evaluates any more.
pub async fn directly(
    direct: Direct,
    mut evaluations: Evaluations,
    mut jobs: watch::Receiver<Told>,
    alerts: AlertSource,
    own: String,
) {
    let mut known = Known::default();
    while evaluations.changed().await.is_ok() {
        let has_looked = jobs.has_changed().unwrap_or(false);
        if let Ok(told) = &*jobs.borrow_and_update() {
            known = Known::of(told);
            if has_looked {
                direct.looked();
            }
        }
        let remembered = alerts.open();
        let Some(evaluation) = evaluations.borrow_and_update().clone() else { continue };
        direct.round(&Look {
            judged: &evaluation.judged,
            written: &known.written,
            silences: remembered.as_ref().map_or(&[], |open| &open.silences),
            can_write: evaluation.can_write,
            term: evaluation.term.unwrap_or_default(),
            rank: known.rank(&own),
            clock_ms: evaluation.clock_ms,
            now: evaluation.primary_at.unwrap_or_else(DateTime::now),
            is_uncertain: evaluation.primary_at.is_none(),
        });
    }
}

/// What was known when the store told last.
#[derive(Debug, Clone, Default)]
struct Known {
    /// What the alerts that are open are about, and their incidents.
    written: BTreeMap<Fingerprint, String>,
    /// Who wrote alerts last.
    holder: Option<String>,
    /// The workers of live monitors.
    monitors: BTreeSet<String>,
}

impl Known {
    fn of(told: &Jobs) -> Self {
        Self {
            written: told.watch.open.iter().map(named).collect(),
            holder: told.watch.monitors.iter().find_map(|job| job.head.worker.clone()),
            monitors: told.monitors.clone(),
        }
    }

    /// How many monitors are to tell before this one.
    fn rank(&self, own: &str) -> u32 {
        if self.holder.as_deref() == Some(own) {
            return 0;
        }
        let others = self.monitors.iter().filter(|name| self.holder.as_ref() != Some(name));
        let before = others.take_while(|name| name.as_str() < own).count();
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// What keeps alerts quiet: silences, and other alerts that explain them.
pub struct Quiet {
    /// The silences.
    pub silences: Arc<dyn Silences>,
    /// The alerts.
    pub alerts: Arc<dyn Alerts>,
}

#[async_trait]
impl Hush for Quiet {
    async fn look(&self) -> Result<Hushed, StoreError> {
        let SilenceLook { now, silences, .. } = self.silences.look_at_silences().await?;
        let open = self.alerts.open_alerts().await?;
        let known: BTreeMap<&str, &Rule> = rules::all().into_iter().map(|rule| (rule.id, rule)).collect();
        Ok(Box::new(move |alert| {
            let Origin { rule, labels, .. } = &alert.origin;
            if is_silenced(&silences, rule, alert.head.severity, labels, now).is_some() {
                return true;
            }
            let rule = known.get(alert.origin.rule.as_str());
            rule.is_some_and(|rule| open.iter().any(|other| explains(rule, alert, other)))
        }))
    }
}

fn named(alert: &Alert) -> (Fingerprint, String) {
    (alert.origin.fingerprint.clone(), alert.incident().to_owned())
}

fn explains(rule: &Rule, alert: &Alert, other: &Alert) -> bool {
    alert.id() != other.id() && rule.is_explained_by(&alert.origin.labels, &other.origin.rule, &other.origin.labels)
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
