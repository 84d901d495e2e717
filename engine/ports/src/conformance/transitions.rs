//! What a transition does to a job, and when it does nothing.

use super::kit::{Bench, LONG_MS, OVER_MS, bytes, claim, enqueue, prepared, request};
use crate::{Outcome, StoreError};
use bson::{Timestamp, doc};
use lucid_core::{Command, Guard, invariant::violations, table::MOVES};
use lucid_schemas::{EventBody, Failure, Job, Kind, State};
use std::collections::BTreeSet;

pub(super) fn failure(code: &str, retryable: bool) -> Failure {
    Failure { code: code.into(), message: format!("it was {code}"), retryable }
}

fn fail(epoch: i64, retryable: bool) -> Command {
    Command::Fail { epoch, error: failure("broken", retryable), retry_in_ms: OVER_MS, out_of_time: false }
}

fn snapshot(epoch: i64) -> Command {
    let cluster_time = Timestamp { time: 1_736_388_001, increment: 7 };
    Command::Record { epoch, fact: EventBody::SnapshotTaken { cluster_time } }
}

/// Makes commands true, one after the other; the worker is always the same.
async fn live(bench: &Bench, commands: &[Command]) -> Job {
    let mut asked = request(Kind::Backup);
    asked.max_attempts = 3;
    let mut job = bench.put(&enqueue(asked)).await;
    for command in commands {
        let next = prepared(&job, command, "w");
        let (seen, version) = (job.events.clone(), job.head.version);
        job = match bench.store.apply(&next).await.expect("applied") {
            Outcome::Won(job) => *job,
            Outcome::Lost(current) => panic!("'{}' lost: {current:?}", command.name()),
        };
        assert_eq!(bench.job(job.id()).await, job);
        let (old, new) = job.events.split_at(seen.len());
        assert_eq!(old, seen, "what happened stays");
        let bodies = |events: &[lucid_schemas::Event]| -> Vec<_> {
            events.iter().map(|event| (event.seq, event.by.clone(), event.write.clone(), event.body.clone())).collect()
        };
        assert_eq!(bodies(new), bodies(&next.events));
        assert!(new.iter().all(|event| event.at.stored().is_some() && event.at == new[0].at));
        assert_eq!(job.head.version, version + 1);
    }
    job
}

pub(super) async fn every_event_reads_back_and_folds_to_the_head(bench: Bench) {
    let commit = |epoch, fact| Command::Commit { epoch, fact };
    let succeed = |epoch| Command::Succeed { epoch, result: doc! { "documents": 3_i64, "ratio": 0.5 } };
    let release = |epoch| Command::Release { epoch, reason: "stops".into() };
    let claim = || claim("w", OVER_MS);
    let swap = EventBody::SwapStarted { entries: 3, list_hash: "abc".into() };
    let lives = [
        vec![
            claim(),
            snapshot(1),
            commit(1, EventBody::CommitStarted {}),
            fail(1, true),
            claim(),
            fail(2, false),
            Command::Resume,
            claim(),
            succeed(3),
        ],
        vec![
            claim(),
            release(1),
            claim(),
            fail(2, true),
            claim(),
            Command::RequestCancel,
            Command::ConfirmCancel { epoch: 3 },
        ],
        vec![claim(), commit(1, swap), release(1), claim(), succeed(2)],
        vec![
            claim(),
            commit(1, EventBody::CommitStarted {}),
            fail(1, false),
            Command::GiveUp { reason: "$reason".into() },
            claim(),
            fail(2, false),
        ],
        vec![claim(), fail(1, false)],
        vec![Command::RequestCancel],
        vec![claim(), claim(), claim(), Command::Expire],
    ];
    let mut seen = BTreeSet::new();
    for commands in lives {
        let job = live(&bench, &commands).await;
        assert!(job.head.state.is_terminal());
        seen.extend(job.events.iter().map(|event| event.body.name()));
    }
    for job in
        [super::slots::reserved_and_returned(&bench).await, super::waiting::met_and_failed(&bench).await].concat()
    {
        seen.extend(job.events.iter().map(|event| event.body.name()));
    }
    let mut all: BTreeSet<_> = MOVES.iter().map(|entry| entry.event).collect();
    all.insert("enqueued");
    assert_eq!(seen, all, "the check reaches every event");
}

pub(super) async fn fields_that_are_absent_are_removed(bench: Bench) {
    let job = live(&bench, &[claim("w", LONG_MS), fail(1, true)]).await;
    let document = bench.document(job.id()).await;
    assert!(document.contains_key("error") && !document.contains_key("lease"), "{document}");
    for never in ["finished_at", "result", "unique_key", "progress", "holds"] {
        assert!(!document.contains_key(never), "{never} is absent, not null: {document}");
    }
    let job = bench.make(&job, &claim("w", LONG_MS), "w").await;
    assert!(bench.document(job.id()).await.contains_key("lease"));
    let done = Command::Succeed { epoch: 2, result: doc! {} };
    bench.make(&job, &done, "w").await;
    let document = bench.document(job.id()).await;
    assert!(!document.contains_key("error") && !document.contains_key("lease"), "{document}");
    let result = document.get_document("result").ok();
    assert_eq!(result, Some(&doc! {}), "an empty document is no absence");
}

