//! Enqueueing: one by one beside bare inserts, and in bulk.

use crate::{
    Outcome,
    figures::{Goal, Report, cpu_s, median, per_s},
    floors::{inserts, rate, updates},
    stage::{Hall, Stage, no_op},
};
use bson::Document;
use futures::{StreamExt, TryStreamExt, stream};
use lucid_ports::{Enqueue, Store, StoreError};
use lucid_schemas::{Job, collections::OPS};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const ROUNDS: usize = 5;
const PER_ROUND: usize = 1_500;
const BULK: usize = 1_000;
const COUNTED: usize = 30_000;
const BULK_IN_FLIGHT: usize = 4;

/// Puts so many jobs, one call each.
pub async fn one_by_one(hall: &Hall, count: usize) -> Outcome<f64> {
    rate((0..count).map(|_| {
        let (store, enqueue) = (Arc::clone(&hall.store), no_op());
        async move {
            store.enqueue(&enqueue).await?;
            Ok(())
        }
    }))
    .await
}

/// Puts so many jobs in bulk, [`BULK_IN_FLIGHT`] calls at once.
pub async fn in_bulk(hall: &Hall, count: usize) -> Outcome<f64> {
    let parts: Vec<Vec<Enqueue>> = (0..count)
        .step_by(BULK)
        .map(|done| std::iter::repeat_with(no_op).take(BULK.min(count - done)).collect())
        .collect();
    let begun = Instant::now();
    let calls = stream::iter(parts).map(|part| {
        let store = Arc::clone(&hall.store);
        async move {
            let answers = tokio::spawn(async move { store.enqueue_many(&part).await }).await?;
            let made: Result<Vec<Job>, StoreError> = answers.into_iter().collect();
            Outcome::Ok(made?.len())
        }
    });
    let made: Vec<usize> = calls.buffer_unordered(BULK_IN_FLIGHT).try_collect().await?;
    Ok(per_s(made.iter().sum(), begun.elapsed()))
}

pub async fn measure(stage: &mut Stage, report: &mut Report) -> Outcome<()> {
    let hall = stage.hall("enqueue").await?;
    let database = hall.connection.client().database(&hall.name);
    let bare = database.collection::<Document>("bare");
    let ops = database.collection::<Document>(OPS);
    one_by_one(&hall, 200).await?;
    let pattern = ops.find_one(Document::new()).await?.ok_or("no job to copy")?;
    let (mut inserted, mut updated, mut enqueued, mut bulk) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let ids: Vec<String> = (0..PER_ROUND).map(|number| format!("{round}/{number}")).collect();
        let documents = ids.iter().map(|id| {
            let mut document = pattern.clone();
            document.insert("_id", id);
            document
        });
        inserted.push(inserts(&bare, documents.collect()).await?);
        enqueued.push(one_by_one(&hall, PER_ROUND).await?);
        updated.push(updates(&bare, ids).await?);
        bulk.push(in_bulk(&hall, 10 * PER_ROUND).await?);
    }
    let (inserted, enqueued) = (median(inserted), median(enqueued));
    report.add("bare_inserts_per_s", inserted, Goal::None);
    report.add("bare_updates_per_s", median(updated), Goal::None);
    report.add("enqueue_per_s", enqueued, Goal::None);
    report.add("enqueue_by_bare_inserts", enqueued / inserted, Goal::AtLeast(0.75));
    report.add("bulk_enqueue_per_s", median(bulk), Goal::AtLeast(30_000.0));
    let server_before = cpu_s(stage.server()?)?;
    let own_before = cpu_s(std::process::id())?;
    in_bulk(&hall, COUNTED).await?;
    // What bounds it where a machine is busy, or small.
    let used_s =
        [("client", cpu_s(std::process::id())? - own_before), ("mongod", cpu_s(stage.server()?)? - server_before)];
    for (process, used_s) in used_s {
        let each_us = 1_000_000.0 / per_s(COUNTED, Duration::from_secs_f64(used_s));
        report.add(format!("bulk_enqueue_{process}_cpu_us"), each_us, Goal::None);
    }
    Ok(())
}
