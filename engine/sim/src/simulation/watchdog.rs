//! Ends the tests where a run doesn't end: a worker that spins without waiting keeps virtual time from passing.

use std::{
    process,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

/// A thousand times as long as a run takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Watches a run until it is dropped.
pub struct Watchdog(#[expect(dead_code, reason = "its drop says that the run has ended")] Sender<()>);

impl Watchdog {
    /// Watches the run of this seed from now on.
    pub fn of(seed: u64) -> Self {
        let (alive, watch) = channel::<()>();
        thread::spawn(move || {
            if watch.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("seed {seed} doesn't come to its end: some task is always ready, and no time passes");
                process::exit(1);
            }
        });
        Self(alive)
    }
}
