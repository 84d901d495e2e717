//! Whatever happens in the middle of a restore, nobody's data are lost.

use super::{
    context::Stored,
    sample::{assert_same, contents, make, measure},
    world::{World, restore, wait_for},
};
use bson::{Document, doc};
use lucid_ports::{Ending, JobError};
use lucid_schemas::{Kind, Spec, State};
use std::sync::{Arc, mpsc};

/// A restore of a few collections, one of each kind of step: these tests do it over and over again.
fn restore_some(backup: &Stored, database: &str) -> Spec {
    let Spec::Restore(mut spec) = restore(backup, database) else {
        unreachable!("it is a restore");
    };
    let names = ["users", "odd", "words", "metrics", "empty", "grown_view", "adults_view"];
    spec.collections = Some(names.map(Into::into).to_vec());
    Spec::Restore(spec)
}

/// Changes the target, so that there is something to replace.
async fn change(world: &World, database: &str) {
    let database = world.client.database(database);
    database.collection::<Document>("users").delete_many(doc! { "age": { "$lt": 40 } }).await.expect("deleted");
    database.collection("odd").insert_one(doc! { "_id": "mine" }).await.expect("inserted");
    database.collection::<Document>("words").drop().await.expect("dropped");
    database.collection::<Document>("adults_view").drop().await.expect("dropped");
    measure(&database, "metrics", 300..1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_swap_that_breaks_off_anywhere_is_rolled_forward() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    make(&world.client, &source).await;
    let original = contents(&world.client, &source).await;
    let (backup, _) = world.back_up(&source).await;
    let mut broken_off = 0;
    for looks in 0.. {
        change(&world, &source).await;
        let job = world.job(restore_some(&backup, &source));
        let mut claim = job.claim();
        claim.lease_looks = looks;
        match world.run(&job, &claim).await {
            Ok(_) => break,
            Err(error) => assert_eq!(error, JobError::Stopped, "at look {looks}"),
        }
        broken_off += 1;
        assert_eq!(job.job().head.state, State::Committing);
        // Its successor breaks off one step later, the next one doesn't.
        let mut second = job.claim();
        second.lease_looks = 1;
        let _ = world.run(&job, &second).await;
        let result = world.run(&job, &job.claim()).await.unwrap_or_else(|error| panic!("at look {looks}: {error:?}"));
        assert!(result.get_array("left_alone").expect("told").is_empty(), "at look {looks}");
        assert_same(&original, &contents(&world.client, &source).await);
        assert!(world.staging(&source).await.is_empty());
    }
    assert!(broken_off > 10, "only {broken_off} steps");
    world.stop().await;
}

/// A worker that is stopped right before its command number `look` of a swap, and let go on afterwards.
struct Stopped {
    done: tokio::task::JoinHandle<Result<Document, JobError>>,
    go_on: mpsc::Sender<()>,
}

async fn stop_at(world: &World, job: &Arc<Stored>, look: usize) -> Option<Stopped> {
    let mut claim = job.claim();
    let (go_on, wait) = mpsc::channel::<()>();
    let (reached, mut is_reached) = tokio::sync::mpsc::unbounded_channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    claim.at_look = Box::new(move |number| {
        if number == look {
            let _ = reached.send(());
            let _ = tokio::task::block_in_place(|| wait.lock().expect("unpoisoned").recv());
        }
    });
    let handler = world.handler(Kind::Restore);
    let done = tokio::spawn(async move {
        let outcome = handler.run(&claim).await;
        if outcome.is_err() {
            handler.abandon(&claim, Ending::Fenced).await;
        }
        outcome
    });
    // None: the swap has fewer commands, and came to its end.
    is_reached.recv().await?;
    Some(Stopped { done, go_on })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_worker_that_was_stopped_before_any_command_harms_nobody_later() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    make(&world.client, &source).await;
    let (backup, _) = world.back_up(&source).await;
    let original = contents(&world.client, &source).await;
    let client = world.client.database(&source);
    for look in 0.. {
        change(&world, &source).await;
        let job = world.job(restore_some(&backup, &source));
        let Some(stopped) = stop_at(&world, &job, look).await else {
            break;
        };
        // The successor does the whole swap, and clients write again.
        world.run(&job, &job.claim()).await.unwrap_or_else(|error| panic!("at look {look}: {error:?}"));
        assert_same(&original, &contents(&world.client, &source).await);
        for name in ["users", "odd", "words"] {
            let written = doc! { "_id": format!("after the restore {look}"), "mail": "new@example.org" };
            client.collection(name).insert_one(written).await.expect("inserted");
        }
        measure(&client, "metrics", 600..650).await;
        client.collection::<Document>("empty").drop().await.expect("dropped");
        client.collection("empty").insert_one(doc! { "_id": "somebody else's" }).await.expect("inserted");
        let before = contents(&world.client, &source).await;
        stopped.go_on.send(()).expect("it waits");
        let outcome = stopped.done.await.expect("no panic");
        let after = contents(&world.client, &source).await;
        assert_same(&before, &after);
        assert!(world.staging(&source).await.is_empty(), "at look {look}: {outcome:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_somebody_else_has_made_meanwhile_is_left_alone() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;
    let (backup, _) = world.back_up(&source).await;
    let client = world.client.database(&target);
    client.collection("users").insert_one(doc! { "_id": "old" }).await.expect("inserted");

    let job = world.job(restore(&backup, &target));
    let mut claim = job.claim();
    claim.lease_looks = 0;
    assert_eq!(world.run(&job, &claim).await, Err(JobError::Stopped));
    client.collection::<Document>("users").drop().await.expect("dropped");
    client.collection("users").insert_one(doc! { "_id": "somebody else's" }).await.expect("inserted");
    client.collection("words").insert_one(doc! { "_id": "somebody else's, too" }).await.expect("inserted");

    let Err(JobError::Failed(failure)) = world.run(&job, &job.claim()).await else {
        panic!("it must be told");
    };
    assert_eq!((failure.code.as_str(), failure.retryable), ("changed_by_others", false));
    assert!(failure.message.contains("users") && failure.message.contains("words"), "{}", failure.message);
    assert!(!failure.message.contains("  "), "it reads like a sentence: {}", failure.message);
    for name in ["users", "words"] {
        assert_eq!(client.collection::<Document>(name).count_documents(doc! {}).await.expect("counted"), 1);
    }
    assert_eq!(client.collection::<Document>("sessions").count_documents(doc! {}).await.expect("counted"), 1_000);

    // The operator makes room, and the job is resumed.
    client.collection::<Document>("words").drop().await.expect("dropped");
    let away = doc! { "renameCollection": format!("{target}.users"), "to": format!("{target}.users_of_somebody") };
    world.client.database("admin").run_command(away).await.expect("renamed");
    world.run(&job, &job.claim()).await.expect("room was made");
    let mut restored = contents(&world.client, &target).await;
    assert!(restored.remove("users_of_somebody").is_some());
    assert_same(&contents(&world.client, &source).await, &restored);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restore_that_ends_before_its_swap_leaves_nothing() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;
    let (backup, _) = world.back_up(&source).await;
    let job = world.job(restore(&backup, &target));
    let mut claim = job.claim();
    let token = claim.token();
    claim.at_report = Box::new(move |documents| {
        if documents > 500 {
            token.cancel();
        }
    });
    assert_eq!(world.run(&job, &claim).await, Err(JobError::Stopped));
    assert!(!world.staging(&target).await.is_empty());
    // Lost: the successor clears away what it finds, and does it all.
    world.run(&job, &job.claim()).await.expect("a restore");
    assert!(world.staging(&target).await.is_empty());
    assert_same(&contents(&world.client, &source).await, &contents(&world.client, &target).await);

    let other = world.database("other").await;
    let job = world.job(restore(&backup, &other));
    let mut claim = job.claim();
    let token = claim.token();
    claim.at_report = Box::new(move |documents| {
        if documents > 500 {
            token.cancel();
        }
    });
    assert_eq!(world.run(&job, &claim).await, Err(JobError::Stopped));
    world.handler(Kind::Restore).abandon(&claim, Ending::Canceled).await;
    let left = world.client.database(&other).list_collection_names().await.expect("names");
    assert!(left.iter().all(|name| name == "system.views"), "{left:?}");
    world.stop().await;
}

/// What a failed claim of a restore says.
fn changed_by_others(outcome: Result<Document, JobError>) -> String {
    let Err(JobError::Failed(failure)) = outcome else { panic!("it must be told: {outcome:?}") };
    assert_eq!((failure.code.as_str(), failure.retryable), ("changed_by_others", false));
    failure.message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_somebody_has_dropped_since_is_not_claimed() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    make(&world.client, &source).await;
    let (backup, _) = world.back_up(&source).await;

    // One collection, right before the end.
    let target = world.database("target").await;
    let job = world.job(restore(&backup, &target));
    let mut claim = job.claim();
    let client = world.client.database(&target);
    claim.at_phase = Box::new(move |phase| {
        if phase == "clean_up" {
            wait_for(async { client.collection::<Document>("users").drop().await.expect("dropped") });
        }
    });
    let message = changed_by_others(world.run(&job, &claim).await);
    assert!(message.contains("users") && message.contains("resume"), "{message}");
    // A person says that the others will do: what is told is what is there.
    job.resume();
    let result = world.run(&job, &job.claim()).await.expect("agreed");
    assert_eq!(result.get_array("left_alone").expect("told"), &vec!["users".into()]);
    let told = ["collections", "views"].map(|field| result.get_i32(field).expect("told"));
    assert_eq!(told, [8, 2]);
    let all = world.client.database(&source).collection::<Document>("users").count_documents(doc! {}).await;
    let (backed_up, all) =
        (backup.job().head.result.expect("a result"), i64::try_from(all.expect("counted")).expect("few"));
    assert_eq!(result.get_i64("documents").expect("told"), backed_up.get_i64("documents").expect("told") - all);

    // All of it, in the middle of the swap.
    for looks in [0, 6] {
        let target = world.database("target").await;
        let job = world.job(restore(&backup, &target));
        let mut claim = job.claim();
        claim.lease_looks = looks;
        assert_eq!(world.run(&job, &claim).await, Err(JobError::Stopped));
        world.client.database(&target).drop().await.expect("dropped");
        for _ in 0..2 {
            let message = changed_by_others(world.run(&job, &job.claim()).await);
            assert!(message.contains("nothing of this restore"), "{message}");
            job.resume();
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_given_up_halfway_says_what_became_of_each_collection_and_leaves_nothing_staged() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;
    let (backup, _) = world.back_up(&source).await;
    let client = world.client.database(&target);
    client.collection("odd").insert_one(doc! { "_id": "old" }).await.expect("inserted");
    let job = world.job(restore_some(&backup, &target));
    let mut claim = job.claim();
    claim.lease_looks = 0;
    assert_eq!(world.run(&job, &claim).await, Err(JobError::Stopped));
    client.collection("words").insert_one(doc! { "_id": "somebody else's" }).await.expect("inserted");
    let Err(JobError::Failed(failure)) = world.run(&job, &job.claim()).await else {
        panic!("it must be told");
    };
    assert_eq!(failure.code, "changed_by_others");
    let mut before = contents(&world.client, &target).await;
    before.retain(|name, _| !name.contains("__lucid_staging_"));
    assert!(!world.staging(&target).await.is_empty());

    let claim = job.claim();
    let first = world.handler(Kind::Restore).give_up(&claim).await.expect("cleaned up");
    let names = |list: &str| -> Vec<&str> {
        first.found.get_array(list).expect("told").iter().filter_map(bson::Bson::as_str).collect()
    };
    assert_eq!(names("swapped"), ["empty", "metrics", "odd", "users", "grown_view", "adults_view"], "{first:?}");
    assert_eq!((names("not_swapped"), names("mixed").len(), names("expiry_off").len()), (vec!["words"], 0, 0));
    assert!(first.message.contains("words") && first.message.contains(&target), "{}", first.message);
    assert!(world.staging(&target).await.is_empty());
    assert_same(&before, &contents(&world.client, &target).await);
    // A worker that dies after cleaning up has a successor, who sees the same.
    assert_eq!(world.handler(Kind::Restore).give_up(&job.claim()).await.expect("again"), first);
    world.stop().await;
}