/// Crafted by hand: the law sets a result once only.
pub(super) async fn objects_are_replaced_and_never_merged(bench: Bench) {
    let results = [
        doc! { "detail": { "a": 1, "b": { "c": [1, 2, 3], "d": 2 } }, "old": true },
        doc! { "detail": { "b": { "c": [4] } } },
        doc! { "detail": "flat" },
        doc! { "detail": {} },
        doc! {},
    ];
    let id = bench.running(LONG_MS).await.request.id;
    for result in results {
        let job = bench.store.load(&id).await.expect("loaded").expect("there");
        let mut next = prepared(&job, &snapshot(1), "w");
        next.head.result = Some(result.clone());
        let outcome = bench.store.apply(&next).await.expect("applied");
        assert!(matches!(outcome, Outcome::Won(_)));
        let stored = bench.document(&id).await;
        assert_eq!(bytes(stored.get_document("result").expect("a result")), bytes(&result), "{stored}");
    }
}

pub(super) async fn another_version_or_epoch_is_fenced_off(bench: Bench) {
    let first = bench.running(OVER_MS).await;
    let stale = prepared(&first, &Command::Succeed { epoch: 1, result: doc! {} }, "w");
    let second = bench.make(&first, &claim("v", LONG_MS), "v").await;
    bench.loses(&stale, "a worker whose lease was taken over").await;
    let good = prepared(&second, &snapshot(2), "v");
    for (version, epoch) in [(-1, 0), (1, 0), (0, -1), (0, 1), (-3, 0), (1_000, 0)] {
        let mut next = good.clone();
        next.before.head.version += version;
        next.before.head.epoch += epoch;
        bench.loses(&next, &format!("version {version:+}, epoch {epoch:+}")).await;
    }
    let outcome = bench.store.apply(&good).await.expect("applied");
    assert!(matches!(outcome, Outcome::Won(_)), "the fence lets its own pass");
}

pub(super) async fn a_lost_answer_is_recognised_by_its_write(bench: Bench) {
    let job = bench.queued().await;
    let next = prepared(&job, &claim("w", OVER_MS), "w");
    let won = bench.store.apply(&next).await.expect("applied");
    let before = bench.document(job.id()).await;
    assert_eq!(bench.store.apply(&next).await.expect("applied"), won, "again, with the same write");
    assert_eq!(bytes(&bench.document(job.id()).await), bytes(&before), "it happened once");
    let Outcome::Won(first) = &won else { panic!("{won:?}") };
    let second = bench.make(first, &claim("v", LONG_MS), "v").await;
    assert_eq!(second.head.epoch, 2);
    let again = bench.store.apply(&next).await.expect("applied");
    assert_eq!(again, won, "the answer is the job as the write left it: a successor's epoch is no prize");
    let mut guarded = next.clone();
    guarded.guards = vec![Guard::LeaseOver];
    assert_eq!(bench.store.apply(&guarded).await.expect("applied"), won, "whatever the guards say by now");
}

pub(super) async fn a_lost_answer_is_given_with_the_lease_of_its_time(bench: Bench) {
    let job = bench.running(OVER_MS).await;
    let next = prepared(&job, &Command::RequestCancel, "api");
    assert!(matches!(bench.store.apply(&next).await, Ok(Outcome::Won(_))), "its answer is lost");
    let taken = bench.make(&bench.job(job.id()).await, &claim("v", LONG_MS), "v").await;
    let holder_then = |again: Result<Outcome, StoreError>| match again {
        Ok(Outcome::Won(again)) => {
            assert_eq!(violations(&again), [], "sound as of then");
            again.lease.map(|lease| lease.worker)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(holder_then(bench.store.apply(&next).await).as_deref(), Some("w"), "not the successor's");
    bench.make(&taken, &Command::ConfirmCancel { epoch: 2 }, "v").await;
    assert_eq!(holder_then(bench.store.apply(&next).await).as_deref(), Some("w"), "though nobody has one now");
}

pub(super) async fn a_job_that_is_not_there_is_lost(bench: Bench) {
    let job = bench.queued().await;
    let mut next = prepared(&job, &Command::RequestCancel, "api");
    next.before.request.id = request(Kind::Backup).id;
    assert_eq!(bench.store.apply(&next).await.expect("applied"), Outcome::Lost(None));
    assert_eq!(bench.store.load(next.id()).await.expect("loaded"), None, "nothing came into being");
    assert_eq!(bench.job(job.id()).await.head.state, State::Queued);
}
