//! Data of the chapters, and a server slow enough to catch a job in the middle of it.

use super::World;
use bson::{Binary, Bson, Document, doc, spec::BinarySubtype};
use lucid_embedded::Options;
use lucid_schemas::http::JobView;
use mongodb::Client;
use std::{ops::Range, path::PathBuf};

const NOISE_BYTES: usize = 1_000;

/// Options of a server that takes fail points.
pub fn with_fail_points(dir: PathBuf) -> Options {
    Options::new(dir).parameter("enableTestCommands", "1")
}

/// Fills `database`.rows with documents of about 1 kB that no compression makes smaller, so that packs fill.
pub async fn rows(world: &World, database: &str, documents: u32) {
    rows_of(world, database, 0..documents).await;
}

/// The same for these numbers.
pub async fn rows_of(world: &World, database: &str, numbers: Range<u32>) {
    fill(&world.client(), database, numbers).await;
}

/// The same through this client.
pub async fn fill(client: &Client, database: &str, numbers: Range<u32>) {
    let collection = client.database(database).collection::<Document>("rows");
    let mut batch = Vec::new();
    for number in numbers {
        batch.push(doc! { "_id": number, "noise": noise(number) });
        if batch.len() == 4_000 {
            collection.insert_many(std::mem::take(&mut batch)).await.expect("inserted");
        }
    }
    if !batch.is_empty() {
        collection.insert_many(batch).await.expect("inserted");
    }
}

fn noise(seed: u32) -> Bson {
    let mut state = u64::from(seed) << 1 | 1;
    let bytes = std::iter::repeat_with(|| {
        // xorshift64: noise enough for a compressor.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.flatten().take(NOISE_BYTES).collect() })
}

/// Lets the server take so long for each of these commands: a job stays in the middle of its work for seconds.
pub async fn slow_down(world: &World, command: &str, each_ms: i32) {
    let fail_point = doc! {
        "configureFailPoint": "failCommand",
        "mode": "alwaysOn",
        "data": { "failCommands": [command], "blockConnection": true, "blockTimeMS": each_ms, "appName": "lucid-ops" },
    };
    world.client().database("admin").run_command(fail_point).await.expect("test commands are on");
}

/// Whether the job is running and has moved documents.
pub fn copying(job: &JobView) -> bool {
    job.state == "running" && job.progress.as_ref().is_some_and(|progress| progress.documents > 0)
}
