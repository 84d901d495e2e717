//! A drill restores a backup for real, tells what differs, and leaves nothing behind whatever its end.

use super::{
    sample::{assert_same, contents, make},
    world::{World, verify},
};
use bson::Document;
use lucid_ports::{Ending, JobContext, JobError};
use lucid_schemas::{Kind, State, VerifyLevel, names::DRILL_PREFIX};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::Notify;

/// The scratch databases that are there.
async fn scratch(world: &World) -> Vec<String> {
    let mut names = world.client.list_database_names().await.expect("names");
    names.retain(|name| name.starts_with(DRILL_PREFIX));
    names
}

fn packs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("sealed/packs")).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_proves_a_backup_and_leaves_nothing() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    make(&world.client, &source).await;
    let before = contents(&world.client, &source).await;
    let (backup, _) = world.back_up(&source).await;

    let job = world.job(verify(&backup, VerifyLevel::Drill));
    let result: Document = world.run(&job, &job.claim()).await.expect("whole");
    assert_eq!((result.get("level"), result.get("findings")), (Some(&"drill".into()), Some(&0.into())));
    assert!(result.get_i64("packs").is_ok_and(|packs| packs > 0) && result.get("packs") == result.get("packs_read"));
    assert!(scratch(&world).await.is_empty());

    // Canceled in the middle.
    let job = world.job(verify(&backup, VerifyLevel::Drill));
    let mut claim = job.claim();
    let token = claim.token();
    claim.at_phase = Box::new(move |phase| {
        if phase == "drill" {
            token.cancel();
        }
    });
    assert_eq!(world.run(&job, &claim).await, Err(JobError::Stopped));
    world.handler(Kind::Verify).abandon(&claim, Ending::Canceled).await;
    assert!(scratch(&world).await.is_empty());

    died_in_the_middle(&world, &backup).await;
    damaged_in_the_middle(&world, &backup).await;
    assert_same(&before, &contents(&world.client, &source).await);
    world.stop().await;
}

/// Runs a drill until documents are being loaded, and breaks it off as a crash does.
async fn broken_off(world: &World, job: &Arc<super::context::Stored>) {
    let loading = Arc::new(Notify::new());
    let mut claim = job.claim();
    let seen = Arc::clone(&loading);
    claim.at_report = Box::new(move |documents| {
        if documents > 0 {
            seen.notify_one();
        }
    });
    let handler = world.handler(Kind::Verify);
    tokio::select! {
        outcome = handler.run(&claim) => panic!("it ended: {outcome:?}"),
        () = loading.notified() => {}
    }
    assert_eq!(scratch(world).await.len(), 1, "a crash leaves what was there");
}

async fn died_in_the_middle(world: &World, backup: &super::context::Stored) {
    let job = world.job(verify(backup, VerifyLevel::Drill));
    broken_off(world, &job).await;
    world.run(&job, &job.claim()).await.expect("the next attempt begins afresh");
    assert!(scratch(world).await.is_empty(), "and takes its predecessor's away");
    let job = world.job(verify(backup, VerifyLevel::Drill));
    broken_off(world, &job).await;
    job.end(State::Canceled, None);
    world.handler(Kind::Verify).abandon(&job.claim(), Ending::Fenced).await;
    assert!(scratch(world).await.is_empty(), "whoever ends the job does, too");
}

/// Reading has shown that the backup is whole; then a pack is damaged, and restoring must tell.
async fn damaged_in_the_middle(world: &World, backup: &super::context::Stored) {
    let job = world.job(verify(backup, VerifyLevel::Drill));
    let mut claim = job.claim();
    let folder = world.folder.clone();
    claim.at_phase = Box::new(move |phase| {
        for pack in packs(&folder).into_iter().filter(|_| phase == "drill") {
            let bytes = fs::read(&pack).expect("read");
            fs::remove_file(&pack).expect("removed");
            fs::write(&pack, vec![0; bytes.len()]).expect("written");
        }
    });
    let Err(JobError::Failed(failure)) = world.run(&job, &claim).await else { panic!("nobody tells") };
    assert_eq!((failure.code.as_str(), failure.retryable), ("backup_damaged", false));
    let kept = claim.detail("findings").await.expect("kept").expect("there").data;
    assert!(kept.get_i64("count").expect("a count") > 0, "{kept}");
    let first = kept.get_array("findings").expect("a list")[0].as_document().expect("a finding");
    assert!(first.get_str("object").is_ok_and(|object| object.contains("/packs/")), "{first}");
    assert!(first.get_str("collection").is_ok(), "{first}");
    assert!(scratch(world).await.is_empty());
}
