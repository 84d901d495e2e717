//! Jobs that wait for another one.

use super::kit::{Bench, LONG_MS, claim, enqueue, reach, request};
use bson::doc;
use lucid_core::Command;
use lucid_schemas::{After, Job, JobId, Kind, Request, State};

fn after(job: &JobId, state: State) -> Request {
    Request { after: Some(After { job: job.clone(), state }), ..request(Kind::Verify) }
}

/// Two jobs that waited: one for what came, one for what didn't.
pub(super) async fn met_and_failed(bench: &Bench) -> Vec<Job> {
    let first = bench.queued().await.request.id;
    let wanted = bench.put(&enqueue(after(&first, State::Succeeded))).await;
    let unwanted = bench.put(&enqueue(after(&first, State::Failed))).await;
    let result = Some(doc! { "manifest": { "key": "$k" } });
    let met = bench.make(&wanted, &Command::Settle { dependency: Some(State::Succeeded), result }, "w").await;
    assert_eq!(met.head.state, State::Queued);
    let failed =
        bench.make(&unwanted, &Command::Settle { dependency: Some(State::Succeeded), result: None }, "w").await;
    assert_eq!(failed.head.state, State::Canceled);
    vec![met, failed]
}

pub(super) async fn waiting_jobs_are_found_by_what_they_wait_for(bench: Bench) {
    let (one, other) = (bench.queued().await.request.id, bench.queued().await.request.id);
    let mut on_one = Vec::new();
    for state in [State::Succeeded, State::Failed] {
        on_one.push(bench.put(&enqueue(after(&one, state))).await.request.id);
    }
    let on_other = bench.put(&enqueue(after(&other, State::Succeeded))).await.request.id;
    let found = async |on: Option<&JobId>, limit| {
        let jobs = bench.store.waiting(on, limit).await.expect("read");
        jobs.into_iter().map(|job| job.request.id).collect::<Vec<_>>()
    };
    let sorted = |mut ids: Vec<JobId>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(found(Some(&one), 9).await), sorted(on_one.clone()));
    assert_eq!(found(Some(&other), 9).await, std::slice::from_ref(&on_other));
    assert_eq!(found(None, 9).await.len(), 3);
    assert_eq!((found(None, 2).await.len(), found(None, 0).await.len()), (2, 0));
    assert_eq!(found(Some(&on_other), 9).await, Vec::<JobId>::new());
}

pub(super) async fn a_waiting_job_is_not_claimable_until_it_is_settled(bench: Bench) {
    let first = bench.running(LONG_MS).await;
    let second = bench.put(&enqueue(after(first.id(), State::Succeeded))).await;
    assert_eq!(second.head.state, State::Waiting);
    assert_eq!(bench.store.claimable(&reach(), 9).await.expect("read"), []);
    let second = bench.make(&second, &Command::Settle { dependency: Some(State::Succeeded), result: None }, "w").await;
    assert_eq!(bench.store.claimable(&reach(), 9).await.expect("read"), std::slice::from_ref(&second));
    bench.make(&second, &claim("w", LONG_MS), "w").await;
}
