//! Older shapes of the job document, read as if they had the present one.
//!
//! A job keeps the shape that it was born with; what this program writes into an older one, older programs still read. One that was
//! given up they pass over: they neither list nor claim it.
//!
//! | shape | what it lacks |
//! |---|---|
//! | 1 | concurrency keys, dependencies, timeouts, `rank_at` |

use crate::JOB_SCHEMA;
use bson::{Bson, Document};
use std::borrow::Cow;

/// The document in the present shape.
///
/// # Errors
/// What is wrong with its schema number, and what to do.
pub(crate) fn upcast(document: &Document) -> Result<Cow<'_, Document>, String> {
    match document.get("schema") {
        Some(Bson::Int32(JOB_SCHEMA)) => Ok(Cow::Borrowed(document)),
        Some(Bson::Int32(1)) => Ok(Cow::Owned(from_1(document.clone()))),
        Some(other) => Err(format!("its schema is {other}, this program knows 1 to {JOB_SCHEMA}: upgrade this node")),
        None => Err("it has no schema number".into()),
    }
}

/// Jobs of shape 1 had no say in their order: all had priority 0, and were due in the order of `run_at`.
fn from_1(mut document: Document) -> Document {
    if !document.contains_key("rank_at")
        && let Some(run_at) = document.get("run_at").cloned()
    {
        document.insert("rank_at", run_at);
    }
    document
}
