//! Telling what can't be written: while there is no primary, alerts have no document and notices no job. Then each monitor tells what it
//! sees by itself: whoever wrote alerts last at once, the others later and only if it is still so, each alert once over each channel.
//!
//! The incident is named after the newest term of the set, which is the same for all who tell of it, so that others than plain webhooks
//! and mail take their messages for one. Once the alert is written it keeps that name, and the law of alerts goes on from there.

mod memory;

pub use memory::{Look, Told};

use crate::{
    channels::Channels,
    message::Message,
    send::{SendError, Sender},
};
use lucid_core::alert::{Command, transition};
use lucid_ports::{AlertOutcome, Alerts, StoreError};
use lucid_schemas::alert::{Alert, Fingerprint, What};
use memory::{Batch, Memory};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Tells what can't be written.
#[derive(Clone)]
pub struct Direct {
    channels: Channels,
    sender: Sender,
    memory: Arc<Mutex<Memory>>,
}

impl Direct {
    /// Tells over these channels.
    pub fn new(channels: Channels, sender: Sender) -> Self {
        Self { channels, sender, memory: Arc::default() }
    }

    /// Takes what a round has found, whether it can be written or not, and tells what is to be told of it, waiting for nobody.
    pub fn round(&self, look: &Look<'_>) {
        let config = self.channels.current();
        for batch in self.memory().decide(&config, look) {
            let Some(channel) = config.channel(&batch.channel).cloned() else { continue };
            let notices = batch.notices.clone();
            let message = Message::new(&channel.name, crate::config::ALL, look.now, config.link.clone(), notices);
            let direct = self.clone();
            tokio::spawn(async move {
                let sent = direct.sender.send(&channel, &message).await;
                direct.settle(&batch, &message, &sent);
            });
        }
    }

    fn settle(&self, batch: &Batch, message: &Message, sent: &Result<(), SendError>) {
        // A channel that is away is told of once, not in each round.
        if let Err(error) = sent
            && !self.channels.failing().contains_key(&batch.channel)
        {
            tracing::warn!(%error, "what can't be written can't be told either; it is tried again");
        }
        self.channels.note(&batch.channel, sent.as_ref().err().map(ToString::to_string));
        self.memory().settle(batch, sent.is_ok().then_some(message));
    }

    /// Under which incident an alert is known that was first seen when it couldn't be written: its document keeps that name.
    pub fn incident(&self, fingerprint: &Fingerprint) -> Option<String> {
        self.memory().incident(fingerprint)
    }

    /// This process has written an alert about it, under this incident: the law tells of it, whatever a look at the store says that is
    /// older.
    pub fn wrote(&self, alert: &Alert) {
        self.memory().wrote(alert.origin.fingerprint.clone(), alert.incident().to_owned());
    }

    /// The store was looked at again.
    pub fn looked(&self) {
        self.memory().looked();
    }

    /// What was over before it could be written, and whoever was told of it knows: to be written with its own times, and forgotten
    /// here by [`Self::forget`].
    pub fn over(&self) -> Vec<(Fingerprint, Told)> {
        self.memory().over()
    }

    /// What is known of it is written now.
    pub fn forget(&self, fingerprint: &Fingerprint) {
        self.memory().forget(fingerprint);
    }

    /// Notes in an alert that has just been written who was told of it by this process, so that nobody is told twice and all of them hear
    /// that it is over; then the alert is the law's, and forgotten here.
    ///
    /// # Errors
    /// Where it couldn't be noted: then the same is told once more, under the same key.
    pub async fn hand_over(
        &self,
        alerts: &dyn Alerts,
        alert: Alert,
        by: &str,
        repeat_ms: i64,
    ) -> Result<(), StoreError> {
        let fingerprint = alert.origin.fingerprint.clone();
        let mut alert = alert;
        let told = self.memory().channels(&fingerprint);
        for channel in told {
            let what = What::Firing;
            let begin = Command::BeginNotice { channel: channel.clone(), what };
            let take = Command::TakeNotice { channel, what, repeat_in_ms: Some(repeat_ms) };
            for command in [begin, take] {
                let Ok(next) = transition(&alert, &command, by, &Uuid::new_v4().simple().to_string()) else { continue };
                match alerts.apply_alert(&next).await? {
                    AlertOutcome::Won(now) | AlertOutcome::Lost(Some(now)) => alert = *now,
                    AlertOutcome::Lost(None) => {}
                }
            }
        }
        self.forget(&fingerprint);
        Ok(())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
