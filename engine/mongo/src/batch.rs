//! Writes on `ops` that are asked for while a command is under way travel together in the next one, so that throughput
//! isn't bound to one flush of the journal for each.
//!
//! Invariants: nothing waits where no command is under way; what is asked for is sent, whether or not its caller still
//! listens; a statement that fails fails alone; one whose outcome is unknown is repeated until it is known, and then the
//! document tells. Only where all matched at the first try is the count enough, and one document tells when.

use crate::{
    group::{Group, gather},
    read,
    send::{Modified, Sent, modify, raw, send_all},
};
use bson::{DateTime, Document, RawDocument, RawDocumentBuf};
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
pub enum Written {
    /// The compare-and-set happened, at this time of the server's clock.
    Made { at: DateTime },
    /// What tells is the document as it is afterwards: as the statement left it, or later. `None` where there is none.
    Found {
        document: Option<RawDocumentBuf>,
        /// Whether a unique index refused the statement.
        duplicate: bool,
        /// Whether it is certain that it matched or made a document.
        matched: bool,
    },
}

type Answer = Result<Written, StoreError>;

#[derive(Debug)]
struct Waiting {
    id: String,
    statement: Document,
    /// The name of a compare-and-set.
    write: Option<String>,
    bytes: usize,
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

    /// Makes a statement on the document `id` happen, alone or with others. One with a name is a compare-and-set that
    /// appends an event with it.
    pub async fn write(self: &Arc<Self>, id: &str, statement: Document, write: Option<&str>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let bytes = raw(&statement)?.as_bytes().len();
        let (id, write) = (id.to_owned(), write.map(str::to_owned));
        if self.opens_lane(Waiting { id, statement, write, bytes, asked: Instant::now(), answer }) {
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
            bytes += next.bytes;
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
            Ok(Modified::Done(document)) => {
                Ok(Written::Found { document: Some(raw(&document)?), duplicate: false, matched: true })
            }
            Ok(Modified::Nothing { seen_from }) => {
                let document = read::after(&self.ops, OPS, &lone.id, seen_from).await?;
                Ok(Written::Found { document, duplicate: false, matched: false })
            }
            Err(StoreError::Rejected(_)) => {
                let answers = self.carry_all(std::slice::from_ref(lone), patience).await?;
                answers.into_iter().next().unwrap_or_else(|| Err(StoreError::Unavailable("no answer".into())))
            }
            Err(error) => Err(error),
        }
    }

    /// One command, then one read of what has to be known of the documents.
    async fn carry_all(&self, batch: &[Waiting], patience: Duration) -> Result<Vec<Answer>, StoreError> {
        let begun = Instant::now();
        let together = gather(&batch.iter().map(|waiting| &waiting.statement).collect::<Vec<_>>());
        let sent = self.send(&together, patience).await?;
        let refused = |place| sent.duplicates.contains(&place) || sent.refusal(place).is_some();
        if together.iter().enumerate().any(|(place, group)| group.places.len() > 1 && refused(place)) {
            // The rest of that group may not have been tried. What has happened matches nothing now, and has its name.
            let places =
                together.iter().enumerate().filter(|(place, _)| refused(*place)).flat_map(|(_, group)| &group.places);
            let alone: Vec<Group> = places.map(|place| Group::alone(&batch[*place].statement, *place)).collect();
            let left = patience.saturating_sub(begun.elapsed()).max(PATIENCE_LEAST);
            let sent = self.send(&alone, left).await?;
            return self.look_at_all(batch, &alone, &sent).await;
        }
        let all_matched = usize::try_from(sent.matched).is_ok_and(|matched| matched == batch.len());
        if all_matched && !sent.tried_again {
            self.look_at_clock(batch, &together, &sent).await
        } else {
            self.look_at_all(batch, &together, &sent).await
        }
    }

    async fn send(&self, groups: &[Group], patience: Duration) -> Result<Sent, StoreError> {
        let statements = groups.iter().map(|group| raw(&group.statement)).collect::<Result<Vec<_>, _>>()?;
        send_all(&self.ops, OPS, &statements, patience).await
    }

    /// Where every statement matched, compare-and-sets have happened: one document of a group tells when, since `$$NOW` is
    /// one time for all that a statement does.
    async fn look_at_clock(&self, batch: &[Waiting], groups: &[Group], sent: &Sent) -> Result<Vec<Answer>, StoreError> {
        let firsts = groups.iter().filter_map(|group| batch.get(*group.places.first()?));
        let ids = firsts.map(|waiting| waiting.id.clone()).collect();
        let documents = read::jobs_after(&self.ops, ids, sent.seen_from).await?;
        let mut answers: Vec<Option<Written>> = batch.iter().map(|_| None).collect();
        for group in groups {
            for place in &group.places {
                let first = &batch[group.places[0]];
                let document = documents.get(&first.id);
                answers[*place] = match &first.write {
                    Some(write) => {
                        document.and_then(|document| written_at(document, write)).map(|at| Written::Made { at })
                    }
                    None => Some(Written::Found { document: document.cloned(), duplicate: false, matched: true }),
                };
            }
        }
        match answers.into_iter().map(|answer| answer.map(Ok)).collect() {
            Some(answers) => Ok(answers),
            // One of them was forgotten meanwhile, or cut short by hand.
            None => self.look_at_all(batch, groups, sent).await,
        }
    }

    async fn look_at_all(&self, batch: &[Waiting], groups: &[Group], sent: &Sent) -> Result<Vec<Answer>, StoreError> {
        let ids = batch.iter().map(|waiting| waiting.id.clone()).collect();
        let documents = read::jobs_after(&self.ops, ids, sent.seen_from).await?;
        let all_matched = usize::try_from(sent.matched).is_ok_and(|matched| matched == batch.len());
        let answer = |(place, waiting): (usize, &Waiting)| {
            // What was taken before isn't sent again, and so isn't refused.
            let group = groups.iter().position(|group| group.places.contains(&place));
            match group.and_then(|group| sent.refusal(group)) {
                Some(refusal) => Err(refusal),
                None => Ok(Written::Found {
                    // Several of a batch may be about one document.
                    document: documents.get(&waiting.id).cloned(),
                    duplicate: group.is_some_and(|group| sent.duplicates.contains(&group)),
                    matched: all_matched,
                }),
            }
        };
        Ok(batch.iter().enumerate().map(answer).collect())
    }
}

/// When the event with this name was appended.
fn written_at(job: &RawDocument, write: &str) -> Option<DateTime> {
    let events = job.get_array("events").ok()?.into_iter().filter_map(|event| event.ok()?.as_document());
    let named = |event: &&RawDocument| event.get_str("write").is_ok_and(|name| name == write);
    events.filter(named).last()?.get_datetime("at").ok()
}
