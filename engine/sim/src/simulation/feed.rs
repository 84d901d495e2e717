//! The change stream of one process: it opens after a while, repeats itself, and breaks. It keeps the promise of
//! every feed: no gap goes unsaid, and it is said once the next stream is open.

use super::stage::{Process, Stage};
use crate::mutant::Mutant;
use lucid_ports::{Feed, Wake};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::sleep,
};

/// The feed of one process.
pub struct SimFeed {
    wakes: broadcast::Sender<Wake>,
}

impl Feed for SimFeed {
    fn subscribe(&self) -> broadcast::Receiver<Wake> {
        self.wakes.subscribe()
    }
}

impl SimFeed {
    /// Starts it in the runtime that is entered.
    pub fn start(stage: Arc<Stage>, process: Arc<Process>) -> Self {
        let (wakes, _) = broadcast::channel(64);
        tokio::spawn(relay(stage, process, wakes.clone()));
        Self { wakes }
    }
}

async fn relay(stage: Arc<Stage>, process: Arc<Process>, wakes: broadcast::Sender<Wake>) {
    // Nobody listening is no error: the worker may have stopped.
    let tell = |wake: Wake| drop(wakes.send(wake));
    loop {
        let mut changes = if stage.mutant == Some(Mutant::LookBeforeOpen) {
            tell(Wake::Gap);
            sleep(opening(&stage)).await;
            stage.twin.subscribe()
        } else {
            sleep(opening(&stage)).await;
            let changes = stage.twin.subscribe();
            tell(Wake::Gap);
            changes
        };
        stage.note(&process.name, "feed open");
        loop {
            let wake = match changes.recv().await {
                Ok(wake) => wake,
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return,
            };
            let faults = stage.faults();
            if stage.one_in(faults.broken) {
                stage.ledger().count("feed broken");
                break;
            }
            let delay_ms = stage.up_to_ms(faults.delay_ms);
            sleep(Duration::from_millis(delay_ms)).await;
            if stage.one_in(faults.repeated) {
                stage.ledger().count("wake repeated");
                tell(wake.clone());
            }
            tell(wake);
        }
    }
}

fn opening(stage: &Stage) -> Duration {
    Duration::from_millis(stage.up_to_ms(2_000))
}
