//! The worker of a monitor: it runs monitor jobs and the sending of notices, and nothing else.

use super::super::{node, worker_name};
use crate::exit::Exit;
use lucid_mongo::Connection;
use lucid_monitor::{
    evaluate::Evaluations,
    write::{Chain, Desk, MonitorHandler},
};
use lucid_ports::{Alerts, Handler, Problems, Reach, Store};
use lucid_runtime::{Worker, WorkerOptions};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// One for the monitor job, the others so that a channel that hangs holds up nobody.
const SLOTS: usize = 8;

/// What writes alerts.
pub(super) struct Writer {
    pub connection: Connection,
    pub evaluations: Evaluations,
    pub interval: Duration,
    pub lease_ms: u32,
    pub problems: Problems,
}

impl Writer {
    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Exit> {
        let store: Arc<dyn Store> = self.connection.store();
        let alerts: Arc<dyn Alerts> = self.connection.store();
        let chain = Chain::new(Arc::clone(&store), Arc::clone(&alerts), format!("monitor:{}", node()));
        let (open, _) = watch::channel(Arc::default());
        let desk = Desk {
            store: Arc::clone(&store),
            alerts,
            silences: self.connection.store(),
            evaluations: self.evaluations,
            route: Arc::new(|_| Vec::new()),
            open,
            chain: chain.clone(),
            problems: self.problems.clone(),
        };
        let handlers: Vec<Arc<dyn Handler>> = vec![Arc::new(MonitorHandler::new(desk))];
        let options = WorkerOptions {
            slots: SLOTS,
            problems: self.problems.clone(),
            ..WorkerOptions::new(worker_name()).with_lease_ms(self.lease_ms)
        };
        let feed = self.connection.feed().await.map_err(Exit::failed)?;
        let worker = Worker::start(store, &*feed, handlers, Reach::default(), options).map_err(Exit::usage)?;
        let interval_seconds = i32::try_from(self.interval.as_secs()).unwrap_or(i32::MAX);
        let kept = tokio::spawn(chain.keep(interval_seconds, self.interval, self.problems, stop.clone()));
        stop.cancelled().await;
        let stopped = worker.stop().await.map_err(Exit::failed);
        feed.stop().await;
        kept.await.map_err(Exit::failed)?;
        stopped
    }
}
