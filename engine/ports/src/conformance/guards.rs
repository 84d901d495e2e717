//! Conditions on time: judged by the store's clock, in the write itself.

use super::kit::{Bench, LONG_MS, OVER_MS, claim, enqueue, prepared, request};
use crate::{Enqueue, Outcome};
use lucid_core::Command;
use lucid_schemas::{EventBody, Kind, Stamp, State};

pub(super) async fn a_job_is_claimed_only_once_it_is_due(bench: Bench) {
    let with_delay = |delay_ms| Enqueue { delay_ms, ..enqueue(request(Kind::Backup)) };
    let later = bench.put(&with_delay(LONG_MS)).await;
    bench.loses(&prepared(&later, &claim("w", LONG_MS), "w"), "not due for an hour").await;
    for delay_ms in [0, OVER_MS] {
        let due = bench.put(&with_delay(delay_ms)).await;
        assert_eq!(bench.make(&due, &claim("w", LONG_MS), "w").await.head.state, State::Running);
    }
    let failed = Command::Fail { epoch: 1, error: super::transitions::failure("broken", true), retry_in_ms: LONG_MS };
    let waiting = bench.make(&bench.running(LONG_MS).await, &failed, "w").await;
    bench.loses(&prepared(&waiting, &claim("w", LONG_MS), "w"), "tried again in an hour").await;
}

pub(super) async fn a_job_is_taken_over_only_once_its_lease_is_over(bench: Bench) {
    let held = bench.running(LONG_MS).await;
    bench.loses(&prepared(&held, &claim("v", LONG_MS), "v"), "its lease runs for an hour").await;
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
        let failed = Command::Fail { epoch: 1, error: super::transitions::failure("broken", true), retry_in_ms };
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
