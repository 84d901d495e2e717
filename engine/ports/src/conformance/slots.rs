//! Slots of concurrency keys: taken and freed in the very write that moves the job.

use super::kit::{Bench, LONG_MS, OVER_MS, enqueue, name, prepared, reach, request};
use crate::{Outcome, Reach};
use lucid_core::{
    Command,
    slots::{SlotPlan, plan},
};
use lucid_schemas::{ConcurrencyKey, EventBody, Job, Kind, Request, Stamp, State};
use std::collections::BTreeSet;

fn keyed(exclusive: bool, key: &str) -> Request {
    Request { keys: vec![ConcurrencyKey { key: key.into(), exclusive }], ..request(Kind::Backup) }
}

fn claim(slots: &[String]) -> Command {
    Command::Claim { worker: "w".into(), lease_ms: LONG_MS, slots: slots.to_vec() }
}

/// Claims with the slots that the law's own plan takes.
async fn claimed(bench: &Bench, job: &Job) -> Job {
    match plan(job, &bench.store.occupied().await.expect("read")) {
        SlotPlan::Take(slots) => bench.make(job, &claim(&slots), "w").await,
        other => panic!("it can't be claimed: {other:?}"),
    }
}

pub(super) async fn a_slot_is_held_by_one_job_until_it_goes_back_or_ends(bench: Bench) {
    let key = name("database:a$b");
    let (first, second) = (bench.put(&enqueue(keyed(true, &key))).await, bench.put(&enqueue(keyed(false, &key))).await);
    let all: Vec<String> = first.request.keys[0].slots().collect();
    let ends = [
        Command::Release { epoch: 1, reason: "stops".into() },
        Command::Fail {
            epoch: 2,
            error: super::transitions::failure("broken", true),
            retry_in_ms: OVER_MS,
            out_of_time: false,
        },
        Command::Succeed { epoch: 3, result: bson::doc! {} },
    ];
    let mut job = first;
    for end in ends {
        job = claimed(&bench, &job).await;
        assert_eq!(job.head.holds, all);
        let occupied = bench.store.occupied().await.expect("read");
        assert!(all.iter().all(|slot| occupied.get(slot) == Some(job.id())), "{occupied:?}");
        bench.loses(&prepared(&second, &claim(&all[3..4]), "v"), "the slot is another job's").await;
        job = bench.make(&job, &end, "w").await;
        assert_eq!(job.head.holds, Vec::<String>::new());
        assert!(!bench.document(job.id()).await.contains_key("holds"), "absent, not empty");
        assert_eq!(bench.store.occupied().await.expect("read").len(), 0);
    }
    let second = bench.make(&second, &claim(&all[3..4]), "v").await;
    let third = bench.put(&enqueue(keyed(false, &key))).await;
    bench.loses(&prepared(&third, &claim(&all[3..4]), "w"), "one slot, one job").await;
    bench.make(&third, &claim(&all[4..5]), "w").await;
    assert_eq!(bench.store.occupied().await.expect("read").get(&all[3]), Some(second.id()));
}

pub(super) async fn a_takeover_keeps_the_slots(bench: Bench) {
    let job = bench.put(&enqueue(keyed(true, &name("database:x")))).await;
    let all: Vec<String> = job.request.keys[0].slots().collect();
    let over = Command::Claim { worker: "w".into(), lease_ms: OVER_MS, slots: all.clone() };
    let lost = bench.make(&job, &over, "w").await;
    let taken = bench.make(&lost, &claim(&[]), "v").await;
    assert_eq!((taken.head.epoch, &taken.head.holds), (2, &all));
}

pub(super) async fn jobs_that_wait_for_slots_are_parked(bench: Bench) {
    let (key, other) = (name("database:p"), name("database:q"));
    let sharing = bench.put(&enqueue(keyed(false, &key))).await.request.id;
    let excluding = bench.put(&enqueue(keyed(true, &key))).await;
    let elsewhere = bench.put(&enqueue(keyed(true, &other))).await.request.id;
    let shown = async |full: &[&str], taken: &[&str]| {
        let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
        let reach = Reach { full: keys(full), taken: keys(taken), ..reach() };
        let jobs = bench.store.claimable(&reach, 9).await.expect("read");
        // All are due since the same moment, perhaps.
        jobs.into_iter().map(|job| job.request.id).collect::<BTreeSet<_>>()
    };
    let excluding_id = excluding.id().clone();
    assert_eq!(shown(&[], &[]).await, BTreeSet::from([sharing, excluding_id.clone(), elsewhere.clone()]));
    assert_eq!(shown(&[&key], &[]).await, BTreeSet::from([excluding_id.clone(), elsewhere.clone()]));
    assert_eq!(shown(&[&key], &[&key]).await, BTreeSet::from([elsewhere.clone()]));
    assert_eq!(shown(&[&key, &other], &[&other]).await, BTreeSet::from([excluding_id.clone()]));
    let slots = excluding.request.keys[0].slots().take(2).collect();
    bench.make(&excluding, &Command::Reserve { slots }, "w").await;
    assert_eq!(shown(&[&key], &[&key]).await, BTreeSet::from([excluding_id, elsewhere]), "it goes on with what it has");
}

