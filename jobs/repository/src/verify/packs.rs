//! Reading one pack whole: every byte of it belongs to a chunk, the footer or the trailer, and each is checked.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};

use crate::RepositoryError;
use crate::content::Sum;
use crate::fetch::{Fetcher, apply_delta, open_delta, open_full};
use crate::footer::{self, PackEntry, TRAILER_BYTES};
use crate::index::Pack;
use crate::limits::FOOTER_RECORD_BYTES;
use crate::record::RecordType;
use crate::seal::SealedDelta;
use crate::vault::Vault;
use crate::verify::contents::Wanted;

/// Packs are read in pieces of about this size: large buffers would stay with the allocator.
const PIECE_BYTES: u32 = 4 << 20;
/// What lies between two chunks is read with them where it isn't more than this.
const GAP_BYTES: u32 = 64 << 10;
/// Chunks of more hold single large documents; each that is applied is held with its base.
const LARGE_BYTES: u32 = 1 << 20;

/// What was found in a pack.
pub(super) struct PackReport {
    /// Position in the index.
    pub(super) pack: usize,
    pub(super) problems: Vec<String>,
    /// The wanted chunks that are sound, by position in the wanted ids.
    pub(super) sound: Vec<(usize, SoundChunk)>,
    /// Wanted chunks that are lost with what they build on, and the pack of that.
    pub(super) blamed: Vec<(usize, usize)>,
}

/// A wanted chunk that is a delta, still to be applied.
struct WaitingDelta {
    position: usize,
    entry: PackEntry,
    sealed: SealedDelta,
}

/// What some consecutive chunks are.
#[derive(Default)]
struct Piece {
    problems: Vec<String>,
    sound: Vec<(usize, SoundChunk)>,
    deltas: Vec<WaitingDelta>,
}

/// A chunk that was read and is what it should be.
#[derive(Clone, Copy)]
pub(super) struct SoundChunk {
    pub(super) documents: u32,
    pub(super) raw_bytes: u32,
    /// Of its documents, where it is needed.
    pub(super) sum: Sum,
}

pub(super) async fn check(
    fetcher: Fetcher,
    wanted: Arc<Wanted>,
    pack: usize,
    entries: Vec<PackEntry>,
) -> Result<PackReport, RepositoryError> {
    let (vault, known) = (&fetcher.vault, &fetcher.index.packs[pack]);
    let present_bytes = known.present_bytes.unwrap_or(0);
    let mut report = PackReport { pack, problems: Vec::new(), sound: Vec::new(), blamed: Vec::new() };
    let unread = note_seen(&fetcher, &wanted, &entries, &mut report);
    let mut rest = unread.as_slice();
    while let Some(first) = rest.first() {
        let (some, after) = rest.split_at(piece_length(rest));
        rest = after;
        let range = u64::from(first.offset)..footer::chunks_end(some).min(present_bytes);
        let Some(stored) = read(vault, known, range, &mut report).await? else {
            continue;
        };
        let (some, looked_for, at) = (some.to_vec(), wanted.clone(), vault.clone());
        let piece = vault.pool.run(move || check_chunks(&at, &stored, &some, &looked_for)).await?;
        report.problems.extend(piece.problems);
        report.sound.extend(piece.sound);
        check_deltas(&fetcher, &wanted, piece.deltas, &mut report).await?;
    }
    if wanted.alone {
        return Ok(report);
    }
    let end = footer::chunks_end(&entries).min(present_bytes)..present_bytes;
    if end.end - end.start > u64::from(FOOTER_RECORD_BYTES) + TRAILER_BYTES as u64 {
        report.problems.push("it goes on after its end".into());
    } else if let Some(stored) = read(vault, known, end, &mut report).await?
        && let Err(problem) = check_footer(vault, &known.object, &stored, &entries)
    {
        report.problems.push(problem);
    }
    Ok(report)
}

/// Takes what was read with a delta that builds on it as it is; what is left is to be read.
fn note_seen(fetcher: &Fetcher, wanted: &Wanted, entries: &[PackEntry], report: &mut PackReport) -> Vec<PackEntry> {
    let is_seen =
        |entry: &PackEntry| fetcher.seen.as_ref().is_some_and(|seen| seen.has(&fetcher.index, report.pack, entry));
    let mut unread = Vec::new();
    for entry in entries {
        match wanted.position(&entry.id).filter(|position| !wanted.needs_sum[*position] && is_seen(entry)) {
            Some(position) => {
                let sound = SoundChunk { documents: entry.documents, raw_bytes: entry.raw_bytes, sum: Sum::default() };
                report.sound.push((position, sound));
            }
            None => unread.push(*entry),
        }
    }
    unread
}

/// What became of a delta.
enum Applied {
    Sound(SoundChunk),
    Wrong(String),
    /// What it builds on can't be read, by the fault of this object.
    Unfounded(Arc<str>),
}

