//! Databases at the edges, for measuring: documents that are tiny, or huge, or spread over thousands of collections.

use crate::{
    Result,
    batch::Inserter,
    claim::prepare,
    random::{Random, object_id},
};
use bson::{Binary, RawDocumentBuf, rawdoc, spec::BinarySubtype};
use futures::{StreamExt, TryStreamExt, stream};
use mongodb::Client;

/// Collections that are made at once.
const AT_ONCE: usize = 8;

/// A database at an edge. All are the same each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// One collection of so many documents of about 60 bytes.
    Tiny {
        /// How many documents.
        documents: u64,
    },
    /// One collection of so many documents of this size, which compress to about half.
    Huge {
        /// How many documents.
        documents: u64,
        /// Bytes of each.
        document_bytes: usize,
    },
    /// So many collections of ten documents each.
    Many {
        /// How many collections.
        collections: u64,
    },
}

/// Fills a database; how many documents it has. An earlier sample of the name is dropped, anything else only if `force`.
pub async fn generate_edge(client: &Client, name: &str, edge: Edge, force: bool) -> Result<u64> {
    let database = prepare(client, name, force).await?;
    match edge {
        Edge::Tiny { documents } => fill(&database, "tiny", documents, tiny).await,
        Edge::Huge { documents, document_bytes } => {
            fill(&database, "huge", documents, |number| huge(number, document_bytes)).await
        }
        Edge::Many { collections } => {
            const DOCUMENTS: u64 = 10;
            let database = &database;
            let made = stream::iter(0..collections).map(|number| async move {
                fill(database, &format!("part_{number:05}"), DOCUMENTS, |at| tiny(number * DOCUMENTS + at)).await
            });
            made.buffer_unordered(AT_ONCE).try_fold(0, |sum, documents| async move { Ok(sum + documents) }).await
        }
    }
}

async fn fill(
    database: &mongodb::Database,
    collection: &str,
    documents: u64,
    shape: impl Fn(u64) -> RawDocumentBuf,
) -> Result<u64> {
    let mut inserter = Inserter::new(database, collection);
    for number in 0..documents {
        inserter.push(&shape(number)).await?;
    }
    inserter.finish().await
}

fn tiny(number: u64) -> RawDocumentBuf {
    let random = &mut Random::of(9, number);
    rawdoc! { "_id": object_id(number), "n": random.below(1_000_000), "w": random.word() }
}

fn huge(number: u64, document_bytes: usize) -> RawDocumentBuf {
    let random = &mut Random::of(10, number);
    let mut bytes = Vec::with_capacity(document_bytes + 32);
    while bytes.len() < document_bytes {
        bytes.extend_from_slice(random.token().as_bytes());
    }
    bytes.truncate(document_bytes);
    rawdoc! { "_id": object_id(number), "content": Binary { subtype: BinarySubtype::Generic, bytes } }
}
