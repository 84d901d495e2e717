//! The store and the feed on MongoDB.
//!
//! `ops` is the truth: one document a job, one single-document compare-and-set a transition, `w: "majority"` and
//! journal. The change stream is a wake-up only. Invariant: no transition is decided here; the pipelines compare a
//! version, an epoch and the server's clock, and write what the law has folded.

mod answer;
mod batch;
mod bulk;
mod catalog;
mod connect;
mod control;
mod detached;
mod error;
mod feed;
mod pipeline;
mod probe;
mod query;
mod read;
mod registry;
mod send;
mod set_up;
mod store;

pub use catalog::MongoCatalog;
pub use connect::{ConnectError, Connection, connect};
pub use feed::MongoFeed;
pub use query::explainable_queries;
pub use store::MongoStore;
