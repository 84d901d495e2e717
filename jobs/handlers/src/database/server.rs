//! Talking to the replica set: commands and batches of raw documents.
//!
//! Invariant: a future of the driver is never dropped half-way, and nothing is waited for without a bound. Each call runs
//! in a task of its own; who is told to stop, or has waited for long enough, leaves the task behind, which comes to its
//! end by itself. (A member that is suspended or cut off says nothing at all, and the connection notices that only after
//! a quarter of an hour.)

use crate::{
    Pace,
    error::{Error, Result},
    room::{Allowance, Passed},
};
use bson::{Document, RawBson, RawBsonRef, RawDocument, RawDocumentBuf, Timestamp};
use bytes::Bytes;
use futures::StreamExt;
use lucid_repository::DocumentBatch;
use mongodb::{
    Client,
    action::{Action, RunCommand, RunCursorCommand},
    options::SelectionCriteria,
    raw_batch_cursor::RawBatch,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_secs(1);

/// A command, and what it is for. Not for logs: it may carry documents.
pub(crate) struct Command {
    /// A verb phrase for error texts: "can't ...".
    pub doing: String,
    /// The database that it is sent to.
    pub database: String,
    /// What is sent.
    pub body: RawDocumentBuf,
    /// Whether it carries definitions only, so that the server's answer can't quote documents.
    pub definitions: bool,
}

/// The replica set as one job sees it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    client: Client,
    silence: Duration,
    stop: CancellationToken,
    pace: Pace,
    /// Which member is asked; the primary where absent.
    member: Option<SelectionCriteria>,
    /// What may be written before somebody has looked at the disks; anything where absent.
    allowance: Option<Arc<Allowance>>,
}

impl Server {
    /// `silence` is how long a member may take for an answer, beyond what the command allows itself; `stop` ends every wait
    /// except those of [`Self::tell`].
    pub fn new(client: Client, silence: Duration, stop: CancellationToken, pace: Pace) -> Self {
        Self { client, silence, stop, pace, member: None, allowance: None }
    }

    /// The same set, asking members that meet this.
    pub fn reading_from(&self, member: SelectionCriteria) -> Self {
        Self { member: Some(member), ..self.clone() }
    }

    /// The same set, for work that ends with this.
    pub fn until(&self, stop: CancellationToken) -> Self {
        Self { stop, ..self.clone() }
    }

    /// The same set, which takes no more documents than this allows.
    pub fn within(&self, allowance: Arc<Allowance>) -> Self {
        Self { allowance: Some(allowance), ..self.clone() }
    }

    /// Sends a command whose outcome nobody needs once the job has to stop.
    pub async fn ask(&self, command: Command) -> Result<Document> {
        if self.stop.is_cancelled() {
            return Err(Error::Stopped);
        }
        tokio::select! {
            outcome = self.tell(command) => outcome,
            () = self.stop.cancelled() => Err(Error::Stopped),
        }
    }

