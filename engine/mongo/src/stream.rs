//! A change stream on `ops`: what it asks for, how it is opened and read.
//!
//! Invariant: one task alone polls a stream, from its beginning to its end.

use crate::{
    detached::detached,
    error::{describe, is_passing, store_error},
};
use bson::{Document, RawDocumentBuf, doc};
use lucid_ports::{ResumeToken, StoreError};
use mongodb::{Collection, change_stream::ChangeStream};
use std::time::Duration;
use tokio::{sync::mpsc, task::AbortHandle};

/// How long the server waits for a change before it answers that there is none.
const AWAIT: Duration = Duration::from_secs(1);
const OPEN_BOUND: Duration = Duration::from_secs(30);
const OPEN_TRIES: u32 = 5;

pub type Changes = ChangeStream<RawDocumentBuf>;

/// Which changes are looked at, and what of them.
#[derive(Clone, Debug)]
pub struct Watched {
    pub jobs: Collection<Document>,
    pub pipeline: Vec<Document>,
}

/// Only births and transitions: each changes `version`, no heartbeat does.
pub fn transitions() -> Document {
    let transition = doc! { "updateDescription.updatedFields.version": { "$exists": true } };
    doc! { "$match": { "$or": [{ "operationType": { "$in": ["insert", "replace"] } }, transition] } }
}

/// Opens a stream after this place, or at the present one, and says where it begins.
pub async fn open(watched: &Watched, after: Option<&ResumeToken>) -> Result<(Changes, ResumeToken), StoreError> {
    let (watched, after) = (watched.clone(), after.cloned());
    detached(OPEN_BOUND, async move {
        let start_after = after.as_ref().map(|token| doc! { "_data": token.as_str() });
        let start_after = start_after.map(bson::deserialize_from_document).transpose();
        let start_after = start_after.map_err(|error| StoreError::Rejected(error.to_string()))?;
        for _ in 0..OPEN_TRIES {
            let open = watched.jobs.watch().pipeline(watched.pipeline.clone()).max_await_time(AWAIT);
            let opened = match start_after.clone() {
                Some(token) => open.start_after(token).await,
                None => open.await,
            };
            let stream = opened.map_err(|error| store_error(&error))?.with_type::<RawDocumentBuf>();
            if let Some(position) = after.clone().or_else(|| position(&stream)) {
                return Ok((stream, position));
            }
            // A change came with the answer; then that doesn't say where it began.
        }
        Err(StoreError::Unavailable("changes come too fast to open a stream between them".into()))
    })
    .await
}

/// The place that a stream has reached; only to be asked where nobody polls it.
fn position(stream: &Changes) -> Option<ResumeToken> {
    let token = bson::serialize_to_document(&stream.resume_token()?).ok()?;
    token.get_str("_data").ok()?.parse().ok()
}

/// What the reader of a stream has to say; it speaks at least once per [`AWAIT`].
pub enum Read {
    Change(RawDocumentBuf),
    Nothing(Option<ResumeToken>),
    Over {
        reason: String,
        /// Whether the same may succeed in a moment.
        passing: bool,
    },
}

/// What is being read of a stream.
pub struct Reading {
    said: mpsc::Receiver<Read>,
    reader: AbortHandle,
}

impl Reading {
    /// Hears from this reader, which ends with what it is returned in.
    pub fn new(said: mpsc::Receiver<Read>, reader: AbortHandle) -> Self {
        Self { said, reader }
    }

    /// The next word; `None` after the last.
    pub async fn next(&mut self) -> Option<Read> {
        self.said.recv().await
    }
}

impl Drop for Reading {
    /// In the middle of a poll too: its connection is closed then, so that the server doesn't go on searching its oplog
    /// for nobody.
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads one stream to its end, or until nobody listens any more.
pub fn read(mut stream: Changes) -> Reading {
    let (say, said) = mpsc::channel(64);
    let reader = tokio::spawn(async move {
        loop {
            let read = match stream.next_if_any().await {
                Ok(Some(change)) => Read::Change(change),
                Ok(None) if stream.is_alive() => Read::Nothing(position(&stream)),
                Ok(None) => Read::Over { reason: "the server has closed it".to_owned(), passing: false },
                Err(error) => Read::Over { reason: describe(&error), passing: is_passing(&error) },
            };
            let over = matches!(read, Read::Over { .. });
            if say.send(read).await.is_err() || over {
                return;
            }
        }
    });
    Reading::new(said, reader.abort_handle())
}
