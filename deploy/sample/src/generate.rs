//! A database of a given size for measuring: mixed documents, part of which don't compress.

use crate::{Result, batch::Inserter, claim::prepare, contents, load::run, shapes};
use bson::{RawDocumentBuf, doc};
use mongodb::{Client, Database};

/// Fills a database with so many megabytes (of 1,000,000 bytes) of documents, and indexes; how many documents it were.
/// An earlier sample of the name is dropped, anything else only if `force`.
///
/// Each collection has one writer, so the documents and their order are the same every time.
pub async fn generate(client: &Client, name: &str, megabytes: u64, force: bool) -> Result<u64> {
    let database = prepare(client, name, force).await?;
    let bytes = megabytes * 1_000_000;
    let writer = |collection: &'static str, percent: u64, shape: fn(u64) -> RawDocumentBuf| {
        tokio::spawn(write(database.clone(), collection, bytes * percent / 100, shape))
    };
    let writers = [
        writer("sessions", 55, shapes::session),
        writer("transactions", 30, shapes::transaction),
        writer("authentication", 15, shapes::authentication),
    ];
    let mut documents = 0;
    for writer in writers {
        documents += joined(writer).await?;
    }
    let indexes = contents::authentication_indexes();
    run(&database, doc! { "createIndexes": "authentication", "indexes": indexes }).await?;
    Ok(documents)
}

async fn write(database: Database, collection: &str, bytes: u64, shape: fn(u64) -> RawDocumentBuf) -> Result<u64> {
    let mut inserter = Inserter::new(&database, collection);
    let mut number = 0;
    while inserter.bytes() < bytes {
        inserter.push(&shape(number)).await?;
        number += 1;
    }
    inserter.finish().await
}

/// The result of a task; its panic goes on here.
pub(crate) async fn joined<T: Send + 'static>(task: tokio::task::JoinHandle<T>) -> T {
    match task.await {
        Ok(result) => result,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
