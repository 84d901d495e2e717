//! A bounded place for work that needs the processor: hashing, compressing, sealing.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::RepositoryError;

/// Runs closures on blocking threads, as many at once as there are cores. Waiting for a turn is the back-pressure.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    turns: Arc<Semaphore>,
    width: usize,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let width = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self { turns: Arc::new(Semaphore::new(width)), width }
    }

    /// How many closures run at once.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Runs the closure; fails only if it panics or the runtime ends.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RepositoryError> {
        let turn = self.turns.clone().acquire_owned().await.expect("the pool is never closed");
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        task.await.map_err(|error| RepositoryError::Internal { what: "background work", reason: error.to_string() })
    }
}
