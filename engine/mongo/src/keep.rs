//! Keeps a change stream going, whatever becomes of the one before.
//!
//! Invariant: no gap goes unsaid. After any break the old position is dropped, a fresh stream is opened *first*, and
//! then the listener is told that it is a fresh one.
//!
//! A server that is flooded with writes of others (a restore, an import) has each of them pass the filter of every
//! stream, which costs it a quarter of what the write did, and answers only when it has come to the end: the stream
//! is late by all that it is behind, and slows down what it waits for. Then it is closed for a while, and whoever listens
//! looks for itself, every other second.

use crate::stream::{Read, Reading, Watched, open, read};
use async_trait::async_trait;
use bson::RawDocumentBuf;
use lucid_ports::{ResumeToken, StoreError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A stream speaks once a second, unless its server is behind, in an election, suspended or cut off.
const SILENCE: Duration = Duration::from_secs(3);
const REST_FIRST: Duration = Duration::from_secs(10);
const REST_LONGEST: Duration = Duration::from_secs(40);
/// How often the listener is told to look while the stream rests.
const GLANCE: Duration = Duration::from_secs(2);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);

/// Who is told what a stream says.
pub trait Listener: Send + 'static {
    /// The next change.
    fn change(&mut self, change: &RawDocumentBuf);
    /// There was nothing more up to this place.
    fn idle(&mut self, position: ResumeToken);
    /// What happened up to this place is unknown.
    fn reopened(&mut self, position: ResumeToken);
}

/// Where streams come from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// A stream from now on, and the place where it begins.
    async fn open(&self) -> Result<(Reading, ResumeToken), StoreError>;
}

#[async_trait]
impl Source for Watched {
    async fn open(&self) -> Result<(Reading, ResumeToken), StoreError> {
        let (stream, position) = open(self, None).await?;
        Ok((read(stream), position))
    }
}

/// Tells the listener what the stream says, until `stop`; without a first stream, of a fresh one.
pub async fn keep(source: impl Source, first: Option<Reading>, listener: impl Listener, stop: CancellationToken) {
    let mut keeper = Keeper { source, listener, pause: PAUSE_FIRST, rest: REST_FIRST };
    tokio::select! {
        () = stop.cancelled() => {}
        () = keeper.keep(first) => {}
    }
}

struct Keeper<S, L> {
    source: S,
    listener: L,
    /// Before the next try to open a stream.
    pause: Duration,
    /// How long the stream rests when it falls silent.
    rest: Duration,
}

impl<S: Source, L: Listener> Keeper<S, L> {
    async fn keep(&mut self, first: Option<Reading>) {
        let mut reading = match first {
            Some(first) => first,
            None => self.reopen().await,
        };
        loop {
            let reason = match timeout(SILENCE, reading.next()).await {
                Ok(Some(Read::Change(change))) => {
                    self.speaks();
                    self.listener.change(&change);
                    continue;
                }
                Ok(Some(Read::Nothing(position))) => {
                    self.speaks();
                    if let Some(position) = position {
                        self.listener.idle(position);
                    }
                    continue;
                }
                Ok(Some(Read::Over { reason, .. })) => reason,
                Ok(None) => "its reader broke off".to_owned(),
                Err(_) => {
                    drop(reading);
                    reading = self.rest().await;
                    continue;
                }
            };
            tracing::warn!(reason, "the change stream broke: opening a fresh one");
            reading = self.reopen().await;
        }
    }

    fn speaks(&mut self) {
        (self.pause, self.rest) = (PAUSE_FIRST, REST_FIRST);
    }

    async fn rest(&mut self) -> Reading {
        let (silence_s, rest_s) = (SILENCE.as_secs(), self.rest.as_secs());
        tracing::warn!(
            silence_s,
            rest_s,
            "the change stream is silent, as the server is flooded with writes or can't be reached: until it is opened again, \
             changes are looked for every two seconds"
        );
        let end = Instant::now() + self.rest;
        self.rest = (self.rest * 2).min(REST_LONGEST);
        loop {
            let reading = self.reopen().await;
            if Instant::now() >= end {
                return reading;
            }
            self.pause = GLANCE;
        }
    }

