//! Which copies of which chunks backups need.

use std::collections::HashSet;

use crate::footer::MAX_DEPTH;
use crate::index::{Copy, Index};
use crate::object_name::ListName;
use crate::vault::Vault;
use crate::{ListRef, RepositoryError};

/// Why a copy is needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    No,
    /// For a chunk that can be read from packs that are trusted: so its copies in others aren't needed.
    Trusted,
    /// For a chunk of which every copy, and all that these build on, may be what helps.
    Any,
}

/// What backups need, gathered list by list. A byte for each copy, whatever the size of the data.
pub(super) struct Live {
    /// Whether a copy is needed; places as in the index.
    needed: Vec<Need>,
    /// Needed bytes of each pack.
    pack_bytes: Vec<u64>,
    /// Bytes of all records of each pack.
    all_bytes: Vec<u64>,
    /// Needed chunk lists that are objects: their ids, and who wrote them.
    lists: HashSet<(String, Option<String>)>,
    /// Ids of those that could be read only from another object of the same content: which one helps isn't known here.
    saved: HashSet<String>,
    /// Chunks that aren't whole anywhere.
    pub(super) lost: u64,
}

impl Live {
    pub(super) fn new(index: &Index) -> Self {
        let (needed, pack_bytes) = (vec![Need::No; index.copy_count()], vec![0; index.packs.len()]);
        let mut all_bytes = pack_bytes.clone();
        for copy in (0..index.copy_count()).map(|place| index.copy(place)) {
            all_bytes[copy.pack as usize] += u64::from(copy.record_bytes);
        }
        Self { needed, pack_bytes, all_bytes, lists: HashSet::new(), saved: HashSet::new(), lost: 0 }
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
        if list.inline.is_none() && !self.lists.insert((list.id.clone(), list.writer.clone())) {
            return Ok(());
        }
        let (entries, from_other) = vault.find_list(list).await?;
        if from_other {
            self.saved.insert(list.id.clone());
        }
        for entry in entries {
            let trusted = |copy: &Copy| index.pack(copy).is_whole() && index.pack(copy).is_trusted();
            let there = |copy: &Copy| trusted(copy) && spared(&index.pack(copy).object);
            if index.resolvable(&entry.id, MAX_DEPTH + 1, &there).is_none() {
                self.lost += u64::from(!index.holds(&entry.id));
                let is_trusted = index.resolvable(&entry.id, MAX_DEPTH + 1, &trusted).is_some();
                self.need(index, entry.id, if is_trusted { Need::Trusted } else { Need::Any });
            }
        }
        Ok(())
    }

    /// Those of all chunk lists of a domain that nothing needs: because no manifest names them, or because there is the same one sealed
    /// with the newest master key.
    pub(super) fn unneeded_lists(&self, vault: &Vault, all: Vec<(String, u64)>) -> Vec<(String, u64)> {
        let names: HashSet<String> = all.iter().map(|(object, _)| object.clone()).collect();
        let is_needed = |object: &str| {
            let Some(ListName { id, writer, .. }) = ListName::parse(vault.domain, object) else { return false };
            let newest = vault.list_name(id, writer);
            let is_named = self.lists.contains(&(id.to_owned(), writer.map(str::to_owned)));
            self.saved.contains(id) || (is_named && (newest == object || !names.contains(&newest)))
        };
        all.into_iter().filter(|(object, _)| !is_needed(object)).collect()
    }

    /// Whether a copy is needed that an older master key has sealed: then no sound one is known that the newest has.
    pub(super) fn needs_outdated(&self, index: &Index) -> bool {
        (0..index.packs.len()).any(|pack| self.bytes_in(pack) > 0 && index.packs[pack].outdated)
    }

    /// Whether a list is needed that the newest master key hasn't sealed.
    pub(super) fn needs_older_list(&self, vault: &Vault, all: &[(String, u64)]) -> bool {
        let parsed = all.iter().filter_map(|(object, _)| ListName::parse(vault.domain, object));
        let newest: HashSet<&str> =
            parsed.filter(|list| list.key_id == vault.list_key_id()).map(|list| list.id).collect();
        self.lists.iter().any(|(id, _)| !newest.contains(id.as_str()))
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
        self.needed[place] != Need::No
    }

    /// All copies of a chunk, and of what they build on: which of them are sound isn't known here. Where a chunk can be read from
    /// packs that are trusted, only copies in these.
    fn need(&mut self, index: &Index, id: [u8; 32], why: Need) {
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            for place in index.places(&id) {
                let (copy, known) = (index.copy(place), self.needed[place]);
                if known >= why || (why == Need::Trusted && !index.pack(copy).is_trusted()) {
                    continue;
                }
                self.needed[place] = why;
                if known == Need::No {
                    self.pack_bytes[copy.pack as usize] += u64::from(copy.record_bytes);
                }
                waiting.extend(index.link(copy).map(|link| link.base));
            }
        }
    }
}
