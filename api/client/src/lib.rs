//! The HTTP client behind the client verbs, and what they print.
//!
//! It knows the API by the bodies of [`lucid_schemas::http`] alone. Invariant: whatever text comes from a server is
//! printed without control characters, so that no name can steer a terminal.
//!
//! | room | what it is for |
//! |---|---|
//! | [`client`], `schedules`, `alerts` | one method per endpoint |
//! | `service` | the API, or the monitor |
//! | `agent`, `path` | how requests are sent, and where to |
//! | `probe` | whether a service lives |
//! | [`error`] | why a call failed, for people |
//! | [`query`] | what can be asked of a list |
//! | [`live`](mod@live), [`sse`] | following a job by its stream of events |
//! | [`whole`] | going through all jobs: audit and export |
//! | [`top`] | all that one screen shows |
//! | [`watch`](mod@watch), [`progress`] | following a job to its end |
//! | [`render`] | tables, timelines, single jobs |

mod agent;
mod alerts;
pub mod client;
pub mod error;
pub mod live;
mod path;
mod probe;
pub mod progress;
pub mod query;
pub mod render;
mod schedules;
mod service;
pub mod sse;
pub mod token;
mod top;
pub mod watch;
pub mod whole;

pub use alerts::AlertQuery;
pub use client::Client;
pub use error::{ClientError, RelayError};
pub use live::live;
pub use probe::probe;
pub use progress::{Silent, Sink, sink_for_stderr};
pub use query::JobQuery;
pub use service::Service;
pub use top::Top;
pub use watch::watch;
