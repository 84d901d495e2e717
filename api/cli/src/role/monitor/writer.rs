//! The worker of a monitor: it runs monitor jobs and the sending of notices, and nothing else.

use super::super::node;
use crate::exit::Exit;
use lucid_mongo::{Connection, MongoFeed};
use lucid_monitor::{
    evaluate::Evaluations,
    write::{Chain, Desk, MonitorHandler, Teller, tell::Quiet},
};
use lucid_notify::{Channels, Direct, Hush, NotifyHandler, Sender, heartbeat};
use lucid_ports::{Alerts, Handler, Problems, Reach, Reached, Store};
use lucid_runtime::{Worker, WorkerHandle, WorkerOptions};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// Under which subject it is told that no alerts are written.
const SUBJECT: &str = "writing of alerts";
/// Between two tries to open the change stream.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// One for the monitor job, the others so that a channel that hangs holds up nobody.
const SLOTS: usize = 8;

/// What writes alerts.
pub(super) struct Writer {
    pub connection: Connection,
    pub evaluations: Evaluations,
    pub interval: Duration,
    pub lease_ms: u32,
    pub channels: Channels,
    pub direct: Direct,
    pub name: String,
    pub problems: Problems,
    /// How far its change stream has come.
    pub stream: Reached,
}

impl Writer {
    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Exit> {
        let (store, alerts): (Arc<dyn Store>, Arc<dyn Alerts>) = (self.connection.store(), self.connection.store());
        let chain = Chain::new(Arc::clone(&store), alerts, format!("monitor:{}", node()));
        let (rounds, written) = watch::channel(None);
        let hush: Arc<dyn Hush> =
            Arc::new(Quiet { silences: self.connection.store(), alerts: self.connection.store() });
        let teller = Teller { channels: self.channels.clone(), hush, rounds, direct: self.direct.clone() };
        let interval_seconds = i32::try_from(self.interval.as_secs()).unwrap_or(i32::MAX);
        let kept = [
            tokio::spawn(chain.clone().keep(interval_seconds, self.interval, self.problems.clone(), stop.clone())),
            tokio::spawn(self.channels.clone().keep(self.problems.clone(), stop.clone())),
            tokio::spawn(heartbeat::beat(
                self.channels.clone(),
                written,
                Sender::default(),
                self.problems.clone(),
                stop.clone(),
            )),
        ];
        let Some(feed) = self.feed(&stop).await else { return Ok(()) };
        let mut news = self.channels.watch();
        while !stop.is_cancelled() {
            news.mark_unchanged();
            let labels = self.channels.labels();
            let worker = self.worker(&store, &feed, &teller, &chain)?;
            // Its labels say which channels it has; whatever else has changed counts without them.
            while !stop.is_cancelled() && self.channels.labels() == labels {
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = news.changed() => {}
                }
            }
            if !stop.is_cancelled() {
                tracing::info!("the channels have changed: the worker begins anew with them");
            }
            worker.stop().await.map_err(Exit::failed)?;
        }
        feed.stop().await;
        for kept in kept {
            kept.await.map_err(Exit::failed)?;
        }
        Ok(())
    }

    /// Its change stream, as soon as that can be opened; `None` where it is stopped before.
    async fn feed(&self, stop: &CancellationToken) -> Option<Arc<MongoFeed>> {
        while !stop.is_cancelled() {
            match self.connection.feed_noting(self.stream.clone()).await {
                Ok(feed) => {
                    self.problems.clear(SUBJECT);
                    return Some(feed);
                }
                Err(error) => {
                    tracing::warn!(%error, "this monitor writes no alerts, as it can't follow the jobs: tried again in a moment");
                    self.problems
                        .set(SUBJECT, format!("this monitor writes no alerts, as it can't follow the jobs: {error}"));
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(TRY_AGAIN) => {}
            }
        }
        None
    }

    fn worker(
        &self,
        store: &Arc<dyn Store>,
        feed: &MongoFeed,
        teller: &Teller,
        chain: &Chain,
    ) -> Result<WorkerHandle, Exit> {
        let desk = Desk {
            store: Arc::clone(store),
            alerts: self.connection.store(),
            evaluations: self.evaluations.clone(),
            teller: teller.clone(),
            silences: self.connection.store(),
            chain: chain.clone(),
            problems: self.problems.clone(),
        };
        let notify = NotifyHandler {
            store: Arc::clone(store),
            alerts: self.connection.store(),
            hush: Arc::clone(&teller.hush),
            channels: self.channels.clone(),
            sender: Sender::default(),
        };
        let handlers: Vec<Arc<dyn Handler>> = vec![Arc::new(MonitorHandler::new(desk)), Arc::new(notify)];
        let options = WorkerOptions {
            slots: SLOTS,
            problems: self.problems.clone(),
            ..WorkerOptions::new(self.name.clone()).with_lease_ms(self.lease_ms)
        };
        let reach = Reach { labels: self.channels.labels(), ..Reach::default() };
        Worker::start(Arc::clone(store), feed, handlers, reach, options).map_err(Exit::usage)
    }
}
