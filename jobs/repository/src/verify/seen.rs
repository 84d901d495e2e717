//! Which chunks a verification has read already.
//!
//! A backup of deltas is read with what they build on, and the packs of that are read whole besides. Invariant: what is
//! marked was read from its pack in this verification, and is what its pack says.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::footer::PackEntry;
use crate::index::Index;

/// One bit for each copy in an index.
pub(crate) struct Seen {
    bits: Vec<AtomicU64>,
}

impl Seen {
    pub(crate) fn none_of(index: &Index) -> Self {
        Self { bits: (0..=index.copy_count() / 64).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Marks the copy at this place of the index.
    pub(crate) fn mark(&self, place: usize) {
        self.bits[place / 64].fetch_or(1 << (place % 64), Ordering::Relaxed);
    }

    /// Whether a pack's chunk is marked.
    pub(crate) fn has(&self, index: &Index, pack: usize, entry: &PackEntry) -> bool {
        let is_it = |place: &usize| {
            let copy = index.copy(*place);
            (copy.pack as usize, copy.offset) == (pack, entry.offset)
        };
        let marked = |place: usize| self.bits[place / 64].load(Ordering::Relaxed) >> (place % 64) & 1 == 1;
        index.places(&entry.id).find(is_it).is_some_and(marked)
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seen({} words)", self.bits.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fetch::Fetcher;
    use crate::support::{Scratch, back_up, batches, documents};
    use crate::{Compression, ContentOrder, Domain};

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_read_is_seen_with_what_it_builds_on_and_nothing_else() {
        let scratch = Scratch::new().await;
        let mut people = documents(0..9_000, 400, "a");
        let (earlier, ..) =
            back_up(&scratch.repository, "night", Domain::Sealed, &[("c", ContentOrder::Any, &people)]).await;
        people[4_500] = documents(4_500..4_501, 410, "b").remove(0);
        let writer = scratch.repository.begin("next", 1, Domain::Sealed, Compression::default()).await.expect("begins");
        let mut collection = writer.collection_after(ContentOrder::Any, &earlier.collections[0].content);
        for batch in batches(&people) {
            collection.push(batch).await.expect("pushed");
        }
        collection.finish().await.expect("finished");
        writer.finish().await.expect("finished");
        let vault = scratch.repository.vault(Domain::Sealed).expect("there");
        let (index, _) = Index::load(&vault).await.expect("loaded");
        let fetcher = Fetcher::new(vault, Arc::new(index)).noting();
        let (seen, index) = (fetcher.seen.clone().expect("noting"), fetcher.index.clone());
        let entries = index.by_pack(&vec![true; index.packs.len()]);
        let all =
            || entries.iter().enumerate().flat_map(|(pack, entries)| entries.iter().map(move |entry| (pack, *entry)));
        assert!(all().all(|(pack, entry)| !seen.has(&index, pack, &entry)));
        let (_, delta) = all().find(|(_, entry)| entry.delta.is_some()).expect("the second night has one");
        fetcher.chunk(&delta.id).await.expect("read");
        let base = delta.delta.expect("it is one").base;
        for (pack, entry) in all() {
            let is_read = [delta.id, base].contains(&entry.id);
            assert_eq!(seen.has(&index, pack, &entry), is_read, "{entry:?}");
        }
    }
}
