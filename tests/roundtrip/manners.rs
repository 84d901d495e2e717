//! How a worker treats a set that has other work to do: which member it reads from, and how fast.

use super::world::{World, backup};
use bson::{Document, doc};
use futures::future::try_join_all;
use lucid_embedded::Signal;
use lucid_handlers::{Pace, ReadFrom};
use lucid_ports::JobError;
use lucid_repository::ReadOrder;
use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

const DOCUMENTS: i64 = 6_000;

/// Documents with ids in no order, inserted from several sides at once: every member stores them in an order of its own.
async fn fill(world: &World, database: &str) {
    let collection = world.client.database(database).collection::<Document>("named");
    let document = |number: i64| {
        let word = number.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed());
        doc! { "_id": format!("{word:x}"), "text": format!("{word:x}").repeat(20) }
    };
    let inserts = (0..DOCUMENTS / 100).map(|group| {
        let documents: Vec<_> = (group * 100..group * 100 + 100).map(document).collect();
        collection.insert_many(documents).into_future()
    });
    try_join_all(inserts).await.expect("inserted");
}

fn told<'a>(result: &'a Document, field: &str) -> &'a str {
    result.get_str(field).expect("told")
}

fn content_hash(manifests: &[lucid_repository::Manifest]) -> Vec<String> {
    manifests.iter().map(|manifest| manifest.collections[0].content.content_hash.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_read_from_the_member_of_the_one_before() {
    let world = World::start(3).await;
    let database = world.database("member").await;
    fill(&world, &database).await;
    let world = world.with_worker(Pace::default(), |options| options.read_from = ReadFrom::Secondary);
    let (_, first) = world.back_up(&database).await;
    let secondary = told(&first, "member").to_owned();
    let hello = world.client.database("admin").run_command(doc! { "hello": 1 }).await.expect("greeted");
    assert_ne!(secondary, told(&hello, "primary"));
    assert!(first.get("stored_again").is_none());
    let (_, again) = world.back_up(&database).await;
    assert_eq!((told(&again, "member"), again.get_i64("chunks_new").ok()), (secondary.as_str(), Some(0)));

    // The primary stores them in another order, and the result says so; from then on it is the one to read from.
    let world = world.with_worker(Pace::default(), |options| options.read_from = ReadFrom::Primary);
    let (_, primary) = world.back_up(&database).await;
    assert_eq!(told(&primary, "member"), told(&hello, "primary"));
    assert_eq!(primary.get_array("stored_again").expect("told"), &vec!["named".into()]);
    let world = world.with_worker(Pace::default(), |options| options.read_from = ReadFrom::Any);
    let (_, any) = world.back_up(&database).await;
    assert_eq!((told(&any, "member"), any.get_i64("chunks_new").ok()), (told(&hello, "primary"), Some(0)));

    // The member of the backup before is dead: another one will do.
    let world = world.with_worker(Pace::default(), |options| options.read_from = ReadFrom::Secondary);
    let (_, before) = world.back_up(&database).await;
    let mut deployment = world.deployment.as_ref().expect("a set of its own").lock().await;
    let members = deployment.members();
    let dead = members.iter().position(|member| told(&before, "member").ends_with(&format!(":{}", member.port)));
    deployment.kill(dead.expect("a member"), Signal::SIGKILL).await.expect("killed");
    drop(deployment);
    let (_, other) = world.back_up(&database).await;
    assert_ne!(told(&other, "member"), told(&before, "member"));
    assert_ne!(told(&other, "member"), told(&hello, "primary"));
    assert_eq!(other.get_array("stored_again").expect("told"), &vec!["named".into()]);

    let entries = world.repository.manifests().await.expect("listed");
    let manifests: Vec<_> = entries.into_iter().filter_map(|entry| entry.manifest.ok()).collect();
    assert_eq!(manifests.len(), 6);
    let hashes = content_hash(&manifests);
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "every member holds the same documents: {hashes:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_by_id_is_the_same_on_every_member_however_many_cursors_read_it() {
    let world = World::start(3).await;
    let database = world.database("parts").await;
    let collection = world.client.database(&database).collection::<Document>("numbered");
    let document = |number: i64| doc! { "_id": number * 7 % DOCUMENTS, "text": format!("{number:x}").repeat(200) };
    for group in 0..DOCUMENTS / 500 {
        let documents: Vec<_> = (group * 500..group * 500 + 500).map(document).collect();
        collection.insert_many(documents).await.expect("inserted");
    }
    let mut lists = Vec::new();
    let mut world = world;
    for (from, part_bytes) in
        [(ReadFrom::Primary, 1_000_000), (ReadFrom::Secondary, 1_000_000), (ReadFrom::Primary, 1 << 30)]
    {
        world = world.with_worker(Pace::default(), |options| {
            (options.read_from, options.part_bytes, options.cursors) = (from, part_bytes, 4);
        });
        let (job, result) = world.back_up(&database).await;
        let entries = world.repository.manifests_of(job.job().id().as_str()).await.expect("listed");
        let manifest = entries.into_iter().next().expect("there").manifest.expect("sound");
        let collection = &manifest.collections[0];
        assert_eq!((collection.read_order, result.get_i64("documents").ok()), (ReadOrder::Id, Some(DOCUMENTS)));
        assert!(result.get("stored_again").is_none(), "{result}");
        lists.push((collection.content.chunk_lists.len(), result.get_i64("chunks_new").expect("told")));
        let restored = format!("{database}_{from:?}");
        world.restore(&job, &restored).await.expect("restored");
    }
    // Only chunks at the seams differ: in one piece all of them, and in parts again those of seams that chance, which the first ones come
    // of, has put too far from where even parts would end.
    assert_eq!((lists[0].0, lists[1].0, lists[2].0), (4, 4, 1), "{lists:?}");
    assert!(lists[0].1 > 15 && lists[1].1 <= 6 && lists[2].1 <= 9, "{lists:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_a_limit_keeps_to_it() {
    let world = World::start(1).await;
    let database = world.database("pace").await;
    fill(&world, &database).await;
    let (_, result) = world.back_up(&database).await;
    let bytes = u64::try_from(result.get_i64("raw_bytes").expect("told")).expect("some");
    let half_s = |bytes: u64| Pace::of(NonZeroU64::new(bytes * 2).expect("some"));
    let world = world.with_worker(half_s(bytes), |_| ());
    let start = Instant::now();
    let (job, _) = world.back_up(&database).await;
    // The last batch needs no waiting after it.
    assert!(start.elapsed() > Duration::from_millis(400), "{:?}", start.elapsed());
    let start = Instant::now();
    world.restore(&job, &format!("{database}_restored")).await.expect("restored");
    assert!(start.elapsed() > Duration::from_millis(400), "{:?}", start.elapsed());

    // So slow that the snapshot would be gone before all is read: refused before anything is.
    let world = world.with_worker(Pace::of(NonZeroU64::new(100).expect("some")), |_| ());
    let job = world.job(backup(&database));
    let Err(JobError::Failed(failure)) = world.run(&job, &job.claim()).await else {
        panic!("it was done");
    };
    assert_eq!(failure.code, "too_slow_for_window");
    world.stop().await;
}