    /// Tries until it works; the position of the old stream isn't used again, since it may be what broke it.
    async fn reopen(&mut self) -> Reading {
        loop {
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSE_LONGEST);
            match self.source.open().await {
                Ok((reading, position)) => {
                    self.listener.reopened(position);
                    return reading;
                }
                Err(error) => tracing::warn!(%error, "no change stream: the safety poll finds work meanwhile"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::rawdoc;
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };
    use tokio::sync::mpsc;

    /// A server that answers every second, unless it is flooded.
    #[derive(Clone, Default)]
    struct Server {
        flooded: Arc<AtomicBool>,
        reading: Arc<AtomicUsize>,
    }

    struct Counted(Arc<AtomicUsize>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn token() -> ResumeToken {
        "826B05984F000000122B0229296E04".parse().expect("a token")
    }

    #[async_trait]
    impl Source for Server {
        async fn open(&self) -> Result<(Reading, ResumeToken), StoreError> {
            self.reading.fetch_add(1, Ordering::SeqCst);
            let (say, said) = mpsc::channel(64);
            let (flooded, counted) = (Arc::clone(&self.flooded), Counted(Arc::clone(&self.reading)));
            let reader = tokio::spawn(async move {
                let _counted = counted;
                loop {
                    sleep(Duration::from_secs(1)).await;
                    if !flooded.load(Ordering::SeqCst) && say.send(Read::Change(rawdoc! {})).await.is_err() {
                        return;
                    }
                }
            });
            Ok((Reading::new(said, reader.abort_handle()), token()))
        }
    }

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<(usize, usize)>>);

    impl Heard {
        /// Changes and gaps since the last call.
        fn take(&self) -> (usize, usize) {
            std::mem::take(&mut *self.0.lock().expect("whole"))
        }
    }

    impl Listener for Heard {
        fn change(&mut self, _change: &RawDocumentBuf) {
            self.0.lock().expect("whole").0 += 1;
        }
        fn idle(&mut self, _position: ResumeToken) {}
        fn reopened(&mut self, _position: ResumeToken) {
            self.0.lock().expect("whole").1 += 1;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_behind_rests_and_its_listener_looks_meanwhile() {
        let (server, heard, stop) = (Server::default(), Heard::default(), CancellationToken::new());
        let (first, _) = server.open().await.expect("open");
        let kept = tokio::spawn(keep(server.clone(), Some(first), heard.clone(), stop.clone()));
        sleep(Duration::from_secs(30)).await;
        let (changes, gaps) = heard.take();
        assert!(changes >= 29 && gaps == 0, "{changes} changes, {gaps} gaps");

        server.flooded.store(true, Ordering::SeqCst);
        let mut read_s = 0;
        for _ in 0..60 {
            sleep(Duration::from_secs(1)).await;
            read_s += server.reading.load(Ordering::SeqCst);
        }
        let (changes, gaps) = heard.take();
        assert!(changes <= 1 && (20..30).contains(&gaps), "{changes} changes, {gaps} gaps");
        assert!(read_s <= 12, "the server searched for {read_s} of 60 seconds");

        server.flooded.store(false, Ordering::SeqCst);
        sleep(REST_LONGEST).await;
        heard.take();
        sleep(Duration::from_secs(30)).await;
        let (changes, gaps) = heard.take();
        assert!(changes >= 29 && gaps == 0, "{changes} changes, {gaps} gaps");
        stop.cancel();
        kept.await.expect("ended");
        tokio::task::yield_now().await;
        assert_eq!(server.reading.load(Ordering::SeqCst), 0, "nothing is read any more");
    }
}
