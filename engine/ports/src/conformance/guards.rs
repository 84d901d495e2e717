//! Conditions on time: judged by the store's clock, in the write itself.

use super::kit::{Bench, LONG_MS, OVER_MS, claim, enqueue, prepared, request};
use crate::{Enqueue, Outcome};
use lucid_core::{Command, LEASE_LONGEST_MS};
use lucid_schemas::{EventBody, Kind, Request, Stamp, State};

pub(super) async fn a_job_is_claimed_only_once_it_is_due(bench: Bench) {
    let with_delay = |delay_ms| Enqueue { delay_ms, ..enqueue(request(Kind::Backup)) };
    let later = bench.put(&with_delay(LONG_MS)).await;
    bench.loses(&prepared(&later, &claim("w", LONG_MS), "w"), "not due for long").await;
    for delay_ms in [0, OVER_MS] {
        let due = bench.put(&with_delay(delay_ms)).await;
        assert_eq!(bench.make(&due, &claim("w", LONG_MS), "w").await.head.state, State::Running);
    }
    let failed = Command::Fail {
        epoch: 1,
        error: super::transitions::failure("broken", true),
        retry_in_ms: LONG_MS,
        out_of_time: false,
    };
    let waiting = bench.make(&bench.running(LONG_MS).await, &failed, "w").await;
    bench.loses(&prepared(&waiting, &claim("w", LONG_MS), "w"), "tried again in long").await;
}

pub(super) async fn a_job_is_taken_over_only_once_its_lease_is_over(bench: Bench) {
    let held = bench.running(LONG_MS).await;
    bench.loses(&prepared(&held, &claim("v", LONG_MS), "v"), "its lease runs for long").await;
    let lease = held.lease.clone().expect("a lease");
    assert_eq!(lease.expires_at, held.events[1].at.plus(LONG_MS));
    for lease_ms in [0, OVER_MS] {
        let lost = bench.running(lease_ms).await;
        let taken = bench.make(&lost, &claim("v", LONG_MS), "v").await;
        let body = EventBody::Claimed { epoch: 2, attempt: 2, takeover: true, slots: Vec::new() };
        assert_eq!(taken.events[2].body, body);
        let lease = taken.lease.expect("a lease");
        assert_eq!((lease.worker.as_str(), &lease.token), ("v", &taken.events[2].write));
        assert!(lease.expires_at.stored() > taken.head.started_at.and_then(Stamp::stored));
    }
}

/// A commit that was given back has no lease; it is due, or it isn't.
pub(super) async fn a_released_commit_waits_and_has_no_lease(bench: Bench) {
    for (retry_in_ms, due) in [(OVER_MS, true), (LONG_MS, false)] {
        let job = bench.running(LONG_MS).await;
        let commit = Command::Commit { epoch: 1, fact: EventBody::CommitStarted {} };
        let job = bench.make(&job, &commit, "w").await;
        bench.loses(&prepared(&job, &claim("v", LONG_MS), "v"), "held and committing").await;
        let failed = Command::Fail {
            epoch: 1,
            error: super::transitions::failure("broken", true),
            retry_in_ms,
            out_of_time: false,
        };
        let job = bench.make(&job, &failed, "w").await;
        assert_eq!((job.head.state, &job.lease), (State::Committing, &None));
        let next = prepared(&job, &claim("v", LONG_MS), "v");
        if due {
            let outcome = bench.store.apply(&next).await.expect("applied");
            assert!(matches!(outcome, Outcome::Won(_)), "{outcome:?}");
        } else {
            bench.loses(&next, "it waits for its next try").await;
        }
    }
}

/// As after the primary's clock was put back: what was due when it was claimed lies in the future.
pub(super) async fn what_is_held_is_judged_by_its_lease_alone(bench: Bench) {
    let commit = Command::Commit { epoch: 1, fact: EventBody::CommitStarted {} };
    for command in [None, Some(Command::RequestCancel), Some(commit)] {
        let later = Enqueue { delay_ms: LONG_MS, ..enqueue(request(Kind::Backup)) };
        let mut claimed = prepared(&bench.put(&later).await, &claim("w", OVER_MS), "w");
        claimed.guards.clear();
        let Ok(Outcome::Won(held)) = bench.store.apply(&claimed).await else { panic!("{claimed:?} lost") };
        let mut held = *held;
        if let Some(command) = command {
            held = bench.make(&held, &command, "w").await;
        }
        let found = bench.store.claimable(&super::kit::reach(), 9).await.expect("looked for");
        assert!(found.iter().any(|job| job.id() == held.id()), "not found: {held:?}");
        bench.make(&held, &claim("v", LONG_MS), "v").await;
    }
}

pub(super) async fn a_lease_further_ahead_than_any_can_be_is_over(bench: Bench) {
    let held = bench.running(LEASE_LONGEST_MS - LONG_MS).await;
    let lost = bench.running(LEASE_LONGEST_MS + LONG_MS).await;
    let found = bench.store.claimable(&super::kit::reach(), 9).await.expect("looked for");
    assert_eq!(found.iter().map(lucid_schemas::Job::id).collect::<Vec<_>>(), [lost.id()]);
    bench.make(&lost, &claim("v", LONG_MS), "v").await;
    bench.loses(&prepared(&held, &claim("v", LONG_MS), "v"), "its lease runs").await;
    let last = bench.put(&enqueue(Request { max_attempts: 1, ..request(Kind::Backup) })).await;
    let last = bench.make(&last, &claim("w", LEASE_LONGEST_MS + LONG_MS), "w").await;
    let found = bench.store.expired(9).await.expect("looked for");
    assert_eq!(found.iter().map(lucid_schemas::Job::id).collect::<Vec<_>>(), [last.id()]);
    bench.make(&last, &Command::Expire, "sweeper").await;
}

pub(super) async fn the_time_for_attempts_is_judged_by_the_store(bench: Bench) {
    let failed = |epoch, out_of_time| Command::Fail {
        epoch,
        error: super::transitions::failure("broken", true),
        retry_in_ms: OVER_MS,
        out_of_time,
    };
    let mut job = bench.put(&enqueue(request(Kind::Backup))).await;
    let retry_ms = job.request.retry_ms().expect("nobody said how many attempts");
    for epoch in 1..=i64::from(job.request.max_attempts) + 2 {
        job = bench.make(&job, &claim("w", LONG_MS), "w").await;
        if epoch > i64::from(job.request.max_attempts) {
            bench.loses(&prepared(&job, &failed(epoch, true), "w"), "there is time left").await;
        }
        job = bench.make(&job, &failed(epoch, false), "w").await;
        assert_eq!(job.head.state, State::Queued, "attempt {epoch}");
    }
    let mut late = bench.make(&job, &claim("w", LONG_MS), "w").await;
    let first = late.events.iter_mut().find(|event| event.body.name() == "attempt_failed").expect("one failed");
    first.at = Stamp::At(first.at.plus(-retry_ms).stored().expect("a time"));
    let epoch = late.head.epoch;
    bench.loses(&prepared(&late, &failed(epoch, false), "w"), "its time is over").await;
    assert_eq!(bench.make(&late, &failed(epoch, true), "w").await.head.state, State::Failed);
}
