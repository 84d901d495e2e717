//! Copying a backup into another repository, such as one off-site.
//!
//! The documents are cut, named and sealed anew with the other repository's keys: nothing that is stored here tells what is stored there,
//! and what is there already isn't stored again. Invariant: a copy that is committed holds what was backed up, all of it. Each chunk
//! and each collection's content hash are checked on the way, and whatever is damaged ends the copy before its manifest is written.

use bytes::Bytes;
use futures::StreamExt;

use crate::{
    BackupReader, BackupWriter, CollectionEntry, Compression, DocumentBatch, Domain, MANIFEST_FORMAT, Manifest,
    ManifestRef, RawChunk, Repository, RepositoryError, VerifyLevel, WriteStats,
};

/// So often a copy begins again because a prune of the target came between.
const TRIES: usize = 4;

/// What a copy came to.
#[derive(Clone, Debug)]
pub struct CopyReport {
    /// The manifest of the copy.
    pub reference: ManifestRef,
    /// What was stored for it; nothing where it was there already.
    pub stats: WriteStats,
    /// Whether it was there already, and sound.
    pub was_there: bool,
}

impl Repository {
    /// Copies one backup into another repository, where it keeps its job and epoch and says where it comes from. It is sealed if the
    /// target has a key; a sealed backup isn't copied into one that has none. `progress` is told documents and their bytes so far.
    ///
    /// # Errors
    /// `Damaged` or `Missing` where this backup isn't whole: then nothing is committed.
    pub async fn copy_backup(
        &self,
        manifest: &Manifest,
        target: &Self,
        compression: Compression,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
        stop: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<CopyReport, RepositoryError> {
        let domain = target_domain(self, manifest, target)?;
        let origin = manifest.copied_from.clone().unwrap_or_else(|| self.id().to_string());
        let mut last = None;
        for _ in 0..TRIES {
            if let Some(reference) = target.copy_of(manifest, &origin).await? {
                return Ok(CopyReport { reference, stats: WriteStats::default(), was_there: true });
            }
            let copy = Copy { from: self, manifest, progress, stop };
            match copy.write(target, (domain, &origin), compression).await {
                Err(error @ RepositoryError::Pruned { .. }) => last = Some(error),
                done => return done,
            }
        }
        Err(last.expect("tried at least once"))
    }

    /// A copy of this backup that counts and has all its objects; or the backup itself, where this is the repository it was made in.
    async fn copy_of(&self, manifest: &Manifest, origin: &str) -> Result<Option<ManifestRef>, RepositoryError> {
        let ours = self.id().to_string();
        for entry in self.manifests_of(&manifest.job).await? {
            let Ok(found) = &entry.manifest else { continue };
            let made_in = found.copied_from.as_deref().unwrap_or(&ours);
            if !entry.settled || found.epoch != manifest.epoch || made_in != origin {
                continue;
            }
            let reader = self.open_backup(found).await?;
            let findings = reader.verify(VerifyLevel::Structure, &|_| (), &|| false).await?;
            if !findings.iter().any(|finding| finding.needed) {
                return Ok(Some(self.read_manifest(&entry.key).await?.1));
            }
        }
        Ok(None)
    }
}

/// The domain that a copy belongs to.
fn target_domain(from: &Repository, manifest: &Manifest, target: &Repository) -> Result<Domain, RepositoryError> {
    if from.id() == target.id() {
        return Err(RepositoryError::BadName {
            what: "target",
            name: target.location().to_string(),
            reason: "it is the repository that the backup is in".into(),
        });
    }
    match (target.takes(Domain::Sealed), manifest.domain) {
        (true, _) => Ok(Domain::Sealed),
        (false, Domain::Plain) => Ok(Domain::Plain),
        (false, Domain::Sealed) => Err(RepositoryError::DomainUnavailable {
            domain: Domain::Sealed,
            reason: "it has no key, and a copy of an encrypted backup is encrypted; make it with a key file".into(),
        }),
    }
}

/// One attempt.
pub(crate) struct Copy<'a> {
    pub(crate) from: &'a Repository,
    pub(crate) manifest: &'a Manifest,
    pub(crate) progress: &'a (dyn Fn(u64, u64) + Send + Sync),
    pub(crate) stop: &'a (dyn Fn() -> bool + Send + Sync),
}

