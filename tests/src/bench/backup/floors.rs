//! What nothing can be faster than: reading, and inserting, with no work in between.

use crate::{Outcome, figures::cpu_s, stage::Stage};
use bson::{Document, RawArrayBuf, RawDocumentBuf, doc, rawdoc};
use futures::{StreamExt, TryStreamExt, stream};
use mongodb::{Client, Database};
use std::time::Instant;

/// Documents of an insert: as many as take about 1 MB.
const INSERT_BYTES: usize = 1_000_000;
/// Inserts on their way, of each collection.
const INSERTS: usize = 4;

/// A time, and what the server's processors were busy for.
#[derive(Debug, Clone, Copy)]
pub struct Floor {
    pub seconds: f64,
    pub server_cpu_s: f64,
}

/// Reads everything in raw batches, a cursor for each collection.
pub async fn drain(stage: &mut Stage, database: &str) -> Outcome<Floor> {
    let (server, client) = (stage.server()?, stage.deployment.client()?);
    let before_s = cpu_s(server)?;
    let drained = lucid_sample::drain(&client, database).await?;
    Ok(Floor { seconds: drained.took.as_secs_f64(), server_cpu_s: cpu_s(server)? - before_s })
}

/// Copies a database as plainly as can be: raw batches in, a few inserts at once, no majority, then the indexes.
pub async fn copy(stage: &mut Stage, from: &str, to: &str) -> Outcome<Floor> {
    let (server, client) = (stage.server()?, stage.deployment.client()?);
    let (source, target) = (client.database(from), client.database(to));
    let (start, before_s) = (Instant::now(), cpu_s(server)?);
    let names = source.list_collection_names().await?;
    let copies = names.iter().map(|name| copy_one(&client, (&source, &target), name));
    stream::iter(copies).buffer_unordered(names.len().max(1)).try_collect::<()>().await?;
    Ok(Floor { seconds: start.elapsed().as_secs_f64(), server_cpu_s: cpu_s(server)? - before_s })
}

async fn copy_one(client: &Client, (source, target): (&Database, &Database), name: &str) -> Outcome<()> {
    let mut cursor = client.database(source.name()).collection::<Document>(name).find(doc! {}).batch().await?;
    let (mut waiting, mut waiting_bytes) = (RawArrayBuf::new(), 0);
    let mut running = stream::FuturesUnordered::new();
    while let Some(batch) = cursor.try_next().await? {
        for document in batch.doc_slices()? {
            let document = document?.as_document().ok_or("no document")?;
            waiting.push(document);
            waiting_bytes += document.as_bytes().len();
            if waiting_bytes >= INSERT_BYTES {
                waiting_bytes = 0;
                running.push(insert(target, name, std::mem::take(&mut waiting)));
            }
            while running.len() >= INSERTS {
                running.next().await.transpose()?;
            }
        }
    }
    running.push(insert(target, name, waiting));
    while running.next().await.transpose()?.is_some() {}
    let listed = source.run_command(doc! { "listIndexes": name }).await?;
    let listed = listed.get_document("cursor")?.get_array("firstBatch")?;
    let indexes: Vec<Document> = listed.iter().filter_map(bson::Bson::as_document).cloned().collect();
    target.run_command(doc! { "createIndexes": name, "indexes": indexes }).await?;
    Ok(())
}

async fn insert(target: &Database, name: &str, documents: RawArrayBuf) -> Outcome<()> {
    if documents.is_empty() {
        return Ok(());
    }
    let mut command: RawDocumentBuf = rawdoc! { "insert": name, "ordered": false, "writeConcern": { "w": 1 } };
    command.append(bson::cstr!("documents"), documents);
    target.run_raw_command(command).await?;
    Ok(())
}
