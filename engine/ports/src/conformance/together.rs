//! Transitions that are asked for at once may travel together; each does what it does alone, and is answered for itself.

use super::{
    hostile::documents,
    kit::{Bench, LONG_MS, OVER_MS, bytes, claim, prepared},
};
use crate::Outcome;
use futures::future::join_all;
use lucid_core::{Command, Transition};
use lucid_schemas::Job;

const MANY: usize = 40;

async fn queued(bench: &Bench) -> Vec<Job> {
    join_all((0..MANY).map(|_| bench.queued())).await
}

/// Applies all at once, each in a task of its own; what is answered as won must be what is stored.
async fn at_once(bench: &Bench, all: Vec<Transition>) -> Vec<Outcome> {
    let apply = |next: Transition| {
        let store = bench.store.clone();
        tokio::spawn(async move { store.apply(&next).await.expect("applied") })
    };
    let outcomes = join_all(all.into_iter().map(apply)).await;
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(|outcome| outcome.expect("no panic")).collect();
    for outcome in &outcomes {
        if let Outcome::Won(job) = outcome {
            assert_eq!(bench.job(job.id()).await, **job, "what is answered is what is stored");
        }
    }
    outcomes
}

fn won(outcome: Outcome) -> Job {
    match outcome {
        Outcome::Won(job) => *job,
        Outcome::Lost(current) => panic!("lost; the job is {current:?}"),
    }
}

pub(super) async fn many_equal_transitions_each_have_their_own_values(bench: Bench) {
    let jobs = queued(&bench).await;
    let claims = jobs.iter().enumerate().map(|(place, job)| {
        let worker = format!("$w{}", place % 3);
        prepared(job, &claim(&worker, LONG_MS), &worker)
    });
    let claims: Vec<Transition> = claims.collect();
    let claimed: Vec<Job> = at_once(&bench, claims.clone()).await.into_iter().map(won).collect();
    for (job, next) in claimed.iter().zip(&claims) {
        let lease = job.lease.as_ref().expect("a lease");
        assert_eq!((job.id(), &lease.token, &lease.worker), (next.id(), &next.write, &next.events[0].by));
    }
    let results: Vec<_> = documents().into_iter().cycle().take(MANY).collect();
    let ends = claimed.iter().zip(&results).map(|(job, result)| {
        let (epoch, worker) = (job.head.epoch, job.head.worker.as_deref().unwrap_or_default());
        prepared(job, &Command::Succeed { epoch, result: result.clone() }, worker)
    });
    let ends: Vec<Transition> = ends.collect();
    for (job, result) in at_once(&bench, ends.clone()).await.into_iter().map(won).zip(&results) {
        let stored = bench.document(job.id()).await;
        assert_eq!(bytes(stored.get_document("result").expect("a result")), bytes(result));
    }
    // The same once more, as after a lost answer: it is recognised, and changes nothing.
    for (job, next) in at_once(&bench, ends.clone()).await.into_iter().map(won).zip(&ends) {
        assert_eq!((job.id(), job.head.version), (next.id(), 3));
    }
}

pub(super) async fn each_of_many_equal_transitions_is_lost_for_itself(bench: Bench) {
    let jobs = queued(&bench).await;
    for job in jobs.iter().step_by(3) {
        bench.make(job, &claim("faster", LONG_MS), "faster").await;
    }
    let claims = jobs.iter().map(|job| prepared(job, &claim("w", LONG_MS), "w"));
    for (place, outcome) in at_once(&bench, claims.collect()).await.into_iter().enumerate() {
        match outcome {
            Outcome::Won(job) => assert_eq!((place % 3 > 0, job.head.worker.as_deref()), (true, Some("w"))),
            Outcome::Lost(job) => {
                let worker = job.expect("it is there").head.worker;
                assert_eq!((place % 3, worker.as_deref()), (0, Some("faster")));
            }
        }
    }
}

pub(super) async fn one_slot_for_many_is_taken_by_one(bench: Bench) {
    let jobs = queued(&bench).await;
    // Every second one wants the same slot.
    let claims = jobs.iter().enumerate().map(|(place, job)| {
        let mut next = prepared(job, &claim("w", OVER_MS), "w");
        let slot = if place % 2 == 0 { "database:a#1".to_owned() } else { format!("database:a#{}", place + 1) };
        next.head.holds = vec![slot];
        next
    });
    let claims: Vec<Transition> = claims.collect();
    let mut holders = 0;
    let store = &bench.store;
    let outcomes = join_all(claims.iter().map(|next| async move { store.apply(next).await.expect("applied") })).await;
    for (place, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Outcome::Won(job) => {
                holders += usize::from(place % 2 == 0);
                assert_eq!(job.head.holds, claims[place].head.holds);
            }
            Outcome::Lost(job) => {
                assert_eq!((place % 2, job.map(|job| job.head.version)), (0, Some(1)), "nothing is changed");
            }
        }
    }
    assert_eq!(holders, 1);
}
