//! Every job that ends while it is watched is counted once.

use super::*;
use bson::doc;
use lucid_core::{Command, transition};
use lucid_ports::{Enqueue, Outcome, memory::MemoryStore};
use lucid_schemas::{Request, Spec, VerifyLevel, VerifySpec};
use std::time::Duration;

const NOW_MS: i64 = 1_800_000_000_000;

/// A store, who watches it, and the names of its writes.
struct Bench {
    store: MemoryStore,
    tally: Tally,
    writes: u64,
}

impl Bench {
    fn new() -> Self {
        Self { store: MemoryStore::at(DateTime::from_millis(NOW_MS)), tally: Tally::default(), writes: 0 }
    }

    fn write(&mut self) -> String {
        self.writes += 1;
        format!("w{}", self.writes)
    }

    async fn asked(&mut self) -> Job {
        let write = self.write();
        let backup = JobId::compose(Kind::Backup, self.store.now(), 1);
        let id = JobId::compose(Kind::Verify, self.store.now(), self.writes);
        let spec = Spec::Verify(VerifySpec::whole(backup, None, VerifyLevel::Data));
        // Without keys that others could hold.
        let request = Request { keys: Vec::new(), ..Request::new(id, spec, "api:test", None) };
        self.store.enqueue(&Enqueue { request, delay_ms: 0, run_at: None, write }).await.expect("enqueued")
    }

    async fn made(&mut self, job: &Job, command: Command) -> Job {
        let next = transition(job, &command, "w", &self.write()).expect("allowed");
        match self.store.apply(&next).await.expect("applied") {
            Outcome::Won(job) => *job,
            Outcome::Lost(job) => panic!("{job:?}"),
        }
    }

    async fn claimed(&mut self, job: &Job) -> Job {
        self.made(job, Command::Claim { worker: "w".into(), lease_ms: 1_000, slots: Vec::new() }).await
    }

    async fn succeeded(&mut self, job: &Job, after: Duration) {
        self.store.advance(after);
        let epoch = job.head.epoch;
        self.made(job, Command::Succeed { epoch, result: doc! {} }).await;
    }

    /// Counts of all that ended, by state, and of leases lost.
    async fn look(&mut self) -> (Vec<(State, u64)>, u64) {
        self.store.advance(Duration::from_secs(30));
        let states = vec![State::Queued, State::Running];
        let open = self.store.list(&JobFilter { states, limit: PAGE, ..JobFilter::default() }).await.expect("listed");
        let counted = self.tally.look(&self.store, self.store.now(), &open.jobs).await.expect("looked");
        let ended = counted.ended.iter().map(|((_, state), ended)| (*state, ended.jobs)).collect();
        (ended, counted.leases_lost.values().sum())
    }
}

#[tokio::test]
async fn each_job_counts_once_in_the_look_after_its_end() {
    let mut bench = Bench::new();
    let before = bench.asked().await;
    bench.made(&before, Command::RequestCancel).await;
    let old = bench.asked().await;
    let old = bench.claimed(&old).await;
    assert_eq!(bench.look().await, (vec![], 0), "what ended before isn't counted");
    // One that was open, one that came and went between two looks, one that stays.
    bench.succeeded(&old, Duration::from_secs(200)).await;
    let fleeting = bench.asked().await;
    bench.made(&fleeting, Command::RequestCancel).await;
    let stays = bench.asked().await;
    let wanted = vec![(State::Succeeded, 1), (State::Canceled, 1)];
    assert_eq!(bench.look().await, (wanted.clone(), 0));
    assert_eq!(bench.look().await, (wanted.clone(), 0), "again, while they are still of the last minutes");
    for _ in 0..6 {
        assert_eq!(bench.look().await, (wanted.clone(), 0));
    }
    bench.made(&stays, Command::RequestCancel).await;
    assert_eq!(bench.look().await.0, [(State::Succeeded, 1), (State::Canceled, 2)]);
}

#[tokio::test]
async fn how_long_it_took_is_from_the_first_claim_and_lost_leases_count() {
    let mut bench = Bench::new();
    bench.look().await;
    let job = bench.asked().await;
    let job = bench.claimed(&job).await;
    bench.store.advance(Duration::from_secs(10));
    let job = bench.claimed(&job).await;
    bench.succeeded(&job, Duration::from_secs(90)).await;
    assert_eq!(bench.look().await.1, 1, "it was taken over");
    let counted = bench.tally.counted.clone();
    let seconds = &counted.ended[&(Kind::Verify, State::Succeeded)].seconds;
    assert_eq!((seconds.count, seconds.sum), (1, 100.0));
    let within: Vec<_> = seconds.at_most.iter().map(|(_, count)| *count).collect();
    assert_eq!(within, [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1], "more than a minute, at most five");
}

#[tokio::test]
async fn a_clock_that_is_put_back_counts_nothing_twice() {
    let mut bench = Bench::new();
    bench.look().await;
    let job = bench.asked().await;
    bench.made(&job, Command::RequestCancel).await;
    assert_eq!(bench.look().await.0, [(State::Canceled, 1)]);
    for _ in 0..10 {
        bench.look().await;
    }
    // Another primary, whose clock is five minutes behind.
    bench.store.set_now(DateTime::from_millis(bench.store.now().timestamp_millis() - 300_000));
    let young = bench.asked().await;
    assert_eq!(bench.look().await.0, [(State::Canceled, 1)]);
    bench.made(&young, Command::RequestCancel).await;
    assert_eq!(bench.look().await.0, [(State::Canceled, 2)], "and what was open is followed all the same");
}
