//! Signals that mean "stop cleanly".

use crate::exit::Exit;
use tokio::signal::unix::{Signal, SignalKind, signal};

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

    /// Returns when one came.
    pub async fn came(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
