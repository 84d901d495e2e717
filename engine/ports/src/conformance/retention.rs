//! Old jobs go; what somebody still needs stays.

use super::kit::{Bench, OVER_MS, enqueue, name, request};
use crate::Detail;
use lucid_core::Command;
use lucid_schemas::{After, Kind, Request, State};

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