    /// Sends a command and waits for its outcome, even when the job has to stop. Without an answer in time, it may still
    /// be carried out later.
    pub async fn tell(&self, command: Command) -> Result<Document> {
        let within = self.silence + allowed(&command.body);
        let doing = command.doing.clone();
        match timeout(within, self.spawn(command)).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(broken("run a command"))),
            Err(_) => Err(silent(&doing, within)),
        }
    }

    /// Sends a command, and leaves the waiting to the caller.
    pub fn spawn(&self, command: Command) -> tokio::task::JoinHandle<Result<Document>> {
        let (database, member) = (self.client.database(&command.database), self.member.clone());
        tokio::spawn(async move {
            let Command { doing, body, definitions, .. } = command;
            let reply = database.run_raw_command(body).optional(member, RunCommand::selection_criteria).await;
            let reply = reply.map_err(|error| Error::driver(&doing, definitions, &error))?;
            check_write_concern(&doing, reply)
        })
    }

    /// Opens a cursor; its batches are fetched ahead by one.
    pub fn batches(&self, command: Command, batch_documents: u32) -> Batches {
        let (database, member) = (self.client.database(&command.database), self.member.clone());
        let (sender, receiver) = mpsc::channel(1);
        let doing = command.doing.clone();
        tokio::spawn(async move {
            let outcome = pump(&database, member, (command, batch_documents), &sender).await;
            // Fails only where nobody listens any more.
            let _ = sender.send(outcome.map(|()| None)).await;
        });
        Batches { receiver, doing, silence: self.silence, stop: self.stop.clone() }
    }

    /// The token that ends waits.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Asks again while the trouble may pass: elections are sat out.
    pub async fn patiently<T, Work>(&self, work: impl Fn() -> Work) -> Result<T>
    where
        Work: Future<Output = Result<T>>,
    {
        for _ in 1..TRIES {
            match work().await {
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "asking again");
                    self.pause(PAUSE).await?;
                }
                outcome => return outcome,
            }
        }
        work().await
    }

    /// Waits until so many more bytes of documents may be read or written.
    pub async fn pass(&self, bytes: u64) -> Result<()> {
        let wait = self.pace.wait(bytes, Instant::now());
        if wait.is_zero() { Ok(()) } else { self.pause(wait).await }
    }

    /// Waits until there is room on the members' disks for so many more bytes, where that is watched.
    pub async fn room_for(&self, bytes: u64) -> Result<Option<Passed>> {
        let Some(allowance) = &self.allowance else { return Ok(None) };
        tokio::select! {
            passed = allowance.pass(bytes) => Ok(Some(passed)),
            () = self.stop.cancelled() => Err(Error::Stopped),
        }
    }

    /// How long so many bytes take at the least; `None` where nothing limits them.
    pub fn takes(&self, bytes: u64) -> Option<Duration> {
        self.pace.takes(bytes)
    }

    /// Waits, or ends with the job.
    pub async fn pause(&self, time: Duration) -> Result<()> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.stop.cancelled() => Err(Error::Stopped),
        }
    }
}

fn broken(doing: &str) -> Error {
    Error::unreachable(doing, "its task broke off")
}

fn silent(doing: &str, within: Duration) -> Error {
    tracing::warn!(doing, within_s = within.as_secs(), "no answer: the call is abandoned");
    Error::unreachable(doing, format!("no answer within {} s", within.as_secs()))
}

/// How long a command may take by its own words: its time limit, and its wait for a majority after that.
fn allowed(body: &RawDocument) -> Duration {
    let limit = body.get_i64("maxTimeMS").unwrap_or_default();
    let majority = body.get_document("writeConcern").and_then(|concern| concern.get_i64("wtimeout"));
    Duration::from_millis((limit.max(0) + majority.unwrap_or_default().max(0)).unsigned_abs())
}

fn check_write_concern(doing: &str, reply: Document) -> Result<Document> {
    let Ok(error) = reply.get_document("writeConcernError") else {
        return Ok(reply);
    };
    let code = error.get_i32("code").unwrap_or(64);
    Err(Error::answer(doing, false, code, error.get_str("codeName").unwrap_or("WriteConcernFailed"), ""))
}

async fn pump(
    database: &mongodb::Database,
    member: Option<SelectionCriteria>,
    (command, batch_documents): (Command, u32),
    sender: &mpsc::Sender<Result<Option<Batch>>>,
) -> Result<()> {
    let Command { doing, body, definitions, .. } = command;
    let failed = |error| Error::driver(&doing, definitions, &error);
    let open = database.run_raw_cursor_command(body).optional(member, RunCursorCommand::selection_criteria);
    let opened = open.batch_size(batch_documents).batch().await;
    let mut cursor = opened.map_err(failed)?;
    while let Some(batch) = cursor.next().await {
        let batch = Batch { reply: batch.map_err(failed)?, doing: doing.clone() };
        if sender.send(Ok(Some(batch))).await.is_err() {
            // The reader went away; dropping the cursor closes it on the server.
            break;
        }
    }
    Ok(())
}

