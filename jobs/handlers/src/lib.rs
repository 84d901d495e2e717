//! What the jobs do: back a database up, verify a backup, restore one, prune a repository, copy it, encrypt it anew.
//!
//! Each kind is a [`Handler`]. A handler may be killed, or stopped for an hour, between any two instructions, while a
//! successor runs the same job; so everything it does outside the job's document is write-once (repository) or names
//! the identity of what it expects (server commands, all of them in `database::commands`).

mod backup;
mod bounded;
mod copy;
mod database;
mod direct;
mod drill;
mod environment;
mod error;
mod pace;
mod progress;
mod prune;
mod reencrypt;
mod restore;
mod room;
mod scratch;
mod several;
mod verify;

pub use backup::BackupHandler;
pub use copy::CopyHandler;
pub use direct::{DirectJob, Report};
pub use environment::{Environment, HandlerOptions, ReadFrom};
pub use pace::Pace;
pub use prune::PruneHandler;
pub use reencrypt::ReencryptHandler;
pub use restore::RestoreHandler;
pub use verify::VerifyHandler;

use lucid_ports::{Handler, Store};
use std::sync::Arc;

/// One handler of each kind.
pub fn registry(environment: &Arc<Environment>, store: &Arc<dyn Store>) -> Vec<Arc<dyn Handler>> {
    vec![
        Arc::new(BackupHandler::new(Arc::clone(environment))),
        Arc::new(RestoreHandler::new(Arc::clone(environment))),
        Arc::new(VerifyHandler::new(Arc::clone(environment))),
        Arc::new(PruneHandler::new(Arc::clone(environment), Arc::clone(store))),
        Arc::new(CopyHandler::new(Arc::clone(environment))),
        Arc::new(ReencryptHandler::new(Arc::clone(environment))),
    ]
}
