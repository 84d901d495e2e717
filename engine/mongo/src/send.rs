//! How documents are written: commands with majority and journal, whose answers are read whole.
//!
//! The driver's `run_command` isn't retried, ignores the client's write concern, and hands over write errors and write
//! concern errors inside an "ok" answer. So all of that is looked at here.

use crate::{
    answer::{Answer, Refused},
    error::{describe, is_passing},
};
use bson::{Document, RawArrayBuf, RawDocumentBuf, Timestamp, doc, raw::cstr, rawdoc};
use lucid_ports::StoreError;
use mongodb::Database;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long the server works on one try at most.
const TRY_BOUND: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LONGEST: Duration = Duration::from_secs(2);

/// What the statements did in the last try, which is durable on a majority.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// How many documents they matched or made. One that happened in an earlier try may match nothing now: unless all of
    /// them matched, and nothing was tried twice, only the documents tell.
    pub matched: i64,
    /// Places of those that a unique index refuses.
    pub duplicates: Vec<usize>,
    /// Those that the server refuses for another reason.
    pub refused: Vec<Refused>,
    /// A read from this time on, on any primary, sees what was written, and what made a statement match nothing.
    pub seen_from: Option<Timestamp>,
    /// Whether an earlier try may have happened as well.
    pub tried_again: bool,
}

impl Sent {
    /// The error of a statement that the server refuses. After a second try that doesn't tell: the first may have
    /// happened.
    pub fn refusal(&self, place: usize) -> Option<StoreError> {
        let refused = self.refused.iter().find(|refused| refused.place() == place)?;
        let reason = refused.to_string();
        Some(if self.tried_again { StoreError::Unavailable(reason) } else { StoreError::Rejected(reason) })
    }
}

/// Sends one statement until it is known what came of it, for at most `patience`; see [`send_all`].
pub async fn send(
    ops: &Database,
    collection: &str,
    statement: &Document,
    patience: Duration,
) -> Result<Sent, StoreError> {
    let sent = send_all(ops, collection, &[raw(statement)?], patience).await?;
    sent.refusal(0).map_or(Ok(sent), Err)
}

/// Sends statements in one command, again and again where the outcome is unknown, for at most `patience`. Each must be
/// harmless when it is repeated: a compare-and-set is, since it matches nothing once it has happened. A statement that
/// is refused keeps none of the others from happening.
pub async fn send_all(
    ops: &Database,
    collection: &str,
    statements: &[RawDocumentBuf],
    patience: Duration,
) -> Result<Sent, StoreError> {
    let mut updates = RawArrayBuf::new();
    for statement in statements {
        updates.push(statement.as_ref());
    }
    let command = rawdoc! { "update": collection, "updates": updates, "ordered": false };
    let tried = AtomicBool::new(false);
    persist(patience, || {
        let tried_again = tried.swap(true, Ordering::Relaxed);
        let answered = ops.run_raw_command(durable(command.clone(), patience));
        async move {
            match answered.await {
                Ok(answer) => read(&answer, tried_again),
                Err(error) if is_passing(&error) => Ok(Err(describe(&error))),
                Err(error) => Err(StoreError::Rejected(describe(&error))),
            }
        }
    })
    .await
}

/// What came of a statement that travelled alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Modified {
    /// It happened, and this is the document as it left it.
    Done(Document),
    /// It matched nothing in the last try: a read from this time on tells why.
    Nothing { seen_from: Option<Timestamp> },
}

/// Sends one statement by the command that answers with the document, which saves the read after it.
///
/// # Errors
/// Also where the server refuses the statement: [`send_all`] then tells why, and from when on that can be read.
pub async fn modify(
    ops: &Database,
    collection: &str,
    statement: &Document,
    patience: Duration,
) -> Result<Modified, StoreError> {
    let part = |name| statement.get(name).cloned().unwrap_or(bson::Bson::Null);
    let command = raw(&doc! {
        "findAndModify": collection,
        "query": part("q"),
        "update": part("u"),
        "upsert": part("upsert"),
        "new": true,
    })?;
    persist(patience, || {
        let answered = ops.run_raw_command(durable(command.clone(), patience));
        async {
            match answered.await {
                Ok(mut answer) => {
                    let document = answer.remove("value");
                    let answer = Answer::read(&answer)?;
                    Ok(answer.unsure().map_or_else(
                        || {
                            Ok(match document {
                                Some(bson::Bson::Document(document)) => Modified::Done(document),
                                _ => Modified::Nothing { seen_from: answer.operation_time },
                            })
                        },
                        Err,
                    ))
                }
                Err(error) if is_passing(&error) => Ok(Err(describe(&error))),
                Err(error) => Err(StoreError::Rejected(describe(&error))),
            }
        }
    })
    .await
}