/// The batches of one cursor.
#[derive(Debug)]
pub(crate) struct Batches {
    receiver: mpsc::Receiver<Result<Option<Batch>>>,
    doing: String,
    silence: Duration,
    stop: CancellationToken,
}

impl Batches {
    /// Gives the server more time for each batch than it has by default.
    pub fn within(mut self, silence: Duration) -> Self {
        self.silence = self.silence.max(silence);
        self
    }

    /// The next batch, `None` at the end. A reader that breaks off, or says nothing, is an error, never an end.
    pub async fn next(&mut self) -> Result<Option<Batch>> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Error::Stopped),
            next = timeout(self.silence, self.receiver.recv()) => match next {
                Ok(next) => next.unwrap_or_else(|| Err(broken("read a cursor"))),
                Err(_) => Err(silent(&self.doing, self.silence)),
            },
        }
    }

    /// Every document of every batch; for short lists only.
    pub async fn all(mut self) -> Result<(Vec<RawDocumentBuf>, Option<Timestamp>)> {
        let (mut all, mut at) = (Vec::new(), None);
        while let Some(batch) = self.next().await? {
            at = at.or(batch.operation_time());
            for document in batch.slices()? {
                all.push(document.to_owned());
            }
        }
        Ok((all, at))
    }
}

/// One reply with its documents.
#[derive(Debug)]
pub(crate) struct Batch {
    reply: RawBatch,
    doing: String,
}

/// A reply as a buffer, without copying it.
struct Reply(RawBatch);

impl AsRef<[u8]> for Reply {
    fn as_ref(&self) -> &[u8] {
        self.0.as_raw_document().as_bytes()
    }
}

impl Batch {
    /// The documents within the reply, without copying them one by one.
    pub fn into_documents(self) -> Result<DocumentBatch> {
        let base = self.reply.as_raw_document().as_bytes().as_ptr() as usize;
        let mut offsets = Vec::new();
        for document in self.slices()? {
            let bytes = document.as_bytes();
            // Within the reply, as the document is borrowed from it.
            let start = u32::try_from(bytes.as_ptr() as usize - base);
            let length = u32::try_from(bytes.len());
            let (Ok(start), Ok(length)) = (start, length) else {
                return Err(self.unreadable());
            };
            offsets.push((start, length));
        }
        Ok(DocumentBatch { bytes: Bytes::from_owner(Reply(self.reply)), offsets })
    }

    /// The documents, borrowed.
    pub fn slices(&self) -> Result<Vec<&RawDocument>> {
        let reply = self.reply.as_raw_document();
        let cursor = reply.get_document("cursor").map_err(|_| self.unreadable())?;
        let documents =
            cursor.get_array("firstBatch").or_else(|_| cursor.get_array("nextBatch")).map_err(|_| self.unreadable())?;
        let document = |element| match element {
            Ok(RawBsonRef::Document(document)) => Ok(document),
            _ => Err(self.unreadable()),
        };
        documents.into_iter().map(document).collect()
    }

    /// Where the document with the same `_id` as this one is.
    pub fn place_of(&self, document: &RawDocument) -> Result<Option<usize>> {
        let id = |document: &RawDocument| document.get("_id").ok().flatten().map(RawBson::from);
        let sought = id(document);
        Ok(self.slices()?.into_iter().position(|document| id(document) == sought))
    }

    /// The cluster time that a snapshot read really read at; absent where the collection has vanished.
    pub fn at_cluster_time(&self) -> Option<Timestamp> {
        let cursor = self.reply.as_raw_document().get_document("cursor").ok()?;
        cursor.get_timestamp("atClusterTime").ok()
    }

    /// The set's time when the server answered.
    pub fn operation_time(&self) -> Option<Timestamp> {
        self.reply.as_raw_document().get_timestamp("operationTime").ok()
    }

    fn unreadable(&self) -> Error {
        Error::unreachable(&self.doing, "its answer can't be read")
    }
}
