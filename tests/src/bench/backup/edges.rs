//! Databases at the edges, and the same database at several sizes.

use super::{
    add,
    floors::drain,
    house::House,
    peers::{self, Beside, Way},
};
use crate::{
    Outcome,
    figures::{Goal, Report},
    stage::Stage,
};
use lucid_sample::{Edge, generate, generate_edge};

const TINY_DOCUMENTS: u64 = 2_000_000;
const HUGE_DOCUMENTS: u64 = 300;
const HUGE_DOCUMENT_BYTES: usize = 12_000_000;
const MANY_COLLECTIONS: u64 = 10_000;
/// Of a server, beside those of collections: its own, and connections.
const OTHER_FILES: u64 = 1_000;
/// MB of the smallest size; the others are 4 and 16 times as large.
const SMALLEST_MEGABYTES: u64 = 50;

/// So many collections, or as many as a server can open here three times, as they are restored beside by us and by another tool, and
/// what was dropped stays open for a while: each has two files.
fn many() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().nth(1)?.parse().ok());
    files.map_or(MANY_COLLECTIONS, |files: u64| MANY_COLLECTIONS.min(files.saturating_sub(OTHER_FILES) / 6))
}

/// One database at an edge: a first backup, one of the same again, and a restore, and what other tools take for it.
#[allow(clippy::cast_precision_loss)] // Collections of a bench are far below 2^52.
pub async fn measure(name: &str, stage: &mut Stage, report: &mut Report) -> Outcome<()> {
    let (edge, peak_goal) = match name {
        "tiny" => (Edge::Tiny { documents: TINY_DOCUMENTS }, Goal::AtMost(96.0)),
        "huge" => {
            let (documents, document_bytes) = (HUGE_DOCUMENTS, HUGE_DOCUMENT_BYTES);
            (Edge::Huge { documents, document_bytes }, Goal::AtMost(256.0))
        }
        _ => {
            let collections = many();
            report.add("many_collections", collections as f64, Goal::None);
            (Edge::Many { collections }, Goal::AtMost(96.0))
        }
    };
    let (client, database) = (stage.deployment.client()?, format!("bench_{name}"));
    generate_edge(&client, &database, edge, false).await?;
    let house = House::build(stage, &format!("bench_ops_{name}")).await?;
    drain(stage, &database).await?;
    let floor = drain(stage, &database).await?;
    report.add(format!("{name}_drain_s"), floor.seconds, Goal::None);
    let full = house.backup(&database)?;
    report.add(format!("{name}_backup_s"), full.seconds, Goal::None);
    report.add(format!("{name}_backup_cpu_s"), full.cpu_s, Goal::None);
    report.add(format!("{name}_backup_peak_mb"), full.peak_mb, peak_goal);
    report.add(format!("{name}_raw_mb"), full.figure("raw_bytes")? / 1e6, Goal::None);
    report.add(format!("{name}_stored_mb"), full.figure("stored_bytes")? / 1e6, Goal::None);
    add(report, &format!("{name}_unchanged"), &house.backup(&database)?);
    add(report, &format!("{name}_verify"), &house.verify(&full.job_id)?);
    let restored = house.restore(&full.job_id, &format!("{database}_restored"))?;
    add(report, &format!("{name}_restore"), &restored);
    client.database(&format!("{database}_restored")).drop().await?;
    let beside = |ours_s| Beside { chapter: name, database: &database, ours_s };
    let plainly = |way: Way| [(way.0, way.1, Goal::None)];
    peers::dump(stage, report, beside(full.seconds), &plainly(peers::DUMPS[0])).await?;
    peers::restore(stage, report, beside(restored.seconds), &plainly(peers::RESTORES[0])).await?;
    Ok(client.database(&database).drop().await?)
}

/// Time for each MB, and memory, at 1x, 4x and 16x: both should stay what they are.
pub async fn sizes(stage: &mut Stage, report: &mut Report) -> Outcome<()> {
    let (client, database) = (stage.deployment.client()?, "bench_sizes");
    let (mut each_ms, mut peaks) = (Vec::new(), Vec::new());
    for times in [1, 4, 16] {
        let megabytes = SMALLEST_MEGABYTES * times;
        generate(&client, database, megabytes, false).await?;
        drain(stage, database).await?;
        let house = House::build(stage, &format!("bench_ops_sizes_{times}")).await?;
        let full = house.backup(database)?;
        let restored = house.restore(&full.job_id, "bench_sizes_restored")?;
        client.database("bench_sizes_restored").drop().await?;
        add(report, &format!("size_{times}x_backup"), &full);
        add(report, &format!("size_{times}x_restore"), &restored);
        let ms = 1_000.0 * full.seconds / (full.figure("raw_bytes")? / 1e6);
        report.add(format!("size_{times}x_backup_per_mb_ms"), ms, Goal::None);
        each_ms.push(ms);
        peaks.push(full.peak_mb);
    }
    client.database(database).drop().await?;
    report.add("size_16x_to_4x_time_per_mb_ratio", each_ms[2] / each_ms[1], Goal::AtMost(1.25));
    report.add("size_16x_to_4x_peak_ratio", peaks[2] / peaks[1], Goal::AtMost(1.15));
    Ok(())
}
