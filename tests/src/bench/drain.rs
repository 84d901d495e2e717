//! Working off what waits: one worker at two widths.

use crate::{
    Outcome,
    child::Child,
    enqueue::in_bulk,
    figures::{Goal, Report, cpu_s, per_s},
    stage::{Hall, Stage},
};
use bson::{Document, doc};
use futures::TryStreamExt;
use lucid_schemas::{State, collections::OPS};
use mongodb::Collection;
use std::time::Duration;
use tokio::time::sleep;

const LOOK_EVERY: Duration = Duration::from_millis(100);
const JOBS: usize = 20_000;

fn ops(hall: &Hall) -> Collection<Document> {
    hall.connection.client().database(&hall.name).collection(OPS)
}

/// Waits until no job is open.
pub async fn drained(hall: &Hall) -> Outcome<()> {
    let ops = ops(hall);
    for state in [State::Queued, State::Running] {
        // One state at a time: each has an index of its own.
        while ops.find_one(doc! { "state": state.as_str() }).await?.is_some() {
            sleep(LOOK_EVERY).await;
        }
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

async fn one_worker(stage: &mut Stage, report: &mut Report, slots: usize, goal: Goal) -> Outcome<()> {
    let hall = stage.hall(&format!("drain_{slots}")).await?;
    in_bulk(&hall, JOBS).await?;
    let server = stage.server()?;
    let server_before = cpu_s(server)?;
    let worker = Child::start(&hall, &stage.deployment.uri(), "bench/1", slots).await?;
    drained(&hall).await?;
    let (worker_s, server_s) = (cpu_s(worker.pid()?)?, cpu_s(server)? - server_before);
    report.add(format!("drain_at_{slots}_per_s"), per_s(JOBS, took(&hall).await?), goal);
    // What bounds it where a machine is busy, or small.
    for (process, used_s) in [("worker", worker_s), ("mongod", server_s)] {
        let each_us = 1_000_000.0 / per_s(JOBS, Duration::from_secs_f64(used_s));
        report.add(format!("drain_at_{slots}_{process}_cpu_us"), each_us, Goal::None);
    }
    eprintln!("{}", worker.stop().await?);
    Ok(())
}

pub async fn measure(stage: &mut Stage, report: &mut Report) -> Outcome<()> {
    one_worker(stage, report, 10, Goal::AtLeast(8_000.0)).await?;
    one_worker(stage, report, 100, Goal::None).await
}
