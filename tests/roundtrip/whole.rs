//! There and back again.

use super::{
    sample::{assert_same, contents, make, measure},
    world::{World, backup, restore, verify},
};
use bson::{Document, doc};
use lucid_ports::JobError;
use lucid_schemas::{BackupSpec, RestoreSpec, Spec, VerifyLevel};

fn code(outcome: Result<Document, JobError>) -> String {
    match outcome {
        Err(JobError::Failed(failure)) => failure.code,
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_comes_back_byte_for_byte() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;
    let original = contents(&world.client, &source).await;

    let (first, result) = world.back_up(&source).await;
    assert!(!result.get_bool("consistent").expect("told"), "6.0 can't read capped collections at a snapshot");
    let late = result.get_array("inconsistent").expect("told");
    assert_eq!(late[0].as_document().expect("a document").get_str("name").expect("a name"), "log");
    assert_eq!(result.get_i32("views").expect("told"), 2);

    for level in [VerifyLevel::Structure, VerifyLevel::Data] {
        let job = world.job(verify(&first, level));
        let result = world.run(&job, &job.claim()).await.expect("sound");
        assert_eq!(result.get_i32("findings").expect("told"), 0);
    }

    // Elsewhere.
    world.restore(&first, &target).await.expect("a restore");
    assert_same(&original, &contents(&world.client, &target).await);
    assert!(world.staging(&target).await.is_empty());

    // Unchanged data cost nothing.
    let (_, again) = world.back_up(&source).await;
    assert_eq!(again.get_i64("new_chunk_stored_bytes").expect("told"), 0);
    assert_eq!(again.get_i64("chunks_new").expect("told"), 0);

    // In place, over what was changed meanwhile.
    let database = world.client.database(&source);
    database.collection::<Document>("users").delete_many(doc! { "age": 20 }).await.expect("deleted");
    database.collection("sessions").insert_one(doc! { "_id": "new" }).await.expect("inserted");
    database.collection::<Document>("words").drop().await.expect("dropped");
    database.run_command(doc! { "collMod": "grown_view", "viewOn": "users", "pipeline": [] }).await.expect("changed");
    measure(&database, "metrics", 590..900).await;
    database.collection("kept").insert_one(doc! { "_id": 1 }).await.expect("inserted");
    let result = world.restore(&first, &source).await.expect("a restore");
    assert!(result.get_array("left_alone").expect("told").is_empty());
    let mut restored = contents(&world.client, &source).await;
    assert!(restored.remove("kept").is_some(), "what the backup doesn't have is kept");
    assert_same(&original, &restored);
    assert!(world.staging(&source).await.is_empty());

    // A client goes on writing to what was restored.
    measure(&database, "metrics", 600..700).await;
    let count = database.collection::<Document>("metrics").count_documents(doc! {}).await.expect("counted");
    assert_eq!(count, 700);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_comes_back() {
    let world = World::start(1).await;
    let (source, target) = (world.database("sample").await, world.database("copy").await);
    lucid_sample::load(&world.client, &source, 20_000).await.expect("a sample");
    let (backup, _) = world.back_up(&source).await;
    for _ in ["elsewhere", "in place"] {
        world.restore(&backup, &target).await.expect("a restore");
        let differences = lucid_sample::compare(&world.client, &source, &target).await.expect("compared");
        assert!(differences.is_empty(), "{differences:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_before_anything_changes() {
    let world = World::start(1).await;
    let (source, target) = (world.database("source").await, world.database("target").await);
    make(&world.client, &source).await;

    let run = async |spec: Spec| {
        let job = world.job(spec);
        world.run(&job, &job.claim()).await
    };
    let of = |change: fn(&mut BackupSpec)| {
        let Spec::Backup(mut spec) = backup(&source) else { unreachable!() };
        change(&mut spec);
        Spec::Backup(spec)
    };
    assert_eq!(code(run(of(|spec| spec.require_consistent = true)).await), "not_consistent");
    assert_eq!(code(run(of(|spec| spec.collections = Some(vec!["nobody".into()]))).await), "collection_not_found");
    assert_eq!(code(run(of(|spec| spec.database = "nowhere_at_all".into())).await), "database_not_found");
    assert_eq!(code(run(of(|spec| spec.database = "admin".into())).await), "bad_request");

    let (job, _) = world.back_up(&source).await;
    let to = |change: &dyn Fn(&mut RestoreSpec)| {
        let Spec::Restore(mut spec) = restore(&job, &target) else { unreachable!() };
        change(&mut spec);
        Spec::Restore(spec)
    };
    for database in ["admin", "local", "config", "lucid_ops", "Lucid_Ops"] {
        assert_eq!(code(run(to(&|spec| spec.database = database.into())).await), "bad_request");
    }
    assert_eq!(code(run(to(&|spec| spec.manifest.hash = "0".repeat(64))).await), "repository_damaged");
    assert_eq!(code(run(to(&|spec| spec.collections = Some(vec!["nobody".into()]))).await), "collection_not_found");

    let database = world.client.database(&target);
    let plan = run(to(&|spec| spec.dry_run = true)).await.expect("a plan");
    assert_eq!(plan.get_array("created").expect("told").len(), 11);
    assert!(database.list_collection_names().await.expect("names").is_empty());

    database.collection("users").insert_one(doc! { "_id": 1 }).await.expect("inserted");
    assert_eq!(code(run(to(&|spec| spec.replace = false)).await), "target_exists");
    database.run_command(doc! { "create": "sessions", "viewOn": "users" }).await.expect("a view");
    assert_eq!(code(run(to(&|_| ())).await), "kind_in_the_way");
    assert_eq!(database.collection::<Document>("users").count_documents(doc! {}).await.expect("counted"), 1);
    assert!(world.staging(&target).await.is_empty());

    // Some of it, in the plain.
    let plain = of(|spec| {
        (spec.encryption, spec.compression) = (false, false);
        spec.collections = Some(vec!["words".into(), "grown_view".into()]);
    });
    let job = world.job(plain);
    let result = world.run(&job, &job.claim()).await.expect("a backup");
    assert_eq!(result.get_i64("documents").expect("told"), 2);
    assert!(result.get_bool("consistent").expect("told"));
    world.restore(&job, &target).await.expect("a restore");
    world.stop().await;
}
