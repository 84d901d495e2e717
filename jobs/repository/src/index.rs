//! Which chunk is in which pack (format, section 6): index objects, made up for by pack footers. Held as a sorted table, 56 bytes
//! a chunk, and 34 more for one that is stored as a delta.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use futures::{StreamExt, stream};

use crate::distrust::Distrust;
use crate::footer::{self, DeltaLink, MAX_DEPTH, PackEntry, TRAILER_BYTES};
use crate::limits::FOOTER_RECORD_BYTES;
use crate::object_name::{Folder, is_writers_own};
use crate::pack_listing::{self, PackListing};
use crate::record::{RecordType, key_id_of};
use crate::vault::Vault;
use crate::{Damage, Domain, RepositoryError};

/// Index objects and footers read at once.
const READS: usize = 8;

/// Said of an index object that can be read, but not believed.
pub(crate) const DISAGREES: &str = "it disagrees with another index object";

/// In place of a link's position.
const FULL: u32 = u32::MAX;

/// Chunks of which no copy less deep than this can be had.
pub(crate) type Failed = HashSet<([u8; 32], u8)>;

/// A pack that is known of.
#[derive(Clone, Debug)]
pub(crate) struct Pack {
    /// Full name of the object.
    pub(crate) object: Arc<str>,
    /// Its size as written.
    pub(crate) stored_bytes: u64,
    /// Its size now; none if it is missing.
    pub(crate) present_bytes: Option<u64>,
    /// Whether an index object lists it.
    pub(crate) listed: bool,
    /// Whether a verification has found it damaged: nothing new builds on it.
    pub(crate) distrusted: bool,
    /// Of the master key that its footer, and whatever lists it, is sealed with; 0 in the plain domain.
    pub(crate) key_id: u32,
    /// Whether there is a newer master key: nothing new builds on it.
    pub(crate) outdated: bool,
}

impl Pack {
    /// Whether it is there in full length.
    pub(crate) fn is_whole(&self) -> bool {
        self.present_bytes == Some(self.stored_bytes)
    }

    /// Whether new backups build on it, and prunes count on it.
    pub(crate) fn is_trusted(&self) -> bool {
        !self.distrusted && !self.outdated
    }

    /// Its name without the folder.
    pub(crate) fn name(&self) -> &str {
        self.object.rsplit('/').next().unwrap_or_default()
    }
}

/// A copy of a chunk: a row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    pub(crate) id: [u8; 32],
    /// Position in [`Index::packs`].
    pub(crate) pack: u32,
    pub(crate) offset: u32,
    pub(crate) record_bytes: u32,
    pub(crate) raw_bytes: u32,
    pub(crate) documents: u32,
    /// Position in [`Index::links`]; [`FULL`] where it is stored full.
    link: u32,
}

/// Everything known about the packs of a domain.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) packs: Vec<Pack>,
    copies: Vec<Copy>,
    links: Vec<DeltaLink>,
    /// Index objects and footers that couldn't be read.
    pub(crate) damage: Vec<Damage>,
}

impl Index {
    /// Makes packs look as if they were missing.
    pub(crate) fn leave_out(&mut self, which: &dyn Fn(&Pack) -> bool) {
        for pack in self.packs.iter_mut().filter(|pack| which(pack)) {
            pack.present_bytes = None;
        }
    }

    /// All copies of a chunk: full ones first, then the less deep before the deeper.
    pub(crate) fn copies(&self, id: &[u8; 32]) -> &[Copy] {
        &self.copies[self.places(id)]
    }

    /// Where the copies of a chunk are in the table.
    pub(crate) fn places(&self, id: &[u8; 32]) -> Range<usize> {
        let start = self.copies.partition_point(|copy| copy.id < *id);
        let length = self.copies[start..].partition_point(|copy| copy.id == *id);
        start..start + length
    }

    /// The copy at a place.
    pub(crate) fn copy(&self, place: usize) -> &Copy {
        &self.copies[place]
    }

    /// How many places there are.
    pub(crate) fn copy_count(&self) -> usize {
        self.copies.len()
    }

    /// Whether a chunk, and all that it builds on, is in packs that are there in full length.
    pub(crate) fn holds(&self, id: &[u8; 32]) -> bool {
        self.holding(id).is_some()
    }

