//! What happens to one chunk: it is found, or stored as a delta, or stored full.

use std::sync::Arc;

use crate::content::ContentPart;
use crate::cutter::Draft;
use crate::footer::{DeltaLink, MAX_DEPTH};
use crate::index::Copy;
use crate::list::{IdValue, ListEntry};
use crate::packer::SealedChunk;
use crate::predecessor::Predecessor;
use crate::record::RecordType;
use crate::{BackupWriter, ContentOrder, RepositoryError, delta};

/// A delta is kept if it is at most this part of the full chunk, compressed.
const WORTH: usize = 4;

/// A chunk that is in a pack, or on its way into one.
pub(crate) struct ChunkDone {
    pub(crate) entry: ListEntry,
    pub(crate) part: ContentPart,
}

/// A chunk that may build on another one.
struct Base {
    raw: Vec<u8>,
    link: DeltaLink,
    /// Stored and raw length of the full chunk at the end of its chain: how well such documents compress.
    full: (u64, u64),
}

/// A failure here ends the whole writer, since other collections may count on the chunk.
pub(crate) async fn store_or_fail(
    writer: BackupWriter,
    draft: Draft,
    order: ContentOrder,
    predecessor: Option<Arc<Predecessor>>,
) -> Result<ChunkDone, RepositoryError> {
    let stored = store(&writer, draft, order, predecessor.as_deref()).await;
    if let Err(error) = &stored {
        writer.packer().ledger().fail(error);
    }
    stored
}

async fn store(
    writer: &BackupWriter,
    draft: Draft,
    order: ContentOrder,
    predecessor: Option<&Predecessor>,
) -> Result<ChunkDone, RepositoryError> {
    let (done, sealed) = if let Some(predecessor) = predecessor {
        look_back(writer, draft, order, predecessor).await?
    } else {
        let handle = writer.clone();
        let work = move || {
            let (chunk, is_new) = meet(&handle, &draft);
            finish(&handle, chunk, order, if is_new { Fate::Stored(None) } else { Fate::Known })
        };
        writer.vault().pool.run(work).await??
    };
    let Some(sealed) = sealed else { return Ok(done) };
    let (stored_bytes, is_delta) = (sealed.record.len() as u64, sealed.delta.is_some());
    writer.packer().append(sealed).await?;
    let stats = &mut writer.packer().ledger().stats;
    stats.new_chunk_stored_bytes += stored_bytes;
    stats.chunks_delta += u64::from(is_delta);
    Ok(done)
}

/// A chunk of a collection that an earlier backup holds, too: one of those needn't be hashed again, another may be a delta.
async fn look_back(
    writer: &BackupWriter,
    draft: Draft,
    order: ContentOrder,
    predecessor: &Predecessor,
) -> Result<(ChunkDone, Option<SealedChunk>), RepositoryError> {
    let (pool, handle) = (&writer.vault().pool, writer.clone());
    let (chunk, is_new) = pool.run(move || meet(&handle, &draft)).await?;
    let fate = if is_new {
        Fate::Stored(base(writer, predecessor, &chunk.entry).await?)
    } else if order == ContentOrder::Any
        && let Some(sum) = predecessor.sum(&chunk.entry).await?
    {
        return Ok((chunk.done(writer, ContentPart::Any(sum)), None));
    } else {
        Fate::Known
    };
    let (handle, is_based) = (writer.clone(), matches!(fate, Fate::Stored(Some(_))));
    let (done, sealed) = pool.run(move || finish(&handle, chunk, order, fate)).await??;
    if is_based {
        predecessor.tried(sealed.as_ref().is_some_and(|sealed| sealed.delta.is_some()));
    }
    Ok((done, sealed))
}

/// A chunk, put together.
struct Chunk {
    entry: ListEntry,
    raw: Vec<u8>,
}

impl Chunk {
    fn done(self, writer: &BackupWriter, part: ContentPart) -> ChunkDone {
        let sum = part.sum().filter(|_| writer.vault().sums);
        ChunkDone { entry: ListEntry { sum, ..self.entry }, part }
    }
}

