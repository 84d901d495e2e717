//! Reading all documents of a database and doing nothing with them: what no backup can be faster than.

use crate::{Error, Result, generate::joined};
use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::{Client, Collection};
use std::time::{Duration, Instant};

/// What was read.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    /// How many collections.
    pub collections: usize,
    /// How many documents (of a time-series collection: buckets).
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// Reads every collection of a database in raw batches, with a cursor for each at once.
pub async fn drain(client: &Client, name: &str) -> Result<Drained> {
    let start = Instant::now();
    let database = client.database(name);
    let filter = doc! { "type": "collection", "name": { "$not": { "$in": ["system.views", "system.profile"] } } };
    let listed = database.list_collection_names().filter(filter).await;
    let names = listed.map_err(Error::server(format!("listing {name}")))?;
    if names.is_empty() {
        return Err(Error::Empty { database: name.to_owned() });
    }
    let readers: Vec<_> = names.iter().map(|name| tokio::spawn(read(database.collection(name)))).collect();
    let (mut documents, mut bytes) = (0, 0);
    for reader in readers {
        let (more_documents, more_bytes) = joined(reader).await?;
        documents += more_documents;
        bytes += more_bytes;
    }
    Ok(Drained { collections: names.len(), documents, bytes, took: start.elapsed() })
}

async fn read(collection: Collection<Document>) -> Result<(u64, u64)> {
    /// More than fit: the server fills each reply with up to 16 MiB.
    const BATCH_DOCUMENTS: u32 = 1_000_000;
    let what = format!("reading {}", collection.name());
    let find = collection.find(doc! {}).batch_size(BATCH_DOCUMENTS);
    let mut cursor = find.batch().await.map_err(Error::server(&*what))?;
    let (mut documents, mut bytes) = (0, 0);
    while let Some(batch) = cursor.try_next().await.map_err(Error::server(&*what))? {
        for document in batch.doc_slices().map_err(Error::server(&*what))? {
            let document = document.map_err(|source| Error::Reply { what: what.clone(), source })?;
            bytes += document.as_document().map_or(0, |document| document.as_bytes().len() as u64);
            documents += 1;
        }
    }
    Ok((documents, bytes))
}
