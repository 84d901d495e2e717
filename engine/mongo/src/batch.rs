//! Writes on `ops` that are asked for while a command is under way travel together in the next one, so that throughput
//! isn't bound to one flush of the journal for each.
//!
//! Invariants: nothing waits where no command is under way; what is asked for is sent, whether or not its caller still
//! listens; a statement that fails fails alone; one whose outcome is unknown is repeated until it is known, and then the
//! document tells.

use crate::{
    read,
    send::{Modified, modify, raw, send_all},
};
use bson::{Document, RawDocumentBuf};
use lucid_ports::StoreError;
use lucid_schemas::collections::OPS;
use mongodb::Database;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// Longer than an election.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// For what has waited behind others through an outage: one try more.
const PATIENCE_LEAST: Duration = Duration::from_secs(1);
/// How many commands are under way at once: while one waits for the journal the server works on another.
const LANES: usize = 2;
/// How much travels in one command: a batch must not hold up what comes after it, nor outgrow a command.
const STATEMENTS_MAX: usize = 200;
const BYTES_MAX: usize = 4 << 20;

/// What is known of a statement, durable on a majority.
#[derive(Debug, Clone)]
pub struct Written {
    /// The document as it is afterwards: as the statement left it, or later. `None` where there is none.
    pub document: Option<Document>,
    /// Whether a unique index refused the statement.
    pub duplicate: bool,
    /// Whether it is certain that it matched or made a document.
    pub matched: bool,
}

type Answer = Result<Written, StoreError>;

#[derive(Debug)]
struct Waiting {
    id: String,
    statement: Document,
    raw: RawDocumentBuf,
    asked: Instant,
    answer: oneshot::Sender<Answer>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    lanes: usize,
}

/// Gathers the writes on `ops` of one process.
#[derive(Debug)]
pub struct Batcher {
    ops: Database,
    queue: Mutex<Queue>,
}

impl Batcher {
    pub fn new(ops: Database) -> Arc<Self> {
        Arc::new(Self { ops, queue: Mutex::default() })
    }

    /// Makes a statement on the document `id` happen, alone or with others, and gives the document as it is afterwards.
    pub async fn write(self: &Arc<Self>, id: &str, statement: Document) -> Answer {
        let (answer, answered) = oneshot::channel();
        let raw = raw(&statement)?;
        let waiting = Waiting { id: id.to_owned(), statement, raw, asked: Instant::now(), answer };
        if self.opens_lane(waiting) {
            tokio::spawn(Arc::clone(self).drive());
        }
        let broken = |_| Err(StoreError::Unavailable("the call broke off".into()));
        answered.await.unwrap_or_else(broken)
    }

    /// Lets a write wait for the next command; says whether the caller has to open a lane for it.
    fn opens_lane(&self, waiting: Waiting) -> bool {
        let mut queue = self.queue();
        queue.waiting.push_back(waiting);
        let opens = queue.lanes < LANES;
        queue.lanes += usize::from(opens);
        opens
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Whole entries are pushed and taken: a panic elsewhere leaves none half-done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends batches until nothing waits.
    async fn drive(self: Arc<Self>) {
        // What is asked for in the same breath travels together.
        tokio::task::yield_now().await;
        while let Some(batch) = self.next_batch() {
            // A task of its own: a panic in it must not close the lane.
            let lane = Arc::clone(&self);
            if let Err(broken) = tokio::spawn(async move { lane.carry(batch).await }).await {
                tracing::error!(%broken, "a batch of writes broke off");
            }
        }
    }

    /// What travels next; where nothing waits the lane is closed.
    fn next_batch(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        let mut bytes = 0;
        let mut batch = Vec::new();
        while let Some(next) = queue.waiting.front() {
            bytes += next.raw.as_bytes().len();
            if batch.len() == STATEMENTS_MAX || (bytes > BYTES_MAX && !batch.is_empty()) {
                break;
            }
            batch.extend(queue.waiting.pop_front());
        }
        if batch.is_empty() {
            queue.lanes -= 1;
            return None;
        }
        Some(batch)
    }

    async fn carry(&self, mut batch: Vec<Waiting>) {
        let asked_first = batch.iter().map(|waiting| waiting.asked).min();
        let waited = asked_first.map_or(Duration::ZERO, |asked| asked.elapsed());
        let patience = PATIENCE.saturating_sub(waited).max(PATIENCE_LEAST);
        if batch.len() == 1
            && let Some(lone) = batch.pop()
        {
            let answer = self.carry_one(&lone, patience).await;
            let _ = lone.answer.send(answer);
            return;
        }
        match self.carry_all(&batch, patience).await {
            // Something about the command as a whole, such as one statement that the server can't parse.
            Err(StoreError::Rejected(reason)) => {
                tracing::debug!(reason, "a batch is refused: each travels alone");
                for lone in batch {
                    let answer = self.carry_one(&lone, patience).await;
                    let _ = lone.answer.send(answer);
                }
            }
            answers => {
                for (place, waiting) in batch.into_iter().enumerate() {
                    // Whoever doesn't listen any more finds out by reading.
                    let _ = waiting.answer.send(answers.as_ref().map_or_else(|e| Err(e.clone()), |a| a[place].clone()));
                }
            }
        }
    }

    async fn carry_one(&self, lone: &Waiting, patience: Duration) -> Answer {
        match modify(&self.ops, OPS, &lone.statement, patience).await {
            Ok(Modified::Done(document)) => Ok(Written { document: Some(document), duplicate: false, matched: true }),
            Ok(Modified::Nothing { seen_from }) => {
                let document = read::after(&self.ops, OPS, &lone.id, seen_from).await?;
                Ok(Written { document, duplicate: false, matched: false })
            }
            Err(StoreError::Rejected(_)) => {
                let answers = self.carry_all(std::slice::from_ref(lone), patience).await?;
                answers.into_iter().next().unwrap_or_else(|| Err(StoreError::Unavailable("no answer".into())))
            }
            Err(error) => Err(error),
        }
    }

    /// One command, then one read of all the documents.
    async fn carry_all(&self, batch: &[Waiting], patience: Duration) -> Result<Vec<Answer>, StoreError> {
        let statements: Vec<RawDocumentBuf> = batch.iter().map(|waiting| waiting.raw.clone()).collect();
        let sent = send_all(&self.ops, OPS, &statements, patience).await?;
        let ids = batch.iter().map(|waiting| waiting.id.clone()).collect();
        let documents = read::all_after(&self.ops, OPS, ids, sent.seen_from).await?;
        let all_matched = usize::try_from(sent.matched).is_ok_and(|matched| matched == batch.len());
        let answer = |(place, waiting): (usize, &Waiting)| match sent.refusal(place) {
            Some(refusal) => Err(refusal),
            None => Ok(Written {
                // Several of a batch may be about one document.
                document: documents.get(&waiting.id).cloned(),
                duplicate: sent.duplicates.contains(&place),
                matched: all_matched,
            }),
        };
        Ok(batch.iter().enumerate().map(answer).collect())
    }
}