/// Puts a chunk together and looks it up; whether it is to be stored.
fn meet(writer: &BackupWriter, draft: &Draft) -> (Chunk, bool) {
    let raw = draft.assemble();
    let id: [u8; 32] = blake3::keyed_hash(&writer.vault().domain_keys().chunk_id, &raw).into();
    let (first, last) = IdValue::ends(&raw);
    let entry = ListEntry { id, documents: draft.documents, raw_bytes: draft.raw_bytes, first, last, sum: None };
    (Chunk { entry, raw }, writer.claim(&id, draft.raw_bytes))
}

/// What is to become of a chunk.
enum Fate {
    /// It is there already.
    Known,
    /// It is stored, if there is a base perhaps as a delta from it.
    Stored(Option<Base>),
}

/// Hashes the documents of a chunk, and seals it if it is to be stored.
fn finish(
    writer: &BackupWriter,
    chunk: Chunk,
    order: ContentOrder,
    fate: Fate,
) -> Result<(ChunkDone, Option<SealedChunk>), RepositoryError> {
    let part = ContentPart::of(&writer.vault().domain_keys().content, order, &chunk.raw);
    let sealed = match fate {
        Fate::Known => None,
        Fate::Stored(base) => Some(seal(writer, &chunk.entry, &chunk.raw, base)?),
    };
    Ok((chunk.done(writer, part), sealed))
}

/// Finds and reads what a new chunk may build on. What is damaged isn't built on.
async fn base(
    writer: &BackupWriter,
    predecessor: &Predecessor,
    new: &ListEntry,
) -> Result<Option<Base>, RepositoryError> {
    let Some(id) = predecessor.resembling(new).await? else { return Ok(None) };
    let Some((link, full)) = place(writer, &id) else { return Ok(None) };
    match writer.fetcher().base(&link).await {
        Ok(raw) => Ok(Some(Base { raw, link, full })),
        Err(error) if error.damage().is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where in its line a chunk comes that follows this one. Place n builds on the place that is n without its lowest 1 bit: so no chain
/// is longer than the bits of its last place, and none of the deltas spans more changes than it must.
fn place(writer: &BackupWriter, before: &[u8; 32]) -> Option<(DeltaLink, (u64, u64))> {
    let index = writer.index();
    let mut copy = index.holding(before)?;
    let place = index.link(copy).map_or(0, |link| link.place).checked_add(1)?;
    let target = place & (place - 1);
    while index.link(copy).is_some_and(|link| link.place > target) {
        copy = below(writer, copy)?;
    }
    let (base, depth) = (copy.id, index.depth(copy) + 1);
    while index.link(copy).is_some() {
        copy = below(writer, copy)?;
    }
    let full = (u64::from(copy.record_bytes), u64::from(copy.raw_bytes));
    (depth <= MAX_DEPTH).then_some((DeltaLink { depth, place, base }, full))
}

/// What a delta builds on.
fn below<'a>(writer: &'a BackupWriter, copy: &Copy) -> Option<&'a Copy> {
    let index = writer.index();
    let link = index.link(copy)?;
    index.resolvable(&link.base, link.depth, &|copy| index.pack(copy).is_whole())
}

