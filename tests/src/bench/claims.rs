//! Eight workers, which must not all try for every job: where jobs trickle in, and where they wait.

use crate::{
    Outcome,
    child::Child,
    drain::drained,
    enqueue::in_bulk,
    figures::{Goal, Report},
    stage::{Stage, no_op},
};
use futures::future::try_join_all;
use lucid_ports::{Pause, Store};
use lucid_schemas::Kind;
use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

const WORKERS: usize = 8;
const SETTLE: Duration = Duration::from_secs(3);
const TRICKLE: usize = 600;
const TRICKLE_EVERY: Duration = Duration::from_millis(5);
const BACKLOG: usize = 5_000;

/// Claim attempts per claimed job of all workers together.
fn attempts_per_claim(counters: &[Value]) -> f64 {
    let sum = |name: &str| counters.iter().filter_map(|counts| counts[name].as_f64()).sum::<f64>();
    eprintln!("{}", Value::from(counters));
    sum("claim_attempts") / sum("claimed")
}

async fn many_workers(stage: &Stage, name: &str, trickling: bool) -> Outcome<f64> {
    let hall = stage.hall(name).await?;
    if !trickling {
        let by = "bench".to_owned();
        hall.store.pause(&Pause { kind: Kind::Verify, by, reason: "a backlog is made".into(), at: None }).await?;
        in_bulk(&hall, BACKLOG).await?;
    }
    let (uri, names) = (stage.deployment.uri(), (1..=WORKERS).map(|number| format!("bench/{number}")));
    let names: Vec<String> = names.collect();
    let workers = try_join_all(names.iter().map(|name| Child::start(&hall, &uri, name, 10))).await?;
    // Until each knows of the others.
    sleep(SETTLE).await;
    if trickling {
        for _ in 0..TRICKLE {
            hall.store.enqueue(&no_op()).await?;
            sleep(TRICKLE_EVERY).await;
        }
    } else {
        hall.store.unpause(Kind::Verify).await?;
    }
    drained(&hall).await?;
    let counters = try_join_all(workers.into_iter().map(Child::stop)).await?;
    Ok(attempts_per_claim(&counters))
}

pub async fn measure(stage: &Stage, report: &mut Report) -> Outcome<()> {
    for (name, trickling) in [("trickle", true), ("backlog", false)] {
        let attempts = many_workers(stage, name, trickling).await?;
        report.add(format!("eight_workers_{name}_attempts_by_claims"), attempts, Goal::AtMost(1.2));
    }
    Ok(())
}
