//! Going through a pack that has lost its footer, from record to record: each says what it is.
//!
//! Invariant: what comes back was opened, and has the hash that its id says. Where something may be whole that can't be opened here,
//! for lack of a key or of a base, the pack is left alone.

use std::sync::Arc;

use bytes::Bytes;

use crate::RepositoryError;
use crate::batch::count_documents;
use crate::fetch::{Fetcher, apply_delta, open_delta, open_full};
use crate::footer::{DeltaLink, MAX_DEPTH, PackEntry};
use crate::packer::SealedChunk;
use crate::record::{Header, RecordType, key_id_of};
use crate::vault::Vault;

/// Larger packs than writers ever make aren't read into memory.
const MOST_BYTES: u64 = 256 << 20;
/// What every record begins with.
const MAGIC: &[u8] = b"LUCR";
/// A chunk of which nobody knows the place in its line: none comes after this one, so the next begins a new line.
const LAST_PLACE: u8 = u8::MAX;

/// What was found in a pack.
#[derive(Default)]
pub(super) struct Walk {
    /// Whole chunks that no other pack has.
    pub(super) chunks: Vec<SealedChunk>,
    /// Whole chunks that other packs have, too.
    pub(super) held: usize,
    /// Of the master key that all of them are sealed with.
    pub(super) key_id: u32,
    /// Why the pack has to stay as it is.
    pub(super) why_not: Option<String>,
}

impl Walk {
    pub(super) async fn through(fetcher: &Fetcher, object: &str, bytes: u64) -> Result<Self, RepositoryError> {
        let mut walk = Self { key_id: fetcher.vault.keys.newest_key_id(), ..Self::default() };
        if bytes > MOST_BYTES {
            walk.why_not = Some(format!("it has {bytes} bytes; packs have far fewer"));
            return Ok(walk);
        }
        let stored = fetcher.vault.store.read(object, MOST_BYTES).await?;
        let mut at = 0;
        while let Some((start, header)) = next_record(&stored, at) {
            let end = start + usize::try_from(header.record_bytes()).unwrap_or(usize::MAX);
            let record = stored.slice(start..end);
            let is_whole = match header.record_type {
                RecordType::Chunk | RecordType::Delta if !knows_key(&fetcher.vault, &header) => {
                    walk.why_not = Some(format!("it needs master key {}, which isn't at hand", header.key_id));
                    true
                }
                RecordType::Chunk => walk.full(fetcher, record, &header).await?,
                RecordType::Delta => walk.delta(fetcher, record, &header).await?,
                _ => false,
            };
            // The length of a record that isn't whole may be wrong.
            at = if is_whole { end } else { start + 1 };
        }
        Ok(walk)
    }

    async fn full(&mut self, fetcher: &Fetcher, record: Bytes, header: &Header) -> Result<bool, RepositoryError> {
        let (vault, checked, id) = (fetcher.vault.clone(), record.clone(), header.id);
        let mut entry = entry(header, &record);
        let opened = move || {
            let raw = vault.opener.open(&checked, RecordType::Chunk, &id).ok()?;
            entry.documents = count_documents(&raw)?;
            open_full(&vault, &checked, &entry).ok().map(|_| entry)
        };
        let Some(entry) = fetcher.vault.pool.run(opened).await? else { return Ok(false) };
        self.take(fetcher, &entry, record);
        Ok(true)
    }

    async fn delta(&mut self, fetcher: &Fetcher, record: Bytes, header: &Header) -> Result<bool, RepositoryError> {
        let (vault, mut entry) = (fetcher.vault.clone(), entry(header, &record));
        let Ok(sealed) = vault.opener.open_delta(&record, &header.id) else { return Ok(false) };
        let index = &fetcher.index;
        let depth = index.holding(&sealed.base).map(|copy| index.depth(copy) + 1).filter(|depth| *depth <= MAX_DEPTH);
        let Some(depth) = depth else { return Ok(self.lacks_base()) };
        let link = DeltaLink { depth, place: LAST_PLACE, base: sealed.base };
        entry.delta = Some(link);
        let base = match fetcher.base(&link).await {
            Ok(base) => base,
            Err(error) if error.damage().is_some() => return Ok(self.lacks_base()),
            Err(error) => return Err(error),
        };
        let checked = record.clone();
        let applied = move || {
            let sealed = open_delta(&vault, &checked, &entry).ok()?;
            let raw = crate::delta::apply(&base, &sealed.frame, sealed.raw_bytes as usize).ok()?;
            entry.documents = count_documents(&raw)?;
            apply_delta(&vault, &base, &sealed, &entry).ok().map(|_| entry)
        };
        let Some(entry) = fetcher.vault.pool.run(applied).await? else { return Ok(false) };
        self.take(fetcher, &entry, record);
        Ok(true)
    }

    fn lacks_base(&mut self) -> bool {
        let why = "a chunk of it builds on one that can't be read: repair again once that one is back";
        self.why_not = Some(why.into());
        true
    }

    fn take(&mut self, fetcher: &Fetcher, entry: &PackEntry, record: Bytes) {
        let key_id = key_id_of(&record);
        if self.chunks.is_empty() {
            self.key_id = key_id;
        } else if self.key_id != key_id {
            self.why_not =
                Some("it holds what several master keys have sealed: this program writes no such pack".into());
            return;
        }
        let index = &fetcher.index;
        let trusted = |copy: &crate::index::Copy| index.pack(copy).is_whole() && index.pack(copy).is_trusted();
        if index.resolvable(&entry.id, MAX_DEPTH + 1, &trusted).is_some() {
            self.held += 1;
            return;
        }
        let PackEntry { id, raw_bytes, documents, delta, .. } = *entry;
        self.chunks.push(SealedChunk { id, record, raw_bytes, documents, delta });
    }
}

fn entry(header: &Header, record: &Bytes) -> PackEntry {
    let record_bytes = u32::try_from(record.len()).unwrap_or(u32::MAX);
    PackEntry { id: header.id, offset: 0, record_bytes, raw_bytes: header.raw_bytes, documents: 0, delta: None }
}

/// The next place at which a record may begin that ends within these bytes.
fn next_record(stored: &[u8], from: usize) -> Option<(usize, Header)> {
    let mut at = from;
    loop {
        at += stored.get(at..)?.windows(MAGIC.len()).position(|window| window == MAGIC)?;
        if let Ok(header) = Header::decode(&stored[at..])
            && header.record_bytes() <= (stored.len() - at) as u64
        {
            return Some((at, header));
        }
        at += 1;
    }
}

fn knows_key(vault: &Arc<Vault>, header: &Header) -> bool {
    let ring = vault.keys.ring().filter(|_| vault.domain == crate::Domain::Sealed);
    ring.is_none_or(|ring| ring.masters.iter().any(|(id, _)| *id == header.key_id))
}
