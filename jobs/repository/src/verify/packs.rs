//! Reading one pack whole: every byte of it belongs to a chunk, the footer or the trailer, and each is checked.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::RepositoryError;
use crate::bytes_reader::BytesReader;
use crate::content::Sum;
use crate::footer::{self, PackEntry, TRAILER_BYTES};
use crate::index::{Index, Pack};
use crate::limits::FOOTER_RECORD_BYTES;
use crate::reader::open_chunk;
use crate::record::RecordType;
use crate::vault::Vault;

/// Packs are read in pieces of about this size: large buffers would stay with the allocator.
const PIECE_BYTES: u32 = 4 << 20;

/// What was found in a pack.
pub(super) struct PackReport {
    /// Position in the index.
    pub(super) pack: usize,
    pub(super) problems: Vec<String>,
    /// The wanted chunks that are sound, by position in the wanted ids.
    pub(super) sound: Vec<(usize, SoundChunk)>,
}

/// A chunk that was read and is what it should be.
#[derive(Clone, Copy)]
pub(super) struct SoundChunk {
    pub(super) documents: u32,
    pub(super) raw_bytes: u32,
    pub(super) sum: Sum,
}

pub(super) async fn check(
    vault: Arc<Vault>,
    index: Arc<Index>,
    wanted: Arc<Vec<[u8; 32]>>,
    pack: usize,
    entries: Vec<PackEntry>,
) -> Result<PackReport, RepositoryError> {
    let known = &index.packs[pack];
    let present_bytes = known.present_bytes.unwrap_or(0);
    let mut report = PackReport { pack, problems: Vec::new(), sound: Vec::new() };
    let mut rest = entries.as_slice();
    while let Some(first) = rest.first() {
        let (some, after) = rest.split_at(piece_length(rest));
        rest = after;
        let range = u64::from(first.offset)..footer::chunks_end(some).min(present_bytes);
        let Some(stored) = read(&vault, known, range, &mut report).await? else {
            continue;
        };
        let (some, vault, wanted) = (some.to_vec(), vault.clone(), wanted.clone());
        let pool = vault.pool.clone();
        let (problems, sound) = pool.run(move || check_chunks(&vault, &stored, &some, &wanted)).await?;
        report.problems.extend(problems);
        report.sound.extend(sound);
    }
    let end = footer::chunks_end(&entries).min(present_bytes)..present_bytes;
    if end.end - end.start > u64::from(FOOTER_RECORD_BYTES) + TRAILER_BYTES as u64 {
        report.problems.push("it goes on after its end".into());
    } else if let Some(stored) = read(&vault, known, end, &mut report).await?
        && let Err(problem) = check_footer(&vault, &known.object, &stored, &entries)
    {
        report.problems.push(problem);
    }
    Ok(report)
}

/// How many of these chunks are read at once.
fn piece_length(entries: &[PackEntry]) -> usize {
    let start = entries.first().map_or(0, |first| first.offset);
    let fit = |entry: &&PackEntry| entry.offset + entry.record_bytes - start <= PIECE_BYTES;
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

/// What is wrong with consecutive chunks, and which wanted ones are sound.
fn check_chunks(
    vault: &Vault,
    stored: &[u8],
    entries: &[PackEntry],
    wanted: &[[u8; 32]],
) -> (Vec<String>, Vec<(usize, SoundChunk)>) {
    let (mut problems, mut sound) = (Vec::new(), Vec::new());
    let offset = entries.first().map_or(0, |first| first.offset);
    for entry in entries {
        let start = (entry.offset - offset) as usize;
        let record = stored.get(start..start + entry.record_bytes as usize);
        let opened =
            record.ok_or_else(|| "it is truncated".to_owned()).and_then(|record| open_chunk(vault, record, entry));
        match opened {
            Err(problem) => problems.push(format!("chunk at {}: {problem}", entry.offset)),
            Ok(raw) => {
                let Ok(position) = wanted.binary_search(&entry.id) else {
                    continue;
                };
                let sum = Sum::of_documents(&vault.domain_keys().content, &raw);
                sound.push((position, SoundChunk { documents: entry.documents, raw_bytes: entry.raw_bytes, sum }));
            }
        }
    }
    (problems, sound)
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
    let mut bytes = BytesReader(&body);
    let agrees = footer::decode(&mut bytes).is_some_and(|listed| bytes.0.is_empty() && listed == entries);
    if agrees { Ok(()) } else { Err("its footer disagrees with the index".into()) }
}
