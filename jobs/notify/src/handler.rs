//! The handler of notify jobs.

use crate::{
    channels::Channels,
    deliver::{DeliverError, Delivery},
    due::Held,
    send::Sender,
};
use async_trait::async_trait;
use bson::Document;
use lucid_ports::{Alerts, Ending, Handler, JobContext, JobError, Store, StoreError};
use lucid_schemas::{Code, Kind, Spec, alert::Alert, kinds::NotifySpec};
use std::sync::Arc;

/// Whether an alert is kept quiet, as of when that was looked up.
pub type Hushed = Box<dyn Fn(&Alert) -> bool + Send + Sync>;

/// What keeps alerts quiet: silences, and other alerts that explain them.
#[async_trait]
pub trait Hush: Send + Sync + 'static {
    /// Looks what that is now.
    async fn look(&self) -> Result<Hushed, StoreError>;
}

/// Runs notify jobs.
pub struct NotifyHandler {
    /// Whose clock counts.
    pub store: Arc<dyn Store>,
    /// Where alerts are.
    pub alerts: Arc<dyn Alerts>,
    /// What keeps them quiet.
    pub hush: Arc<dyn Hush>,
    /// The channels of this node.
    pub channels: Channels,
    /// How messages are sent.
    pub sender: Sender,
}

impl NotifyHandler {
    async fn tell(&self, context: &dyn JobContext, spec: &NotifySpec) -> Result<Document, JobError> {
        let config = self.channels.current();
        let channel = config.channel(&spec.channel).ok_or_else(|| {
            let reason = format!("this node has no channel {}: its file of channels was changed", spec.channel);
            JobError::retryable(Code::ChannelUnknown, reason)
        })?;
        let hushed = self.hush.look().await.map_err(|error| unavailable(&error))?;
        let now_ms = self.store.clock().await.map_err(|error| unavailable(&error))?.timestamp_millis();
        let by = context.job().head.worker.unwrap_or_default();
        let delivery = Delivery {
            alerts: &*self.alerts,
            channels: &self.channels,
            channel,
            group: &spec.group,
            held: &Held { config: &config, now_ms, is_hushed: &*hushed },
            sender: self.sender,
            by: &by,
            stop: context.stop(),
        };
        let result = delivery.deliver().await.map_err(|error| match error {
            DeliverError::Store(error) => unavailable(&error),
            DeliverError::Send(error) => error.into(),
            DeliverError::Stopped => JobError::Stopped,
        })?;
        bson::serialize_to_document(&result)
            .map_err(|error| JobError::permanent(Code::BadRequest, format!("what came of it can't be stored: {error}")))
    }
}

fn unavailable(error: &StoreError) -> JobError {
    JobError::retryable(Code::StoreUnavailable, error.to_string())
}

#[async_trait]
impl Handler for NotifyHandler {
    fn kind(&self) -> Kind {
        Kind::Notify
    }

    async fn run(&self, context: &dyn JobContext) -> Result<Document, JobError> {
        match &context.job().request.spec {
            Spec::Notify(spec) => self.tell(context, spec).await,
            _ => Err(JobError::permanent(Code::WrongKind, "the job tells nobody")),
        }
    }

    async fn abandon(&self, _: &dyn JobContext, _: Ending) {
        // What was begun is noted in the alerts: whoever comes next tells it.
    }
}

#[cfg(test)]
mod tests;
