//! Many at once: one wins, the others learn who.

use super::kit::{Bench, LONG_MS, bytes, claim, enqueue, prepared, request};
use crate::{Outcome, StoreError};
use bson::doc;
use futures::future::join_all;
use lucid_core::{Command, Transition};
use lucid_schemas::{Job, Kind, State};

const MANY: usize = 12;

async fn apply_all(bench: &Bench, transitions: Vec<Transition>) -> Vec<Outcome> {
    let tasks = transitions.into_iter().map(|next| {
        let store = bench.store.clone();
        tokio::spawn(async move { store.apply(&next).await.expect("applied") })
    });
    join_all(tasks).await.into_iter().map(|ended| ended.expect("no panic")).collect()
}

fn winners(outcomes: &[Outcome]) -> Vec<&Job> {
    outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Won(job) => Some(&**job),
            Outcome::Lost(_) => None,
        })
        .collect()
}

pub(super) async fn one_of_many_claims_wins(bench: Bench) {
    for lease_ms in [None, Some(0)] {
        let job = match lease_ms {
            None => bench.queued().await,
            Some(lease_ms) => bench.running(lease_ms).await,
        };
        let workers: Vec<String> = (0..MANY).map(|number| format!("w{number}")).collect();
        let claims = workers.iter().map(|worker| prepared(&job, &claim(worker, LONG_MS), worker)).collect();
        let outcomes = apply_all(&bench, claims).await;
        let [winner] = winners(&outcomes)[..] else { panic!("one winner: {outcomes:?}") };
        let stored = bench.job(job.id()).await;
        assert_eq!(*winner, stored);
        assert_eq!(stored.head.version, job.head.version + 1);
        for outcome in &outcomes {
            if let Outcome::Lost(current) = outcome {
                assert_eq!(current.as_deref(), Some(&stored), "a loser learns how it stands");
            }
        }
    }
}

pub(super) async fn a_cancel_and_an_end_do_not_both_win(bench: Bench) {
    for _ in 0..MANY {
        let job = bench.running(LONG_MS).await;
        let end = Command::Succeed { epoch: 1, result: doc! {} };
        let both = vec![prepared(&job, &end, "w"), prepared(&job, &Command::RequestCancel, "api")];
        let outcomes = apply_all(&bench, both).await;
        assert_eq!(winners(&outcomes).len(), 1, "{outcomes:?}");
        let state = bench.job(job.id()).await.head.state;
        assert!(matches!(state, State::Succeeded | State::Canceling), "{state}");
    }
}

pub(super) async fn one_of_many_equal_writes_makes_the_job(bench: Bench) {
    let asked = enqueue(request(Kind::Backup));
    let tasks = (0..MANY).map(|_| {
        let (store, asked) = (bench.store.clone(), asked.clone());
        tokio::spawn(async move { store.enqueue(&asked).await.expect("enqueued") })
    });
    let answers: Vec<Job> = join_all(tasks).await.into_iter().map(|ended| ended.expect("no panic")).collect();
    let job = bench.job(&asked.request.id).await;
    assert_eq!(job.events.len(), 1);
    assert!(answers.iter().all(|answer| *answer == job), "{answers:?}");
    let before = bench.document(job.id()).await;
    assert_eq!(bench.put(&asked).await, job);
    assert_eq!(bytes(&bench.document(job.id()).await), bytes(&before));
}

pub(super) async fn one_of_many_equal_keys_makes_the_job(bench: Bench) {
    let tasks = (0..MANY).map(|_| {
        let mut asked = request(Kind::Backup);
        asked.unique_key = Some("user/one".into());
        let (store, asked) = (bench.store.clone(), enqueue(asked));
        tokio::spawn(async move { store.enqueue(&asked).await })
    });
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(|ended| ended.expect("no panic")).collect();
    let made: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    let [job] = made[..] else { panic!("one job: {answers:?}") };
    for answer in &answers {
        match answer {
            Ok(_) => {}
            Err(StoreError::NotUnique { open, .. }) => assert_eq!(open, job.id()),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(bench.store.open_jobs().await.expect("counted").values().sum::<i64>(), 1);
}
