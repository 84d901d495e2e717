//! The twin's history: a log of all changes, whose places are numbers.

use super::MemoryStore;
use crate::{
    AlertChange, Archive, CatchUpError, Caught, Change, History, JobChange, Recent, ResumeToken, StoreError, Subject,
};
use async_trait::async_trait;
use bson::Document;
use lucid_schemas::{Job, alert::Alert};
use std::{ops::Bound, sync::Arc};
use tokio::sync::mpsc;

/// Few, so that tests have to catch up from the log.
const RECENT_CHANGES: usize = 16;

/// Every change, until it is forgotten.
#[derive(Debug, Default)]
pub(super) struct Log {
    changes: Vec<Arc<Change>>,
    told: u64,
    forgotten: u64,
}

fn token(number: u64) -> ResumeToken {
    format!("{number:016X}").parse().expect("hexadecimal digits")
}

fn number(token: &ResumeToken) -> Option<u64> {
    u64::from_str_radix(token.as_str(), 16).ok()
}

/// No change yet.
pub(super) fn recent() -> Recent {
    Recent::new(token(0), RECENT_CHANGES)
}

impl Log {
    /// Notes the transition that made `job` what it is.
    pub(super) fn add(&mut self, recent: &Recent, job: &Job) {
        let (state, version) = (Some(job.head.state), job.head.version);
        let mut changed = JobChange { id: job.id().clone(), state, version, events: Vec::new() };
        changed.events = changed.events_in(&job.events).to_vec();
        self.note(recent, Subject::Job(changed));
    }

    /// The same of an alert.
    pub(super) fn add_alert(&mut self, recent: &Recent, alert: &Alert) {
        let (state, version) = (Some(alert.head.state), alert.head.version);
        let mut changed = AlertChange { id: alert.id().clone(), state, version, events: Vec::new() };
        changed.events = changed.events_in(&alert.events).to_vec();
        self.note(recent, Subject::Alert(changed));
    }

    fn note(&mut self, recent: &Recent, subject: Subject) {
        self.told += 1;
        let change = Change { token: token(self.told), subject };
        self.changes.push(Arc::new(change.clone()));
        recent.push(change, 1);
    }
}

impl MemoryStore {
    /// Loses the history: nobody can return to an earlier place any more, as after an oplog was too small.
    pub fn forget_history(&self) {
        let mut held = self.held();
        held.log.told += 1;
        held.log.forgotten = held.log.told;
        held.log.changes.clear();
        self.recent.restart(token(held.log.told));
    }

    /// How many listen to the history.
    pub fn listeners(&self) -> usize {
        self.recent.listeners()
    }

    /// Puts a document in place of a job's, whatever it says.
    pub fn tamper(&self, document: Document) {
        let id = document.get_str("_id").unwrap_or_default().to_owned();
        self.held().jobs.insert(id, document);
    }
}

#[async_trait]
impl History for MemoryStore {
    fn recent(&self) -> &Recent {
        &self.recent
    }

    async fn catch_up(&self, after: &ResumeToken) -> Result<mpsc::Receiver<Caught>, CatchUpError> {
        let held = self.held();
        let known = number(after).filter(|number| (held.log.forgotten..=held.log.told).contains(number));
        if known.is_none() {
            return Err(CatchUpError::Lost(format!("there is no place {after}")));
        }
        let later = held.log.changes.iter().filter(|change| change.token > *after);
        let told: Vec<_> = later.map(|change| Caught::Change(Arc::clone(change))).collect();
        let (say, said) = mpsc::channel(told.len() + 1);
        for caught in told.into_iter().chain([Caught::Position(token(held.log.told))]) {
            // There is room for all of them, and the receiver is still here.
            let _ = say.try_send(caught);
        }
        Ok(said)
    }
}

#[async_trait]
impl Archive for MemoryStore {
    async fn page(&self, after: Option<&str>, limit: u32) -> Result<Vec<Document>, StoreError> {
        let held = self.held();
        let begin = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.to_owned()));
        let rest = held.jobs.range((begin, Bound::Unbounded));
        Ok(rest.map(|(_, document)| document.clone()).take(limit as usize).collect())
    }
}
