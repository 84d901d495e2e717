//! The history of all jobs and alerts, seen live: every change with its events, in commit order, each at a place that can be
//! returned to.
//!
//! A [`crate::Wake`] is a hint; this is complete. Invariant: who joins after a token is told every change after it,
//! each once and in order, or that it can't be: then he catches up from the server's own history, or starts anew.

mod recent;

pub use recent::{Joined, Recent};

use crate::StoreError;
use async_trait::async_trait;
use lucid_schemas::{
    Event, JobId, State,
    alert::{AlertEvent, AlertId, AlertState},
};
use std::{fmt, str::FromStr, sync::Arc};
use tokio::sync::mpsc;

const TOKEN_CHARACTERS_MAX: usize = 1_024;

/// A place in the history. A later place is a greater token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResumeToken(String);

impl ResumeToken {
    /// The token as a text of hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its cluster time in whole seconds since 1970: a token of the server begins with its type, `82`, and these.
    pub fn seconds(&self) -> Option<u32> {
        u32::from_str_radix(self.0.strip_prefix("82")?.get(..8)?, 16).ok()
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ResumeToken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || text.len() > TOKEN_CHARACTERS_MAX {
            return Err(format!("must be an id of this stream: 1 to {TOKEN_CHARACTERS_MAX} hexadecimal digits"));
        }
        Ok(Self(text.to_ascii_uppercase()))
    }
}

/// A job or an alert was born, or made a transition.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The place after it.
    pub token: ResumeToken,
    /// Of what, and how.
    pub subject: Subject,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// A job.
    Job(JobChange),
    /// An alert.
    Alert(AlertChange),
}

/// How a job has changed.
pub type JobChange = Changed<JobId, State, Event>;
/// How an alert has changed.
pub type AlertChange = Changed<AlertId, AlertState, AlertEvent>;

/// How something that has a stream of events has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed<I, S, E> {
    /// Which one.
    pub id: I,
    /// Its state after that, where the change tells; one that leaves the state as it was doesn't.
    pub state: Option<S>,
    /// The number of its events after that.
    pub version: i64,
    /// The events that came with it. Empty where the change doesn't tell them: they are its events up to `version` that have the same
    /// write as the last of these, see [`Changed::events_in`].
    pub events: Vec<E>,
}

/// An event of a stream.
pub trait Numbered {
    /// Its number.
    fn seq(&self) -> i64;
    /// The write that it came with.
    fn write(&self) -> &str;
}

impl Numbered for Event {
    fn seq(&self) -> i64 {
        self.seq
    }

    fn write(&self) -> &str {
        &self.write
    }
}

impl Numbered for AlertEvent {
    fn seq(&self) -> i64 {
        self.seq
    }

    fn write(&self) -> &str {
        &self.write
    }
}

impl Change {
    /// Where it is one of a job: how that has changed.
    pub const fn job(&self) -> Option<&JobChange> {
        match &self.subject {
            Subject::Job(changed) => Some(changed),
            Subject::Alert(_) => None,
        }
    }
}

impl<I, S, E: Numbered> Changed<I, S, E> {
    /// The events of this change, out of all of them.
    pub fn events_in<'all>(&self, events: &'all [E]) -> &'all [E] {
        let end = usize::try_from(self.version).unwrap_or(0).min(events.len());
        let Some(last) = events[..end].last().filter(|last| last.seq() == self.version) else {
            return &[];
        };
        let earlier = events[..end].iter().rposition(|event| event.write() != last.write());
        &events[earlier.map_or(0, |place| place + 1)..end]
    }
}

/// What a listener is told.
#[derive(Debug, Clone)]
pub enum News {
    /// The next change.
    Change(Arc<Change>),
    /// Something may have been missed: join again at the last token.
    Gap,
}

/// What one who catches up is told.
#[derive(Debug, Clone)]
pub enum Caught {
    /// The next change.
    Change(Arc<Change>),
    /// There was nothing more up to this place.
    Position(ResumeToken),
    /// It can't go on.
    Over(CatchUpError),
}

/// Why one can't catch up.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatchUpError {
    /// The server doesn't hold the history after this place any more, or never had such a place: start anew.
    #[error("the history after this place is lost: {0}")]
    Lost(String),
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The history of all jobs and alerts.
#[async_trait]
pub trait History: Send + Sync + 'static {
    /// What happened lately, and what happens from now on.
    fn recent(&self) -> &Recent;

    /// All that happened after a token, and goes on to happen; ends when the receiver is dropped. It costs the server
    /// a stream of its own: join the recent changes as soon as these have the place that was reached.
    ///
    /// # Errors
    /// Where the history after that token isn't held, or the store can't be reached.
    async fn catch_up(&self, after: &ResumeToken) -> Result<mpsc::Receiver<Caught>, CatchUpError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid_schemas::{EventBody, Stamp};

    #[test]
    fn a_token_is_hexadecimal_and_short() {
        assert_eq!("82ab".parse::<ResumeToken>().map(|token| token.to_string()), Ok("82AB".into()));
        for text in ["", "82g0", "82 AB", "82AB\n", &"A".repeat(1_025)] {
            assert!(text.parse::<ResumeToken>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_events_of_a_change_are_those_of_its_write() {
        let event = |seq, write: &str| {
            let body = EventBody::CommitStarted {};
            Event { seq, at: Stamp::NOW, by: "w".into(), write: write.into(), body }
        };
        let events = [event(1, "a"), event(2, "b"), event(3, "b"), event(4, "c")];
        for (version, expected) in [(1, 0..1), (3, 1..3), (4, 3..4), (5, 0..0), (0, 0..0)] {
            let id = "backup_x".parse().expect("an id");
            let change = JobChange { id, state: None, version, events: Vec::new() };
            assert_eq!(change.events_in(&events), &events[expected], "version {version}");
        }
    }
}
