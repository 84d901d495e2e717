//! What finished jobs cost those that are to be claimed: nothing, if every look is served by an index.

use crate::{
    Outcome,
    figures::{Goal, Report, Spread},
    stage::{Hall, Stage, no_op, reach},
};
use bson::{DateTime, Document, doc};
use lucid_core::{Command, transition};
use lucid_ports::{Outcome as Applied, Store};
use lucid_schemas::collections::OPS;
use std::time::{Duration, Instant};

const SIZES: [usize; 3] = [100, 10_000, 1_000_000];
const SAMPLES: usize = 200;
const BATCH: usize = 2_000;

/// Looks for a job and claims it, then ends it; how long the first two took.
async fn claim(hall: &Hall) -> Outcome<Duration> {
    hall.store.enqueue(&no_op()).await?;
    let begun = Instant::now();
    let found = hall.store.claimable(&reach(), 26).await?.into_iter().next().ok_or("nothing to claim")?;
    let command = Command::Claim { worker: "bench/1".into(), lease_ms: 30_000, slots: Vec::new() };
    let write = uuid::Uuid::new_v4().to_string();
    let applied = hall.store.apply(&transition(&found, &command, "bench/1", &write)?).await?;
    let took = begun.elapsed();
    let Applied::Won(job) = applied else { return Err("another worker is here".into()) };
    let write = uuid::Uuid::new_v4().to_string();
    let end = Command::Succeed { epoch: job.head.epoch, result: doc! {} };
    hall.store.apply(&transition(&job, &end, "bench/1", &write)?).await?;
    Ok(took)
}

/// Copies a finished job until there are `size`; spread over days, as real ones are.
async fn fill(hall: &Hall, pattern: &Document, from: usize, size: usize) -> Outcome<()> {
    let ops = hall.connection.client().database(&hall.name).collection::<Document>(OPS);
    let numbers: Vec<usize> = (from..size).collect();
    for part in numbers.chunks(BATCH) {
        let documents = part.iter().map(|number| {
            let mut document = pattern.clone();
            let at = DateTime::from_millis(1_736_388_000_000 + i64::try_from(*number).unwrap_or(0) * 1_000);
            document.insert("_id", format!("verify_20250109_020000_{number:010}"));
            for field in ["created_at", "started_at", "finished_at", "run_at"] {
                document.insert(field, at);
            }
            document
        });
        ops.insert_many(documents).ordered(false).await?;
    }
    Ok(())
}

pub async fn measure(stage: &Stage, report: &mut Report) -> Outcome<()> {
    let hall = stage.hall("history").await?;
    let ops = hall.connection.client().database(&hall.name).collection::<Document>(OPS);
    for _ in 0..20 {
        claim(&hall).await?;
    }
    let pattern = ops.find_one(doc! { "state": "succeeded" }).await?.ok_or("no finished job to copy")?;
    let (mut filled, mut first) = (0, None);
    for size in SIZES {
        fill(&hall, &pattern, filled, size).await?;
        filled = size;
        let mut times = Vec::new();
        for _ in 0..SAMPLES {
            times.push(claim(&hall).await?);
        }
        let spread = Spread::of(times)?;
        report.add_spread(&format!("claim_beside_{size}_finished"), spread);
        let first = *first.get_or_insert(spread.p50_ms);
        report.add(format!("claim_beside_{size}_by_first"), spread.p50_ms / first, Goal::AtMost(1.5));
    }
    Ok(())
}
