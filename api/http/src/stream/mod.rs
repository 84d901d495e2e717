//! Live streams: server-sent events of one job, and of all jobs.
//!
//! Invariants: whoever comes back with the last id that he was told is told all that follows it, each event once and in
//! order, or that this can't be (`reset`); a client that goes away takes everything with it that was held for him; no
//! stream outlives the server.

mod all;
mod job;
mod sse;
mod watch;

pub(crate) use all::events;
pub(crate) use job::job_events;

use crate::{ApiError, Caller};
use actix_web::{HttpResponse, web::Bytes};
use futures::{Stream, StreamExt};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch as watch_channel},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use watch::Watched;

/// So many streams are open at once at most.
const STREAMS_MAX: usize = 1_000;
/// So many clients catch up at once at most: each of them costs the server a change stream.
const CATCH_UPS_MAX: usize = 4;
/// A client that hears nothing for much longer may take the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a client waits for a place, where all are taken: some of those who have one may have vanished without a word.
const PLACE_WITHIN: Duration = Duration::from_secs(3);
/// How often all are written to meanwhile, which shows who has.
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// What stays open at one API: its live streams. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Streams {
    stop: CancellationToken,
    places: usize,
    open: Arc<Semaphore>,
    probe: Arc<watch_channel::Sender<()>>,
    catching_up: Arc<Semaphore>,
    watched: Watched,
}

impl Default for Streams {
    fn default() -> Self {
        Self::with_places(STREAMS_MAX)
    }
}

impl Streams {
    /// So many streams at most.
    pub fn with_places(places: usize) -> Self {
        Self {
            stop: CancellationToken::new(),
            places,
            open: Arc::new(Semaphore::new(places)),
            probe: Arc::new(watch_channel::Sender::new(())),
            catching_up: Arc::new(Semaphore::new(CATCH_UPS_MAX)),
            watched: Watched::default(),
        }
    }

    /// Ends all streams at once, and lets none begin any more.
    pub fn end(&self) {
        self.stop.cancel();
    }

    /// When they have to end.
    pub(crate) const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// A place for one more stream. Where all are taken, everybody is written to, and who is gone gives his up.
    pub(crate) async fn admit(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let place = Arc::clone(&self.open).acquire_owned();
        let mut place = std::pin::pin!(place);
        let until = Instant::now() + PLACE_WITHIN;
        loop {
            tokio::select! {
                biased;
                Ok(place) = &mut place => return Ok(place),
                () = sleep(PROBE_EVERY) => {}
            }
            if Instant::now() >= until {
                return Err(ApiError::Crowded(format!("{} streams are open already", self.places)));
            }
            self.probe.send_replace(());
        }
    }

    /// Tells when a stream is to be written to, so that it shows whether somebody still listens.
    fn probed(&self) -> watch_channel::Receiver<()> {
        self.probe.subscribe()
    }

    /// A place for one more who catches up.
    fn admit_catch_up(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let crowded =
            |_| ApiError::Crowded(format!("{CATCH_UPS_MAX} clients are catching up with the history already"));
        Arc::clone(&self.catching_up).try_acquire_owned().map_err(crowded)
    }
}

/// An answer that goes on as long as whoever asked for it may have it.
fn answer(caller: Caller, chunks: impl Stream<Item = Result<Bytes, Infallible>> + 'static) -> HttpResponse {
    let chunks = chunks.take_until(Box::pin(caller.over()));
    HttpResponse::Ok()
        .content_type("text/event-stream")
        // A proxy that collects before it passes on would make a live stream a late one.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;

    #[test]
    fn more_clients_than_are_bearable_are_told_to_come_back() {
        let streams = Streams::default();
        let admitted: Vec<_> = (0..CATCH_UPS_MAX).map(|_| streams.admit_catch_up().expect("room")).collect();
        let refused = streams.admit_catch_up().expect_err("no more room").error_response();
        assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (503, true));
        drop(admitted);
        assert!(streams.admit_catch_up().is_ok());
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_waits_for_one_that_somebody_gives_up() {
        let streams = Streams::with_places(2);
        let (first, _second) = (streams.admit().await.expect("room"), streams.admit().await.expect("room"));
        let mut probed = streams.probed();
        assert!(matches!(streams.admit().await, Err(ApiError::Crowded(_))));
        assert!(probed.has_changed().expect("open"), "everybody was written to");
        probed.mark_unchanged();
        // Who is gone shows by being written to.
        let gone = tokio::spawn(async move {
            probed.changed().await.expect("open");
            drop(first);
        });
        drop(streams.admit().await.expect("a place came free"));
        gone.await.expect("no panic");
    }
}
