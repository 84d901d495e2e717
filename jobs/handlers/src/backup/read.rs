//! Reading one collection into the repository.
//!
//! Invariant: what is reported as read is all that the collection held at its instant: the server must have read at
//! that very instant, and its own count, or else a count at that instant, must agree. Anything else is read again from the beginning.

use super::{member::Member, plan};
use crate::{
    HandlerOptions,
    database::{
        Batches, Entry, Server,
        catalog::storage_name,
        queries::{Identified, ReadAt, Size, snapshot_error, vanished},
    },
    error::{Error, Result, code},
    progress::Meter,
};
use bson::{Bson, Document, RawDocumentBuf, Timestamp, doc};
use lucid_repository::{
    BackupWriter, CollectionContent, CollectionEntry, CollectionKind, CollectionWriter, Manifest, ReadOrder, StoredSize,
};
use lucid_schemas::Code;
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// With the pauses between, elections are sat out.
const TRIES: u32 = 8;
/// One made after the snapshot time stays refused for ever.
const UNAVAILABLE_TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);
/// A collection of more batches is large: for smaller ones the time of the way to the server counts, so they don't wait for each other.
const LARGE_BATCHES: i64 = 8;
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// What reading any collection of a backup needs.
pub(super) struct Source<'a> {
    /// The set, read from the member.
    pub server: &'a Server,
    pub member: &'a Member,
    pub database: &'a str,
    pub snapshot: Timestamp,
    /// Whether capped collections can be read at the snapshot.
    pub snapshots_capped: bool,
    /// Whether the set has one member only.
    pub alone: bool,
    /// One for each cursor that may read a large collection.
    pub cursors: Semaphore,
    pub writer: &'a BackupWriter,
    /// The backup before, whose chunks the new ones may resemble.
    pub earlier: Option<&'a Manifest>,
    pub meter: &'a Meter<'a>,
    pub options: HandlerOptions,
}

/// How many documents and bytes a reading has handed over so far.
#[derive(Default)]
pub(super) struct Done {
    documents: AtomicI64,
    bytes: AtomicI64,
}

