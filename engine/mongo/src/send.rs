//! The one way in which documents are written: an `update` command with majority and journal, whose answer is read whole.
//!
//! The driver's `run_command` isn't retried, ignores the client's write concern, and hands over write errors and write
//! concern errors inside an "ok" answer. So all of that is looked at here.

use crate::error::{describe, is_passing, is_passing_code, without_values};
use bson::{Document, Timestamp, doc};
use lucid_ports::StoreError;
use mongodb::Database;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the server works on one try at most.
const TRY_BOUND: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LONGEST: Duration = Duration::from_secs(2);
const DUPLICATE_KEY: i32 = 11_000;

/// What the statements did in the last try, which is durable on a majority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// How many of them matched or made a document. One that happened in an earlier try may match nothing now: where
    /// more than one is sent, or something was tried twice, only the documents tell.
    pub matched: i64,
    /// Places of those that a unique index refuses.
    pub duplicates: Vec<usize>,
    /// A read from this time on, on any primary, sees what was written, and what made a statement match nothing.
    pub seen_from: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    n: i64,
    #[serde(default)]
    write_errors: Vec<Refused>,
    #[serde(default)]
    write_concern_error: Option<Refused>,
    #[serde(default)]
    operation_time: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    index: usize,
    code: i32,
    #[serde(default)]
    errmsg: String,
}

/// Sends statements in one command, again and again where the outcome is unknown, for at most `patience`. Each must be
/// harmless when it is repeated: a compare-and-set is, since it matches nothing once it has happened.
pub async fn send(
    ops: &Database,
    collection: &str,
    statements: Vec<Document>,
    patience: Duration,
) -> Result<Sent, StoreError> {
    let bound_ms = i64::try_from(patience.min(TRY_BOUND).as_millis()).unwrap_or(i64::MAX);
    let command = doc! {
        "update": collection,
        "updates": statements,
        "ordered": false,
        "writeConcern": { "w": "majority", "j": true },
        "maxTimeMS": bound_ms.max(1),
    };
    persist(patience, || {
        let answered = ops.run_command(command.clone());
        async {
            match answered.await {
                Ok(answer) => read(answer),
                Err(error) if is_passing(&error) => Ok(Err(describe(&error))),
                Err(error) => Err(StoreError::Rejected(describe(&error))),
            }
        }
    })
    .await
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

/// The inner error is an outcome that isn't known yet.
fn read(answer: Document) -> Tried<Sent> {
    let answer: Answer = bson::deserialize_from_document(answer)
        .map_err(|error| StoreError::Rejected(format!("an answer that can't be read: {error}")))?;
    let mut duplicates = Vec::new();
    for refused in &answer.write_errors {
        if refused.code == DUPLICATE_KEY {
            duplicates.push(refused.index);
        } else if is_passing_code(refused.code) {
            return Ok(Err(without_values(&refused.errmsg)));
        } else {
            let message = without_values(&refused.errmsg);
            return Err(StoreError::Rejected(format!("{message} (code {})", refused.code)));
        }
    }
    if let Some(refused) = answer.write_concern_error {
        return Ok(Err(format!("not on a majority yet: {} (code {})", without_values(&refused.errmsg), refused.code)));
    }
    Ok(Ok(Sent { matched: answer.n, duplicates, seen_from: answer.operation_time }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_ok(answer: Document) -> Result<Sent, String> {
        read(answer).expect("not refused")
    }

    #[test]
    fn an_ok_answer_may_hold_every_kind_of_no() {
        let time = Timestamp { time: 5, increment: 1 };
        let matched = read_ok(doc! { "ok": 1, "n": 1, "nModified": 1, "operationTime": time });
        let expected = Sent { matched: 1, duplicates: vec![], seen_from: Some(time) };
        assert_eq!(matched, Ok(expected));
        assert_eq!(read_ok(doc! { "ok": 1, "n": 0 }).map(|sent| sent.matched), Ok(0));
        let duplicate = doc! { "ok": 1, "n": 1, "writeErrors": [{ "index": 1, "code": 11_000, "errmsg": "E11000" }] };
        assert_eq!(read_ok(duplicate).map(|sent| sent.duplicates), Ok(vec![1]));
        let invalid = doc! { "ok": 1, "n": 0, "writeErrors": [{ "index": 0, "code": 121, "errmsg": "failed" }] };
        assert!(read(invalid).is_err());
    }

    #[test]
    fn what_may_roll_back_is_no_success() {
        let waiting = doc! { "ok": 1, "n": 1, "writeConcernError": { "code": 64, "errmsg": "waiting" } };
        assert!(read_ok(waiting).is_err());
        let stepped_down = doc! { "ok": 1, "n": 1, "writeErrors": [
            { "index": 0, "code": 11_000, "errmsg": "E11000" }, { "index": 1, "code": 10_107, "errmsg": "not primary" },
        ] };
        assert!(read_ok(stepped_down).is_err());
    }
}