impl Copy<'_> {
    async fn write(
        &self,
        target: &Repository,
        (domain, origin): (Domain, &str),
        compression: Compression,
    ) -> Result<CopyReport, RepositoryError> {
        let writer = target.begin(&self.manifest.job, self.manifest.epoch, domain, compression).await?;
        let earlier =
            target.newest_manifest((&self.manifest.database, self.manifest.cluster.as_deref()), domain).await?;
        let collections = self.collections(&writer, earlier.as_ref()).await?;
        let copied_from = Some(origin.to_owned());
        let generation = writer.generation();
        let former_hashes = Vec::new();
        let manifest = Manifest {
            format: MANIFEST_FORMAT,
            domain,
            generation,
            copied_from,
            former_hashes,
            collections,
            ..self.manifest.clone()
        };
        let reference = writer.write_manifest(&manifest).await?;
        Ok(CopyReport { reference, stats: writer.stats(), was_there: false })
    }

    /// Reads all collections, checks them, and writes them; what resembles the `earlier` backup is stored as its difference.
    pub(crate) async fn collections(
        &self,
        writer: &BackupWriter,
        earlier: Option<&Manifest>,
    ) -> Result<Vec<CollectionEntry>, RepositoryError> {
        let reader = self.from.open_backup(self.manifest).await?;
        let (mut collections, mut done) = (Vec::new(), (0, 0));
        for entry in &self.manifest.collections {
            let earlier = earlier.iter().flat_map(|manifest| &manifest.collections).find(|old| old.name == entry.name);
            collections.push(self.collection(&reader, (writer, earlier), entry, &mut done).await?);
        }
        writer.finish().await?;
        Ok(collections)
    }

    async fn collection(
        &self,
        reader: &BackupReader,
        (writer, earlier): (&BackupWriter, Option<&CollectionEntry>),
        entry: &CollectionEntry,
        (documents, raw_bytes): &mut (u64, u64),
    ) -> Result<CollectionEntry, RepositoryError> {
        let mut target = match earlier {
            Some(earlier) => writer.collection_after(entry.content_order, &earlier.content),
            None => writer.collection(entry.content_order),
        };
        let mut hasher = self.from.content_hasher(self.manifest.domain, entry.content_order);
        let mut chunks = Box::pin(reader.chunks(entry));
        while let Some(chunk) = chunks.next().await {
            if (self.stop)() {
                return Err(RepositoryError::Stopped);
            }
            let chunk = chunk?;
            for document in chunk.documents() {
                hasher.push(document);
            }
            *documents += u64::from(chunk.documents);
            *raw_bytes += chunk.bytes.len() as u64;
            target.push(batch(&chunk)).await?;
            (self.progress)(*documents, *raw_bytes);
        }
        let content = target.finish().await?;
        let told = &entry.content;
        let agrees = hasher.finish() == told.content_hash
            && (content.documents, content.raw_bytes) == (told.documents, told.raw_bytes);
        if !agrees {
            let object = format!("collection {:?} of backup {}", entry.name, self.manifest.job);
            return Err(RepositoryError::damaged(&*object, "its documents aren't those that its manifest says"));
        }
        Ok(CollectionEntry { content, ..entry.clone() })
    }
}

/// The documents of a chunk where they lie.
fn batch(chunk: &RawChunk) -> DocumentBatch {
    let (mut offsets, mut start) = (Vec::new(), 0);
    for document in chunk.documents() {
        let length = u32::try_from(document.len()).expect("a chunk is far below 4 GiB");
        offsets.push((start, length));
        start += length;
    }
    DocumentBatch { bytes: Bytes::clone(&chunk.bytes), offsets }
}