impl Done {
    fn add(&self, documents: i64, bytes: i64) {
        self.documents.fetch_add(documents, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn get(&self) -> (i64, i64) {
        (self.documents.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// What a collection's cursors have in common.
pub(super) struct Find<'a> {
    pub what: &'a Identified,
    pub time: Timestamp,
    /// Order and hint.
    pub fields: Document,
    pub batch_documents: u32,
    pub done: &'a Done,
}

/// One reading of a collection.
struct Reading {
    content: CollectionContent,
    order: ReadOrder,
    /// When it was read, where that wasn't at the snapshot time.
    read_at: Option<Timestamp>,
}

impl Source<'_> {
    /// Reads a collection, again and again while that may help.
    pub async fn read(&self, entry: &Entry, size: Size) -> Result<CollectionEntry> {
        let Some(uuid) = entry.uuid else {
            return Err(Error::refused(
                Code::UnknownStorage,
                format!(
                    "'{}' is a time-series collection without buckets, which this version can't back up: leave it out",
                    entry.name
                ),
            ));
        };
        let what =
            Identified { database: self.database.to_owned(), storage: storage_name(&entry.name, entry.kind), uuid };
        let mut pause = PAUSE;
        for number in 1..TRIES {
            match self.read_once(entry, &what, size).await {
                Ok(Some(reading)) => return Ok(self.entry(entry, reading, size.stored)),
                Ok(None) => tracing::warn!(collection = entry.name, "read a wrong number of documents: reading again"),
                Err(error) if may_pass(entry.kind, &error, number) => {
                    tracing::warn!(collection = entry.name, %error, "reading again");
                    if error.is_passing() {
                        self.member.lose();
                    }
                }
                Err(error) => return Err(snapshot_error(&what, error)),
            }
            self.server.pause(pause).await?;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        match self.read_once(entry, &what, size).await {
            Ok(Some(reading)) => Ok(self.entry(entry, reading, size.stored)),
            Err(error) if error.server_code() == Some(code::CAPPED_POSITION_LOST) => Err(Error::again(
                Code::CappedTooBusy,
                format!("'{}' is written faster than it can be read: leave it out, or make it larger", entry.name),
            )),
            Ok(None) => Err(Error::again(
                Code::CountMismatch,
                format!("'{}' was read {TRIES} times, and never as many documents as it counts", entry.name),
            )),
            Err(error) => Err(snapshot_error(&what, error)),
        }
    }

    fn entry(&self, entry: &Entry, reading: Reading, stored: Option<StoredSize>) -> CollectionEntry {
        CollectionEntry {
            name: entry.name.clone(),
            kind: entry.kind,
            options: entry.options.clone(),
            uuid: entry.uuid,
            indexes: entry.indexes.clone(),
            read_at: Some(reading.read_at.unwrap_or(self.snapshot)),
            at_snapshot: reading.read_at.is_none(),
            read_order: reading.order,
            content_order: plan::content_order(entry.kind),
            content: reading.content,
            stored,
        }
    }

    /// Reads once; `None` where the count doesn't agree.
    async fn read_once(&self, entry: &Entry, what: &Identified, size: Size) -> Result<Option<Reading>> {
        let at = if entry.kind == CollectionKind::Capped && !self.snapshots_capped {
            ReadAt::Majority(None)
        } else {
            ReadAt::Snapshot(self.snapshot)
        };
        let order = self.order(entry, what).await?;
        let done = Done::default();
        let read = self.copy(entry, what, (at, order), size, &done).await;
        let (documents, bytes) = done.get();
        let outcome = match read {
            Ok(reading) if reading.read_at.is_some() => Ok(Some(reading)),
            Ok(reading) => {
                let read = reading.content.documents;
                self.server.has_count(what, self.snapshot, read).await.map(|agrees| {
                    // Also that the repository has taken what was read.
                    (agrees && i64::try_from(read) == Ok(documents)).then_some(reading)
                })
            }
            Err(error) => Err(error),
        };
        if !matches!(outcome, Ok(Some(_))) {
            self.meter.add(-documents, -bytes);
        }
        outcome
    }

    async fn order(&self, entry: &Entry, what: &Identified) -> Result<ReadOrder> {
        let kind = entry.kind;
        let same_member = self.earlier.is_some_and(|earlier| earlier.member == self.member.address);
        let before = self.before(entry).map(|before| (before.read_order, same_member));
        if kind != CollectionKind::Collection || plan::wanted_order(self.alone, before) == ReadOrder::Natural {
            return Ok(plan::read_order(kind, None));
        }
        let end = |direction: i32| {
            let order = doc! { "sort": { "_id": direction }, "hint": { "_id": 1 } };
            self.server.first_id(what, ReadAt::Snapshot(self.snapshot), order)
        };
        let id = |found: Option<RawDocumentBuf>| Bson::try_from(found?.get("_id").ok()??).ok();
        let ids = match (end(1).await, end(-1).await) {
            (Ok((first, _)), Ok((last, _))) => id(first).zip(id(last)),
            // It has no index on `_id`, as some old capped or system collections.
            (Err(error), _) | (_, Err(error)) if error.server_code() == Some(code::BAD_VALUE) => None,
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        Ok(plan::read_order(kind, ids.as_ref()))
    }

    /// Copies the documents; tells as it goes how many and how many bytes.
    async fn copy(
        &self,
        entry: &Entry,
        what: &Identified,
        (at, order): (ReadAt, ReadOrder),
        size: Size,
        done: &Done,
    ) -> Result<Reading> {
        let batch_documents = plan::batch_documents(self.options.batch_bytes, size.mean_bytes);
        let fields = plan::order_fields(entry.kind, order);
        match (at, order) {
            (ReadAt::Snapshot(time), ReadOrder::Id) => {
                let find = Find { what, time, fields, batch_documents, done };
                Ok(Reading { content: self.copy_by_id(entry, size, &find).await?, order, read_at: None })
            }
            (ReadAt::Snapshot(time), ReadOrder::Natural) => {
                let mut writer = self.collection_writer(entry);
                let find = Find { what, time, fields, batch_documents, done };
                let _turn = self.turn(size).await;
                self.copy_range(&find, Document::new(), self.server, &mut writer).await?;
                Ok(Reading { content: writer.finish().await?, order, read_at: None })
            }
            (ReadAt::Majority(_), _) => {
                let mut writer = self.collection_writer(entry);
                // As of now: what is written while it is read isn't part of it, so it never is more than fits in it.
                let newest = doc! { "sort": { "$natural": -1 } };
                let (last, now) = self.server.first_id(what, at, newest).await?;
                if let Some(last) = last {
                    let batches = self.server.documents(what, at, fields, batch_documents)?;
                    self.drain(batches, None, Some(last), &mut writer, done).await?;
                }
                let read_at = Some(now.unwrap_or(self.snapshot));
                Ok(Reading { content: writer.finish().await?, order, read_at })
            }
        }
    }

    /// Waits until a large collection of this size may be read.
    pub(super) async fn turn(&self, size: Size) -> Option<SemaphorePermit<'_>> {
        let is_large = size.bytes > LARGE_BATCHES * i64::from(self.options.batch_bytes);
        // It is never closed.
        if is_large { self.cursors.acquire().await.ok() } else { None }
    }

    /// Copies what is within bounds.
    pub(super) async fn copy_range(
        &self,
        find: &Find<'_>,
        bounds: Document,
        server: &Server,
        writer: &mut CollectionWriter,
    ) -> Result<()> {
        let fields = find.fields.clone().into_iter().chain(bounds).collect();
        let batches = server.documents(find.what, ReadAt::Snapshot(find.time), fields, find.batch_documents)?;
        self.drain(batches, Some((find.what, find.time)), None, writer, find.done).await
    }

    /// The same collection in the backup before.
    pub(super) fn before(&self, entry: &Entry) -> Option<&CollectionEntry> {
        self.earlier?.collections.iter().find(|old| old.name == entry.name)
    }

    pub(super) fn collection_writer(&self, entry: &Entry) -> CollectionWriter {
        let order = plan::content_order(entry.kind);
        match self.before(entry) {
            Some(earlier) => self.writer.collection_after(order, &earlier.content),
            None => self.writer.collection(order),
        }
    }

    /// Hands the documents of a cursor to the repository, up to the one with the `_id` of `last`, if that is given. A
    /// snapshot read must have been at its very instant.
    async fn drain(
        &self,
        mut batches: Batches,
        snapshot: Option<(&Identified, Timestamp)>,
        last: Option<RawDocumentBuf>,
        writer: &mut CollectionWriter,
        done: &Done,
    ) -> Result<()> {
        let mut unseen = snapshot;
        while let Some(batch) = batches.next().await? {
            if let Some((what, time)) = unseen.take()
                && batch.at_cluster_time() != Some(time)
            {
                return Err(vanished(what));
            }
            let place = last.as_ref().map(|last| batch.place_of(last)).transpose()?.flatten();
            let mut batch = batch.into_documents()?;
            if let Some(place) = place {
                batch.offsets.truncate(place + 1);
            }
            let batch_bytes: i64 = batch.offsets.iter().map(|(_, length)| i64::from(*length)).sum();
            let count = i64::try_from(batch.offsets.len()).unwrap_or(i64::MAX);
            self.server.pass(batch_bytes.unsigned_abs()).await?;
            writer.push(batch).await?;
            done.add(count, batch_bytes);
            self.meter.add(count, batch_bytes);
            if place.is_some() {
                return Ok(());
            }
        }
        if last.is_some() || unseen.is_some() {
            return Err(Error::unreachable("read a collection", "the cursor ended too early"));
        }
        Ok(())
    }
}

/// Whether reading the collection again may go better.
fn may_pass(kind: CollectionKind, error: &Error, tries: u32) -> bool {
    match error.server_code() {
        // Right after a collection was made, snapshots of it are refused for a moment.
        Some(code::SNAPSHOT_UNAVAILABLE) => kind != CollectionKind::Capped && tries < UNAVAILABLE_TRIES,
        // A busy capped collection has overtaken the cursor.
        Some(code::CAPPED_POSITION_LOST) => kind == CollectionKind::Capped,
        _ => error.is_passing(),
    }
}
