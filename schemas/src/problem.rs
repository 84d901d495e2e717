//! Problem documents (RFC 9457): how the API says no.

use serde::{Deserialize, Serialize};

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Path of the field, such as `collections[2]`.
    pub field: String,
    /// One sentence that says what is wrong with it.
    pub problem: String,
}

impl FieldError {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// The body of every answer that isn't 2xx, as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable word for programs, such as `invalid-request`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for people, independent of the occasion.
    pub title: String,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What happened here and what to do about it.
    pub detail: String,
    /// What is wrong with which field; absent where no field is to blame.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}
