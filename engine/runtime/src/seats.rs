//! A worker's slots for handlers, and how far ahead of them it may claim.
//!
//! A claim takes a seat at once and waits in it for a slot. Where handlers are quick, more seats are given out than
//! there are slots, so that the next job is there when a slot comes free. Invariants: never more handlers run than there
//! are slots; a worker whose handlers are slow claims nothing ahead; nobody waits in a seat for longer than
//! [`SEATED_AT_MOST`]; beside who sits alone nobody is seated.

use crate::metrics::Metrics;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

/// A job that hasn't got its slot by then goes back to the queue: others may have room for it.
pub const SEATED_AT_MOST: Duration = Duration::from_millis(800);
/// As many handlers as ended within one to two of these may be claimed ahead: at the same pace they start within that.
const WINDOW: Duration = Duration::from_millis(125);
/// One command's worth of claims.
const AHEAD_MAX: usize = 200;

/// The seats of one worker.
#[derive(Debug)]
pub struct Seats {
    size: usize,
    permits: Arc<Semaphore>,
    seated: Mutex<Seated>,
    pace: Mutex<Pace>,
    metrics: Arc<Metrics>,
    /// A seat came free.
    pub freed: Notify,
}

#[derive(Debug, Default)]
struct Seated {
    count: usize,
    /// One of them has the worker to itself.
    alone: bool,
}

/// How many handlers ended lately.
#[derive(Debug)]
struct Pace {
    since: Instant,
    ended: usize,
    ended_before: usize,
}

impl Pace {
    fn turn(&mut self, now: Instant) {
        let windows = now.duration_since(self.since).as_millis() / WINDOW.as_millis();
        if windows > 0 {
            self.ended_before = if windows == 1 { self.ended } else { 0 };
            self.ended = 0;
            self.since = now;
        }
    }
}

impl Seats {
    pub fn new(size: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let pace = Pace { since: Instant::now(), ended: 0, ended_before: 0 };
        Arc::new(Self {
            size,
            permits: Arc::new(Semaphore::new(size)),
            seated: Mutex::default(),
            pace: Mutex::new(pace),
            metrics,
            freed: Notify::new(),
        })
    }

    /// How many more jobs may be claimed now.
    pub fn room(&self) -> usize {
        let seated = self.seated();
        if seated.alone { 0 } else { (self.size + self.ahead()).saturating_sub(seated.count) }
    }

    /// How many jobs may be claimed beyond the slots.
    pub fn ahead(&self) -> usize {
        self.pace(|pace| pace.ended + pace.ended_before).min(AHEAD_MAX)
    }

    /// How many handlers run.
    pub fn running(&self) -> usize {
        self.size.saturating_sub(self.permits.available_permits())
    }

    /// A seat for a job that is about to be claimed, given back when it is dropped; none beside who sits alone.
    pub fn seat(self: &Arc<Self>) -> Option<Seat> {
        let mut seated = self.seated();
        if seated.alone {
            return None;
        }
        seated.count += 1;
        Some(Seat { seats: Arc::clone(self), permit: None, alone: false })
    }

    fn seated(&self) -> MutexGuard<'_, Seated> {
        self.seated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace<T>(&self, use_it: impl FnOnce(&mut Pace) -> T) -> T {
        // Plain numbers: a panic elsewhere doesn't make them wrong.
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.turn(Instant::now());
        use_it(&mut pace)
    }
}

/// One job's place; it counts from before the claim until its handler has ended.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    permit: Option<OwnedSemaphorePermit>,
    alone: bool,
}

impl Seat {
    /// Takes the worker for this job alone, where nobody else is seated.
    pub fn alone(&mut self) -> bool {
        let mut seated = self.seats.seated();
        self.alone = seated.count == 1;
        seated.alone = self.alone;
        self.alone
    }

    /// Waits for a slot, first come, first served; whether there was one in time.
    pub async fn slot(&mut self) -> bool {
        let permit = Arc::clone(&self.seats.permits).acquire_owned();
        // The semaphore is never closed.
        self.permit = timeout(SEATED_AT_MOST, permit).await.ok().and_then(Result::ok);
        if self.permit.is_none() {
            self.seats.metrics.given_back.count();
        }
        self.permit.is_some()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.permit.take().is_some() {
            self.seats.pace(|pace| pace.ended += 1);
        }
        let mut seated = self.seats.seated();
        seated.count -= 1;
        seated.alone &= !self.alone;
        drop(seated);
        self.seats.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    /// Runs so many handlers that take no time.
    async fn run(seats: &Arc<Seats>, count: usize) {
        for _ in 0..count {
            assert!(seats.seat().expect("a seat").slot().await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_are_claimed_ahead_as_ended_lately() {
        let seats = Seats::new(2, Arc::default());
        assert_eq!(seats.room(), 2, "nothing ahead of an unknown pace");
        run(&seats, 30).await;
        assert_eq!(seats.room(), 2 + 30);
        run(&seats, 1_000).await;
        assert_eq!(seats.room(), 2 + AHEAD_MAX);
        advance(WINDOW).await;
        assert_eq!(seats.room(), 2 + AHEAD_MAX);
        advance(2 * WINDOW).await;
        assert_eq!(seats.room(), 2, "slow handlers: nothing ahead");
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_has_a_slot_in_time_or_none() {
        let seats = Seats::new(1, Arc::default());
        let mut first = seats.seat().expect("a seat");
        assert!(first.slot().await);
        let (mut second, mut third) = (seats.seat().expect("a seat"), seats.seat().expect("a seat"));
        assert_eq!(seats.room(), 0);
        assert!(!second.slot().await, "the first one still runs");
        drop(first);
        assert!(third.slot().await);
        drop((second, third));
        assert_eq!(seats.permits.available_permits(), 1);
        assert_eq!(seats.seated().count, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_seated_beside_who_sits_alone() {
        let seats = Seats::new(3, Arc::default());
        let (mut first, second) = (seats.seat().expect("a seat"), seats.seat().expect("a seat"));
        assert!(!first.alone(), "somebody is there");
        drop(second);
        assert!(first.alone() && seats.room() == 0 && seats.seat().is_none());
        drop(first);
        assert_eq!(seats.room(), 3);
        drop(seats.seat().expect("open again"));
    }
}
