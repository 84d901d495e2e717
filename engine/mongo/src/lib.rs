//! The store and the feed on MongoDB.
//!
//! `ops` is the truth: one document a job, one single-document compare-and-set a transition, `w: "majority"` and
//! journal. The change streams wake workers up and show people what happens; nothing is decided by them. Invariant: no transition is decided here; the pipelines compare a
//! version, an epoch and the server's clock, and write what the law has folded.

mod alerts;
mod answer;
mod archive;
mod batch;
pub mod bootstrap;
mod bulk;
mod catalog;
mod change;
mod connect;
mod control;
mod detached;
pub mod doctor;
mod duplicates;
mod error;
mod feed;
mod group;
mod history;
mod keep;
mod owner;
mod pipeline;
mod probe;
mod query;
mod read;
mod registry;
mod schedules;
mod send;
mod set_up;
mod silences;
mod store;
mod stream;
mod tokens;

pub use catalog::MongoCatalog;
pub use connect::{ConnectError, Connection, UriSays, connect, read_uri};
pub use feed::MongoFeed;
pub use history::MongoHistory;
pub use query::explainable_queries;
pub use store::MongoStore;
