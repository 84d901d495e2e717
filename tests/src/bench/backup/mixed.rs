//! 750 MB of mixed documents, as services have them: what is backed up every night.

use super::{
    add,
    floors::{Floor, copy, drain},
    house::{House, Took},
    peers::{self, Beside},
};
use crate::{
    Outcome,
    figures::{Goal, Report, median},
    stage::Stage,
};
use bson::Document;
use futures::TryStreamExt;
use lucid_sample::{Change, change, generate};
use std::io::Write;

const DATABASE: &str = "bench_mixed";
const MEGABYTES: u64 = 750;
const ROUNDS: usize = 3;
const BYTES_PER_GB: f64 = 1e9;

pub async fn measure(stage: &mut Stage, report: &mut Report) -> Outcome<()> {
    let client = stage.deployment.client()?;
    generate(&client, DATABASE, MEGABYTES, false).await?;
    drain(stage, DATABASE).await?;
    let mut fulls = Vec::new();
    let mut drains = Vec::new();
    let mut last = None;
    for round in 0..ROUNDS {
        drains.push(drain(stage, DATABASE).await?);
        let house = House::build(stage, &format!("bench_ops_mixed_{round}")).await?;
        fulls.push(house.backup(DATABASE)?);
        last = Some(house);
    }
    let (house, full) = (last.ok_or("no round")?, fulls.last().ok_or("no round")?.clone());
    let drain_s = median(drains.iter().map(|drain| drain.seconds).collect());
    report.add("mixed_raw_mb", full.figure("raw_bytes")? / 1e6, Goal::None);
    report.add("mixed_drain_s", drain_s, Goal::None);
    first(report, &fulls, drain_s);
    report.add("mixed_stored_mb", full.figure("stored_bytes")? / 1e6, Goal::None);
    let stream = stream_bytes(stage).await?;
    report.add("mixed_stored_to_stream_zstd_3_ratio", full.figure("stored_bytes")? / stream, Goal::AtMost(1.0));
    let backup_s = median(fulls.iter().map(|took| took.seconds).collect());
    let beside = Beside { chapter: "mixed", database: DATABASE, ours_s: backup_s };
    peers::dump(stage, report, beside, &peers::DUMPS).await?;
    verified(report, "mixed_verify", &house, &full, Goal::AtLeast(0.8))?;
    unchanged(stage, report, &house, &full).await?;
    let latest = changes(stage, report, &house, &full, backup_s).await?;
    // Most of its chunks are deltas: what they build on is read, too.
    verified(report, "mixed_verify_deltas", &house, &latest, Goal::None)?;
    restored(stage, report, &house, &latest).await
}

fn first(report: &mut Report, fulls: &[Took], drain_s: f64) {
    let of = |figure: fn(&Took) -> f64| median(fulls.iter().map(figure).collect());
    let seconds = of(|took| took.seconds);
    report.add("mixed_backup_s", seconds, Goal::None);
    // A plain mongodump takes 2.4 drains of the same data (shared figures of one machine); 1.25 of these are the goal.
    report.add("mixed_backup_to_drain_ratio", seconds / drain_s, Goal::AtMost(3.0));
    report.add("mixed_backup_cpu_s", of(|took| took.cpu_s), Goal::None);
    report.add("mixed_backup_peak_mb", of(|took| took.peak_mb), Goal::AtMost(96.0));
}

/// Bytes of all documents as one stream, compressed as `mongodump --archive | zstd -3` would.
async fn stream_bytes(stage: &Stage) -> Outcome<f64> {
    let database = stage.deployment.client()?.database(DATABASE);
    let mut encoder = zstd::Encoder::new(Count(0.0), 3)?;
    for name in database.list_collection_names().await? {
        let mut cursor = database.collection::<Document>(&name).find(bson::doc! {}).batch().await?;
        while let Some(batch) = cursor.try_next().await? {
            for document in batch.doc_slices()? {
                encoder.write_all(document?.as_document().ok_or("no document")?.as_bytes())?;
            }
        }
    }
    Ok(encoder.finish()?.0)
}

/// Counts what is written.
struct Count(f64);

impl Write for Count {
    #[allow(clippy::cast_precision_loss)] // Buffers are small.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as f64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn unchanged(stage: &mut Stage, report: &mut Report, house: &House, full: &Took) -> Outcome<()> {
    let (mut ratios, mut stored) = (Vec::new(), 0.0);
    for _ in 0..ROUNDS {
        let Floor { seconds, .. } = drain(stage, DATABASE).await?;
        let again = house.backup(DATABASE)?;
        ratios.push(again.seconds / seconds);
        stored = again.figure("stored_bytes")?;
        add(report, "mixed_unchanged", &again);
    }
    report.add("mixed_unchanged_to_drain_ratio", median(ratios), Goal::AtMost(1.3));
    report.add("mixed_unchanged_stored_percent", 100.0 * stored / full.figure("stored_bytes")?, Goal::AtMost(1.0));
    Ok(())
}

/// What a hundredth of changes costs; the last backup.
async fn changes(stage: &Stage, report: &mut Report, house: &House, full: &Took, full_s: f64) -> Outcome<Took> {
    let client = stage.deployment.client()?;
    let kinds = [("append", Change::Append, 2.0), ("update", Change::Update, 3.0), ("delete", Change::Delete, 5.0)];
    let mut latest = full.clone();
    for (name, kind, goal) in kinds {
        change(&client, DATABASE, kind, 1).await?;
        latest = house.backup(DATABASE)?;
        let percent = 100.0 * latest.figure("stored_bytes")? / full.figure("stored_bytes")?;
        add(report, &format!("mixed_{name}"), &latest);
        report.add(format!("mixed_{name}_stored_percent"), percent, Goal::AtMost(goal));
        report.add(format!("mixed_{name}_to_full_ratio"), latest.seconds / full_s, Goal::AtMost(1.0));
    }
    Ok(latest)
}

fn verified(report: &mut Report, name: &str, house: &House, backup: &Took, goal: Goal) -> Outcome<()> {
    let took = house.verify(&backup.job_id)?;
    add(report, name, &took);
    let raw = backup.figure("raw_bytes")?;
    report.add(format!("{name}_gb_per_s"), raw / BYTES_PER_GB / took.seconds, goal);
    Ok(())
}

async fn restored(stage: &mut Stage, report: &mut Report, house: &House, backup: &Took) -> Outcome<()> {
    let client = stage.deployment.client()?;
    let floor = copy(stage, DATABASE, "bench_copied").await?;
    client.database("bench_copied").drop().await?;
    report.add("mixed_insert_floor_s", floor.seconds, Goal::None);
    report.add("mixed_insert_floor_mongod_cpu_s", floor.server_cpu_s, Goal::None);
    let took = house.restore(&backup.job_id, "bench_restored")?;
    add(report, "mixed_restore", &took);
    report.add("mixed_restore_to_insert_floor_ratio", took.seconds / floor.seconds, Goal::None);
    client.database("bench_restored").drop().await?;
    let beside = Beside { chapter: "mixed", database: DATABASE, ours_s: took.seconds };
    peers::restore(stage, report, beside, &peers::RESTORES).await
}
