//! A change stream on `ops` that is kept going, whatever becomes of the one before.
//!
//! Invariant: no gap goes unsaid. After any break the old position is dropped, a fresh stream is opened *first*, and
//! then the listener is told that it is a fresh one.

use crate::{
    detached::detached,
    error::{describe, is_passing, store_error},
};
use bson::{Document, RawDocumentBuf, doc};
use lucid_ports::{ResumeToken, StoreError};
use mongodb::{Collection, change_stream::ChangeStream};
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long the server waits for a change before it answers that there is none.
const AWAIT: Duration = Duration::from_secs(1);
/// A stream that says nothing for so long is given up; longer than an election, which the driver sits out by itself.
const SILENCE: Duration = Duration::from_secs(20);
const OPEN_BOUND: Duration = Duration::from_secs(30);
const OPEN_TRIES: u32 = 5;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);

pub type Changes = ChangeStream<RawDocumentBuf>;

/// Which changes are looked at, and what of them.
#[derive(Clone, Debug)]
pub struct Watched {
    pub jobs: Collection<Document>,
    pub pipeline: Vec<Document>,
}

/// Who is told what an owned stream says.
pub trait Listener: Send + 'static {
    /// The next change.
    fn change(&mut self, change: &RawDocumentBuf);
    /// There was nothing more up to this place.
    fn idle(&mut self, position: ResumeToken);
    /// The stream broke; a fresh one begins here.
    fn reopened(&mut self, position: ResumeToken);
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

/// Reads one stream to its end. Nobody else ever polls it, and no poll is dropped half-way; when nobody listens any
/// more, it ends at its next word.
pub fn read(mut stream: Changes) -> mpsc::Receiver<Read> {
    let (say, said) = mpsc::channel(64);
    tokio::spawn(async move {
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
    said
}

/// Tells the listener what the stream says, until `stop`.
pub async fn own(watched: Watched, stream: Changes, mut listener: impl Listener, stop: CancellationToken) {
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
                listener.change(&change);
                continue;
            }
            Ok(Some(Read::Nothing(position))) => {
                pause = PAUSE_FIRST;
                if let Some(position) = position {
                    listener.idle(position);
                }
                continue;
            }
            Ok(Some(Read::Over { reason, .. })) => reason,
            Ok(None) => "its reader broke off".to_owned(),
            // The member is suspended or cut off: the connection itself wouldn't notice for a quarter of an hour.
            Err(_) => format!("no answer for {} s", SILENCE.as_secs()),
        };
        tracing::warn!(reason, "the change stream broke: opening a fresh one");
        let Some((fresh, position)) = reopen(&watched, &stop, &mut pause).await else {
            return;
        };
        said = read(fresh);
        listener.reopened(position);
    }
}

/// Tries until it works; the position of the old stream isn't used again, since it may be what broke it.
async fn reopen(watched: &Watched, stop: &CancellationToken, pause: &mut Duration) -> Option<(Changes, ResumeToken)> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return None,
            () = sleep(*pause) => {}
        }
        *pause = (*pause * 2).min(PAUSE_LONGEST);
        match open(watched, None).await {
            Ok(opened) => return Some(opened),
            Err(error) => tracing::warn!(%error, "no change stream: the safety poll finds work meanwhile"),
        }
    }
}
