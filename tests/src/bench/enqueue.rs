//! Enqueueing: one by one beside bare inserts, and in bulk.

use crate::{
    Outcome,
    figures::{Goal, Report, median},
    floors::{inserts, rate, updates},
    stage::{Hall, Stage, no_op},
};
use bson::Document;
use lucid_ports::Store;
use lucid_schemas::collections::OPS;
use std::sync::Arc;

const ROUNDS: usize = 5;
const PER_ROUND: usize = 1_500;

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

pub async fn measure(stage: &Stage, report: &mut Report) -> Outcome<()> {
    let hall = stage.hall("enqueue").await?;
    let database = hall.connection.client().database(&hall.name);
    let bare = database.collection::<Document>("bare");
    let ops = database.collection::<Document>(OPS);
    one_by_one(&hall, 200).await?;
    let pattern = ops.find_one(Document::new()).await?.ok_or("no job to copy")?;
    let (mut inserted, mut updated, mut enqueued) = (Vec::new(), Vec::new(), Vec::new());
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
    }
    let (inserted, enqueued) = (median(inserted), median(enqueued));
    report.add("bare_inserts_per_s", inserted, Goal::None);
    report.add("bare_updates_per_s", median(updated), Goal::None);
    report.add("enqueue_per_s", enqueued, Goal::None);
    report.add("enqueue_by_bare_inserts", enqueued / inserted, Goal::AtLeast(0.75));
    Ok(())
}
