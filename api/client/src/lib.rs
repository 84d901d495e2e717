//! The HTTP client behind the client verbs, and what they print.
//!
//! It knows the API by the bodies of [`lucid_schemas::http`] alone. Invariant: whatever text comes from a server is
//! printed without control characters, so that no name can steer a terminal.
//!
//! | room | what it is for |
//! |---|---|
//! | [`client`], `schedules` | one method per endpoint |
//! | [`error`] | why a call failed, for people |
//! | [`watch`](mod@watch), [`progress`] | following a job to its end |
//! | [`render`] | tables, timelines, single jobs |

pub mod client;
pub mod error;
pub mod progress;
pub mod render;
mod schedules;
pub mod watch;

pub use client::{Client, JobQuery};
pub use error::ClientError;
pub use progress::{Silent, Sink, sink_for_stderr};
pub use watch::watch;
