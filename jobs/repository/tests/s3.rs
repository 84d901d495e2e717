//! The same suite as on a folder, on a real S3 server. (The support module sees where it is compiled. The matrix of damage stays
//! on the folder: it is about bytes, wherever they lie, and thousands of requests.)
#![allow(clippy::duplicate_mod, reason = "each of these files brings the support module along")]

#[path = "backup.rs"]
mod backup;
#[path = "deltas.rs"]
mod deltas;
#[path = "prune.rs"]
mod prune;
