//! Builds one collection beside its target and proves it: create, load, index (small ones before they are loaded), prove.
//!
//! Invariant: what this returns is on a majority of members and equals the backup: documents, options, indexes; only
//! the expiry is left off. A failover may have taken back acknowledged inserts, so a failed proof or a broken
//! connection means: from the beginning, under a new name.

use super::{
    load::{Manner, load},
    probe::{lost, staging_uuid},
    rehearsal,
    staging::StagingName,
};
use crate::{
    HandlerOptions,
    database::{
        Server,
        catalog::storage_name,
        commands,
        definition::{self, Definition},
        queries::{Identified, ReadAt},
    },
    error::{Error, Result},
    progress::Meter,
};
use bson::{Document, Timestamp, Uuid, doc};
use futures::{StreamExt, pin_mut};
use lucid_repository::{BackupReader, CollectionEntry, CollectionKind, Domain, Repository};
use lucid_schemas::{Code, JobId};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(2);
/// Indexes of so few documents are made before these are put in: on an empty collection that takes the server no build, for
/// which all members have to agree (35 ms each, whatever its size).
const INDEXED_FIRST_BYTES_MAX: u64 = 256 << 10;
/// A few megabytes that take longer are behind somebody's lock.
const INSERT_PATIENCE: Duration = Duration::from_secs(120);

/// A collection that is ready to be swapped in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Staged {
    /// Its final name.
    pub name: String,
    /// Its name now.
    pub staging: StagingName,
    /// Identity of what stores its documents.
    pub uuid: Uuid,
    /// How many they are.
    pub documents: u64,
    /// What it is, and becomes once its expiry is set.
    pub definition: Definition,
}

/// What staging any collection of a restore needs.
pub(crate) struct Stage<'a> {
    pub server: &'a Server,
    pub repository: &'a Repository,
    pub reader: &'a BackupReader,
    pub domain: Domain,
    pub database: &'a str,
    pub job: &'a JobId,
    pub epoch: i64,
    pub numbers: &'a AtomicUsize,
    pub meter: &'a Meter<'a>,
    pub options: HandlerOptions,
}

