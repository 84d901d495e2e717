//! Many jobs at once are the same jobs, and none of them depends on another.

use super::kit::{Bench, LONG_MS, claim, enqueue, name, request};
use crate::{Enqueue, StoreError};
use lucid_schemas::{Job, Kind, Request};

const MANY: usize = 30;

fn many() -> Vec<Enqueue> {
    let delayed = |number| Enqueue { delay_ms: LONG_MS * number, ..enqueue(request(Kind::Backup)) };
    (0..).take(MANY).map(delayed).collect()
}

pub(super) async fn many_jobs_are_born_as_single_ones_are(bench: Bench) {
    let asked = many();
    let answers = bench.store.enqueue_many(&asked).await;
    assert_eq!(answers.len(), MANY);
    let lone = bench.put(&enqueue(request(Kind::Backup))).await;
    let lone = bench.document(lone.id()).await;
    for (asked, answer) in asked.iter().zip(answers) {
        let job = answer.expect("enqueued");
        assert_eq!(bench.job(&asked.request.id).await, job);
        assert_eq!(job.head.run_at, job.head.created_at.plus(asked.delay_ms));
        assert_eq!((&job.request, &job.events[0].write), (&asked.request, &asked.write));
        let stored = bench.document(job.id()).await;
        assert_eq!(stored.keys().collect::<Vec<_>>(), lone.keys().collect::<Vec<_>>());
        assert_eq!(bench.store.enqueue(asked).await.expect("the same job"), job, "alone, and once more");
    }
    let again: Vec<Job> = bench.store.enqueue_many(&asked).await.into_iter().map(|job| job.expect("there")).collect();
    assert_eq!(again.len(), MANY);
    for job in again {
        assert_eq!(bench.job(job.id()).await, job, "once more is the same");
    }
    assert_eq!(bench.store.enqueue_many(&[]).await.len(), 0);
}

pub(super) async fn each_of_many_is_refused_for_itself(bench: Bench) {
    let key = name("user/key");
    let keyed = || enqueue(Request { unique_key: Some(key.clone()), ..request(Kind::Backup) });
    let (holder, taken) = (bench.put(&keyed()).await, bench.queued().await);
    let before = bench.make(&taken, &claim("w", LONG_MS), "w").await;
    let mut asked = many();
    asked[3] = keyed();
    asked[7].request.id = taken.id().clone();
    let hostile = Request { requested_by: "$requested_by".into(), ..request(Kind::Backup) };
    asked[9] = enqueue(hostile);
    for (place, answer) in bench.store.enqueue_many(&asked).await.into_iter().enumerate() {
        match (place, answer) {
            (3, Err(StoreError::NotUnique { open, .. })) => assert_eq!(open, *holder.id()),
            (7, Err(StoreError::Rejected(_))) => assert_eq!(bench.job(taken.id()).await, before),
            (3 | 7, answer) => panic!("{place}: {answer:?}"),
            (_, answer) => {
                let job = answer.expect("enqueued");
                assert_eq!(bench.job(job.id()).await.request, asked[place].request);
            }
        }
    }
}
