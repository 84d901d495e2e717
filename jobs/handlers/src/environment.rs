//! What the handlers of one worker share.

use crate::{Pace, database::Server, error::Error};
use lucid_ports::Problems;
use lucid_repository::Repository;
use lucid_schemas::{Code, RepositoryName, Request};
use std::{collections::BTreeMap, num::NonZero, time::Duration};
use tokio_util::sync::CancellationToken;

/// What the handlers of one worker share.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The replica set. Without a default read concern: one would override the snapshots that backups read at.
    pub client: mongodb::Client,
    /// Opened repositories by their names.
    pub repositories: BTreeMap<String, Repository>,
    /// The engine's own database, which no job may touch.
    pub ops_database: String,
    /// The id of the cluster whose jobs run here, which backups name as theirs; none where no store is needed.
    pub cluster: Option<String>,
    /// What can be tuned.
    pub options: HandlerOptions,
    /// How fast documents may be read and written.
    pub pace: Pace,
    /// Where what is wrong at this worker is told.
    pub problems: Problems,
}

/// What can be tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandlerOptions {
    /// About so many bytes of documents are asked for, and sent, at once. Memory: a dozen of these per cursor.
    pub batch_bytes: u32,
    /// So many collections are read or loaded at once.
    pub parallel: usize,
    /// So many cursors at most read large collections. One keeps a core of the server busy, and another here: more would only end less evenly.
    pub cursors: usize,
    /// A collection is read by several cursors where each has so many bytes to read, and it is read by `_id`.
    pub part_bytes: u64,
    /// zstd level of compressed backups, 1 to 22.
    pub compression_level: i32,
    /// A member that doesn't answer for so long, beyond what a command allows itself, is given up.
    pub silence_ms: u32,
    /// Which members backups are read from.
    pub read_from: ReadFrom,
}

/// Which members of the set backups are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadFrom {
    /// The primary.
    #[default]
    Primary,
    /// A secondary, or none.
    Secondary,
    /// A secondary or the primary, whichever the backup before was read from.
    Any,
}

const PARALLEL: usize = 4;

impl Default for HandlerOptions {
    fn default() -> Self {
        Self {
            // Replies of somewhat more are still below what the allocator gives back to the system each time.
            batch_bytes: 704 << 10,
            parallel: PARALLEL,
            cursors: std::thread::available_parallelism().map_or(2, NonZero::get).clamp(2, PARALLEL),
            part_bytes: 128 << 20,
            compression_level: 3,
            silence_ms: 90_000,
            read_from: ReadFrom::Primary,
        }
    }
}

impl Environment {
    /// The replica set as a job sees it that ends with `stop`.
    pub(crate) fn server(&self, stop: &CancellationToken) -> Server {
        let silence = Duration::from_millis(self.options.silence_ms.into());
        Server::new(self.client.clone(), silence, stop.clone(), self.pace.clone())
    }

    /// The repository that a request names, if it is the very one that the request meant.
    pub(crate) async fn repository(&self, request: &Request) -> Result<(&str, Repository), Error> {
        match &request.requires.repository {
            Some(needed) => self.open(needed).await,
            None => Err(Error::refused(Code::RepositoryUnnamed, "the job names no repository")),
        }
    }

    /// A repository, if it is the very one that is meant: with the keys that it has now.
    pub(crate) async fn open(&self, needed: &RepositoryName) -> Result<(&str, Repository), Error> {
        let Some((name, repository)) = self.repositories.get_key_value(&needed.name) else {
            return Err(Error::refused(
                Code::RepositoryUnknown,
                format!("this worker has no repository '{}': configure it, then ask again", needed.name),
            ));
        };
        let found = repository.id().to_string();
        if found == needed.id {
            return Ok((name, repository.current().await?));
        }
        Err(Error::refused(
            Code::OtherRepository,
            format!(
                "'{name}' is repository {found} here, but the job was asked for repository {}: mount the right one",
                needed.id
            ),
        ))
    }
}
