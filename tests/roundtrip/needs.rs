//! A backup is asked for between the judgement of a prune and its deletion.

use super::world::{World, named, restore, wait_for};
use bson::{Bson, Document, doc};
use lucid_ports::Enqueue;
use lucid_schemas::{Keep, PruneSpec, Request, Spec};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_that_is_asked_for_after_it_was_judged_is_not_forgotten() {
    let world = Arc::new(World::start(1).await);
    let source = world.database("source").await;
    let rows = world.client.database(&source).collection::<Document>("rows");
    rows.insert_one(doc! { "_id": 1 }).await.expect("inserted");
    let (old, _) = world.back_up(&source).await;
    rows.insert_one(doc! { "_id": 2 }).await.expect("inserted");
    let (new, _) = world.back_up(&source).await;

    let keep = Keep { last: 1, ..Keep::default() };
    let prune = world.job(Spec::Prune(PruneSpec { grace_hours: 0, ..PruneSpec::keeping(keep) }));
    let restore = Request::new(
        "restore_20250109_020000_asked00000".parse().expect("an id"),
        restore(&old, "elsewhere"),
        "test",
        None,
    );
    let (id, asked) = (restore.id.to_string(), AtomicBool::new(false));
    let mut claim = prune.claim();
    let theirs = Arc::clone(&world);
    claim.at_put = Box::new(move |list| {
        // The verdicts are kept once they are made.
        if list == "verdicts" && !asked.swap(true, Ordering::SeqCst) {
            let asked = Enqueue { request: restore.clone(), delay_ms: 0, run_at: None, write: "restore".into() };
            wait_for(async { drop(theirs.store.enqueue(&asked).await.expect("enqueued")) });
        }
    });
    let result = world.run(&prune, &claim).await.expect("pruned");
    drop(claim);

    assert_eq!(result.get_i64("backups_removed").expect("told"), 0, "{result}");
    let verdicts = result.get_array("verdicts").expect("verdicts").iter().filter_map(Bson::as_document);
    let reasons: Vec<String> = verdicts.map(|verdict| format!("{:?}", verdict.get("reasons"))).collect();
    assert!(reasons.iter().any(|told| told.contains(&format!("{id} is about it"))), "{reasons:?}");
    for backup in [&old, &new] {
        world.repository.read_manifest(&named(backup).1.key).await.expect("there");
    }
    Arc::into_inner(world).expect("nobody else").stop().await;
}
