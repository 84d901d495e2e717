//! What waiting costs: CPU and memory of a worker with nothing to do, and of the server beside it.

use crate::{
    Outcome,
    child::Child,
    figures::{Goal, Report, cpu_s, resident_mb},
    stage::Stage,
};
use std::time::Duration;
use tokio::time::sleep;

const SETTLE: Duration = Duration::from_secs(5);
const WATCH: Duration = Duration::from_secs(30);

pub async fn measure(stage: &mut Stage, report: &mut Report) -> Outcome<()> {
    let hall = stage.hall("idle").await?;
    let worker = Child::start(&hall, &stage.deployment.uri(), "bench/1", 10).await?;
    let (worker_pid, server_pid) = (worker.pid()?, stage.server()?);
    sleep(SETTLE).await;
    let before = (cpu_s(worker_pid)?, cpu_s(server_pid)?);
    sleep(WATCH).await;
    let after = (cpu_s(worker_pid)?, cpu_s(server_pid)?);
    let per_minute = 60.0 / WATCH.as_secs_f64();
    report.add("idle_worker_cpu_s_per_min", (after.0 - before.0) * per_minute, Goal::AtMost(0.2));
    report.add("idle_worker_resident_mb", resident_mb(worker_pid)?, Goal::AtMost(25.0));
    report.add("idle_mongod_cpu_s_per_min", (after.1 - before.1) * per_minute, Goal::None);
    report.add("idle_mongod_resident_mb", resident_mb(server_pid)?, Goal::None);
    worker.stop().await?;
    Ok(())
}