    /// A copy of a chunk that is in such packs.
    pub(crate) fn holding(&self, id: &[u8; 32]) -> Option<&Copy> {
        self.resolvable(id, MAX_DEPTH + 1, &|copy| self.pack(copy).is_whole())
    }

    /// A copy, less deep than `depth`, that can be read if those that are `there` can be. A base is always less deep than what
    /// builds on it, so this ends whatever the packs say.
    pub(crate) fn resolvable(&self, id: &[u8; 32], depth: u8, there: &dyn Fn(&Copy) -> bool) -> Option<&Copy> {
        self.find(id, depth, there, &mut HashSet::new())
    }

    /// Whether a copy, and all that it builds on, is among those that are `there`.
    pub(crate) fn resolves(&self, copy: &Copy, there: &dyn Fn(&Copy) -> bool) -> bool {
        self.builds_on(copy, there, &mut HashSet::new())
    }

    /// Each chunk is looked for once at each depth: copies upon copies would be as many ways as their number to the power of 8.
    fn find(&self, id: &[u8; 32], depth: u8, there: &dyn Fn(&Copy) -> bool, failed: &mut Failed) -> Option<&Copy> {
        if failed.contains(&(*id, depth)) {
            return None;
        }
        let less_deep = self.copies(id).iter().take_while(|copy| self.depth(copy) < depth);
        let found = less_deep.into_iter().find(|copy| self.builds_on(copy, there, failed));
        if found.is_none() {
            failed.insert((*id, depth));
        }
        found
    }

    fn builds_on(&self, copy: &Copy, there: &dyn Fn(&Copy) -> bool, failed: &mut Failed) -> bool {
        there(copy) && self.link(copy).is_none_or(|link| self.find(&link.base, link.depth, there, failed).is_some())
    }

