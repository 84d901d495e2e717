//! Signals that mean "stop cleanly", and how long that may take.
//!
//! Invariant: after a signal the process ends within a bound that it has said, and at a second signal at once. Dying is safe at any
//! moment: what ran is taken over when its leases end.

use crate::exit::{Exit, signaled};
use std::time::Duration;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

/// What becomes of the jobs of a process that doesn't wait for them.
const TAKEN_OVER: &str = "what ran here is taken over when its leases end";

/// Ctrl-C, or what a service manager sends. Listens from its making on, so that no signal falls into the start.
pub struct Shutdown {
    interrupt: Signal,
    terminate: Signal,
}

impl Shutdown {
    /// Begins to listen.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn listen() -> Result<Self, Exit> {
        let on = |kind| signal(kind).map_err(|error| Exit::failed(format!("no signals: {error}")));
        Ok(Self { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    /// Returns which one came.
    pub async fn came(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }

    /// Starts something, unless a signal comes first: nothing is under way then that would have to be ended.
    ///
    /// # Errors
    /// What starting fails with, or the signal.
    pub async fn unless_asked<T>(&mut self, start: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
        tokio::select! {
            started = start => started,
            signal = self.came() => Err(signaled(signal, "stopped before it was ready")),
        }
    }

    /// Ends the work after a signal, within a bound.
    ///
    /// # Errors
    /// What ending fails with, a second signal, or the bound.
    pub async fn finish(&mut self, within: Duration, work: impl Future<Output = Result<(), Exit>>) -> Result<(), Exit> {
        let seconds = within.as_secs();
        tracing::info!("stopping, which takes {seconds} s at most; a second signal ends at once");
        tokio::select! {
            biased;
            ended = work => ended,
            signal = self.came() => Err(signaled(signal, format_args!("ended at once, as asked again: {TAKEN_OVER}"))),
            () = sleep(within) => Err(Exit::failed(format!("not all could be ended within {seconds} s: {TAKEN_OVER}"))),
        }
    }
}
