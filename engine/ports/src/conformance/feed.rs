//! Wake-ups: for births and transitions, in order, to every listener; not for heartbeats.

use super::kit::{Bench, LONG_MS, OVER_MS, claim, enqueue, prepared, request};
use crate::{Enqueue, Wake};
use bson::doc;
use lucid_core::Command;
use lucid_schemas::{Job, JobId, Kind, Progress, State};
use std::time::Duration;
use tokio::{sync::broadcast::Receiver, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// What came until the birth of `last`, without it.
async fn heard_until(wakes: &mut Receiver<Wake>, last: &JobId) -> Vec<(JobId, Option<State>)> {
    let mut heard = Vec::new();
    loop {
        let wake = timeout(PATIENCE, wakes.recv()).await.expect("a wake-up in time").expect("a feed that runs");
        match wake {
            Wake::Changed { id, .. } if id == *last => return heard,
            Wake::Changed { id, state, .. } => heard.push((id, state)),
            Wake::Gap => panic!("nothing was broken"),
        }
    }
}

pub(super) async fn a_birth_may_come_with_the_new_job(bench: Bench) {
    let mut wakes = bench.feed.subscribe();
    let one = bench.queued().await;
    let asked = (0..3).map(|number| Enqueue { delay_ms: LONG_MS * number, ..enqueue(request(Kind::Backup)) });
    let many = bench.store.enqueue_many(&asked.collect::<Vec<_>>()).await;
    let many: Vec<Job> = many.into_iter().map(|job| job.expect("enqueued")).collect();
    for _ in 0..=many.len() {
        let wake = timeout(PATIENCE, wakes.recv()).await.expect("a wake-up in time").expect("a feed that runs");
        let Wake::Changed { id, born, .. } = wake else { panic!("nothing was broken") };
        let job = many.iter().chain([&one]).find(|job| *job.id() == id).expect("one of these");
        assert_eq!(born.and_then(|born| born.job()).as_ref(), Some(job), "small jobs come whole");
    }
    let end = bench.make(&one, &Command::RequestCancel, "api").await;
    let wake = timeout(PATIENCE, wakes.recv()).await.expect("a wake-up in time").expect("a feed that runs");
    assert!(matches!(&wake, Wake::Changed { id, born: None, .. } if id == end.id()), "{wake:?}");
}

pub(super) async fn births_and_transitions_wake_but_heartbeats_do_not(bench: Bench) {
    let mut wakes = bench.feed.subscribe();
    let job = bench.queued().await;
    let job = bench.make(&job, &claim("w", LONG_MS), "w").await;
    let token = job.lease.clone().expect("a lease").token;
    for documents in 0..5 {
        let progress = Progress { documents, ..Progress::default() };
        let progress = (documents > 0).then_some(&progress);
        bench.store.renew(job.id(), 1, &token, LONG_MS, progress).await.expect("renewed");
    }
    // A short lease, then one that loses, then a takeover, which changes no state.
    bench.store.renew(job.id(), 1, &token, OVER_MS, None).await.expect("renewed");
    let mut stale = prepared(&job, &Command::RequestCancel, "api");
    stale.before.head.version += 1;
    bench.loses(&stale, "no such version").await;
    let job = bench.make(&bench.job(job.id()).await, &claim("v", LONG_MS), "v").await;
    bench.make(&job, &Command::Succeed { epoch: 2, result: doc! {} }, "v").await;
    let marker = bench.queued().await;
    let heard = heard_until(&mut wakes, marker.id()).await;
    let states = [State::Queued, State::Running, State::Running, State::Succeeded];
    assert_eq!(heard.len(), states.len(), "{heard:?}");
    for ((id, heard), state) in heard.iter().zip(states) {
        assert_eq!(id, job.id());
        assert!(heard.is_none_or(|heard| heard == state), "a state that is told is true: {heard:?}, not {state}");
    }
    assert_eq!(heard[0].1, Some(State::Queued), "a birth tells its state");
    assert_eq!(heard[3].1, Some(State::Succeeded), "so does a change of it");
}

pub(super) async fn every_listener_hears_everything_in_order(bench: Bench) {
    let mut listeners = [bench.feed.subscribe(), bench.feed.subscribe(), bench.feed.subscribe()];
    let mut born = Vec::new();
    for _ in 0..20 {
        born.push((bench.queued().await.request.id, Some(State::Queued)));
    }
    let marker = bench.queued().await;
    for wakes in &mut listeners {
        assert_eq!(heard_until(wakes, marker.id()).await, born);
    }
}
