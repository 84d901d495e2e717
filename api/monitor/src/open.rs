//! What this process knows of alerts: the store that keeps them, once it is reached, and those that are open, for when it isn't
//! there.

mod keep;

pub use keep::keep;

use crate::write::Chain;
use lucid_notify::Channels;
use lucid_ports::{Alerts, Silences};
use lucid_schemas::{
    alert::{Alert, Severity},
    silence::Silence,
};
use std::{collections::BTreeMap, fmt, sync::Arc};
use tokio::{sync::watch, time::Instant};

/// Where alerts and silences are kept.
#[derive(Clone)]
pub struct Desk {
    /// The alerts.
    pub alerts: Arc<dyn Alerts>,
    /// The silences.
    pub silences: Arc<dyn Silences>,
    /// Where monitor jobs are asked for.
    pub chain: Chain,
}

/// Who told which alerts are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The store.
    Store,
    /// What this process remembers, and finds by itself.
    Memory,
}

/// Something that is wrong and that the store doesn't hold, as while there is no primary.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The rule that found it.
    pub rule: String,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// How much it matters.
    pub severity: Severity,
    /// Since when it is so, by this node's clock, in milliseconds since 1970.
    pub since_ms: i64,
    /// The rule's sentence, for people.
    pub summary: String,
    /// What was measured.
    pub value: Option<f64>,
}

/// The alerts that are open, as far as this process knows.
#[derive(Debug, Clone)]
pub struct OpenAlerts {
    /// Those that the store holds, as it told last.
    pub stored: Vec<Alert>,
    /// What it doesn't hold.
    pub found: Vec<Found>,
    /// The silences that weren't over then.
    pub silences: Vec<Silence>,
    /// Who told this.
    pub from: From,
    /// When.
    pub at: Instant,
}

/// The store once it is reached, and what is known without it. Clones share it; nobody waits for anybody.
#[derive(Debug, Clone)]
pub struct AlertSource {
    desk: watch::Sender<Option<Desk>>,
    open: watch::Sender<Option<Arc<OpenAlerts>>>,
    channels: watch::Sender<Channels>,
}

impl Default for AlertSource {
    fn default() -> Self {
        let channels = watch::Sender::new(Channels::none());
        Self { desk: watch::Sender::new(None), open: watch::Sender::new(None), channels }
    }
}

impl AlertSource {
    /// The store is reached.
    pub fn reached(&self, desk: Desk) {
        self.desk.send_replace(Some(desk));
    }

    /// The store, once it was reached.
    pub fn desk(&self) -> Option<Desk> {
        self.desk.borrow().clone()
    }

    /// These are the channels of this node.
    pub fn tells_over(&self, channels: Channels) {
        self.channels.send_replace(channels);
    }

    /// The channels of this node.
    pub(crate) fn channels(&self) -> Channels {
        self.channels.borrow().clone()
    }

    /// This is open now.
    pub fn tell(&self, open: OpenAlerts) {
        self.open.send_replace(Some(Arc::new(open)));
    }

    /// What is open, as far as anybody has told.
    pub fn open(&self) -> Option<Arc<OpenAlerts>> {
        self.open.borrow().clone()
    }

    /// The store told this; what it doesn't hold stays.
    pub(crate) fn stored(&self, stored: Vec<Alert>, silences: Vec<Silence>) {
        self.open.send_modify(|open| {
            let found = open.as_ref().map(|open| open.found.clone()).unwrap_or_default();
            *open = Some(Arc::new(OpenAlerts { stored, found, silences, from: From::Store, at: Instant::now() }));
        });
    }
}

impl From {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}