    /// These chunks, sorted, with all that they may build on. What there is full in a whole pack needs nothing else.
    pub(crate) fn with_bases(&self, mut ids: Vec<[u8; 32]>) -> Vec<[u8; 32]> {
        // Lists may name a chunk as often as they like.
        ids.sort_unstable();
        ids.dedup();
        let mut new = ids.clone();
        for _ in 0..MAX_DEPTH {
            let deltas = new
                .iter()
                .map(|id| self.copies(id))
                .filter(|copies| !copies.iter().any(|copy| self.depth(copy) == 0 && self.pack(copy).is_whole()));
            new = deltas.flatten().filter_map(|copy| Some(self.link(copy)?.base)).collect();
            // Each once, or copies upon copies would be as many as their number to the power of 8.
            new.sort_unstable();
            new.dedup();
            ids.extend_from_slice(&new);
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What a copy builds on; none if it is full.
    pub(crate) fn link(&self, copy: &Copy) -> Option<DeltaLink> {
        self.links.get(copy.link as usize).copied()
    }

    /// How many deltas have to be applied.
    pub(crate) fn depth(&self, copy: &Copy) -> u8 {
        self.link(copy).map_or(0, |link| link.depth)
    }

    pub(crate) fn pack(&self, copy: &Copy) -> &Pack {
        &self.packs[copy.pack as usize]
    }

    /// The chunks of each pack, by offset; packs in the order of [`Self::packs`].
    pub(crate) fn by_pack(&self, wanted: &[bool]) -> Vec<Vec<PackEntry>> {
        let mut out = vec![Vec::new(); self.packs.len()];
        for copy in self.copies.iter().filter(|copy| wanted[copy.pack as usize]) {
            out[copy.pack as usize].push(self.entry(copy));
        }
        for entries in &mut out {
            entries.sort_unstable_by_key(|entry| entry.offset);
        }
        out
    }

    /// A copy as its pack's footer says it.
    pub(crate) fn entry(&self, copy: &Copy) -> PackEntry {
        PackEntry {
            id: copy.id,
            offset: copy.offset,
            record_bytes: copy.record_bytes,
            raw_bytes: copy.raw_bytes,
            documents: copy.documents,
            delta: self.link(copy),
        }
    }

    /// Loads the index objects, and the footers of packs that none of them lists. What can't be read is noted, not fatal.
    /// Returns also the listings made from footers, except for packs from before the newest master key.
    pub(crate) async fn load(vault: &Arc<Vault>) -> Result<(Self, Vec<PackListing>), RepositoryError> {
        // Index before packs: whatever the index lists was there before.
        let objects = ours(vault.store.list(&Folder::Index.of(vault.domain)).await?);
        let mut distrust = Distrust::load(vault).await?;
        let mut gather = Gather::default();
        gather.index.damage.append(&mut distrust.damage);
        let reads = stream::iter(objects).map(|(object, _)| read_index(vault.clone(), object)).buffered(READS);
        let mut reads: Vec<_> = reads.collect().await;
        // What the newest master has sealed says what is in a pack, whatever somebody who has an older one makes of it.
        reads.sort_by_key(|(_, read)| std::cmp::Reverse(read.as_ref().map_or(0, |read| read.key_id)));
        for (object, read) in reads {
            let Some(read) = gather.damage_or(read)? else { continue };
            for listing in &read.packs {
                gather.add(vault.domain, listing, Some(&object), read.key_id);
            }
        }
        let present = ours(vault.store.list(&Folder::Packs.of(vault.domain)).await?);
        for (object, bytes) in &present {
            if let Some(position) = gather.known.get(object.as_str()) {
                gather.index.packs[*position].present_bytes = Some(*bytes);
            }
        }
        let unlisted: Vec<_> =
            present.into_iter().filter(|(object, _)| !gather.known.contains_key(object.as_str())).collect();
        let sizes: HashMap<String, u64> = unlisted.iter().cloned().collect();
        let mut found = Vec::new();
        let mut reads =
            stream::iter(unlisted).map(|(object, bytes)| read_footer(vault.clone(), object, bytes)).buffered(READS);
        while let Some((object, read)) = reads.next().await {
            if let Err(RepositoryError::RetiredKey { key_id, .. }) = &read {
                gather.add(vault.domain, &unreadable(&object, sizes[&object]), None, *key_id);
                continue;
            }
            if let Some((listing, key_id)) = gather.damage_or(read)? {
                gather.add(vault.domain, &listing, None, key_id);
                if key_id >= vault.keys.newest_key_id() || key_id == 0 {
                    found.push(listing);
                }
            }
        }
        for pack in &mut gather.index.packs {
            pack.distrusted = distrust.names(pack.name(), pack.stored_bytes);
            pack.outdated = pack.key_id != 0 && pack.key_id < vault.keys.newest_key_id();
        }
        Ok((gather.finish(), found))
    }
}

/// An index while it is loaded.
#[derive(Default)]
pub(crate) struct Gather {
    index: Index,
    known: HashMap<Arc<str>, usize>,
}

impl Gather {
    /// Notes damage; passes other failures on.
    fn damage_or<T>(&mut self, read: Result<T, RepositoryError>) -> Result<Option<T>, RepositoryError> {
        match read {
            Ok(value) => Ok(Some(value)),
            // What was sealed with it, nobody misses.
            Err(RepositoryError::RetiredKey { .. }) => Ok(None),
            Err(error) => match error.damage() {
                Some(damage) => {
                    tracing::warn!(%damage, "going on without it");
                    self.index.damage.push(damage);
                    Ok(None)
                }
                None => Err(error),
            },
        }
    }

    /// Adds a pack that an index object lists, or that says of itself what it holds.
    pub(crate) fn add(&mut self, domain: Domain, listing: &PackListing, listed_by: Option<&str>, key_id: u32) {
        let object: Arc<str> = Folder::Packs.object(domain, &listing.name).into();
        if let Some(position) = self.known.get(&object) {
            let pack = &mut self.index.packs[*position];
            pack.key_id = pack.key_id.max(key_id);
            if pack.stored_bytes != listing.stored_bytes {
                let problem = format!("{DISAGREES} about {object}");
                self.index.damage.push(Damage { object: listed_by.unwrap_or(&object).into(), problem });
            }
            return;
        }
        let position = self.index.packs.len();
        let pack = u32::try_from(position).expect("fewer than 2^32 packs");
        self.known.insert(object.clone(), position);
        let (listed, stored_bytes) = (listed_by.is_some(), listing.stored_bytes);
        let present_bytes = (!listed).then_some(stored_bytes);
        let (distrusted, outdated) = (false, false);
        self.index.packs.push(Pack { object, stored_bytes, present_bytes, listed, distrusted, key_id, outdated });
        let Index { copies, links, .. } = &mut self.index;
        copies.extend(listing.entries.iter().map(|entry| Copy {
            id: entry.id,
            pack,
            offset: entry.offset,
            record_bytes: entry.record_bytes,
            raw_bytes: entry.raw_bytes,
            documents: entry.documents,
            link: entry.delta.map_or(FULL, |link| {
                links.push(link);
                u32::try_from(links.len() - 1).expect("fewer than 2^32 chunks")
            }),
        }));
    }

    pub(crate) fn finish(mut self) -> Index {
        let Index { copies, links, .. } = &mut self.index;
        let depth = |copy: &Copy| links.get(copy.link as usize).map_or(0, |link| link.depth);
        copies.sort_unstable_by_key(|copy| (copy.id, depth(copy), copy.pack, copy.offset));
        self.index
    }
}

/// Without what isn't named as packs and index objects are, such as the droppings of a file manager.
fn ours(mut objects: Vec<(String, u64)>) -> Vec<(String, u64)> {
    objects.retain(|(object, _)| {
        let ours = is_writers_own(object);
        if !ours {
            tracing::warn!(object, "not the name of a pack or index object; ignored");
        }
        ours
    });
    objects
}

/// What an index object says.
#[derive(Debug, PartialEq)]
pub(crate) struct IndexObject {
    pub(crate) packs: Vec<PackListing>,
    /// Of the master key that it is sealed with, as all that it lists is.
    pub(crate) key_id: u32,
}

/// The packs that an index object lists; comes back with its name.
pub(crate) async fn read_index(vault: Arc<Vault>, object: String) -> (String, Result<IndexObject, RepositoryError>) {
    let read = async {
        let (body, stored) = vault.read_named(&object, RecordType::Index).await?;
        let packs =
            pack_listing::decode(&body).ok_or_else(|| RepositoryError::damaged(&*object, "it isn't an index"))?;
        Ok(IndexObject { packs, key_id: key_id_of(&stored) })
    };
    let read = read.await;
    (object, read)
}

/// A pack of which nothing can be read any more.
fn unreadable(object: &str, stored_bytes: u64) -> PackListing {
    let name = object.rsplit('/').next().unwrap_or(object).to_owned();
    PackListing { name, stored_bytes, entries: Vec::new() }
}

/// What a pack's footer says, and the id of the master key that it is sealed with.
type Footer = (PackListing, u32);

async fn read_footer(vault: Arc<Vault>, object: String, bytes: u64) -> (String, Result<Footer, RepositoryError>) {
    let read = footer_of(&vault, &object, bytes).await;
    (object, read)
}

/// Reads the listing of a pack of this size off its end.
async fn footer_of(vault: &Vault, object: &str, stored_bytes: u64) -> Result<Footer, RepositoryError> {
    let damaged = |problem: &str| RepositoryError::damaged(object, problem);
    let trailer_start = stored_bytes.checked_sub(TRAILER_BYTES as u64).ok_or_else(|| damaged("it is truncated"))?;
    let trailer = vault.store.read_range(object, trailer_start..stored_bytes).await?;
    let length = footer::read_trailer(&trailer).ok_or_else(|| damaged("it doesn't end as a pack"))?;
    // Nothing vouches for the trailer: bound what it makes us read.
    if length > FOOTER_RECORD_BYTES {
        return Err(damaged("its trailer doesn't match"));
    }
    let start = trailer_start.checked_sub(u64::from(length)).ok_or_else(|| damaged("its trailer doesn't match"))?;
    let record = vault.store.read_range(object, start..trailer_start).await?;
    let key_id = key_id_of(&record);
    let body = vault.open_record(object, record, RecordType::Footer, vault.name_id(object)).await?;
    let entries = footer::decode_whole(&body).filter(|entries| footer::chunks_end(entries) == start);
    let entries = entries.ok_or_else(|| damaged("its footer doesn't match"))?;
    let name = object.rsplit('/').next().unwrap_or(object).to_owned();
    Ok((PackListing { name, stored_bytes, entries }, key_id))
}
