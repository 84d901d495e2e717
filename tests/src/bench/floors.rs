//! The floors: what the same server gives a bare driver, without anything of this engine.

use crate::{Outcome, figures::per_s};
use bson::{Document, doc};
use futures::{StreamExt, TryStreamExt, stream};
use mongodb::{Collection, change_stream::ChangeStream};
use std::time::{Duration, Instant};

/// How many calls are under way at once.
pub const IN_FLIGHT: usize = 16;

/// Runs `calls` with [`IN_FLIGHT`] at once, each in a task of its own; how many a second.
pub async fn rate<F>(calls: impl Iterator<Item = F>) -> Outcome<f64>
where
    F: Future<Output = Outcome<()>> + Send + 'static,
{
    let begun = Instant::now();
    let tasks = stream::iter(calls).map(|call| async { tokio::spawn(call).await? });
    let done: Vec<()> = tasks.buffer_unordered(IN_FLIGHT).try_collect().await?;
    Ok(per_s(done.len(), begun.elapsed()))
}

/// Single inserts of documents as large as a job, no index but `_id`, majority and journal.
pub async fn inserts(bare: &Collection<Document>, documents: Vec<Document>) -> Outcome<f64> {
    rate(documents.into_iter().map(|document| {
        let bare = bare.clone();
        async move {
            bare.insert_one(document).await?;
            Ok(())
        }
    }))
    .await
}

/// Single updates of one field, found by `_id`.
pub async fn updates(bare: &Collection<Document>, ids: Vec<String>) -> Outcome<f64> {
    rate(ids.into_iter().map(|id| {
        let bare = bare.clone();
        async move {
            bare.update_one(doc! { "_id": id }, doc! { "$inc": { "version": 1_i64 } }).await?;
            Ok(())
        }
    }))
    .await
}

/// A change stream on a bare collection, for its latency.
pub struct BareStream {
    bare: Collection<Document>,
    stream: ChangeStream<mongodb::change_stream::event::ChangeStreamEvent<Document>>,
}

impl BareStream {
    pub async fn open(bare: Collection<Document>) -> Outcome<Self> {
        let stream = bare.watch().await?;
        Ok(Self { bare, stream })
    }

    /// From the call of an insert to its event.
    pub async fn wake(&mut self, document: Document) -> Outcome<Duration> {
        let bare = self.bare.clone();
        let called = Instant::now();
        let insert = tokio::spawn(async move { bare.insert_one(document).await });
        self.stream.next().await.ok_or("the bare stream ended")??;
        let woken = called.elapsed();
        insert.await??;
        Ok(woken)
    }
}
