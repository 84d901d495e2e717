//! A bounded place for work that needs the processor: hashing, compressing, sealing.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle};

use crate::RepositoryError;

/// Runs closures on blocking threads: as many at once as there are cores, and one for when another waits for memory or a lock. Waiting for a
/// turn is the back-pressure.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    turns: Arc<Semaphore>,
    width: usize,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let width = std::thread::available_parallelism().map_or(2, std::num::NonZero::get) + 1;
        Self { turns: Arc::new(Semaphore::new(width)), width }
    }

    /// How many closures run at once.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Runs the closure; fails only if it panics or the runtime ends. It gets its turn whether or not the caller is polled: a turn given to
    /// somebody who waits for something else first would be a deadlock.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RepositoryError> {
        let failed =
            |error: JoinError| RepositoryError::Internal { what: "background work", reason: error.to_string() };
        let turns = self.turns.clone();
        let Ok(turn) = turns.clone().try_acquire_owned() else {
            let task = tokio::spawn(async move {
                let turn = turns.acquire_owned().await.expect("the pool is never closed");
                begin(turn, work).await
            });
            return task.await.map_err(failed)?.map_err(failed);
        };
        begin(turn, work).await.map_err(failed)
    }
}

/// Begins the work, which has its turn until it ends.
fn begin<T: Send + 'static>(turn: OwnedSemaphorePermit, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    })
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    #[tokio::test]
    async fn a_turn_is_used_even_while_its_owner_waits_for_something_else() {
        let pool = Pool::new();
        let work = (0..64).map(|number| pool.run(move || number));
        let mut buffered = stream::iter(work).buffered(16);
        let mut sum = 0;
        while let Some(number) = buffered.next().await {
            // The other futures of the stream aren't polled meanwhile.
            sum += pool.run(move || number.expect("ran")).await.expect("ran");
        }
        assert_eq!(sum, 63 * 32);
    }
}
