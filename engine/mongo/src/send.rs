//! The one way in which jobs are written: an `update` command with majority and journal, whose answer is read whole.
//!
//! The driver's `run_command` isn't retried, ignores the client's write concern, and hands over write errors and write
//! concern errors inside an "ok" answer. So all of that is looked at here.

use crate::error::{describe, is_passing, is_passing_code, without_values};
use bson::{Document, doc};
use lucid_ports::StoreError;
use mongodb::Database;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const COMMAND_BOUND_MS: i64 = 10_000;
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LONGEST: Duration = Duration::from_secs(2);

/// What one statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It matched (or made) a document; durable on a majority.
    Matched,
    /// It matched nothing; neither did an earlier try whose answer was lost, or that try's document says so.
    Unmatched,
    /// A unique index refuses it.
    Duplicate,
}

#[derive(Deserialize)]
struct Answer {
    n: i64,
    #[serde(rename = "writeErrors", default)]
    write_errors: Vec<Refused>,
    #[serde(rename = "writeConcernError", default)]
    write_concern_error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    code: i32,
    #[serde(default)]
    errmsg: String,
}

/// Sends one statement, again and again where the outcome is unknown, for at most `patience`. A repeated compare-and-set
/// is harmless: it matches nothing once it has happened.
pub async fn send(
    ops: &Database,
    collection: &str,
    statement: Document,
    patience: Duration,
) -> Result<Sent, StoreError> {
    let command = doc! {
        "update": collection,
        "updates": [statement],
        "ordered": false,
        "writeConcern": { "w": "majority", "j": true },
        "maxTimeMS": COMMAND_BOUND_MS,
    };
    let until = Instant::now() + patience;
    let mut pause = PAUSE_FIRST;
    loop {
        let reason = match ops.run_command(command.clone()).await {
            Ok(answer) => match read(answer)? {
                Ok(sent) => return Ok(sent),
                Err(unknown) => unknown,
            },
            Err(error) if is_passing(&error) => describe(&error),
            Err(error) => return Err(StoreError::Rejected(describe(&error))),
        };
        if Instant::now() + pause >= until {
            return Err(StoreError::Unavailable(reason));
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_LONGEST);
    }
}

/// The inner error is an outcome that isn't known yet.
fn read(answer: Document) -> Result<Result<Sent, String>, StoreError> {
    let answer: Answer = bson::deserialize_from_document(answer)
        .map_err(|error| StoreError::Rejected(format!("an answer that can't be read: {error}")))?;
    match answer.write_errors.first() {
        Some(refused) if refused.code == 11_000 => return Ok(Ok(Sent::Duplicate)),
        Some(refused) if is_passing_code(refused.code) => return Ok(Err(without_values(&refused.errmsg))),
        Some(refused) => {
            let message = without_values(&refused.errmsg);
            return Err(StoreError::Rejected(format!("{message} (code {})", refused.code)));
        }
        None => {}
    }
    if let Some(refused) = answer.write_concern_error {
        return Ok(Err(format!(
            "not on a majority yet: {} (code {})",
            refused.errmsg, refused.code
        )));
    }
    Ok(Ok(if answer.n > 0 { Sent::Matched } else { Sent::Unmatched }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ok_answer_may_hold_every_kind_of_no() {
        let read_ok = |answer| read(answer).expect("not refused");
        assert_eq!(read_ok(doc! { "ok": 1, "n": 1, "nModified": 1 }), Ok(Sent::Matched));
        assert_eq!(read_ok(doc! { "ok": 1, "n": 0 }), Ok(Sent::Unmatched));
        let duplicate = doc! { "ok": 1, "n": 0, "writeErrors": [{ "index": 0, "code": 11_000, "errmsg": "E11000" }] };
        assert_eq!(read_ok(duplicate), Ok(Sent::Duplicate));
        let waiting = doc! { "ok": 1, "n": 1, "writeConcernError": { "code": 64, "errmsg": "waiting" } };
        assert!(read_ok(waiting).is_err(), "a write that may roll back is no success");
        let invalid = doc! { "ok": 1, "n": 0, "writeErrors": [{ "index": 0, "code": 121, "errmsg": "failed" }] };
        assert!(read(invalid).is_err());
    }
}
