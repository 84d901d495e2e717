//! What a database held: indexes of the very instant, nothing half-built, nothing left out without a word.

use super::{
    sample::indexes,
    world::{World, backup, wait_for},
};
use bson::{Document, doc};
use lucid_embedded::Signal;
use lucid_ports::JobError;
use lucid_schemas::{Spec, State};
use mongodb::{Database, IndexModel, options::IndexOptions};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

async fn insert(database: &Database, name: &str, document: Document) {
    database.collection(name).insert_one(document).await.expect("inserted");
}

fn unique() -> IndexModel {
    let options = IndexOptions::builder().unique(true).build();
    IndexModel::builder().keys(doc! { "mail": 1 }).options(options).build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_index_is_never_paired_with_documents_that_it_forbids() {
    let world = World::start(1).await;
    // Right before the handler lists indexes for the first, second, third time.
    for strike in 0..3 {
        let (source, target) = (world.database("source").await, world.database("target").await);
        let database = world.client.database(&source);
        for id in [1, 2] {
            insert(&database, "users", doc! { "_id": id, "mail": "same" }).await;
        }
        let calls = AtomicUsize::new(0);
        *world.at_command.lock().expect("unpoisoned") = Some(Box::new(move |command| {
            if command == "listIndexes" && calls.fetch_add(1, Ordering::SeqCst) == strike {
                wait_for(async {
                    let users = database.collection::<Document>("users");
                    users.delete_one(doc! { "_id": 2 }).await.expect("deleted");
                    users.create_index(unique()).await.expect("built");
                });
            }
        }));
        let (job, _) = world.back_up(&source).await;
        *world.at_command.lock().expect("unpoisoned") = None;
        let restored = world.restore(&job, &target).await;
        restored.unwrap_or_else(|error| panic!("strike {strike}: {error:?}"));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_index_that_is_being_built_is_not_in_the_backup() {
    let world = World::start(3).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    let database = world.client.database(&source);
    for id in [1, 2] {
        insert(&database, "users", doc! { "_id": id, "mail": "same" }).await;
    }
    // Every member has to vote for the index, and this one is asleep.
    let deployment = world.deployment.as_ref().expect("a set of its own");
    let asleep = {
        let mut deployment = deployment.lock().await;
        let asleep = (deployment.primary().await.expect("a primary") + 1) % 3;
        deployment.kill(asleep, Signal::SIGSTOP).await.expect("asleep");
        asleep
    };
    let building = database.clone();
    let build = tokio::spawn(async move {
        let users = building.collection::<Document>("users");
        users.create_index(unique()).await
    });
    let list = doc! { "listIndexes": "users", "includeBuildUUIDs": true };
    while !database.run_command(list.clone()).await.expect("listed").to_string().contains("buildUUID") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (job, _) = world.back_up(&source).await;
    deployment.lock().await.kill(asleep, Signal::SIGCONT).await.expect("awake");
    build.await.expect("no panic").expect_err("two documents with the same mail");
    world.restore(&job, &target).await.expect("a restore");
    let restored = indexes(&world.client.database(&target), "users").await;
    assert_eq!(restored.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_backed_up_is_named() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    let database = world.client.database(&source);
    insert(&database, "users", doc! { "_id": 1 }).await;
    let (_, result) = world.back_up(&source).await;
    assert!(!result.contains_key("left_out"), "{result}");

    insert(&database, "system.js", doc! { "_id": "f", "value": "x" }).await;
    let (job, result) = world.back_up(&source).await;
    assert_eq!(result.get_array("left_out").expect("told"), &vec!["system.js".into()]);
    // Whoever adopts the manifest tells the same.
    job.end(State::Committing, None);
    let adopted = world.run(&job, &job.claim()).await.expect("a backup");
    assert_eq!(adopted.get("manifest"), result.get("manifest"));
    assert_eq!(adopted.get("left_out"), result.get("left_out"));

    let Spec::Backup(mut spec) = backup(&source) else { unreachable!("it is one") };
    spec.require_consistent = true;
    let job = world.job(Spec::Backup(spec.clone()));
    let Err(JobError::Failed(failure)) = world.run(&job, &job.claim()).await else {
        panic!("it must be refused");
    };
    assert_eq!((failure.code.as_str(), failure.retryable), ("not_complete", false));
    spec.collections = Some(vec!["users".into()]);
    let job = world.job(Spec::Backup(spec));
    let result = world.run(&job, &job.claim()).await.expect("a backup");
    assert!(!result.contains_key("left_out"), "{result}");
    world.stop().await;
}
