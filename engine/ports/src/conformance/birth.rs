//! How jobs come into being: once per write, at most one open job per unique key.

use super::kit::{Bench, LONG_MS, bytes, claim, enqueue, name, request};
use crate::{Enqueue, StoreError};
use lucid_core::Command;
use lucid_schemas::{Kind, State};

pub(super) async fn a_job_reads_back_as_it_was_asked_for(bench: Bench) {
    for kind in Kind::ALL {
        let mut asked = request(kind);
        asked.priority = 7;
        asked.unique_key = Some(name("user/key"));
        asked.requires.labels = vec!["nvme".into(), "rack-2".into()];
        let enqueue = Enqueue { delay_ms: LONG_MS, ..enqueue(asked.clone()) };
        let job = bench.put(&enqueue).await;
        assert_eq!(job.request, asked);
        assert_eq!(job.head.state, State::Queued);
        assert_eq!(job.head.run_at, job.head.created_at.plus(LONG_MS));
        assert_eq!((job.head.version, job.head.epoch, job.head.attempt), (1, 0, 0));
        assert_eq!((job.lease, job.progress), (None, None));
        let first = &job.events[0];
        assert_eq!((&first.by, &first.write), (&asked.requested_by, &enqueue.write));
        assert_eq!(first.at, job.head.created_at, "all times of one write are one");
    }
}

pub(super) async fn a_moment_that_is_asked_for_is_kept(bench: Bench) {
    let moment = bson::DateTime::from_millis(1_900_000_000_123);
    let mut asked = request(Kind::Backup);
    asked.priority = 2;
    let job = bench.put(&Enqueue { delay_ms: LONG_MS, run_at: Some(moment), ..enqueue(asked) }).await;
    let at = lucid_schemas::Stamp::At(moment);
    assert_eq!((job.head.run_at, job.head.rank_at), (at, at.plus(-2 * lucid_schemas::job::AGING_MS)));
}

pub(super) async fn one_write_makes_one_job(bench: Bench) {
    let asked = enqueue(request(Kind::Backup));
    let job = bench.put(&asked).await;
    let before = bench.document(job.id()).await;
    assert_eq!(bench.put(&asked).await, job);
    assert_eq!(bytes(&bench.document(job.id()).await), bytes(&before));
    let running = bench.make(&job, &claim("w", LONG_MS), "w").await;
    assert_eq!(bench.put(&asked).await, running, "even when the job has moved on");
}

pub(super) async fn a_taken_id_is_refused(bench: Bench) {
    let job = bench.queued().await;
    let before = bench.document(job.id()).await;
    let mut other = request(Kind::Backup);
    other.id = job.id().clone();
    other.priority = 9;
    let refused = bench.store.enqueue(&enqueue(other)).await;
    assert!(matches!(refused, Err(StoreError::Rejected(_))), "{refused:?}");
    assert_eq!(bytes(&bench.document(job.id()).await), bytes(&before));
}

pub(super) async fn a_unique_key_is_held_by_one_open_job(bench: Bench) {
    let with_key = |key: &str| {
        let mut request = request(Kind::Backup);
        request.unique_key = Some(format!("user/{key}"));
        enqueue(request)
    };
    let first = bench.put(&with_key("backup:lucid")).await;
    bench.put(&with_key("backup:other")).await;
    bench.queued().await;
    bench.queued().await;
    let refuse = async |what: &str| {
        let second = with_key("backup:lucid");
        match bench.store.enqueue(&second).await {
            Err(StoreError::NotUnique { key, open }) => {
                assert_eq!((key.as_str(), &open), ("user/backup:lucid", first.id()), "{what}");
            }
            answer => panic!("{what}: {answer:?}"),
        }
        assert_eq!(bench.store.load(&second.request.id).await.expect("loaded"), None, "{what}");
    };
    refuse("while it is queued").await;
    let running = bench.make(&first, &claim("w", LONG_MS), "w").await;
    refuse("while it runs").await;
    let canceling = bench.make(&running, &Command::RequestCancel, "api").await;
    refuse("while it is being canceled").await;
    bench.make(&canceling, &Command::ConfirmCancel { epoch: 1 }, "w").await;
    bench.put(&with_key("backup:lucid")).await;
}