/// A job that has reserved slots and gave them back, then was canceled.
pub(super) async fn reserved_and_returned(bench: &Bench) -> Vec<Job> {
    let job = bench.put(&enqueue(keyed(true, &name("database:r")))).await;
    let slots: Vec<String> = job.request.keys[0].slots().take(2).collect();
    let reserve = Command::Reserve { slots: slots.clone() };
    let mut next = prepared(&job, &reserve, "w");
    // Ten minutes go by.
    next.head.reserved_at = Some(Stamp::NOW.plus(3 * OVER_MS));
    next.events[0].at = Stamp::NOW.plus(3 * OVER_MS);
    let Outcome::Won(job) = bench.store.apply(&next).await.expect("applied") else { panic!("slots are free") };
    assert_eq!((job.head.state, &job.head.holds), (State::Queued, &slots));
    let job = bench.make(&job, &Command::ReturnSlots { retry_in_ms: LONG_MS }, "w").await;
    assert_eq!((job.head.holds.len(), job.head.reserved_at), (0, None));
    vec![bench.make(&job, &Command::RequestCancel, "api").await]
}

pub(super) async fn a_reservation_is_given_back_only_once_it_is_over(bench: Bench) {
    let job = bench.put(&enqueue(keyed(true, &name("database:r")))).await;
    let slots: Vec<String> = job.request.keys[0].slots().take(3).collect();
    let job = bench.make(&job, &Command::Reserve { slots }, "w").await;
    bench.loses(&prepared(&job, &Command::ReturnSlots { retry_in_ms: 0 }, "w"), "it has just begun").await;
    let job = bench.make(&job, &Command::RequestCancel, "api").await;
    assert_eq!(job.head.holds.len(), 0, "a cancel frees what was reserved");
    assert_eq!(reserved_and_returned(&bench).await[0].head.state, State::Canceled);
}

/// A job that had its database to itself, and got stuck past its point of no return.
async fn blocked(bench: &Bench, key: &str) -> Job {
    let job = claimed(bench, &bench.put(&enqueue(keyed(true, key))).await).await;
    let commit = Command::Commit { epoch: 1, fact: EventBody::CommitStarted {} };
    let job = bench.make(&job, &commit, "w").await;
    let error = super::transitions::failure("stuck", false);
    bench.make(&job, &Command::Fail { epoch: 1, error, retry_in_ms: 0, out_of_time: false }, "w").await
}

pub(super) async fn what_is_blocked_is_shared_and_takes_its_slots_again(bench: Bench) {
    let key = name("database:b");
    let job = blocked(&bench, &key).await;
    let standing = job.request.keys[0].standing();
    assert_eq!((job.head.state, &job.head.holds), (State::Blocked, &vec![standing.clone()]));
    let sharing = claimed(&bench, &bench.put(&enqueue(keyed(false, &key))).await).await;
    let other = bench.put(&enqueue(keyed(true, &key))).await;
    let all: Vec<String> = other.request.keys[0].slots().collect();
    bench.loses(&prepared(&other, &claim(&all), "w"), "nobody has it to himself beside a blocked one").await;
    let resumed = bench.make(&job, &Command::Resume, "api").await;
    let ids = |jobs: Vec<Job>| jobs.into_iter().map(|job| job.request.id).collect::<BTreeSet<_>>();
    let shown = ids(bench.store.claimable(&reach(), 9).await.expect("read"));
    assert!(shown.contains(resumed.id()), "though it lacks slots: {shown:?}");
    let missing: Vec<String> = all.iter().filter(|slot| **slot != standing).cloned().collect();
    bench.loses(&prepared(&resumed, &claim(&missing), "w"), "one of them is shared").await;
    let reserve = Command::Reserve { slots: missing[..2].to_vec() };
    let resumed = bench.make(&resumed, &reserve, "w").await;
    bench.make(&sharing, &Command::Succeed { epoch: 1, result: bson::doc! {} }, "w").await;
    let claimed = bench.make(&resumed, &claim(&missing[2..]), "w").await;
    assert_eq!((claimed.head.state, claimed.head.holds.len()), (State::Committing, all.len()));
}

pub(super) async fn what_is_given_up_is_claimed_without_them(bench: Bench) {
    let key = name("database:g");
    let job = blocked(&bench, &key).await;
    let given_up = bench.make(&job, &Command::GiveUp { reason: "$$NOW".into() }, "api").await;
    let found = bench.store.claimable(&reach(), 9).await.expect("read");
    assert_eq!(found, vec![given_up.clone()]);
    let job = bench.make(&given_up, &claim(&[]), "w").await;
    let failed = |retryable| Command::Fail {
        epoch: job.head.epoch,
        error: super::transitions::failure("given_up", retryable),
        retry_in_ms: LONG_MS,
        out_of_time: false,
    };
    let put_off = bench.make(&job, &failed(true), "w").await;
    assert_eq!(put_off.head.state, State::Canceling);
    assert_eq!(bench.store.claimable(&reach(), 9).await.expect("read"), vec![], "not before its time");
    bench.loses(&prepared(&put_off, &claim(&[]), "w"), "the store says the same").await;
    let next = bench.store.next_due_in(&reach()).await.expect("read").expect("it comes due");
    assert!(next.as_millis() > 0 && next.as_millis() <= LONG_MS.unsigned_abs().into());
    let other = blocked(&bench, &name("database:h")).await;
    let other = bench.make(&other, &Command::GiveUp { reason: "x".into() }, "api").await;
    let other = bench.make(&other, &claim(&[]), "w").await;
    let end = Command::Fail {
        epoch: other.head.epoch,
        error: super::transitions::failure("given_up", false),
        retry_in_ms: 0,
        out_of_time: false,
    };
    let ended = bench.make(&other, &end, "w").await;
    assert_eq!((ended.head.state, ended.head.holds.len()), (State::Failed, 0));
}
