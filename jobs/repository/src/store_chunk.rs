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
    let (handle, tries_deltas) = (writer.clone(), predecessor.is_some());
    let (done, new) = writer.vault().pool.run(move || meet(&handle, &draft, order, tries_deltas)).await??;
    let sealed = match (new, predecessor) {
        (Met::Known, _) => return Ok(done),
        (Met::Sealed(sealed), _) => sealed,
        (Met::New(raw), predecessor) => {
            let base = match predecessor {
                Some(predecessor) => base(writer, predecessor, &done.entry).await?,
                None => None,
            };
            let (handle, entry, based) = (writer.clone(), done.entry.clone(), base.is_some());
            let sealed = writer.vault().pool.run(move || seal(&handle, &entry, &raw, base)).await??;
            if let (true, Some(predecessor)) = (based, predecessor) {
                predecessor.tried(sealed.delta.is_some());
            }
            sealed
        }
    };
    let (stored_bytes, is_delta) = (sealed.record.len() as u64, sealed.delta.is_some());
    writer.packer().append(sealed).await?;
    let stats = &mut writer.packer().ledger().stats;
    stats.new_chunk_stored_bytes += stored_bytes;
    stats.chunks_delta += u64::from(is_delta);
    Ok(done)
}

/// What is to be done about a chunk.
enum Met {
    Known,
    New(Vec<u8>),
    Sealed(SealedChunk),
}

/// Hashes and looks up; seals at once what is new and can't be a delta.
fn meet(
    writer: &BackupWriter,
    draft: &Draft,
    order: ContentOrder,
    tries_deltas: bool,
) -> Result<(ChunkDone, Met), RepositoryError> {
    let raw = draft.assemble();
    let keys = writer.vault().domain_keys();
    let id: [u8; 32] = blake3::keyed_hash(&keys.chunk_id, &raw).into();
    let (first, last) = IdValue::ends(&raw);
    let entry = ListEntry { id, documents: draft.documents, raw_bytes: draft.raw_bytes, first, last };
    let part = ContentPart::of(&keys.content, order, &raw);
    let met = match writer.claim(&id, draft.raw_bytes) {
        false => Met::Known,
        true if tries_deltas => Met::New(raw),
        true => Met::Sealed(seal(writer, &entry, &raw, None)?),
    };
    Ok((ChunkDone { entry, part }, met))
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
