//! [`MongoFeed`]: wake-ups from one change stream per process, shared in it.
//!
//! It asks the server for ids and states only: at thousands of transitions a second every worker pays for what comes
//! along. A small new job comes whole, so that whoever claims it needn't read it first.

use crate::{
    keep::{Listener, keep},
    owner::Owner,
    stream::{Watched, open, read, transitions},
};
use bson::{Document, RawDocument, RawDocumentBuf, doc};
use lucid_ports::{Birth, Feed, Problems, Reached, ResumeToken, StoreError, Wake};
use lucid_schemas::{State, collections::OPS, kind::ALERT};
use mongodb::Database;
use tokio::sync::broadcast;

/// A larger new job is read by whoever claims it.
const BIRTH_BYTES_MAX: i32 = 16 << 10;
/// How many wake-ups a listener may lag behind before it is told to reconcile.
const BUFFERED: usize = 4_096;

/// The process's change stream for workers.
#[derive(Debug)]
pub struct MongoFeed {
    wakes: broadcast::Sender<Wake>,
    owner: Owner,
}

impl Feed for MongoFeed {
    fn subscribe(&self) -> broadcast::Receiver<Wake> {
        self.wakes.subscribe()
    }
}

impl MongoFeed {
    pub(crate) async fn start(ops: &Database, problems: Problems, reached: Reached) -> Result<Self, StoreError> {
        let watched = Watched { jobs: ops.collection::<Document>(OPS), pipeline: pipeline() };
        let (stream, position) = open(&watched, None).await?;
        reached.note(&position);
        let (wakes, _) = broadcast::channel(BUFFERED);
        let (listener, mut first) = (Waker { wakes: wakes.clone(), reached }, Some(read(stream)));
        let owner =
            Owner::start("feed", problems, move |stop| keep(watched.clone(), first.take(), listener.clone(), stop));
        Ok(Self { wakes, owner })
    }

    /// Closes the stream and waits until it is.
    pub async fn stop(&self) {
        self.owner.stop().await;
    }
}

fn pipeline() -> Vec<Document> {
    let is_small = doc! { "$lt": [{ "$bsonSize": "$fullDocument" }, BIRTH_BYTES_MAX] };
    let is_birth = doc! { "$and": [{ "$eq": ["$operationType", "insert"] }, is_small] };
    let project = doc! { "$project": {
        "operationType": 1,
        "documentKey": 1,
        "updateDescription.updatedFields.state": 1,
        "fullDocument": { "$cond": [is_birth, "$fullDocument", { "state": "$fullDocument.state" }] },
    } };
    vec![transitions(), no_alerts(), project]
}

/// No worker looks at an alert.
fn no_alerts() -> Document {
    doc! { "$match": { "documentKey._id": { "$not": { "$regex": format!("^{ALERT}_") } } } }
}

#[derive(Clone)]
struct Waker {
    wakes: broadcast::Sender<Wake>,
    reached: Reached,
}

impl Listener for Waker {
    fn change(&mut self, change: &RawDocumentBuf) {
        if let Some(position) = place(change) {
            self.reached.note(&position);
        }
        if let Some(wake) = wake(change) {
            // Nobody listening is no error.
            let _ = self.wakes.send(wake);
        }
    }
    fn idle(&mut self, position: ResumeToken) {
        self.reached.note(&position);
    }
    fn reopened(&mut self, position: ResumeToken) {
        self.reached.note(&position);
        let _ = self.wakes.send(Wake::Gap);
    }
}

/// The place after a change.
fn place(change: &RawDocument) -> Option<ResumeToken> {
    change.get_document("_id").ok()?.get_str("_data").ok()?.parse().ok()
}

fn wake(change: &RawDocument) -> Option<Wake> {
    let id = change.get_document("documentKey").ok()?.get_str("_id").ok()?.parse().ok()?;
    let state = |document: &RawDocument| document.get_str("state").ok()?.parse::<State>().ok();
    let updated = || change.get_document("updateDescription").ok()?.get_document("updatedFields").ok();
    let whole = || change.get_document("fullDocument").ok();
    let state = updated().and_then(state).or_else(|| whole().and_then(state));
    let is_birth = change.get_str("operationType").is_ok_and(|kind| kind == "insert");
    let born = whole().filter(|job| is_birth && job.get("events").is_ok_and(|events| events.is_some()));
    Some(Wake::Changed { id, state, born: born.map(|job| Birth::new(job.to_owned())) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_tells_the_state_where_the_change_does() {
        let id = "backup_20250109_020000_7k3fq2m8ab";
        let key = doc! { "_id": id };
        let updated = doc! { "documentKey": &key, "updateDescription": { "updatedFields": { "state": "running" } } };
        let inserted = doc! { "documentKey": &key, "fullDocument": { "state": "queued" } };
        let silent = doc! { "documentKey": key, "updateDescription": { "updatedFields": {} } };
        let raw = |change: &Document| RawDocumentBuf::try_from(change).expect("a document");
        for (change, expected) in [(updated, Some(State::Running)), (inserted, Some(State::Queued)), (silent, None)] {
            let id = id.parse().expect("an id");
            assert_eq!(wake(&raw(&change)), Some(Wake::Changed { id, state: expected, born: None }));
        }
        let alert = doc! { "documentKey": { "_id": "alert_20250109_020000_7k3fq2m8ab" }, "fullDocument": { "state": "raised" } };
        for change in [alert, doc! { "operationType": "drop" }] {
            assert_eq!(wake(&raw(&change)), None);
        }
    }
}
