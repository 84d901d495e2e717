//! The answer of a write command, read whole: an "ok" may hold errors of single statements, or of the write concern.

use crate::error::{is_passing_code, without_values};
use bson::{Document, Timestamp};
use lucid_ports::StoreError;
use serde::Deserialize;
use std::fmt;

const DUPLICATE_KEY: i32 = 11_000;

/// What a write command answered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// How many documents were matched or made.
    #[serde(default)]
    pub n: i64,
    /// Statements that were refused.
    #[serde(default)]
    pub write_errors: Vec<Refused>,
    /// Why it may yet be rolled back.
    #[serde(default)]
    write_concern_error: Option<Refused>,
    /// A read from this time on sees what was written.
    #[serde(default)]
    pub operation_time: Option<Timestamp>,
}

/// One refusal by the server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refused {
    #[serde(default)]
    index: usize,
    code: i32,
    #[serde(default)]
    errmsg: String,
}

impl Answer {
    /// Reads an answer.
    pub fn read(answer: &Document) -> Result<Self, StoreError> {
        bson::deserialize_from_document(answer.clone())
            .map_err(|error| StoreError::Rejected(format!("an answer that can't be read: {error}")))
    }

    /// Why it isn't known what came of it; the command has to be repeated then.
    pub fn unsure(&self) -> Option<String> {
        let passing = self.write_errors.iter().find(|refused| is_passing_code(refused.code));
        let waiting = |refused: &Refused| format!("not on a majority yet: {refused}");
        passing.map(ToString::to_string).or_else(|| self.write_concern_error.as_ref().map(waiting))
    }
}

impl Refused {
    /// Which statement, from 0.
    pub const fn place(&self) -> usize {
        self.index
    }

    /// Whether a unique index refuses it.
    pub const fn is_duplicate(&self) -> bool {
        self.code == DUPLICATE_KEY
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", without_values(&self.errmsg), self.code)
    }
}
