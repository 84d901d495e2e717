//! A backup is of one instant, whoever makes it and whatever happens meanwhile.

use super::{
    sample::{assert_same, contents, make},
    world::{World, backup, wait_for},
};
use bson::{Document, doc};
use lucid_ports::{Ending, JobError};
use lucid_schemas::{EventBody, Kind, State};
use std::sync::atomic::{AtomicUsize, Ordering};

pub fn snapshots(job: &super::context::Stored) -> usize {
    let taken = |event: &&lucid_schemas::Event| matches!(event.body, EventBody::SnapshotTaken { .. });
    job.job().events.iter().filter(taken).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_happens_after_the_instant_is_not_in_the_backup() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;
    let client = world.client.clone();
    // Capped collections are read late; everything else is as of the instant.
    client.database(&source).collection::<Document>("log").drop().await.expect("dropped");
    let original = contents(&client, &source).await;
    let job = world.job(backup(&source));
    let mut claim = job.claim();
    let (hooked, name) = (client.clone(), source.clone());
    claim.at_record = Box::new(move |_| {
        wait_for(async {
            let database = hooked.database(&name);
            database.collection::<Document>("users").delete_many(doc! {}).await.expect("deleted");
            database.collection("sessions").insert_one(doc! { "_id": 1 }).await.expect("inserted");
            database.collection("later").insert_one(doc! { "_id": 1 }).await.expect("inserted");
            super::sample::measure(&database, "metrics", 600..700).await;
        });
    });
    let result = world.run(&job, &claim).await.expect("a backup");
    assert!(result.get_bool("consistent").expect("told"));
    assert_eq!(snapshots(&job), 1);
    world.restore(&job, &target).await.expect("a restore");
    assert_same(&original, &contents(&client, &target).await);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_collection_made_anew_meanwhile_leads_to_another_instant() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;
    let job = world.job(backup(&source));
    let mut claim = job.claim();
    let (hooked, name) = (world.client.clone(), source.clone());
    let calls = AtomicUsize::new(0);
    claim.at_record = Box::new(move |_| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            wait_for(async {
                let database = hooked.database(&name);
                database.collection::<Document>("sessions").drop().await.expect("dropped");
                database.collection("sessions").insert_one(doc! { "_id": "other" }).await.expect("inserted");
                database.collection::<Document>("words").drop().await.expect("dropped");
            });
        }
    });
    world.run(&job, &claim).await.expect("a backup");
    assert_eq!(snapshots(&job), 2);
    world.restore(&job, &target).await.expect("a restore");
    assert_same(&contents(&world.client, &source).await, &contents(&world.client, &target).await);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_successor_goes_on_at_the_same_instant() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    make(&world.client, &source).await;

    // Canceled in the middle: nothing counts.
    let job = world.job(backup(&source));
    let mut claim = job.claim();
    let token = claim.token();
    claim.at_report = Box::new(move |documents| {
        if documents > 500 {
            token.cancel();
        }
    });
    assert_eq!(world.run(&job, &claim).await, Err(JobError::Stopped));
    world.handler(Kind::Backup).abandon(&claim, Ending::Canceled).await;
    assert!(world.repository.manifests().await.expect("manifests").is_empty());

    // Lost in the middle: the successor goes on at the same instant.
    let successor = job.claim();
    world.run(&job, &successor).await.expect("a backup");
    assert_eq!(snapshots(&job), 1);
    assert_eq!(world.repository.manifests().await.expect("manifests").len(), 1);

    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_manifest_counts_wherever_a_worker_was_lost() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    make(&world.client, &source).await;

    // Lost right before the manifest: the successor, past the point of no return, makes its own.
    let job = world.job(backup(&source));
    let mut claim = job.claim();
    claim.lease_looks = 0;
    assert_eq!(world.run(&job, &claim).await, Err(JobError::Stopped));
    assert_eq!(job.job().head.state, State::Committing);
    let manifests = async || {
        world
            .repository
            .manifests()
            .await
            .expect("manifests")
            .into_iter()
            .filter(|entry| entry.job == job.job().request.id.as_str())
            .collect::<Vec<_>>()
    };
    assert!(manifests().await.is_empty());
    let result = world.run(&job, &job.claim()).await.expect("a backup");
    let named = result.get_document("manifest").and_then(|manifest| manifest.get_str("key")).expect("a key").to_owned();
    assert_eq!(manifests().await.len(), 1);

    // Lost right after the manifest: the successor adopts it.
    job.end(State::Committing, None);
    let result = world.run(&job, &job.claim()).await.expect("a backup");
    assert_eq!(result.get_document("manifest").and_then(|manifest| manifest.get_str("key")).expect("a key"), named);

    // Awake again: a manifest that nobody names goes.
    let late = world
        .repository
        .begin(
            job.job().request.id.as_str(),
            1,
            lucid_repository::Domain::Sealed,
            lucid_repository::Compression::default(),
        )
        .await
        .expect("a writer");
    let (mut manifest, _) = world.repository.read_manifest(&named).await.expect("a manifest");
    manifest.epoch = 1;
    late.finish().await.expect("finished");
    late.write_manifest(&manifest).await.expect("written");
    assert_eq!(manifests().await.len(), 2);
    world.handler(Kind::Backup).abandon(&claim, Ending::Fenced).await;
    let left = manifests().await;
    assert_eq!((left.len(), &left[0].key), (1, &named));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_written_together_is_backed_up_together() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;
    let database = world.client.database(&source);
    for name in ["debit", "credit"] {
        database.create_collection(name).await.expect("made");
    }
    let (client, name) = (world.client.clone(), source.clone());
    let writing = tokio_util::sync::CancellationToken::new();
    let stop = writing.clone();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let writer = tokio::spawn(async move {
        let database = client.database(&name);
        let mut begun = Some(begun);
        for number in 0_i64.. {
            let mut session = client.start_session().await.expect("a session");
            session.start_transaction().await.expect("begun");
            for side in ["debit", "credit"] {
                let document = doc! { "_id": number, "pad": "x".repeat(500) };
                let side = database.collection(side);
                side.insert_one(document).session(&mut session).await.expect("inserted");
            }
            session.commit_transaction().await.expect("committed");
            if number == 100 {
                begun.take().map(|begun| begun.send(()));
            }
            if stop.is_cancelled() {
                return number;
            }
        }
        0
    });
    has_begun.await.expect("it writes");
    let (job, _) = world.back_up(&source).await;
    writing.cancel();
    let last = writer.await.expect("no panic");
    world.restore(&job, &target).await.expect("a restore");
    let found = contents(&world.client, &target).await;
    let (debit, credit) = (&found["debit"].2, &found["credit"].2);
    assert!(debit == credit, "{} debits, {} credits", debit.len(), credit.len());
    assert!(debit.len() > 100 && i64::try_from(debit.len()).expect("few") <= last);
    world.stop().await;
}
