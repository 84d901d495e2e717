//! Inserting raw documents in big batches, in order, byte for byte.
//!
//! `insert_many` would decode and encode each document again, and could not send what the driver finds odd.

use crate::{Error, Result};
use bson::{RawArrayBuf, RawDocument, RawDocumentBuf, rawdoc};
use mongodb::Database;

/// A batch is sent before it exceeds this; the server takes 16 MiB.
const BATCH_BYTES: usize = 6 * 1024 * 1024;
/// And before it has more documents than the server takes.
const BATCH_DOCUMENTS: usize = 50_000;

/// Collects documents for one collection and sends them when they are many.
pub(crate) struct Inserter<'a> {
    database: &'a Database,
    collection: &'a str,
    batch: RawArrayBuf,
    batch_bytes: usize,
    batch_documents: usize,
    documents: u64,
    bytes: u64,
}

impl<'a> Inserter<'a> {
    pub fn new(database: &'a Database, collection: &'a str) -> Self {
        let batch = RawArrayBuf::new();
        Self { database, collection, batch, batch_bytes: 0, batch_documents: 0, documents: 0, bytes: 0 }
    }

    /// Bytes of all documents so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub async fn push(&mut self, document: &RawDocument) -> Result<()> {
        let length = document.as_bytes().len();
        if self.batch_documents > 0
            && (self.batch_bytes + length > BATCH_BYTES || self.batch_documents == BATCH_DOCUMENTS)
        {
            self.send().await?;
        }
        self.batch.push(document);
        self.batch_bytes += length;
        self.batch_documents += 1;
        self.documents += 1;
        self.bytes += u64::try_from(length).unwrap_or(0);
        Ok(())
    }

    /// Sends the rest; how many documents there were.
    pub async fn finish(mut self) -> Result<u64> {
        if self.batch_documents > 0 {
            self.send().await?;
        }
        Ok(self.documents)
    }

    async fn send(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        (self.batch_bytes, self.batch_documents) = (0, 0);
        let refused = insert(self.database, self.collection, batch, true).await?;
        match refused.into_iter().next() {
            Some(reason) => Err(Error::Refused { collection: self.collection.to_owned(), reason }),
            None => Ok(()),
        }
    }
}

/// Inserts one batch past the validator; returns the reasons for each document that was refused.
pub(crate) async fn insert(
    database: &Database,
    collection: &str,
    batch: RawArrayBuf,
    ordered: bool,
) -> Result<Vec<String>> {
    let what = format!("inserting into {}.{collection}", database.name());
    let mut command: RawDocumentBuf =
        rawdoc! { "insert": collection, "ordered": ordered, "bypassDocumentValidation": true };
    command.append(bson::cstr!("documents"), batch);
    let reply = database.run_raw_command(command).await.map_err(Error::server(what))?;
    if let Ok(concern) = reply.get_document("writeConcernError") {
        return Err(Error::Refused { collection: collection.to_owned(), reason: reason(concern) });
    }
    let errors = reply.get_array("writeErrors").into_iter().flatten().filter_map(bson::Bson::as_document);
    Ok(errors.map(reason).collect())
}

fn reason(error: &bson::Document) -> String {
    error.get_str("errmsg").unwrap_or("no reason given").to_owned()
}
