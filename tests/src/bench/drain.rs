//! Working off what waits: one worker at two widths, and eight workers that must not all try for every job.

use crate::{
    Outcome,
    child::Child,
    enqueue::in_bulk,
    figures::{Goal, Report, per_s},
    stage::{Hall, Stage, no_op},
};
use bson::{Document, doc};
use futures::{TryStreamExt, future::try_join_all};
use lucid_ports::Store;
use lucid_schemas::{State, collections::OPS};
use mongodb::Collection;
use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

const LOOK_EVERY: Duration = Duration::from_millis(100);
const JOBS: usize = 20_000;
const WORKERS: usize = 8;
const TRICKLE: usize = 600;
const TRICKLE_EVERY: Duration = Duration::from_millis(5);

fn ops(hall: &Hall) -> Collection<Document> {
    hall.connection.client().database(&hall.name).collection(OPS)
}

/// Waits until no job is open.
async fn drained(hall: &Hall) -> Outcome<()> {
    let open = doc! { "open": true, "state": { "$in": [State::Queued.as_str(), State::Running.as_str()] } };
    let ops = ops(hall);
    while ops.find_one(open.clone()).await?.is_some() {
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// From the first claim to the last end, by the server's clock.
async fn took(hall: &Hall) -> Outcome<Duration> {
    let between = doc! { "$group": {
        "_id": null, "first": { "$min": "$started_at" }, "last": { "$max": "$finished_at" },
    } };
    let found: Vec<Document> = ops(hall).aggregate([between]).await?.try_collect().await?;
    let found = found.first().ok_or("no jobs")?;
    let ms = found.get_datetime("last")?.timestamp_millis() - found.get_datetime("first")?.timestamp_millis();
    Ok(Duration::from_millis(u64::try_from(ms)?))
}

async fn one_worker(stage: &Stage, jobs: usize, slots: usize) -> Outcome<f64> {
    let hall = stage.hall(&format!("drain_{slots}")).await?;
    in_bulk(&hall, jobs).await?;
    let worker = Child::start(&hall, &stage.deployment.uri(), "bench/1", slots).await?;
    drained(&hall).await?;
    let took = took(&hall).await?;
    worker.stop().await?;
    Ok(per_s(jobs, took))
}

/// Claim attempts per claimed job of all workers together.
fn attempts_per_claim(counters: &[Value]) -> f64 {
    let sum = |name: &str| counters.iter().filter_map(|counts| counts[name].as_f64()).sum::<f64>();
    eprintln!("{}", Value::from(counters));
    sum("claim_attempts") / sum("claimed")
}

async fn many_workers(stage: &Stage, name: &str, trickling: bool) -> Outcome<f64> {
    let hall = stage.hall(name).await?;
    if !trickling {
        in_bulk(&hall, 5 * TRICKLE).await?;
    }
    let (uri, names) = (stage.deployment.uri(), (1..=WORKERS).map(|number| format!("bench/{number}")));
    let names: Vec<String> = names.collect();
    let workers = try_join_all(names.iter().map(|name| Child::start(&hall, &uri, name, 10))).await?;
    if trickling {
        for _ in 0..TRICKLE {
            hall.store.enqueue(&no_op()).await?;
            sleep(TRICKLE_EVERY).await;
        }
    }
    drained(&hall).await?;
    let counters = try_join_all(workers.into_iter().map(Child::stop)).await?;
    Ok(attempts_per_claim(&counters))
}

pub async fn measure(stage: &Stage, report: &mut Report) -> Outcome<()> {
    for (slots, goal) in [(10, Goal::AtLeast(8_000.0)), (100, Goal::None)] {
        let rate = one_worker(stage, JOBS, slots).await?;
        report.add(format!("drain_at_{slots}_per_s"), rate, goal);
    }
    for (name, trickling) in [("trickle", true), ("backlog", false)] {
        let attempts = many_workers(stage, name, trickling).await?;
        report.add(format!("eight_workers_{name}_attempts_by_claims"), attempts, Goal::AtMost(1.2));
    }
    Ok(())
}
