//! Details, workers, repository names.

use super::kit::{Bench, LONG_MS, id, name, reach, repository};
use crate::{BoundKey, Detail, Pause, StoreError, WorkerCard};
use bson::doc;
use futures::future::join_all;
use lucid_schemas::{Kind, RepositoryName};
use std::time::Duration;

const A_WHILE: Duration = Duration::from_millis(LONG_MS.unsigned_abs());

pub(super) async fn details_are_kept_and_replaced(bench: Bench) {
    let job = id(Kind::Restore);
    assert_eq!(bench.store.detail(&job, "swap").await.expect("asked"), None);
    let mut documents = super::hostile::documents();
    documents.push(doc! { "entries": [{ "from": "a", "to": "b" }], "much": "x".repeat(300_000) });
    documents.push(doc! {});
    for (name, data) in documents.into_iter().enumerate().map(|(place, data)| (["swap", "$$NOW"][place % 2], data)) {
        let detail = Detail { job: job.clone(), name: name.into(), hash: super::kit::name("hash"), data };
        bench.store.put_detail(&detail).await.expect("kept");
        bench.store.put_detail(&detail).await.expect("kept again");
        let kept = bench.store.detail(&job, name).await.expect("asked").expect("kept");
        assert_eq!((&kept.job, &kept.name, &kept.hash), (&detail.job, &detail.name, &detail.hash));
        assert_eq!(super::kit::bytes(&kept.data), super::kit::bytes(&detail.data), "replaced, never merged");
    }
    assert_eq!(bench.store.detail(&id(Kind::Restore), "swap").await.expect("asked"), None);
    assert_eq!(bench.store.detail(&job, "other").await.expect("asked"), None);
}

pub(super) async fn workers_come_and_go(bench: Bench) {
    let card = |name: &str, running| WorkerCard {
        clock_skew_ms: Some(-3),
        counts: [("claimed".to_owned(), i64::from(running)), ("$looks".to_owned(), i64::MAX)].into(),
        problems: vec![format!("{name}: $problem"); usize::try_from(running).unwrap_or(0)],
        name: name.into(),
        version: "1.0".into(),
        capacity: 4,
        running,
        reach: reach(),
        seen_at: None,
    };
    let seen = async |within| {
        let mut cards = bench.store.workers(within).await.expect("listed");
        assert!(cards.iter().all(|card| card.seen_at.is_some()));
        cards.sort_by(|one, other| one.name.cmp(&other.name));
        cards.into_iter().map(|card| WorkerCard { seen_at: None, ..card }).collect::<Vec<_>>()
    };
    assert_eq!(seen(A_WHILE).await, []);
    let mut hostile = card("$$NOW", 1);
    hostile.reach.labels = vec!["$name".into()];
    for announced in [card("a/1", 0), hostile.clone(), card("a/1", 3)] {
        bench.store.announce(&announced).await.expect("announced");
    }
    assert_eq!(seen(A_WHILE).await, [hostile, card("a/1", 3)], "the latest card of each");
    bench.store.depart("$$NOW").await.expect("departed");
    bench.store.depart("nobody").await.expect("no error");
    assert_eq!(seen(A_WHILE).await, [card("a/1", 3)]);
}

pub(super) async fn a_name_is_bound_to_one_repository_for_good(bench: Bench) {
    let other = RepositoryName { id: "other".into(), ..repository("main") };
    for _ in 0..2 {
        bench.store.bind_repository(&repository("main")).await.expect("bound");
        match bench.store.bind_repository(&other).await {
            Err(StoreError::OtherRepository { name, bound, found }) => {
                assert_eq!((name, bound, found), ("main".into(), repository("main").id, "other".into()));
            }
            answer => panic!("{answer:?}"),
        }
    }
    bench.store.bind_repository(&repository("$$NOW")).await.expect("bound");
    let mut bound = bench.store.repositories().await.expect("listed");
    bound.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(bound, [repository("$$NOW"), repository("main")]);
    let rivals = (0..8).map(|_| {
        let (store, id) = (bench.store.clone(), name("id"));
        tokio::spawn(async move { store.bind_repository(&RepositoryName { name: "race".into(), id }).await })
    });
    let answers: Vec<_> = join_all(rivals).await.into_iter().map(|ended| ended.expect("no panic")).collect();
    let bound = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(StoreError::OtherRepository { .. }))).count();
    assert_eq!((bound, refused), (1, 7), "{answers:?}");
}

pub(super) async fn a_cluster_has_one_id(bench: Bench) {
    let rivals = (0..8).map(|_| {
        let store = bench.store.clone();
        tokio::spawn(async move { store.cluster().await.expect("told") })
    });
    let told: Vec<String> = join_all(rivals).await.into_iter().map(|ended| ended.expect("no panic")).collect();
    let id = bench.store.cluster().await.expect("told");
    assert!(id.len() == 36 && told.iter().all(|other| *other == id), "{id}: {told:?}");
}

pub(super) async fn a_pause_lasts_until_it_is_lifted(bench: Bench) {
    let pause = |reason: &str| Pause { kind: Kind::Restore, by: "$op".into(), reason: reason.into(), at: None };
    assert_eq!(bench.store.paused().await.expect("read"), []);
    for reason in ["first", "$then"] {
        bench.store.pause(&pause(reason)).await.expect("paused");
        let paused = bench.store.paused().await.expect("read");
        assert!(paused[0].at.is_some());
        let read: Vec<_> = paused.into_iter().map(|pause| Pause { at: None, ..pause }).collect();
        assert_eq!(read, [pause(reason)]);
    }
    assert!(bench.store.unpause(Kind::Restore).await.expect("lifted"));
    assert!(!bench.store.unpause(Kind::Restore).await.expect("lifted"), "it wasn't paused any more");
    assert_eq!(bench.store.paused().await.expect("read"), []);
}

pub(super) async fn an_idempotency_key_stands_for_one_job(bench: Bench) {
    let bound = |key: &str, write: &str| BoundKey {
        key: key.into(),
        fingerprint: "$f".into(),
        job: id(Kind::Backup),
        write: write.into(),
    };
    let first = bound("$key", "one");
    assert_eq!(bench.store.bind_key(&first).await.expect("bound"), first);
    assert_eq!(bench.store.bind_key(&bound("$key", "two")).await.expect("bound"), first, "the first one stays");
    assert_eq!(bench.store.bound_key("$key").await.expect("read"), Some(first));
    assert_eq!(bench.store.bound_key("$none").await.expect("read"), None);
    let other = bound("$key2", "three");
    assert_eq!(bench.store.bind_key(&other).await.expect("bound"), other);
    let same: Vec<BoundKey> = (0..20).map(|number| bound("raced", &number.to_string())).collect();
    let answers = join_all(same.iter().map(|bound| bench.store.bind_key(bound))).await;
    let won: Vec<_> = answers.into_iter().map(|answer| answer.expect("bound")).collect();
    assert!(won.iter().all(|answer| *answer == won[0] && same.contains(answer)), "{won:?}");
}
