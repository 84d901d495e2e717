//! A repository of four million chunks: what a backup of one small database costs beside them.

use super::house::{House, folder_bytes};
use crate::{
    Outcome,
    figures::{Goal, Report},
    stage::Stage,
};
use lucid_repository::{
    ChunkSizes, Compression, ContentOrder, DocumentBatch, Domain, InitOptions, Location, Repository, Unlock,
};
use lucid_sample::generate;

const CHUNKS: u32 = 4_000_000;
/// As small as chunks can be: each document is one.
const SIZES: ChunkSizes = ChunkSizes { min_bytes: 1, avg_bytes: 2, max_bytes: 3 };
const BATCH: u32 = 20_000;

#[allow(clippy::cast_precision_loss)] // Repositories of a bench are below 2^52 bytes.
pub async fn measure(stage: &mut Stage, report: &mut Report) -> Outcome<()> {
    let client = stage.deployment.client()?;
    generate(&client, "bench_beside", 20, false).await?;
    let house = House::with(stage, "bench_ops_chunks", fill).await?;
    report.add("chunks_repository_mb", folder_bytes(&house.repository())? as f64 / 1e6, Goal::None);
    for name in ["chunks_backup", "chunks_unchanged"] {
        super::add(report, name, &house.backup("bench_beside")?);
    }
    client.database("bench_beside").drop().await?;
    Ok(())
}

/// Makes a repository and fills it.
async fn fill(location: Location, unlock: Unlock) -> Outcome<()> {
    let options = InitOptions { chunk: SIZES, ..InitOptions::default() };
    Repository::init(&location, &unlock, &options).await?;
    let repository = Repository::open(&location, &unlock).await?;
    let writer = repository.begin("synthetic", 1, Domain::Sealed, Compression { level: None }).await?;
    let mut collection = writer.collection(ContentOrder::Any);
    for start in (0..CHUNKS).step_by(BATCH as usize) {
        let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
        for number in start..(start + BATCH).min(CHUNKS) {
            let document = bson::rawdoc! { "_id": i64::from(number) };
            offsets.push((u32::try_from(bytes.len())?, u32::try_from(document.as_bytes().len())?));
            bytes.extend_from_slice(document.as_bytes());
        }
        collection.push(DocumentBatch { bytes: bytes.into(), offsets }).await?;
    }
    collection.finish().await?;
    Ok(writer.finish().await?)
}
