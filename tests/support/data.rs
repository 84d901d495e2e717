//! Data of the chapters, and when a job is in the middle of it.

use super::World;
use bson::{Document, doc};
use lucid_schemas::http::JobView;

/// Fills `database`.rows with so many documents of about 1.4 kB: 60,000 keep a backup of a debug build busy for seconds.
pub async fn rows(world: &World, database: &str, documents: u32) {
    let collection = world.client().database(database).collection::<Document>("rows");
    let filler: String = ('a'..='z').cycle().take(1_000).collect();
    let mut batch = Vec::new();
    for number in 0..documents {
        // Not compressible away: each document has noise of its own.
        let noise: Vec<i64> = (0..40)
            .map(|round| i64::from(number) * 2_654_435_761 % (1_000_003 + round))
            .collect();
        batch.push(doc! { "_id": number, "filler": &filler, "noise": noise });
        if batch.len() == 2_000 {
            collection
                .insert_many(std::mem::take(&mut batch))
                .await
                .expect("inserted");
        }
    }
    if !batch.is_empty() {
        collection.insert_many(batch).await.expect("inserted");
    }
}

/// Whether the job is running and has moved documents.
pub fn copying(job: &JobView) -> bool {
    job.state == "running" && job.progress.as_ref().is_some_and(|progress| progress.documents > 0)
}
