//! What was over before it could be written: it becomes an alert with its own times, so that history knows what people were told.

use super::round::{Pen, write};
use bson::DateTime;
use lucid_core::{
    alert::{Command, Fence, Finding, Sighting, Wanted, raise, transition},
    rules::RULES_VERSION,
};
use lucid_notify::direct::Told;
use lucid_ports::{AlertOutcome, Raised, StoreError};
use lucid_schemas::{
    Stamp,
    alert::{Alert, AlertId, ResolvedBy, What},
};
use uuid::Uuid;

/// Nobody is to be told by a job meanwhile: they know. The alert is over long before.
const NOT_DUE_MS: i64 = 3_600_000;

impl Pen<'_> {
    /// Writes what was over before this round could be written, under this claim.
    pub(super) async fn afterwards(&self, fence: Fence) -> Result<(), StoreError> {
        let direct = &self.desk.teller.direct;
        for (fingerprint, told) in direct.over() {
            let previous = self.previous(fingerprint.clone()).await?;
            // It was written by whoever held the claim before; or the same is so again, and that alert tells the rest.
            let is_later =
                |alert: &Alert| alert.head.resolved_at.and_then(Stamp::stored) >= Some(told.notice.starts_at);
            let is_known =
                |alert: &Alert| alert.head.state.is_open() || (alert.incident() == told.incident && is_later(alert));
            // What comes too late by the primary's clock, the next round writes.
            if previous.as_ref().is_some_and(is_known)
                || self.write_over(&told, previous.map(|alert| alert.origin.id), fence).await?
            {
                direct.forget(&fingerprint);
            }
        }
        Ok(())
    }

    /// Whether it is written, or an alert about the same is open.
    async fn write_over(&self, told: &Told, previous: Option<AlertId>, fence: Fence) -> Result<bool, StoreError> {
        let notice = &told.notice;
        let channels: Vec<String> = told.channels().map(str::to_owned).collect();
        let wanted = |channel: &String| Wanted { channel: channel.clone(), in_ms: NOT_DUE_MS };
        let finding = Finding {
            id: AlertId::compose(notice.starts_at, Uuid::new_v4().as_u64_pair().0),
            rule: notice.rule.clone(),
            labels: notice.labels.clone(),
            severity: notice.severity,
            starts_at: notice.starts_at,
            starts_at_uncertain: notice.starts_at_uncertain,
            incident: Some(told.incident.clone()),
            previous,
            sighting: Sighting {
                value: notice.value,
                summary: notice.summary.clone(),
                rules_version: RULES_VERSION,
                times: 1,
                flapping: notice.is_flapping,
            },
            notify: channels.iter().map(wanted).collect(),
        };
        let alert = match self.desk.alerts.raise_alert(&raise(&finding, fence, &self.by(), &write())).await? {
            Raised::New(alert) => alert,
            Raised::Open(_) => return Ok(true),
            Raised::Late => return Ok(false),
        };
        let notices = |what| {
            let of = move |channel: &String| {
                let channel = channel.clone();
                let begin = Command::BeginNotice { channel: channel.clone(), what };
                [begin, Command::TakeNotice { channel, what, repeat_in_ms: None }]
            };
            channels.iter().flat_map(of).collect::<Vec<_>>()
        };
        let how = notice.resolved_by.unwrap_or(ResolvedBy::Condition);
        let ended_at = notice.ends_at.map(|at: DateTime| at.max(notice.starts_at));
        let end = Command::Resolve { fence, how, ended_at };
        let commands = [notices(What::Firing), vec![end], notices(What::Resolved)].concat();
        tracing::info!(alert = %alert.id(), rule = notice.rule, "what was over before it could be written is written now");
        self.ask_all(*alert, &commands).await?;
        Ok(true)
    }

    /// Asks all of it of an alert, in this order; what its state doesn't allow was done by somebody else.
    async fn ask_all(&self, mut alert: Alert, commands: &[Command]) -> Result<(), StoreError> {
        for command in commands {
            let Ok(next) = transition(&alert, command, &self.by(), &write()) else { continue };
            match self.desk.alerts.apply_alert(&next).await? {
                AlertOutcome::Won(now) | AlertOutcome::Lost(Some(now)) => alert = *now,
                AlertOutcome::Lost(None) => return Ok(()),
            }
        }
        Ok(())
    }
}