/// The form in which a statement travels.
pub fn raw(document: &Document) -> Result<RawDocumentBuf, StoreError> {
    RawDocumentBuf::try_from(document).map_err(|error| StoreError::Rejected(format!("it has no BSON form: {error}")))
}

/// The command with what makes its answer final.
pub fn durable(mut command: RawDocumentBuf, patience: Duration) -> RawDocumentBuf {
    let bound_ms = i64::try_from(patience.min(TRY_BOUND).as_millis()).unwrap_or(i64::MAX);
    command.append(cstr!("writeConcern"), rawdoc! { "w": "majority", "j": true });
    command.append(cstr!("maxTimeMS"), bound_ms.max(1));
    command
}

/// What is known after a try; the inner error is the reason to try again.
pub type Tried<T> = Result<Result<T, String>, StoreError>;

/// Tries until it is known what came of it.
pub async fn persist<T, F>(patience: Duration, attempt: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Tried<T>>,
{
    let until = Instant::now() + patience;
    let mut pause = PAUSE_FIRST;
    let mut unknown = false;
    loop {
        let reason = match attempt().await {
            Ok(Ok(known)) => return Ok(known),
            Ok(Err(reason)) => reason,
            // An earlier try may have happened: this refusal doesn't tell.
            Err(StoreError::Rejected(reason)) if unknown => return Err(StoreError::Unavailable(reason)),
            Err(error) => return Err(error),
        };
        unknown = true;
        if Instant::now() + pause >= until {
            return Err(StoreError::Unavailable(reason));
        }
        tracing::debug!(reason, "trying again");
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_LONGEST);
    }
}

fn read(answer: &Document, tried_again: bool) -> Tried<Sent> {
    let answer = Answer::read(answer)?;
    if let Some(reason) = answer.unsure() {
        return Ok(Err(reason));
    }
    let (duplicates, refused): (Vec<_>, Vec<_>) = answer.write_errors.into_iter().partition(Refused::is_duplicate);
    let duplicates = duplicates.iter().map(Refused::place).collect();
    Ok(Ok(Sent { matched: answer.n, duplicates, refused, seen_from: answer.operation_time, tried_again }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_ok(answer: &Document) -> Result<Sent, String> {
        read(answer, false).expect("readable")
    }

    #[test]
    fn an_ok_answer_may_hold_every_kind_of_no() {
        let time = Timestamp { time: 5, increment: 1 };
        let matched = read_ok(&doc! { "ok": 1, "n": 1, "nModified": 1, "operationTime": time });
        let expected =
            Sent { matched: 1, duplicates: vec![], refused: vec![], seen_from: Some(time), tried_again: false };
        assert_eq!(matched, Ok(expected));
        assert_eq!(read_ok(&doc! { "ok": 1, "n": 0 }).map(|sent| sent.matched), Ok(0));
    }

    #[test]
    fn each_statement_is_refused_for_itself() {
        let answer = doc! { "ok": 1, "n": 1, "writeErrors": [
            { "index": 1, "code": 11_000, "errmsg": "E11000" }, { "index": 2, "code": 121, "errmsg": "failed" },
        ] };
        let mut sent = read_ok(&answer).expect("known");
        assert_eq!(sent.duplicates, [1]);
        assert!(sent.refusal(0).is_none() && sent.refusal(1).is_none());
        assert!(matches!(sent.refusal(2), Some(StoreError::Rejected(_))));
        sent.tried_again = true;
        assert!(matches!(sent.refusal(2), Some(StoreError::Unavailable(_))), "the first try may have happened");
    }

    #[test]
    fn what_may_roll_back_is_no_success() {
        let waiting = doc! { "ok": 1, "n": 1, "writeConcernError": { "code": 64, "errmsg": "waiting" } };
        assert!(read_ok(&waiting).is_err());
        let stepped_down = doc! { "ok": 1, "n": 1, "writeErrors": [
            { "index": 0, "code": 11_000, "errmsg": "E11000" }, { "index": 1, "code": 10_107, "errmsg": "not primary" },
        ] };
        assert!(read_ok(&stepped_down).is_err());
    }
}
