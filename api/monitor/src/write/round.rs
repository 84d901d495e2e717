//! One round: what is open is compared with what should be, and each difference is one write.

use super::{Desk, Teller};
use crate::evaluate::Evaluation;
use bson::{DateTime, doc};
use lucid_core::{
    alert::{Command, Fence, Finding, raise, transition},
    rules::{
        About, Judged, Round, Standing, Step,
        limit::{left_out, list_of},
        plan,
    },
};
use lucid_notify::config::Subject;
use lucid_ports::{AlertFilter, AlertOutcome, JobContext, Raised, StoreError};
use lucid_schemas::{
    alert::{Alert, AlertId, Fingerprint, Token},
    kinds::MonitorResult,
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// So many names are kept: a document has an end.
const NAMES_KEPT: usize = 10_000;

/// What writes under a claim.
pub(super) struct Pen<'a> {
    pub context: &'a dyn JobContext,
    pub desk: &'a Desk,
    pub token: Token,
    pub interval_ms: i64,
}

impl Pen<'_> {
    /// Writes what the round has found; the alerts that are open then. `None` where the claim doesn't count any more.
    pub async fn write(
        &self,
        evaluation: &Evaluation,
        primary_at: DateTime,
        mut open: Vec<Alert>,
        result: &mut MonitorResult,
    ) -> Result<Option<Vec<Alert>>, StoreError> {
        let fence = Fence { token: self.token, deadline: plus_ms(primary_at, 2 * self.interval_ms) };
        let round =
            Round { fence, now_ms: primary_at.timestamp_millis(), rules: &evaluation.rules, cold: &evaluation.cold };
        self.afterwards(fence).await?;
        self.keep_left_out(&evaluation.judged, &open).await;
        let config = self.desk.teller.channels.current();
        let route = |about: About<'_>| {
            let About { rule, labels, severity } = about;
            config.wanted(&Subject { rule, labels, severity })
        };
        for step in plan(&evaluation.judged, &open, round, route) {
            if self.context.stop().is_cancelled() || self.context.lease_left().is_zero() {
                return Ok(None);
            }
            match step {
                Step::Raise { judged, sighting, notify } => {
                    let Standing::Open { since_ms, severity, .. } = judged.standing else { continue };
                    let finding = Finding {
                        id: AlertId::compose(primary_at, Uuid::new_v4().as_u64_pair().0),
                        rule: judged.rule.id.to_owned(),
                        severity,
                        starts_at: plus_ms(primary_at, since_ms - evaluation.clock_ms),
                        starts_at_uncertain: false,
                        incident: self.desk.teller.direct.incident(&fingerprint_of(&judged)),
                        previous: self.previous(fingerprint_of(&judged)).await?.map(|alert| alert.origin.id),
                        labels: judged.labels,
                        sighting,
                        notify,
                    };
                    open.extend(self.raise(&finding, fence, result).await?);
                }
                Step::Ask(id, command) => self.ask(&mut open, &id, &command, result).await?,
            }
        }
        Ok(Some(open))
    }

    /// Keeps the names of what becomes no alert beside this job, before the alert that counts them is written. They are a help: alerts are
    /// written without them, too.
    async fn keep_left_out(&self, judged: &BTreeMap<Fingerprint, Judged>, open: &[Alert]) {
        for (rule, names) in left_out(judged, open) {
            let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
            let names: Vec<String> = names.into_iter().take(NAMES_KEPT).collect();
            let (name, data) = (list_of(rule), doc! { "rule": rule, "count": count, "names": names });
            let known = self.context.detail(&name).await.ok().flatten();
            if known.is_none_or(|known| known.data != data)
                && let Err(error) = self.context.put_detail(&name, data).await
            {
                tracing::warn!(rule, %error, "the names of what is left out aren't kept: tried again in the next round");
            }
        }
    }

    /// The alert about the same before this one.
    pub(super) async fn previous(&self, fingerprint: Fingerprint) -> Result<Option<Alert>, StoreError> {
        let filter = AlertFilter { fingerprint: Some(fingerprint), limit: 1, ..AlertFilter::default() };
        Ok(self.desk.alerts.list_alerts(&filter).await?.alerts.pop())
    }

    async fn raise(
        &self,
        finding: &Finding,
        fence: Fence,
        result: &mut MonitorResult,
    ) -> Result<Option<Alert>, StoreError> {
        match self.desk.alerts.raise_alert(&raise(finding, fence, &self.by(), &write())).await? {
            Raised::New(alert) => {
                result.raised += 1;
                self.desk.teller.direct.wrote(&alert);
                tracing::warn!(alert = %alert.id(), rule = alert.origin.rule, severity = %alert.head.severity, summary = alert.seen.summary, "raised");
                let Teller { channels, direct, .. } = &self.desk.teller;
                if alert.origin.incident.is_some() {
                    let repeat_ms = i64::try_from(channels.current().repeat.as_millis()).unwrap_or(i64::MAX);
                    direct.hand_over(&*self.desk.alerts, (*alert).clone(), &self.by(), repeat_ms).await?;
                }
                Ok(Some(*alert))
            }
            Raised::Open(alert) => Ok(Some(*alert)),
            Raised::Late => {
                result.lost += 1;
                tracing::warn!(
                    rule = finding.rule,
                    "not raised: the round is too old by the primary's clock, the next one tries again"
                );
                Ok(None)
            }
        }
    }

    /// Asks it of an open alert, whose new state takes its place.
    async fn ask(
        &self,
        open: &mut Vec<Alert>,
        id: &AlertId,
        command: &Command,
        result: &mut MonitorResult,
    ) -> Result<(), StoreError> {
        let Some(place) = open.iter().position(|alert| alert.id() == id) else { return Ok(()) };
        let next = match transition(&open[place], command, &self.by(), &write()) {
            Ok(next) => next,
            Err(refusal) => {
                tracing::debug!(alert = %id, %refusal, "nothing is written");
                return Ok(());
            }
        };
        let now = match self.desk.alerts.apply_alert(&next).await? {
            AlertOutcome::Won(alert) => {
                if !alert.head.state.is_open() {
                    result.resolved += 1;
                    tracing::info!(alert = %id, rule = alert.origin.rule, "resolved");
                }
                Some(alert)
            }
            // Somebody was faster, or it comes late: the next round looks again.
            AlertOutcome::Lost(alert) => {
                result.lost += 1;
                alert
            }
        };
        match now {
            Some(alert) if alert.head.state.is_open() => open[place] = *alert,
            _ => drop(open.remove(place)),
        }
        Ok(())
    }

    pub(super) fn by(&self) -> String {
        self.context.job().head.worker.unwrap_or_default()
    }
}

fn fingerprint_of(judged: &Judged) -> Fingerprint {
    Fingerprint::of(judged.rule.id, &judged.labels)
}

/// A fresh name for a write.
pub(super) fn write() -> String {
    Uuid::new_v4().simple().to_string()
}

fn plus_ms(at: DateTime, ms: i64) -> DateTime {
    DateTime::from_millis(at.timestamp_millis().saturating_add(ms))
}
