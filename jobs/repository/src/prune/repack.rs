//! Writing the needed part of packs anew, record by record as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Run;
use super::live::Live;
use crate::RepositoryError;
use crate::footer::PackEntry;
use crate::index::Index;
use crate::packer::{Packer, SealedChunk};
use crate::record::RecordType;
use crate::vault::Vault;

/// Packs below this are small.
pub(super) const SMALL_BYTES: u64 = 4 << 20;
/// So many small packs are worth making one of.
const SMALL_COUNT: usize = 16;

impl Run<'_> {
    /// Writes what is needed of mostly unneeded packs, and of small ones where there are many, into new packs with an index of
    /// their own. Returns the old ones with their sizes. One with a record that isn't sound stays as it is. `candidates` are
    /// whole packs, by place in the index.
    pub(super) async fn repack(
        &mut self,
        vault: &Arc<Vault>,
        index: &Index,
        live: &Live,
        candidates: Vec<usize>,
    ) -> Result<Vec<(String, u64)>, RepositoryError> {
        let size = |place: usize| index.packs[place].stored_bytes;
        let many_small = candidates.iter().filter(|place| size(**place) < SMALL_BYTES).count() >= SMALL_COUNT;
        let wanted = |place: &usize| live.is_wasteful(*place) || (many_small && size(*place) < SMALL_BYTES);
        let picked: Vec<usize> = candidates.into_iter().filter(wanted).collect();
        if picked.is_empty() {
            return Ok(Vec::new());
        }
        let (sealer, names) = self.pen(vault, vault.keys.newest_key_id())?;
        let packer = Packer::new(vault.clone(), sealer, names);
        let mut old = Vec::new();
        let needed = needed_entries(index, live, &picked);
        for (done, (place, entries)) in needed.into_iter().enumerate() {
            self.check_stop()?;
            (self.progress)("repack", done as u64, picked.len() as u64);
            let pack = &index.packs[place];
            match read_sound(vault, &pack.object, &entries).await {
                Ok(records) => {
                    for (entry, record) in entries.into_iter().zip(records) {
                        packer.append(sealed(&entry, record)).await?;
                    }
                    old.push((pack.object.to_string(), pack.stored_bytes));
                }
                Err(error) if error.damage().is_some() => tracing::warn!(%error, "a pack stays as it is"),
                Err(error) => return Err(error),
            }
        }
        packer.flush().await?;
        let (listings, bytes) = {
            let mut ledger = packer.ledger();
            (std::mem::take(&mut ledger.unlisted), ledger.stats.stored_bytes)
        };
        self.write_index(vault, vault.keys.newest_key_id(), &listings).await?;
        self.report.packs_repacked += old.len() as u64;
        self.report.repacked_bytes += bytes;
        self.report.kept_bytes += bytes;
        self.report.kept_bytes -= old.iter().map(|(_, bytes)| bytes).sum::<u64>();
        Ok(old)
    }
}

/// What is needed of these packs, in the order of their bytes.
fn needed_entries(index: &Index, live: &Live, packs: &[usize]) -> BTreeMap<usize, Vec<PackEntry>> {
    let mut entries: BTreeMap<usize, Vec<PackEntry>> = packs.iter().map(|pack| (*pack, Vec::new())).collect();
    for copy in (0..index.copy_count()).filter(|place| live.needs(*place)).map(|place| index.copy(place)) {
        if let Some(entries) = entries.get_mut(&(copy.pack as usize)) {
            entries.push(index.entry(copy));
        }
    }
    for entries in entries.values_mut() {
        entries.sort_unstable_by_key(|entry| entry.offset);
    }
    entries
}

/// The records of a pack, each proven by its tag.
async fn read_sound(vault: &Arc<Vault>, object: &str, entries: &[PackEntry]) -> Result<Vec<Bytes>, RepositoryError> {
    let mut records = Vec::with_capacity(entries.len());
    for entry in entries {
        let start = u64::from(entry.offset);
        let record = vault.store.read_range(object, start..start + u64::from(entry.record_bytes)).await?;
        let (opener, checked, entry) = (vault.opener.clone(), record.clone(), *entry);
        let check = move || match entry.delta {
            None => opener.open(&checked, RecordType::Chunk, &entry.id).map(drop),
            Some(_) => opener.open_delta(&checked, &entry.id).map(drop),
        };
        vault.pool.run(check).await?.map_err(|problem| RepositoryError::damaged(object, problem))?;
        records.push(record);
    }
    Ok(records)
}

fn sealed(entry: &PackEntry, record: Bytes) -> SealedChunk {
    let PackEntry { id, raw_bytes, documents, delta, .. } = *entry;
    SealedChunk { id, record, raw_bytes, documents, delta }
}
