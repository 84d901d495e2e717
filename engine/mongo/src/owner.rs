//! The task that owns something until it is stopped.

use lucid_ports::{Problems, watched};
use std::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A task, and the way to stop it; one that breaks off is begun again. Dropped, it is told to stop, but isn't waited for.
#[derive(Debug)]
pub struct Owner {
    name: &'static str,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Owner {
    /// Starts the task; it ends soon after its token is canceled.
    pub fn start<F>(
        name: &'static str,
        problems: Problems,
        mut work: impl FnMut(CancellationToken) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let own = stop.clone();
        let task = tokio::spawn(watched(name, problems, stop.clone(), move || work(own.clone())));
        Self { name, stop, task: Mutex::new(Some(task)) }
    }

    /// Stops it, and waits until it has ended.
    pub async fn stop(&self) {
        self.stop.cancel();
        let task = self.task.lock().ok().and_then(|mut task| task.take());
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(name = self.name, %error, "broke off");
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
