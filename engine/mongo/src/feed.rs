//! [`MongoFeed`]: one change stream on `ops` per process, shared in it.
//!
//! Invariant: no gap goes unsaid. After any break the old position is dropped, a fresh stream is opened *first*, and
//! then [`Wake::Gap`] tells the listeners to reconcile by query.

use crate::{detached::detached, error::store_error};
use bson::{Document, doc};
use lucid_ports::{Feed, StoreError, Wake};
use lucid_schemas::{State, collections::OPS};
use mongodb::{Collection, Database, change_stream::ChangeStream};
use std::{sync::Mutex, time::Duration};
use tokio::{
    sync::{broadcast, mpsc},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How many wake-ups a listener may lag behind before it is told to reconcile.
const BUFFERED: usize = 4_096;
/// How long the server waits for a change before it answers that there is none.
const AWAIT: Duration = Duration::from_secs(1);
/// A stream that says nothing for so long is given up; longer than an election, which the driver sits out by itself.
const SILENCE: Duration = Duration::from_secs(20);
const OPEN_BOUND: Duration = Duration::from_secs(30);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);

/// The process's change stream.
#[derive(Debug)]
pub struct MongoFeed {
    wakes: broadcast::Sender<Wake>,
    stop: CancellationToken,
    owner: Mutex<Option<JoinHandle<()>>>,
}

impl Feed for MongoFeed {
    fn subscribe(&self) -> broadcast::Receiver<Wake> {
        self.wakes.subscribe()
    }
}

impl MongoFeed {
    pub(crate) async fn start(ops: &Database) -> Result<Self, StoreError> {
        let jobs = ops.collection::<Document>(OPS);
        let stream = open(jobs.clone()).await?;
        let (wakes, _) = broadcast::channel(BUFFERED);
        let stop = CancellationToken::new();
        let owner = tokio::spawn(own(jobs, stream, wakes.clone(), stop.clone()));
        Ok(Self { wakes, stop, owner: Mutex::new(Some(owner)) })
    }

    /// Closes the stream and waits until it is.
    pub async fn stop(&self) {
        self.stop.cancel();
        let owner = self.owner.lock().ok().and_then(|mut owner| owner.take());
        if let Some(owner) = owner
            && let Err(error) = owner.await
        {
            tracing::error!(%error, "the feed broke off");
        }
    }
}

impl Drop for MongoFeed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Only births and transitions: each changes `version`, no heartbeat does.
fn pipeline() -> [Document; 2] {
    let transition = doc! { "updateDescription.updatedFields.version": { "$exists": true } };
    [
        doc! { "$match": { "$or": [{ "operationType": { "$in": ["insert", "replace"] } }, transition] } },
        doc! { "$project": {
            "documentKey": 1,
            "updateDescription.updatedFields.state": 1,
            "fullDocument.state": 1,
        } },
    ]
}

async fn open(jobs: Collection<Document>) -> Result<ChangeStream<Document>, StoreError> {
    detached(OPEN_BOUND, async move {
        let opened = jobs.watch().pipeline(pipeline()).max_await_time(AWAIT).await;
        Ok(opened.map_err(|error| store_error(&error))?.with_type::<Document>())
    })
    .await
}

/// What the reader of a stream has to say; it speaks at least once per [`AWAIT`].
enum Read {
    Change(Box<Document>),
    Nothing,
    Over(String),
}

/// Reads one stream to its end. Nobody else ever polls it, and no poll is dropped half-way; when nobody listens any
/// more, it ends at its next word.
fn read(mut stream: ChangeStream<Document>) -> mpsc::Receiver<Read> {
    let (say, said) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let read = match stream.next_if_any().await {
                Ok(Some(change)) => Read::Change(Box::new(change)),
                Ok(None) if stream.is_alive() => Read::Nothing,
                Ok(None) => Read::Over("the server has closed it".to_owned()),
                Err(error) => Read::Over(crate::error::describe(&error)),
            };
            let over = matches!(read, Read::Over(_));
            if say.send(read).await.is_err() || over {
                return;
            }
        }
    });
    said
}

/// Keeps a stream going, whatever becomes of the one before.
async fn own(
    jobs: Collection<Document>,
    stream: ChangeStream<Document>,
    wakes: broadcast::Sender<Wake>,
    stop: CancellationToken,
) {
    let mut said = read(stream);
    let mut pause = PAUSE_FIRST;
    loop {
        let word = tokio::select! {
            () = stop.cancelled() => return,
            word = timeout(SILENCE, said.recv()) => word,
        };
        let reason = match word {
            Ok(Some(Read::Change(change))) => {
                pause = PAUSE_FIRST;
                if let Some(wake) = wake(&change) {
                    // Nobody listening is no error.
                    let _ = wakes.send(wake);
                }
                continue;
            }
            Ok(Some(Read::Nothing)) => {
                pause = PAUSE_FIRST;
                continue;
            }
            Ok(Some(Read::Over(reason))) => reason,
            Ok(None) => "its reader broke off".to_owned(),
            // The member is suspended or cut off: the connection itself wouldn't notice for a quarter of an hour.
            Err(_) => format!("no answer for {} s", SILENCE.as_secs()),
        };
        tracing::warn!(reason, "the change stream broke: opening a fresh one");
        let Some(fresh) = reopen(&jobs, &stop, &mut pause).await else {
            return;
        };
        said = read(fresh);
        let _ = wakes.send(Wake::Gap);
    }
}

/// Tries until it works; the position of the old stream isn't used again, since it may be what broke it.
async fn reopen(
    jobs: &Collection<Document>,
    stop: &CancellationToken,
    pause: &mut Duration,
) -> Option<ChangeStream<Document>> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return None,
            () = sleep(*pause) => {}
        }
        *pause = (*pause * 2).min(PAUSE_LONGEST);
        match open(jobs.clone()).await {
            Ok(stream) => return Some(stream),
            Err(error) => tracing::warn!(%error, "no change stream: the safety poll finds work meanwhile"),
        }
    }
}

fn wake(change: &Document) -> Option<Wake> {
    let id = change.get_document("documentKey").ok()?.get_str("_id").ok()?.parse().ok()?;
    let state = |document: &Document| document.get_str("state").ok()?.parse::<State>().ok();
    let updated = || change.get_document("updateDescription").ok()?.get_document("updatedFields").ok();
    let whole = || change.get_document("fullDocument").ok();
    let state = updated().and_then(state).or_else(|| whole().and_then(state));
    Some(Wake::Changed { id, state })
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
        for (change, expected) in [(updated, Some(State::Running)), (inserted, Some(State::Queued)), (silent, None)] {
            let id = id.parse().expect("an id");
            assert_eq!(wake(&change), Some(Wake::Changed { id, state: expected }));
        }
        assert_eq!(wake(&doc! { "operationType": "drop" }), None);
    }
}
