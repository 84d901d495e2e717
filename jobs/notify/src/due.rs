//! What is to be told now, of what is due: pure, so that whoever asks for jobs and whoever runs them think the same.

use crate::config::Config;
use lucid_ports::DueAlert;
use lucid_schemas::{
    alert::{Alert, Due, What},
    kinds::NotifySpec,
};
use std::collections::BTreeSet;

/// At most so many alerts of which something is due are looked at: more than may be open, and as many that are over.
pub const DUE_MOST: u32 = 1_000;
/// A channel that this node doesn't have may be another one's; after so long (a day) it was taken away, and isn't waited for any more.
const STRANGE_MS: i64 = 24 * 3_600_000;

/// What keeps alerts from being told, at one time.
pub struct Held<'a> {
    /// The channels, with their quiet hours.
    pub config: &'a Config,
    /// What the primary's clock shows, in milliseconds since 1970.
    pub now_ms: i64,
    /// Whether an alert is silenced, or explained by another one that is open.
    pub is_hushed: &'a (dyn Fn(&Alert) -> bool + Send + Sync),
}

impl Held<'_> {
    /// Whether a notice waits, though it is due. That something is over is told to whoever knows of it, silenced or not; at night
    /// not even that, where it is no more than a warning.
    pub fn holds(&self, alert: &Alert, what: What) -> bool {
        let is_hushed = match what {
            What::Firing | What::Repeat => (self.is_hushed)(alert),
            What::Resolved => false,
        };
        is_hushed || self.config.is_quiet(alert.head.severity, self.now_ms)
    }

    /// What of it is to be told now.
    pub fn ready<'a>(&self, due: &'a DueAlert) -> impl Iterator<Item = &'a Due> {
        due.due.iter().filter(|notice| !self.holds(&due.alert, notice.what))
    }

    /// For how long it is due, in milliseconds.
    fn waited_ms(&self, notice: &Due) -> i64 {
        notice.due_at.stored().map_or(0, |at| self.now_ms - at.timestamp_millis())
    }

    /// Whether somebody may still be told over the channel.
    fn is_hoped_for(&self, notice: &Due) -> bool {
        self.config.channel(&notice.channel).is_some() || self.waited_ms(notice) <= STRANGE_MS
    }

    /// The groups of which something is to be told now, as jobs to ask for; of a channel that isn't ours, too, since another node may
    /// have it, but not for ever.
    pub fn groups(&self, due: &[DueAlert]) -> BTreeSet<Group> {
        let group = |due: &DueAlert, channel: &str| {
            let group = self.config.channel(channel).map(|channel| channel.group_of(&due.alert));
            Group { channel: channel.to_owned(), group: group.unwrap_or_else(|| crate::config::ALL.to_owned()) }
        };
        let hoped = |notice: &&Due| self.is_hoped_for(notice);
        due.iter()
            .flat_map(|due| self.ready(due).filter(hoped).map(move |notice| group(due, &notice.channel)))
            .collect()
    }

    /// The channels of which something is to be told now and wasn't for longer than `patience_ms`: nobody has them, or they don't work.
    pub fn late(&self, due: &[DueAlert], patience_ms: i64) -> BTreeSet<String> {
        let is_late = |notice: &&Due| self.waited_ms(notice) > patience_ms && self.is_hoped_for(notice);
        due.iter().flat_map(|due| self.ready(due).filter(is_late)).map(|notice| notice.channel.clone()).collect()
    }
}

/// A channel and the name of a group of its alerts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The channel.
    pub channel: String,
    /// The group.
    pub group: String,
}

impl From<Group> for NotifySpec {
    fn from(group: Group) -> Self {
        Self { channel: group.channel, group: group.group }
    }
}