impl Stage<'_> {
    /// A name that was never used before.
    pub fn next_name(&self) -> StagingName {
        StagingName::new(self.job, self.epoch, self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// Stages a collection, again and again while that may help.
    pub async fn stage(&self, entry: &CollectionEntry) -> Result<Staged> {
        let mut why = String::new();
        let rehearse = async || rehearsal::definition(self.server, (self.database, &self.next_name()), entry).await;
        let definition = self.server.patiently(rehearse).await?;
        for _ in 0..TRIES {
            let name = self.next_name();
            match self.stage_once(entry, &name, &definition).await {
                Ok(Ok(staged)) => return Ok(staged),
                Ok(Err(difference)) => why = difference,
                Err(error) if error.is_passing() => why = error.to_string(),
                Err(error) => return Err(error),
            }
            tracing::warn!(collection = entry.name, why, "staging it again");
            self.server.pause(PAUSE).await?;
            self.forget(&name, entry.kind).await;
        }
        Err(Error::again(
            Code::StagingFailed,
            format!("'{}' couldn't be loaded in {TRIES} tries; at last: {why}", entry.name),
        ))
    }

    /// Drops what a failed try has left; if that fails too, the end of the job does it.
    async fn forget(&self, name: &StagingName, kind: CollectionKind) {
        let dropped = async {
            let Some(uuid) = staging_uuid(self.server, self.database, name).await? else {
                return Ok(());
            };
            let command = if kind == CollectionKind::TimeSeries {
                commands::drop_staging_time_series(self.database, name)?
            } else {
                commands::drop_staging(self.database, name, uuid)?
            };
            self.server.tell(command).await.map(drop)
        };
        if let Err(error) = dropped.await {
            tracing::warn!(staging = %name, %error, "a failed try stays for now");
        }
    }

    /// Stages once; says what differs where the proof fails.
    async fn stage_once(
        &self,
        entry: &CollectionEntry,
        name: &StagingName,
        definition: &Definition,
    ) -> Result<std::result::Result<Staged, String>> {
        let Definition { options, indexes, .. } = definition;
        let create = commands::create_staging(self.database, name, definition::options_to_create(options))?;
        self.server.tell(create).await?;
        let uuid = staging_uuid(self.server, self.database, name).await?.ok_or_else(|| lost(name))?;
        let into =
            Identified { database: self.database.to_owned(), storage: storage_name(name.as_str(), entry.kind), uuid };
        let built = definition::indexes_to_create(options, indexes);
        let early = entry.content.raw_bytes <= INDEXED_FIRST_BYTES_MAX && !definition::may_hold_duplicates(indexes);
        if early {
            self.build(name, uuid, &built).await?;
        }
        let at = self.load(entry, &into).await?;
        if !early {
            self.build(name, uuid, &built).await?;
        }
        let documents = match self.prove_content(entry, &into, at).await? {
            Ok(documents) => documents,
            Err(difference) => return Ok(Err(difference)),
        };
        if let Some(difference) = self.definition_difference(name, options, indexes).await? {
            return Err(Error::refused(
                Code::DefinitionMismatch,
                format!("'{}' can't be made as it was: {difference}", entry.name),
            ));
        }
        let (staging, definition) = (name.clone(), definition.clone());
        Ok(Ok(Staged { name: entry.name.clone(), staging, uuid, documents, definition }))
    }

    async fn build(&self, name: &StagingName, uuid: Uuid, indexes: &[Document]) -> Result<()> {
        if indexes.is_empty() {
            return Ok(());
        }
        self.server.build_indexes(self.database, name.as_str(), uuid, indexes.to_vec()).await
    }

    async fn load(&self, entry: &CollectionEntry, into: &Identified) -> Result<Option<Timestamp>> {
        let manner = Manner {
            batch_bytes: self.options.batch_bytes as usize,
            ordered: entry.kind == CollectionKind::Capped,
            resumes: false,
            within: INSERT_PATIENCE,
        };
        let chunks = self.reader.chunks(entry).map(|chunk| chunk.map_err(Error::from));
        let done = std::sync::Mutex::new((0, 0));
        let progress = |documents, bytes| {
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *done = (done.0 + documents, done.1 + bytes);
            self.meter.add(documents, bytes);
        };
        let loaded = load(self.server, into, manner, chunks, &progress).await;
        if loaded.is_err() {
            let (documents, bytes) = *done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            self.meter.add(-documents, -bytes);
        }
        Ok(loaded?.at)
    }

    /// Reads back what a majority has, at least up to the last insert; says how many documents, or what differs.
    async fn prove_content(
        &self,
        entry: &CollectionEntry,
        what: &Identified,
        at: Option<Timestamp>,
    ) -> Result<std::result::Result<u64, String>> {
        let order = doc! { "hint": { "$natural": 1 } };
        let mean = entry.content.raw_bytes.checked_div(entry.content.documents).unwrap_or_default();
        let documents = u64::from(self.options.batch_bytes).checked_div(mean).unwrap_or(1_000).clamp(1, 100_000);
        let batch_documents = u32::try_from(documents).unwrap_or(1);
        let mut batches = self.server.documents(what, ReadAt::Majority(at), order, batch_documents)?;
        let mut hasher = self.repository.content_hasher(self.domain, entry.content_order);
        let mut counted = 0_u64;
        while let Some(batch) = batches.next().await? {
            for document in batch.slices()? {
                hasher.push(document.as_bytes());
                counted += 1;
            }
        }
        let expected = &entry.content;
        let hash = hasher.finish();
        if counted == expected.documents {
            let same = hash == expected.content_hash;
            return Ok(same.then_some(counted).ok_or_else(|| "its documents differ from the backup's".to_owned()));
        }
        let some_fit = entry.kind == CollectionKind::Capped && counted > 0;
        if some_fit && self.newest_hash(entry, counted).await? == Some(hash) {
            // Its size was changed after they were written, so that they don't all fit any more.
            let (fit, all) = (counted, expected.documents);
            tracing::warn!(collection = entry.name, fit, all, "only the newest documents fit");
            return Ok(Ok(counted));
        }
        Ok(Err(format!("{counted} of {} documents arrived", expected.documents)))
    }

    /// The content hash of the newest documents of the backup, if it has so many.
    async fn newest_hash(&self, entry: &CollectionEntry, newest: u64) -> Result<Option<String>> {
        let Some(mut older) = entry.content.documents.checked_sub(newest) else {
            return Ok(None);
        };
        let mut hasher = self.repository.content_hasher(self.domain, entry.content_order);
        let chunks = self.reader.chunks(entry);
        pin_mut!(chunks);
        while let Some(chunk) = chunks.next().await {
            for document in chunk?.documents() {
                if older == 0 {
                    hasher.push(document);
                } else {
                    older -= 1;
                }
            }
        }
        Ok(Some(hasher.finish()))
    }

    async fn definition_difference(
        &self,
        name: &StagingName,
        options: &Document,
        indexes: &[Document],
    ) -> Result<Option<String>> {
        let found = self.server.staging_options(self.database, name.as_str()).await?.ok_or_else(|| lost(name))?;
        if !definition::same_options(options, &decoded(&found)?) {
            return Ok(Some("this server gives it other options".to_owned()));
        }
        let found = self.server.indexes(self.database, name.as_str()).await?;
        let found: Vec<Document> = found.iter().map(|index| decoded(index)).collect::<Result<_>>()?;
        let different = definition::different_indexes(indexes, &found);
        Ok((!different.is_empty()).then(|| format!("indexes {} differ", different.join(", "))))
    }
}

/// A definition as a document of its own.
pub(crate) fn decoded(definition: &bson::RawDocument) -> Result<Document> {
    Document::try_from(definition)
        .map_err(|_| Error::refused(Code::BadDefinition, "options or indexes in the backup can't be read"))
}
