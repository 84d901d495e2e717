//! What a service does again and again beside its work: looks whether what it has made and announced is still there.
//!
//! Somebody may drop an index, a collection or the whole database under live nodes; none of them has to be started again for that.

use super::backup_schedule::Wanted;
use bson::Bson;
use lucid_mongo::Connection;
use lucid_ports::{Store, StoreError, watched};
use lucid_schemas::RepositoryName;
use std::{sync::Arc, time::Duration};
use tokio::{
    task::{JoinError, JoinHandle},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(15);

/// The upkeep of one process, under way.
pub struct Upkeep {
    stop: CancellationToken,
    done: JoinHandle<()>,
}

/// What is looked after.
struct Work {
    connection: Connection,
    repositories: Vec<RepositoryName>,
    wanted: Wanted,
    /// Tells one collection of schedules from another of the same name.
    schedules: std::sync::Mutex<Option<Bson>>,
}

impl Upkeep {
    /// Begins, for repositories that were bound and schedules that variables want.
    pub fn start(connection: &Connection, repositories: Vec<RepositoryName>, wanted: Wanted) -> Self {
        let stop = CancellationToken::new();
        let connection = connection.clone();
        let work = Arc::new(Work { connection, repositories, wanted, schedules: std::sync::Mutex::default() });
        let own = stop.clone();
        let watching = watched("upkeep", work.connection.problems(), stop.clone(), move || {
            let (work, stop) = (Arc::clone(&work), own.clone());
            async move {
                loop {
                    work.look().await;
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = sleep(EVERY) => {}
                    }
                }
            }
        });
        Self { stop, done: tokio::spawn(watching) }
    }

    /// Stops it, and waits until a look that is under way has ended.
    ///
    /// # Errors
    /// Where it broke off with a panic.
    pub async fn stop(self) -> Result<(), JoinError> {
        self.stop.cancel();
        self.done.await
    }
}

impl Work {
    async fn look(&self) {
        const SUBJECT: &str = "engine's database";
        let problems = self.connection.problems();
        match self.mend().await {
            Ok(()) => drop(problems.clear(SUBJECT)),
            Err(error) => {
                tracing::warn!(%error, "the engine's database can't be looked after");
                problems.set(SUBJECT, format!("what the engine's database lacks can't be made: {error}"));
            }
        }
    }

    async fn mend(&self) -> Result<(), StoreError> {
        let found = self.connection.set_up().await?;
        let store = self.connection.store();
        let bound = store.repositories().await?;
        for repository in self.repositories.iter().filter(|repository| !bound.contains(repository)) {
            store.bind_repository(repository).await?;
            tracing::warn!(repository = repository.name, "its name was gone: made known again");
        }
        store.cluster().await?;
        let is_same = {
            let mut known = self.schedules.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let is_same = known.is_none() || *known == found;
            *known = found;
            is_same
        };
        if !is_same && let Err(exit) = self.wanted.keep(&*store, &super::node()).await {
            return Err(StoreError::Unavailable(exit.to_string()));
        }
        Ok(())
    }
}
