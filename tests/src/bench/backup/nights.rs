//! A month: thirty nights, each after a hundredth of the documents was updated at random.

use super::house::{House, folder_bytes};
use crate::{
    Outcome,
    figures::{Goal, Report, median},
    stage::Stage,
};
use lucid_sample::{Change, change, generate};

const DATABASE: &str = "bench_nights";
const MEGABYTES: u64 = 100;
const NIGHTS: u64 = 30;

/// Backs up every night; in the end every backup is verified byte by byte, and the oldest and the newest are restored.
#[allow(clippy::cast_precision_loss)] // Repositories of a bench are below 2^52 bytes.
pub async fn measure(stage: &mut Stage, report: &mut Report) -> Outcome<()> {
    let client = stage.deployment.client()?;
    generate(&client, DATABASE, MEGABYTES, false).await?;
    let house = House::build(stage, "bench_ops_nights").await?;
    let full = house.backup(DATABASE)?;
    let first_bytes = folder_bytes(&house.repository())? as f64;
    let mut nights = vec![full.clone()];
    for night in 1..=NIGHTS {
        change(&client, DATABASE, Change::Update, night).await?;
        nights.push(house.backup(DATABASE)?);
    }
    let all_bytes = folder_bytes(&house.repository())? as f64;
    report.add("nights_to_full_stored_ratio", all_bytes / first_bytes, Goal::AtMost(2.0));
    let ratio = |took: &super::house::Took| took.seconds / full.seconds;
    report.add("nights_to_full_time_ratio", median(nights[1..].iter().map(ratio).collect()), Goal::AtMost(1.0));
    for night in &nights {
        house.verify(&night.job_id)?;
    }
    for (name, night) in [("first", nights.first()), ("last", nights.last())] {
        let night = night.ok_or("no nights")?;
        let took = house.restore(&night.job_id, "bench_nights_restored")?;
        report.add(format!("nights_{name}_restore_s"), took.seconds, Goal::None);
        if name == "last" {
            let found = lucid_sample::compare(&client, DATABASE, "bench_nights_restored").await?;
            if let Some(difference) = found.first() {
                return Err(format!("the last night came back otherwise: {difference}").into());
            }
        }
        client.database("bench_nights_restored").drop().await?;
    }
    report.add("nights_verified_count", nights.len() as f64, Goal::None);
    client.database(DATABASE).drop().await?;
    Ok(())
}
