//! The same suite as on a folder, on a real S3 server. (The matrix of damage stays on the folder: it is about bytes, wherever they
//! lie, and thousands of requests.)
#![allow(clippy::duplicate_mod, reason = "the same tests in another place")]

const PLACE: crate::support::Place = crate::support::Place::S3;

#[path = "backup.rs"]
mod backup;
#[path = "deltas.rs"]
mod deltas;
#[path = "ownership.rs"]
mod ownership;
#[path = "prune.rs"]
mod prune;
