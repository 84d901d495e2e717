//! Puts documents into a collection, byte for byte.

use crate::{
    database::{
        Server, commands,
        queries::{Identified, whole},
    },
    error::{Error, Result, code},
};
use bson::{Document, RawArrayBuf, RawDocument, RawDocumentBuf, Timestamp};
use futures::{Stream, StreamExt, pin_mut, stream::FuturesUnordered};
use lucid_schemas::Code;
use std::time::Duration;

/// The server takes more, but small batches are as fast.
const BATCH_DOCUMENTS_MAX: usize = 10_000;
const IN_FLIGHT: usize = 3;

/// How documents are put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// About so many bytes a command.
    pub batch_bytes: usize,
    /// One command after the other, for collections whose order is their content.
    pub ordered: bool,
    /// Whether documents that are there already count as put in; then each command waits for a majority, as nothing is
    /// proven afterwards.
    pub resumes: bool,
    /// How long a command may take.
    pub within: Duration,
}

/// What was put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Loaded {
    /// Documents.
    pub documents: u64,
    /// The set's time after the last one.
    pub at: Option<Timestamp>,
}

/// The documents of one command.
#[derive(Default)]
struct Group {
    documents: RawArrayBuf,
    count: usize,
    bytes: usize,
    /// Those with a zero timestamp, which the server replaces.
    zero_timestamps: Vec<RawDocumentBuf>,
}

/// Puts in all documents of a stream of pieces; `progress` is told documents and bytes.
pub(crate) async fn load<Pieces, Piece>(
    server: &Server,
    into: &Identified,
    manner: Manner,
    pieces: Pieces,
    progress: &(dyn Fn(i64, i64) + Send + Sync),
) -> Result<Loaded>
where
    Pieces: Stream<Item = Result<Piece>> + Send,
    Piece: Documents,
{
    pin_mut!(pieces);
    let mut loaded = Loaded::default();
    let mut running = FuturesUnordered::new();
    let in_flight = if manner.ordered { 1 } else { IN_FLIGHT };
    let mut group = Group::default();
    while let Some(piece) = pieces.next().await {
        for document in piece?.documents() {
            let document = document.and_then(|bytes| RawDocument::from_bytes(bytes).ok());
            group.push(document.ok_or_else(|| Error::refused(Code::RepositoryDamaged, "a chunk holds no documents"))?);
            if group.count < BATCH_DOCUMENTS_MAX && group.bytes < manner.batch_bytes {
                continue;
            }
            while running.len() >= in_flight {
                loaded.add(running.next().await.transpose()?, progress);
            }
            running.push(put(server, into, manner, std::mem::take(&mut group)));
            // Starts it: what isn't polled isn't sent.
            if let Some(done) = futures::FutureExt::now_or_never(running.next()) {
                loaded.add(done.transpose()?, progress);
            }
        }
    }
    while let Some(done) = running.next().await {
        loaded.add(Some(done?), progress);
    }
    if group.count > 0 {
        loaded.add(Some(put(server, into, manner, group).await?), progress);
    }
    Ok(loaded)
}

/// A piece of a stream of documents.
pub(crate) trait Documents: Send {
    /// Its documents; `None` for what isn't one.
    fn documents(&self) -> Box<dyn Iterator<Item = Option<&[u8]>> + Send + '_>;
}

impl Documents for lucid_repository::RawChunk {
    fn documents(&self) -> Box<dyn Iterator<Item = Option<&[u8]>> + Send + '_> {
        let documents: Vec<_> = lucid_repository::RawChunk::documents(self).map(Some).collect();
        Box::new(documents.into_iter())
    }
}

impl Documents for lucid_repository::DocumentBatch {
    fn documents(&self) -> Box<dyn Iterator<Item = Option<&[u8]>> + Send + '_> {
        Box::new(self.offsets.iter().map(|(start, length)| {
            let start = *start as usize;
            self.bytes.get(start..start + *length as usize)
        }))
    }
}

impl Loaded {
    fn add(&mut self, done: Option<(Self, usize)>, progress: &(dyn Fn(i64, i64) + Send + Sync)) {
        let Some((done, bytes)) = done else { return };
        self.documents += done.documents;
        self.at = self.at.max(done.at);
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        progress(count(done.documents), i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

impl Group {
    fn push(&mut self, document: &RawDocument) {
        self.count += 1;
        self.bytes += document.as_bytes().len();
        if commands::has_zero_timestamps(document) {
            self.zero_timestamps.push(document.to_owned());
        }
        self.documents.push(document);
    }
}

async fn put(server: &Server, into: &Identified, manner: Manner, group: Group) -> Result<(Loaded, usize)> {
    let Group { documents, count, bytes, zero_timestamps } = group;
    server.pass(bytes as u64).await?;
    let passed = server.room_for(bytes as u64).await?;
    let reply = server.ask(commands::insert(into, documents, (manner.ordered, manner.resumes), manner.within)).await?;
    let present = check_write_errors(into, &reply, manner.resumes)?;
    let inserted = usize::try_from(whole(reply.get("n"))).unwrap_or_default();
    if inserted + present != count {
        return Err(Error::unreachable("insert documents", format!("{} of {count} arrived", inserted + present)));
    }
    let mut at = reply.get_timestamp("operationTime").ok();
    if !zero_timestamps.is_empty() {
        let reply = server.ask(commands::keep_zero_timestamps(into, &zero_timestamps, manner.within)).await?;
        check_write_errors(into, &reply, false)?;
        at = at.max(reply.get_timestamp("operationTime").ok());
    }
    if let Some(passed) = passed {
        passed.written(at);
    }
    let documents = count as u64;
    Ok((Loaded { documents, at }, bytes))
}

/// How many documents were there already; any other error of a write is one of the whole.
pub(crate) fn check_write_errors(into: &Identified, reply: &Document, resumes: bool) -> Result<usize> {
    let Ok(errors) = reply.get_array("writeErrors") else {
        return Ok(0);
    };
    let codes = errors.iter().map(|error| {
        let code = error.as_document().and_then(|error| error.get("code"));
        i32::try_from(whole(code)).unwrap_or_default()
    });
    for code in codes {
        if !(resumes && code == code::DUPLICATE_KEY) {
            let doing = format!("write to {}.{}", into.database, into.storage);
            // The server names no write error.
            let name = if code == code::DUPLICATE_KEY { "DuplicateKey: a unique index refuses a document" } else { "" };
            return Err(Error::answer(&doing, false, code, name, ""));
        }
    }
    Ok(errors.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn what_is_there_already_counts_only_where_work_is_resumed() {
        let into = Identified { database: "d".into(), storage: "c".into(), uuid: bson::Uuid::new() };
        let reply = doc! { "n": 1, "writeErrors": [{ "index": 0, "code": 11000 }] };
        assert_eq!(check_write_errors(&into, &reply, true).expect("fine"), 1);
        let told = check_write_errors(&into, &reply, false).expect_err("refused").to_string();
        assert!(told.contains("unique index"), "{told}");
        let foreign = doc! { "n": 0, "writeErrors": [{ "index": 0, "code": 361 }] };
        let error = check_write_errors(&into, &foreign, true).expect_err("refused");
        assert_eq!(error.server_code(), Some(code::UUID_MISMATCH));
    }
}