/// Applies deltas to what they build on; twice as many at once as the processor can take, since each is read first, or two that are large.
async fn check_deltas(
    fetcher: &Fetcher,
    wanted: &Wanted,
    deltas: Vec<WaitingDelta>,
    report: &mut PackReport,
) -> Result<(), RepositoryError> {
    let is_large = |delta: &WaitingDelta| delta.entry.raw_bytes > LARGE_BYTES;
    let at_once = if deltas.iter().any(is_large) { 2 } else { 2 * fetcher.vault.pool.width() };
    let applied = deltas.into_iter().map(|delta| async move {
        let (position, offset) = (delta.position, delta.entry.offset);
        (position, offset, apply(fetcher, delta, wanted.needs_sum[position]).await)
    });
    let mut applied = stream::iter(applied).buffered(at_once);
    while let Some((position, offset, applied)) = applied.next().await {
        match applied? {
            Applied::Sound(sound) => report.sound.push((position, sound)),
            Applied::Wrong(problem) => report.problems.push(format!("chunk at {offset}: {problem}")),
            Applied::Unfounded(object) => {
                let blamed = fetcher.index.packs.iter().position(|pack| *pack.object == *object);
                report.blamed.extend(blamed.map(|pack| (position, pack)));
            }
        }
    }
    Ok(())
}

async fn apply(fetcher: &Fetcher, delta: WaitingDelta, needs_sum: bool) -> Result<Applied, RepositoryError> {
    let WaitingDelta { entry, sealed, .. } = delta;
    let base = match fetcher.base(&entry.delta.expect("only deltas wait")).await {
        Ok(base) => base,
        Err(error) => return Ok(Applied::Unfounded(error.damage().ok_or(error)?.object.into())),
    };
    let vault = fetcher.vault.clone();
    let applied = move || match apply_delta(&vault, &base, &sealed, &entry) {
        Ok(raw) => Applied::Sound(SoundChunk::of(&vault, &entry, &raw, needs_sum)),
        Err(problem) => Applied::Wrong(problem),
    };
    fetcher.vault.pool.run(applied).await
}

impl SoundChunk {
    fn of(vault: &Vault, entry: &PackEntry, raw: &[u8], needs_sum: bool) -> Self {
        let sum = if needs_sum { Sum::of_documents(&vault.domain_keys().content, raw) } else { Sum::default() };
        Self { documents: entry.documents, raw_bytes: entry.raw_bytes, sum }
    }
}

/// How many of these chunks are read at once.
fn piece_length(entries: &[PackEntry]) -> usize {
    let start = entries.first().map_or(0, |first| first.offset);
    let mut end = start;
    let fit = |entry: &&PackEntry| {
        let is_near = entry.offset.saturating_sub(end) <= GAP_BYTES;
        end = entry.offset + entry.record_bytes;
        is_near && end - start <= PIECE_BYTES
    };
    entries.iter().take_while(fit).count().max(1)
}

/// A part of a pack; what isn't there is noted.
async fn read(
    vault: &Vault,
    pack: &Pack,
    range: Range<u64>,
    report: &mut PackReport,
) -> Result<Option<Bytes>, RepositoryError> {
    if range.start >= range.end {
        report.problems.push("it is truncated".into());
        return Ok(None);
    }
    match vault.store.read_range(&pack.object, range).await {
        Ok(stored) => Ok(Some(stored)),
        Err(error) => {
            report.problems.push(error.damage().ok_or(error)?.problem);
            Ok(None)
        }
    }
}

/// What is wrong with consecutive chunks, which wanted ones are sound, and which have to be applied to others first.
fn check_chunks(vault: &Vault, stored: &[u8], entries: &[PackEntry], wanted: &Wanted) -> Piece {
    let mut piece = Piece::default();
    let offset = entries.first().map_or(0, |first| first.offset);
    for entry in entries {
        let start = (entry.offset - offset) as usize;
        let checked = stored.get(start..start + entry.record_bytes as usize);
        let checked = checked.ok_or_else(|| "it is truncated".to_owned());
        let place = wanted.position(&entry.id).map(|position| (position, wanted.needs_sum[position]));
        let checked = checked.and_then(|record| check_chunk(vault, record, entry, place, &mut piece));
        if let Err(problem) = checked {
            piece.problems.push(format!("chunk at {}: {problem}", entry.offset));
        }
    }
    piece
}

fn check_chunk(
    vault: &Vault,
    record: &[u8],
    entry: &PackEntry,
    place: Option<(usize, bool)>,
    piece: &mut Piece,
) -> Result<(), String> {
    if entry.delta.is_none() {
        let raw = open_full(vault, record, entry)?;
        let sound = place.map(|(position, needs_sum)| (position, SoundChunk::of(vault, entry, &raw, needs_sum)));
        piece.sound.extend(sound);
    } else {
        // One that this backup doesn't want is only shown to be as it was sealed.
        let sealed = open_delta(vault, record, entry)?;
        piece.deltas.extend(place.map(|(position, _)| WaitingDelta { position, entry: *entry, sealed }));
    }
    Ok(())
}

/// Checks what follows the chunks.
fn check_footer(vault: &Vault, object: &str, stored: &[u8], entries: &[PackEntry]) -> Result<(), String> {
    let (record, _) = stored.split_last_chunk::<TRAILER_BYTES>().ok_or("it is truncated")?;
    let length = footer::read_trailer(stored).ok_or("it doesn't end as a pack")?;
    if length as usize != record.len() {
        return Err("its trailer doesn't match".into());
    }
    let opened = vault.opener.open(record, RecordType::Footer, &vault.name_id(object));
    let body = opened.map_err(|problem| format!("footer: {problem}"))?;
    let agrees = footer::decode_whole(&body).is_some_and(|listed| listed == entries);
    if agrees { Ok(()) } else { Err("its footer disagrees with the index".into()) }
}
