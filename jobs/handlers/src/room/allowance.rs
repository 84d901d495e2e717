//! How much may be loaded before the disks are looked at again.
//!
//! Invariant: what has been let pass since a look fits into what that look saw, with every copy that the server keeps of it. So no
//! disk fills up between two looks, however fast the server is and however late a look comes.

use bson::Timestamp;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// A byte of a document is written into its collection, the oplog and the journal, and what it needs of an index.
const COPIES: u64 = 4;

/// Waiting for so long is told.
const TOLD_AFTER: Duration = Duration::from_secs(30);

/// Shared by whoever loads and whoever looks.
#[derive(Debug)]
pub(crate) struct Allowance {
    ledger: Mutex<Ledger>,
    raised: Notify,
    /// One for each member, as each is looked at by itself.
    wanted: Vec<Notify>,
}

#[derive(Debug)]
struct Ledger {
    /// Bytes that were let pass so far.
    passed: u64,
    /// Those of them that were answered.
    written: Written,
    /// How many may have passed in all, as seen at each member; the least one counts.
    limits: Vec<u64>,
    /// The most that anybody asked for at once.
    largest: u64,
}

/// So many bytes were written by this time of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Written {
    pub bytes: u64,
    pub at: Option<Timestamp>,
}

/// Bytes that may be written now. Once this goes they count as written, whatever the answer was.
pub(crate) struct Passed {
    allowance: Arc<Allowance>,
    bytes: u64,
}

impl Passed {
    /// They were written by this time of the set.
    pub fn written(self, at: Option<Timestamp>) {
        let mut ledger = self.allowance.ledger();
        ledger.written.at = ledger.written.at.max(at);
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        let mut ledger = self.allowance.ledger();
        ledger.written.bytes = ledger.written.bytes.saturating_add(self.bytes);
    }
}

impl Allowance {
    /// Lets nothing pass before each of so many members was looked at.
    pub fn new(members: usize) -> Arc<Self> {
        let ledger = Ledger { passed: 0, written: Written::default(), limits: vec![0; members], largest: 0 };
        let wanted = (0..members).map(|_| Notify::new()).collect();
        Arc::new(Self { ledger: Mutex::new(ledger), raised: Notify::new(), wanted })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many bytes more may be written.
    pub async fn pass(self: &Arc<Self>, bytes: u64) -> Passed {
        loop {
            // Before the ledger is read: what is raised in between wakes it.
            let raised = self.raised.notified();
            if self.ledger().take(bytes) {
                return Passed { allowance: Arc::clone(self), bytes };
            }
            self.wanted.iter().for_each(Notify::notify_one);
            tokio::pin!(raised);
            while timeout(TOLD_AFTER, &mut raised).await.is_err() {
                tracing::warn!(bytes, "loading waits for a look at the members' disks");
            }
        }
    }

    /// What was answered by now.
    pub fn so_far(&self) -> Written {
        self.ledger().written
    }

    /// A look at a member: it has so many bytes written already, and this much room beside them. False where that is too little for
    /// what is asked for at once.
    pub fn seen(&self, member: usize, written: u64, spare: u64) -> bool {
        let mut ledger = self.ledger();
        let more = spare / COPIES;
        let suffices = more > 0 && more >= ledger.largest;
        ledger.limit(member, written.saturating_add(more));
        drop(ledger);
        self.raised.notify_waiters();
        suffices
    }

    /// A member that nobody sees sets no limit.
    pub fn unseen(&self, member: usize) {
        self.ledger().limit(member, u64::MAX);
        self.raised.notify_waiters();
    }

    /// Ends when somebody waits for a look at the member.
    pub async fn wanted(&self, member: usize) {
        if let Some(wanted) = self.wanted.get(member) {
            wanted.notified().await;
        }
    }
}

impl Ledger {
    fn take(&mut self, bytes: u64) -> bool {
        self.largest = self.largest.max(bytes);
        let passed = self.passed.saturating_add(bytes);
        let fits = self.limits.iter().all(|limit| passed <= *limit);
        if fits {
            self.passed = passed;
        }
        fits
    }

    fn limit(&mut self, member: usize, limit: u64) {
        if let Some(known) = self.limits.get_mut(member) {
            *known = limit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn passes(allowance: &Arc<Allowance>, bytes: u64) -> Option<Passed> {
        allowance.pass(bytes).now_or_never()
    }

    #[tokio::test]
    async fn nothing_passes_before_each_member_was_looked_at_and_no_more_than_the_fullest_has_room_for() {
        let allowance = Allowance::new(2);
        assert!(passes(&allowance, 1).is_none());
        assert!(allowance.seen(0, 0, 4_000));
        assert!(passes(&allowance, 1).is_none(), "the second one wasn't looked at");
        assert!(allowance.seen(1, 0, 400));
        let _first = passes(&allowance, 60).expect("there is room");
        assert!(passes(&allowance, 50).is_none(), "110 bytes take 440");
        let _second = passes(&allowance, 40).expect("a smaller one still fits");
        allowance.unseen(1);
        assert!(passes(&allowance, 900).is_some());
        assert!(passes(&allowance, 1).is_none(), "the first one is full");
    }

    #[tokio::test]
    async fn what_was_under_way_when_a_look_began_still_is_to_be_written() {
        let allowance = Allowance::new(1);
        assert!(allowance.seen(0, 0, 400));
        let (most, rest) = (passes(&allowance, 60).expect("room"), passes(&allowance, 40).expect("room"));
        let at = Some(Timestamp { time: 7, increment: 1 });
        most.written(at);
        assert_eq!(allowance.so_far(), Written { bytes: 60, at });
        // 60 bytes took 240. The other 40 aren't there yet: all that is left is theirs.
        allowance.seen(0, 60, 160);
        assert!(passes(&allowance, 1).is_none());
        // Without an answer they count as written, or a lost one would take its room for ever.
        drop(rest);
        assert_eq!(allowance.so_far(), Written { bytes: 100, at });
        assert!(allowance.seen(0, 100, 400) && passes(&allowance, 100).is_some());
    }

    #[tokio::test]
    async fn who_waits_is_looked_for_and_told_where_it_never_fits() {
        let allowance = Allowance::new(1);
        assert!(allowance.seen(0, 0, 400), "nobody has asked yet");
        assert!(allowance.wanted(0).now_or_never().is_none());
        assert!(passes(&allowance, 101).is_none());
        assert!(allowance.wanted(0).now_or_never().is_some());
        assert!(!allowance.seen(0, 0, 400) && allowance.seen(0, 0, 404));
    }
}
