//! Night after night: a backup of what changed costs what changed, and every night comes back.

use super::{
    sample::{assert_same, contents},
    world::{World, verify},
};
use bson::{Bson, Document, doc};
use lucid_schemas::VerifyLevel;

const DOCUMENTS: i64 = 8_000;

/// Text that hardly compresses, different for each number.
fn noise(number: i64) -> String {
    let word = |n: u64| {
        format!("{:016x}", (number.cast_unsigned() + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_mul(2 * n + 1))
    };
    (0..24).map(word).collect()
}

fn documents(id: impl Fn(i64) -> Bson) -> Vec<Document> {
    (0..DOCUMENTS).map(|number| doc! { "_id": id(number), "number": number, "text": noise(number) }).collect()
}

/// One document in a hundred gets another text, one in two hundred goes, and a few come.
async fn change(world: &World, database: &str, night: i64) {
    for name in ["numbered", "named"] {
        let collection = world.client.database(database).collection::<Document>(name);
        let every = |modulus: i64, rest: i64| doc! { "number": { "$mod": [modulus, rest] } };
        let grown = doc! { "$set": { "text": noise(1_000_000 * night) } };
        collection.update_many(every(100, night * 17 % 100), grown).await.expect("updated");
        collection.delete_many(every(200, night * 31 % 200)).await.expect("deleted");
        let new = (0..40).map(|n| doc! { "_id": format!("night {night} {n}"), "text": noise(2_000_000 * night + n) });
        let new: Vec<_> = if name == "named" { new.collect() } else { Vec::new() };
        if !new.is_empty() {
            collection.insert_many(new).await.expect("inserted");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_night_comes_back_and_costs_what_changed() {
    let world = World::start(1).await;
    let source = world.database("nights").await;
    let database = world.client.database(&source);
    database.collection("numbered").insert_many(documents(Bson::from)).await.expect("inserted");
    let named = documents(|number| Bson::from(format!("{:x}", number.wrapping_mul(0x9E37_79B9_7F4A))));
    database.collection("named").insert_many(named).await.expect("inserted");

    let (first, result) = world.back_up(&source).await;
    let full_bytes = result.get_i64("stored_bytes").expect("told");
    assert_eq!(result.get_i64("chunks_delta").expect("told"), 0);
    let mut nights = vec![(first, contents(&world.client, &source).await)];
    for night in 1..=4 {
        change(&world, &source, night).await;
        let (backup, result) = world.back_up(&source).await;
        let stored_bytes = result.get_i64("stored_bytes").expect("told");
        assert!(result.get_i64("chunks_delta").expect("told") > 0, "{result}");
        assert!(stored_bytes * 4 < full_bytes, "night {night}: {stored_bytes} of {full_bytes}");
        nights.push((backup, contents(&world.client, &source).await));
    }
    for (night, (backup, was)) in nights.iter().enumerate() {
        let job = world.job(verify(backup, VerifyLevel::Data));
        world.run(&job, &job.claim()).await.expect("sound");
        let target = world.database(&format!("night_{night}")).await;
        world.restore(backup, &target).await.expect("a restore");
        assert_same(was, &contents(&world.client, &target).await);
    }
    world.stop().await;
}
