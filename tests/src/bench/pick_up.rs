//! From the call of an enqueue to the start of the handler in an idle worker, in turn with the bare change stream.

use crate::{
    Outcome,
    child::{Child, now_us},
    figures::{Goal, Report, Spread},
    floors::BareStream,
    stage::{Hall, Stage, no_op},
};
use bson::{Document, doc};
use lucid_ports::Store;
use lucid_schemas::{Job, JobId, State, collections::OPS};
use std::time::Duration;
use tokio::time::sleep;

const WARM_UP: usize = 20;
const SAMPLES: usize = 400;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The job once it has succeeded.
async fn succeeded(hall: &Hall, id: &JobId) -> Outcome<Job> {
    loop {
        let job = hall.store.load(id).await?.ok_or("the job is gone")?;
        if job.head.state == State::Succeeded {
            return Ok(job);
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn pick_up(hall: &Hall) -> Outcome<Duration> {
    let enqueue = no_op();
    let called_us = now_us();
    let job = hall.store.enqueue(&enqueue).await?;
    let job = succeeded(hall, job.id()).await?;
    let started_us = job.head.result.as_ref().ok_or("no result")?.get_i64("started_us")?;
    Ok(Duration::from_micros(u64::try_from(started_us - called_us)?))
}

pub async fn measure(stage: &Stage, report: &mut Report) -> Outcome<()> {
    let hall = stage.hall("pick_up").await?;
    let database = hall.connection.client().database(&hall.name);
    let worker = Child::start(&hall, &stage.deployment.uri(), "bench/1", 10).await?;
    let mut bare = BareStream::open(database.collection("bare")).await?;
    pick_up(&hall).await?;
    let pattern = database.collection::<Document>(OPS).find_one(doc! {}).await?.ok_or("no job to copy")?;
    let (mut woken, mut picked_up) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + SAMPLES {
        let mut document = pattern.clone();
        document.insert("_id", number.to_string());
        let (wake, pick_up) = (bare.wake(document).await?, pick_up(&hall).await?);
        if number >= WARM_UP {
            woken.push(wake);
            picked_up.push(pick_up);
        }
    }
    worker.stop().await?;
    let (woken, picked_up) = (Spread::of(woken)?, Spread::of(picked_up)?);
    report.add_spread("bare_wake_up", woken);
    report.add_spread("pick_up", picked_up);
    report.add("pick_up_p50_by_bare_wake_up", picked_up.p50_ms / woken.p50_ms, Goal::AtMost(2.2));
    report.add("pick_up_p99_by_bare_wake_up", picked_up.p99_ms / woken.p99_ms, Goal::AtMost(4.0));
    Ok(())
}