/// Seals a new chunk, as a delta if that is worth it.
fn seal(
    writer: &BackupWriter,
    entry: &ListEntry,
    raw: &[u8],
    base: Option<Base>,
) -> Result<SealedChunk, RepositoryError> {
    let (sealer, id, raw_bytes) = (&writer.packer().sealer, entry.id, entry.raw_bytes);
    let chunk = |record: Vec<u8>, delta| SealedChunk {
        id,
        record: record.into(),
        raw_bytes,
        documents: entry.documents,
        delta,
    };
    let tried = match (base, writer.level()) {
        (Some(base), Some(_)) => Some((delta::diff(&base.raw, raw)?, base)),
        _ => None,
    };
    let as_delta =
        |frame: &[u8], link: DeltaLink| Ok(chunk(sealer.seal_delta(&id, raw_bytes, &link.base, frame)?, Some(link)));
    // Where even a chunk that compresses twice as well as its base would be worth it, nothing else is tried.
    if let Some((frame, base)) = &tried
        && (frame.len() * WORTH * 2) as u64 * base.full.1 <= base.full.0 * u64::from(raw_bytes)
    {
        return as_delta(frame, base.link);
    }
    let full = sealer.seal(RecordType::Chunk, &id, raw, writer.level())?;
    match tried {
        Some((frame, base)) if frame.len() * WORTH <= full.len() => as_delta(&frame, base.link),
        _ => Ok(chunk(full, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Sum;
    use crate::support::{Scratch, back_up, batches, documents};
    use crate::{CollectionContent, Compression, Domain, VerifyLevel, list};

    /// The content hash of these documents, written after what an earlier backup holds; the chunks that weren't there.
    async fn written_after(
        scratch: &Scratch,
        (order, earlier): (ContentOrder, &CollectionContent),
        documents: &[Vec<u8>],
    ) -> (String, u64) {
        let writer =
            scratch.repository.begin("again", 1, Domain::Sealed, Compression::default()).await.expect("begins");
        let mut collection = writer.collection_after(order, earlier);
        for batch in batches(documents) {
            collection.push(batch).await.expect("pushed");
        }
        let content = collection.finish().await.expect("finished");
        (content.content_hash, writer.stats().chunks_new)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn documents_of_chunks_that_are_there_are_not_hashed_again() {
        let scratch = Scratch::new().await;
        let (all, any) = (documents(0..9_000, 400, "a"), ContentOrder::Any);
        let (manifest, ..) =
            back_up(&scratch.repository, "night", Domain::Sealed, &[("c", ContentOrder::Any, &all)]).await;
        let earlier = &manifest.collections[0].content;
        let right = earlier.content_hash.clone();
        assert_eq!(written_after(&scratch, (any, earlier), &all).await, (right.clone(), 0));
        // Where the order counts all of a sudden, sums are of no use.
        let mut hasher = scratch.repository.content_hasher(Domain::Sealed, ContentOrder::Exact);
        for document in &all {
            hasher.push(document);
        }
        assert_eq!(written_after(&scratch, (ContentOrder::Exact, earlier), &all).await, (hasher.finish(), 0));
        let mut changed = all.clone();
        changed[4_500] = documents(4_500..4_501, 420, "b").remove(0);
        let mut hasher = scratch.repository.content_hasher(Domain::Sealed, ContentOrder::Any);
        for document in &changed {
            hasher.push(document);
        }
        assert_eq!(written_after(&scratch, (any, earlier), &changed).await, (hasher.finish(), 1));

        // Had they been, this list's sum could not have come through; and what it comes to isn't taken for what was read.
        let vault = scratch.repository.vault(Domain::Sealed).expect("there");
        let mut entries = vault.read_list(&earlier.chunk_lists[0]).await.expect("read");
        entries[1].sum = Some(Sum::from_bytes(&[7; 32]));
        let forged = CollectionContent {
            chunk_lists: vec![list::inline(&vault.domain_keys().list_id, &entries)],
            ..earlier.clone()
        };
        assert_ne!(written_after(&scratch, (any, &forged), &all).await.0, right);
        let writer = scratch.repository.begin("next", 1, Domain::Sealed, Compression::default()).await.expect("begins");
        assert!(writer.holds(earlier).await.expect("looked") && !writer.holds(&forged).await.expect("looked"));
        let mut manifest = manifest.clone();
        assert!(scratch.verify(&manifest, VerifyLevel::Data).await.is_empty());
        manifest.collections[0].content = forged;
        let found = scratch.verify(&manifest, VerifyLevel::Data).await;
        assert!(found.iter().any(|finding| finding.problem.contains("content hash")), "{found:?}");

        // Lists without sums do as well.
        for entry in &mut entries {
            entry.sum = None;
        }
        let chunk_lists = vec![list::inline(&vault.domain_keys().list_id, &entries)];
        let plain = CollectionContent { chunk_lists, ..earlier.clone() };
        assert_eq!(written_after(&scratch, (any, &plain), &all).await, (right, 0));
        manifest.collections[0].content = plain;
        let found = scratch.verify(&manifest, VerifyLevel::Data).await;
        assert!(!found.iter().any(|finding| finding.problem.contains("content hash")), "{found:?}");
    }
}
