//! Which copies of which chunks backups need.

use std::collections::HashSet;

use crate::footer::MAX_DEPTH;
use crate::index::Index;
use crate::object_name::Folder;
use crate::vault::Vault;
use crate::{ListRef, RepositoryError};

/// What backups need, gathered list by list. A byte for each copy, whatever the size of the data.
pub(super) struct Live {
    /// Whether a copy is needed; places as in the index.
    needed: Vec<bool>,
    /// Needed bytes of each pack.
    pack_bytes: Vec<u64>,
    /// Bytes of all records of each pack.
    all_bytes: Vec<u64>,
    /// Full names of needed chunk lists.
    pub(super) lists: HashSet<String>,
    /// Chunks that aren't whole anywhere.
    pub(super) lost: u64,
}

impl Live {
    pub(super) fn new(index: &Index) -> Self {
        let (needed, pack_bytes) = (vec![false; index.copy_count()], vec![0; index.packs.len()]);
        let mut all_bytes = pack_bytes.clone();
        for copy in (0..index.copy_count()).map(|place| index.copy(place)) {
            all_bytes[copy.pack as usize] += u64::from(copy.record_bytes);
        }
        Self { needed, pack_bytes, all_bytes, lists: HashSet::new(), lost: 0 }
    }

    /// Adds what a chunk list names. A list that can't be read is an error. Where a chunk can be read from packs that are `spared`
    /// alone, its other copies aren't needed.
    pub(super) async fn add_list(
        &mut self,
        vault: &Vault,
        index: &Index,
        list: &ListRef,
        spared: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> Result<(), RepositoryError> {
        if list.inline.is_none() && !self.lists.insert(Folder::Lists.object(vault.domain, &list.id)) {
            return Ok(());
        }
        for entry in vault.read_list(list).await? {
            let there = |copy: &crate::index::Copy| {
                let pack = index.pack(copy);
                pack.is_whole() && spared(&pack.object)
            };
            if index.resolvable(&entry.id, MAX_DEPTH + 1, &there).is_none() {
                self.lost += u64::from(!index.holds(&entry.id));
                self.need(index, entry.id);
            }
        }
        Ok(())
    }

    /// Needed bytes of a pack.
    pub(super) fn bytes_in(&self, pack: usize) -> u64 {
        self.pack_bytes[pack]
    }

    /// Whether less than half of a pack's records are needed, by their bytes.
    pub(super) fn is_wasteful(&self, pack: usize) -> bool {
        self.pack_bytes[pack] < self.all_bytes[pack] / 2
    }

    /// Whether a copy is needed.
    pub(super) fn needs(&self, place: usize) -> bool {
        self.needed[place]
    }

    /// All copies of a chunk, and of what they build on: which of them are sound isn't known here.
    fn need(&mut self, index: &Index, id: [u8; 32]) {
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            for place in index.places(&id) {
                if std::mem::replace(&mut self.needed[place], true) {
                    continue;
                }
                let copy = index.copy(place);
                self.pack_bytes[copy.pack as usize] += u64::from(copy.record_bytes);
                waiting.extend(index.link(copy).map(|link| link.base));
            }
        }
    }
}
