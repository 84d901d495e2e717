//! Old jobs and alerts go; what somebody still needs stays.

use super::{
    alerts::{finding, make, put, resolve},
    kit::{Bench, LONG_MS, OVER_MS, enqueue, name, request},
};
use crate::Detail;
use bson::{DateTime, doc};
use lucid_core::{Command, alert::Finding};
use lucid_schemas::{After, Fate, FateState, Job, Kind, Request, State, alert::AlertId};

pub(super) async fn old_jobs_are_forgotten_unless_somebody_waits_for_them(bench: Bench) {
    let mut canceled = Vec::new();
    for _ in 0..4 {
        let job = bench.queued().await;
        canceled.push(bench.make(&job, &Command::RequestCancel, "api").await.request.id);
    }
    let open = bench.queued().await.request.id;
    let after = Some(After { job: canceled[0].clone(), state: State::Canceled });
    bench.put(&enqueue(Request { after, ..request(Kind::Verify) })).await;
    let detail = Detail { job: canceled[1].clone(), name: name("list"), hash: "h".into(), data: bson::doc! {} };
    bench.store.put_detail(&detail).await.expect("kept");
    let forget =
        async |kind, state, older_ms, limit| bench.store.forget(kind, state, older_ms, limit).await.expect("done");
    assert_eq!(forget(Kind::Backup, State::Canceled, -OVER_MS, 9).await, 0, "not so old");
    assert_eq!(forget(Kind::Verify, State::Canceled, OVER_MS, 9).await, 0, "another kind");
    assert_eq!(forget(Kind::Backup, State::Succeeded, OVER_MS, 9).await, 0, "another end");
    assert_eq!(forget(Kind::Backup, State::Canceled, OVER_MS, 0).await, 0);
    assert_eq!(forget(Kind::Backup, State::Canceled, OVER_MS, 1).await, 1, "at most one");
    assert_eq!(forget(Kind::Backup, State::Canceled, OVER_MS, 9).await, 2, "but the one that is waited for");
    let there = async |id| bench.store.load(id).await.expect("loaded").is_some();
    assert!(
        there(&canceled[0]).await && there(&open).await && !there(&canceled[1]).await && !there(&canceled[3]).await
    );
    assert_eq!(bench.store.detail(&canceled[1], &detail.name).await.expect("read"), None, "its lists went with it");
}

pub(super) async fn a_fate_is_noted_once_of_a_backup_that_succeeded(bench: Bench) {
    let fate = |by: &str| Fate {
        state: FateState::Forgotten,
        at: DateTime::from_millis(1_736_388_000_000),
        by: by.into(),
        reason: "$no rule".into(),
    };
    let running = bench.running(LONG_MS).await;
    bench.store.note_fate(running.id(), &fate("early")).await.expect("nothing to do");
    assert_eq!(bench.job(running.id()).await.fate, None, "it may still be made");
    let done = bench.make(&running, &Command::Succeed { epoch: 1, result: doc! {} }, "w").await;
    for by in ["$first", "second"] {
        bench.store.note_fate(done.id(), &fate(by)).await.expect("noted");
        let job = bench.job(done.id()).await;
        assert_eq!((job.fate, job.head), (Some(fate("$first")), done.head.clone()), "once, and nothing else changes");
    }
    bench.store.note_fate(&super::kit::id(Kind::Backup), &fate("nobody")).await.expect("nothing to do");
}

pub(super) async fn manifests_are_known_until_something_became_of_their_backups(bench: Bench) {
    let known =
        async |repository: &str, cluster: &str| bench.store.manifests(repository, cluster).await.expect("asked");
    let mut made = Vec::new();
    for (key, cluster) in [("one", Some("ours")), ("two", Some("ours")), ("three", Some("theirs")), ("four", None)] {
        let mut result = doc! { "manifest": { "key": key, "hash": "ff" } };
        if let Some(cluster) = cluster {
            result.insert("cluster", cluster);
        }
        let running = bench.running(LONG_MS).await;
        assert!(!known(&place(&running), "ours").await.contains(key), "it may still fail");
        made.push(bench.make(&running, &Command::Succeed { epoch: 1, result }, "w").await);
    }
    let here = place(&made[0]);
    assert_eq!(known(&here, "ours").await, ["one".to_owned(), "two".to_owned()].into());
    assert_eq!(known(&here, "theirs").await, ["three".to_owned()].into());
    assert!(known("elsewhere", "ours").await.is_empty() && known(&here, "nobody's").await.is_empty());
    let at = DateTime::from_millis(1_736_388_000_000);
    let fate = Fate { state: FateState::Missing, at, by: "prune_1".into(), reason: "accepted".into() };
    bench.store.note_fate(made[0].id(), &fate).await.expect("noted");
    assert_eq!(known(&here, "ours").await, ["two".to_owned()].into());
}

pub(super) async fn old_alerts_are_forgotten_but_for_the_newest_about_the_same(bench: Bench) {
    let (same, mut over) = (finding(), Vec::new());
    for _ in 0..3 {
        let id = AlertId::compose(DateTime::now(), uuid::Uuid::new_v4().as_u64_pair().0);
        let alert = put(&bench, &Finding { id, ..same.clone() }).await;
        let alert = make(&bench, &alert, &resolve()).await;
        over.push((alert.head.created_at.stored(), alert.origin.id));
    }
    over.sort();
    let alone = put(&bench, &finding()).await;
    make(&bench, &alone, &resolve()).await;
    let open = put(&bench, &finding()).await;
    let forget = async |older_ms, limit| bench.alerts.forget_alerts(older_ms, limit).await.expect("done");
    assert_eq!(forget(LONG_MS, 9).await, 0, "not so old");
    assert_eq!(forget(OVER_MS, 0).await, 0);
    assert_eq!(forget(OVER_MS, 1).await, 1, "at most one");
    let there = async |id| bench.alerts.alert(id).await.expect("read").is_some();
    assert!(!there(&over[0].1).await && there(&over[1].1).await, "the oldest first");
    assert_eq!(forget(OVER_MS, 9).await, 1);
    assert!(!there(&over[1].1).await && there(&over[2].1).await, "the newest about the same stays");
    assert!(there(alone.id()).await && there(open.id()).await, "and what is alone, and what is open");
    assert_eq!(forget(OVER_MS, 9).await, 0);
    let begin: AlertId = "alert_2".parse().expect("a prefix");
    let mut left = vec![over[2].1.clone(), alone.origin.id, open.origin.id];
    left.sort();
    assert_eq!(bench.alerts.alert_ids_with_prefix(&begin, 9).await.expect("found"), left);
    assert_eq!(bench.alerts.alert_ids_with_prefix(&left[2], 9).await.expect("found"), left[2..]);
    assert_eq!(bench.alerts.alert_ids_with_prefix(&begin, 1).await.expect("found"), left[..1]);
    assert_eq!(bench.alerts.alert_ids_with_prefix(&begin, 0).await.expect("found"), []);
}

fn place(job: &Job) -> String {
    job.request.requires.repository.clone().expect("backups have one").id
}
