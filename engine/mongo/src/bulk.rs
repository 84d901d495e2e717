//! Many jobs at once: one aggregation that makes the documents on the server, where inserts know no `$$NOW`.
//!
//! Invariant: a batch isn't atomic, so unless the command says that it made all, what exists afterwards is read, and only
//! that is answered with a job.

use crate::{
    answer::Answer,
    batch::PATIENCE,
    detached::detached,
    error::{describe, is_passing},
    pipeline::{first_event, unstorable},
    read,
    send::{durable, persist, raw},
};
use bson::{Bson, DateTime, Document, RawDocument, RawDocumentBuf, Timestamp, doc};
use lucid_core::birth;
use lucid_ports::{Enqueue, StoreError};
use lucid_schemas::{Event, Job, Stamp, collections::OPS, job::FieldValue};
use mongodb::Database;
use std::time::Duration;

/// How much travels in one command.
pub const JOBS_MAX: usize = 1_000;
const GRACE: Duration = Duration::from_secs(15);

/// Makes those of up to [`JOBS_MAX`] jobs that the server takes; for each the job as it was born, or `None` where it
/// isn't there: asked for alone, the server tells why.
pub async fn make(ops: &Database, enqueues: &[&Enqueue]) -> Result<Vec<Option<Job>>, StoreError> {
    if enqueues.is_empty() {
        return Ok(Vec::new());
    }
    let births = enqueues.iter().map(|enqueue| seed(enqueue)).collect::<Result<Vec<_>, _>>()?;
    let (seeds, firsts): (Vec<Document>, Vec<Event>) = births.into_iter().unzip();
    let times = firsts.first().map(times).unwrap_or_default();
    let command = raw(&command(seeds, &times))?;
    let running = ops.clone();
    let made = detached(PATIENCE + GRACE, async move { run(&running, &command).await }).await?;
    let id = |enqueue: &&Enqueue| enqueue.request.id.to_string();
    // Where all were made, one tells when: `$$NOW` is one time for the whole command.
    let asked = if made.all { &enqueues[..1] } else { enqueues };
    let found = read::jobs_after(ops, asked.iter().map(id).collect(), made.seen_from).await?;
    let birth_of =
        |enqueue: &Enqueue| found.get(enqueue.request.id.as_str()).and_then(|job| birth_time(job, &enqueue.write));
    let at_once = enqueues.first().filter(|_| made.all).and_then(|first| birth_of(first));
    let born = |(enqueue, first): (&&Enqueue, Event)| {
        let at = at_once.or_else(|| birth_of(enqueue))?;
        let first = Event { at: Stamp::At(at), ..first };
        let head = birth(&first);
        Some(Job {
            request: enqueue.request.clone(),
            head,
            lease: None,
            progress: None,
            events: vec![first],
            fate: None,
        })
    };
    Ok(enqueues.iter().zip(firsts).map(born).collect())
}

/// When a job was born, where this write made it.
fn birth_time(job: &RawDocument, write: &str) -> Option<DateTime> {
    let first = job.get_array("events").ok()?.get_document(0).ok()?;
    (first.get_str("write").ok()? == write).then(|| job.get_datetime("created_at").ok())?
}

/// What is known of a command.
struct Made {
    /// Whether it is certain that it made every job. Where it isn't, some may have been made all the same.
    all: bool,
    seen_from: Option<Timestamp>,
}

/// An answer without a refusal says that this try made them all: what exists already ends the command.
async fn run(ops: &Database, command: &RawDocumentBuf) -> Result<Made, StoreError> {
    persist(PATIENCE, || {
        let answered = ops.run_raw_command(durable(command.clone(), PATIENCE));
        async {
            match answered.await {
                Ok(answer) => {
                    let answer = Answer::read(&answer)?;
                    Ok(answer.unsure().map_or(Ok(Made { all: true, seen_from: answer.operation_time }), Err))
                }
                Err(error) if is_passing(&error) => Ok(Err(describe(&error))),
                Err(error) => {
                    tracing::debug!(reason = describe(&error), "not all jobs of a batch were made");
                    Ok(Ok(Made { all: false, seen_from: None }))
                }
            }
        }
    })
    .await
}

/// Plain inserts: keeping what exists would cost a search for each, and the order of fields. What exists already ends
/// the command in the middle, which a repetition after a lost answer does at its first document.
fn command(seeds: Vec<Document>, times: &[&str]) -> Document {
    let now_plus = |name: &&str| ((*name).to_owned(), doc! { "$add": ["$$NOW", format!("${name}")] }.into());
    let mut clock: Document = times.iter().map(now_plus).collect();
    clock.insert("events.at", "$$NOW");
    doc! {
        "aggregate": 1,
        "pipeline": [
            { "$documents": { "$literal": seeds } },
            { "$set": clock },
            { "$merge": { "into": OPS, "on": "_id", "whenMatched": "fail", "whenNotMatched": "insert" } },
        ],
        "cursor": {},
    }
}

/// Fields of a new job that are times.
fn times(first: &Event) -> Vec<&'static str> {
    let is_time = |(name, value)| matches!(value, FieldValue::Stamp(_)).then_some(name);
    birth(first).fields().into_iter().filter_map(is_time).collect()
}

/// A job's document with milliseconds from now in the place of times, and its first event.
fn seed(enqueue: &Enqueue) -> Result<(Document, Event), StoreError> {
    let first = first_event(enqueue)?;
    let mut seed = enqueue.request.to_stored().map_err(|error| unstorable(&error))?;
    for (name, value) in birth(&first).fields() {
        match value {
            FieldValue::Literal(value) => drop(seed.insert(name, value)),
            FieldValue::Stamp(Stamp::Now { plus_ms }) => drop(seed.insert(name, plus_ms)),
            // No time is known before the server writes it, and a job has no such list.
            FieldValue::Stamp(Stamp::At(_)) | FieldValue::Objects(_) | FieldValue::Absent => {}
        }
    }
    let event = doc! {
        "seq": first.seq,
        "at": Bson::Null,
        "type": first.body.name(),
        "by": &first.by,
        "write": &first.write,
        "data": first.body.data().map_err(|error| unstorable(&error))?,
    };
    seed.insert("events", vec![event]);
    Ok((seed, first))
}
