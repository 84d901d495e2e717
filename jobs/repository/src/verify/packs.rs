//! Reading one pack whole: every byte of it belongs to a chunk, the footer or the trailer, and each is checked.

use std::sync::Arc;

use crate::bytes_reader::BytesReader;
use crate::content::{ContentPart, Sum};
use crate::footer::{self, PackEntry, TRAILER_BYTES};
use crate::index::Index;
use crate::reader::open_chunk;
use crate::record::RecordType;
use crate::vault::Vault;
use crate::{ContentOrder, RepositoryError};

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
    let (object, stored_bytes) = (known.object.clone(), known.stored_bytes);
    let stored = match vault.store.read(&object).await {
        Ok(stored) => stored,
        Err(error) => {
            let damage = error.damage().ok_or(error)?;
            return Ok(PackReport {
                pack,
                problems: vec![damage.problem],
                sound: Vec::new(),
            });
        }
    };
    let pool = vault.pool.clone();
    let read = move || {
        let mut report = PackReport {
            pack,
            problems: Vec::new(),
            sound: Vec::new(),
        };
        if stored.len() as u64 != stored_bytes {
            report
                .problems
                .push(format!("it has {} bytes instead of {stored_bytes}", stored.len()));
        }
        check_chunks(&vault, &stored, &entries, &wanted, &mut report);
        if let Err(problem) = check_footer(&vault, &object, &stored, &entries) {
            report.problems.push(problem);
        }
        report
    };
    pool.run(read).await
}

fn check_chunks(vault: &Vault, stored: &[u8], entries: &[PackEntry], wanted: &[[u8; 32]], report: &mut PackReport) {
    for entry in entries {
        let start = entry.offset as usize;
        let record = stored.get(start..start + entry.record_bytes as usize);
        let opened = record
            .ok_or_else(|| "it is truncated".to_owned())
            .and_then(|record| open_chunk(vault, record, entry));
        match opened {
            Err(problem) => report.problems.push(format!("chunk at {start}: {problem}")),
            Ok(raw) => {
                let Ok(position) = wanted.binary_search(&entry.id) else {
                    continue;
                };
                if let ContentPart::Any(sum) = ContentPart::of(&vault.domain_keys().content, ContentOrder::Any, &raw) {
                    let (documents, raw_bytes) = (entry.documents, entry.raw_bytes);
                    report.sound.push((
                        position,
                        SoundChunk {
                            documents,
                            raw_bytes,
                            sum,
                        },
                    ));
                }
            }
        }
    }
}

fn check_footer(vault: &Vault, object: &str, stored: &[u8], entries: &[PackEntry]) -> Result<(), String> {
    let start = usize::try_from(footer::chunks_end(entries)).map_err(|error| error.to_string())?;
    let end = stored.len().checked_sub(TRAILER_BYTES).ok_or("it is truncated")?;
    let record = stored.get(start..end).ok_or("it is truncated")?;
    let length = footer::read_trailer(stored).ok_or("it doesn't end as a pack")?;
    if length as usize != record.len() {
        return Err("its trailer doesn't match".into());
    }
    let opened = vault.opener.open(record, RecordType::Footer, &vault.name_id(object));
    let body = opened.map_err(|problem| format!("footer: {problem}"))?;
    let mut bytes = BytesReader(&body);
    let agrees = footer::decode(&mut bytes).is_some_and(|listed| bytes.0.is_empty() && listed == entries);
    if agrees {
        Ok(())
    } else {
        Err("its footer disagrees with the index".into())
    }
}
