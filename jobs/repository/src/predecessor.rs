//! The same collection in the backup before: is a chunk one of its chunks, and if not, which of them does it resemble?
//!
//! Its chunk lists are read along with the collection, a few at a time, so that memory doesn't grow with it. What isn't found costs
//! space and time only: the chunk is stored full, and its documents are hashed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::content::Sum;
use crate::list::{IdValue, ListEntry};
use crate::vault::Vault;
use crate::{ListRef, RepositoryError};

/// Chunk lists held at once; they have up to 20,000 entries.
const WINDOW: usize = 3;
/// So many chunks in a row that resemble nothing: the collection has moved on beyond the window.
const MISSES: usize = 2_000;

/// The chunks of a collection as of the backup before.
#[derive(Debug)]
pub(crate) struct Predecessor {
    vault: Arc<Vault>,
    /// Whether anything may be stored as a difference from it.
    deltas: bool,
    window: tokio::sync::Mutex<Window>,
    tries: Mutex<Tries>,
}

#[derive(Debug, Default)]
struct Window {
    ahead: VecDeque<ListRef>,
    lists: VecDeque<Known>,
    misses: usize,
}

/// Id and sum of a chunk of the backup before.
type Found = ([u8; 32], Option<Sum>);

/// The chunks of one list.
#[derive(Debug)]
struct Known {
    chunks: Vec<Found>,
    /// Positions in it, by first and by last `_id`.
    ends: HashMap<IdValue, u32>,
}

/// How well deltas have gone so far.
#[derive(Debug, Default)]
struct Tries {
    asked: u32,
    tried: u32,
    kept: u32,
}

impl Predecessor {
    pub(crate) fn new(vault: Arc<Vault>, lists: Vec<ListRef>, deltas: bool) -> Self {
        let window = Window { ahead: lists.into(), ..Window::default() };
        Self { vault, deltas, window: tokio::sync::Mutex::new(window), tries: Mutex::default() }
    }

    /// The sum of a chunk that was there, if it was kept. It was made of the same bytes: they have the same id.
    pub(crate) async fn sum(&self, chunk: &ListEntry) -> Result<Option<Sum>, RepositoryError> {
        let found = self.look_up(chunk).await?;
        Ok(found.and_then(|(id, sum)| sum.filter(|_| id == chunk.id)))
    }

    /// The chunk that a new one may be stored as a difference from: it had the same first `_id`, else the same last one.
    pub(crate) async fn resembling(&self, new: &ListEntry) -> Result<Option<[u8; 32]>, RepositoryError> {
        if !self.deltas || !self.worthwhile() {
            return Ok(None);
        }
        Ok(self.look_up(new).await?.map(|(id, _)| id))
    }

    /// What had the same ends; moves on with the collection.
    async fn look_up(&self, chunk: &ListEntry) -> Result<Option<Found>, RepositoryError> {
        let mut window = self.window.lock().await;
        while window.lists.len() < WINDOW && self.read_next(&mut window).await? {}
        let found = window.find(&chunk.first, &chunk.last);
        window.misses = if found.is_some() { 0 } else { window.misses + 1 };
        let moved_on = found.is_some_and(|(list, _)| list + 1 == WINDOW) || window.misses >= MISSES;
        if moved_on && !window.ahead.is_empty() {
            window.lists.pop_front();
            window.misses = 0;
        }
        Ok(found.map(|(_, known)| known))
    }

    /// Tells whether a delta was small enough to be kept.
    pub(crate) fn tried(&self, kept: bool) {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.tried += 1;
        tries.kept += u32::from(kept);
    }

    /// Where a collection was rewritten as a whole, deltas cost time and win nothing: then only some are tried.
    fn worthwhile(&self) -> bool {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.asked = tries.asked.wrapping_add(1);
        tries.tried < 16 || u64::from(tries.kept) * 4 >= u64::from(tries.tried) || tries.asked.is_multiple_of(8)
    }

    /// Takes the next list into the window; false where there is none. One that is lost is passed over.
    async fn read_next(&self, window: &mut Window) -> Result<bool, RepositoryError> {
        let Some(reference) = window.ahead.pop_front() else { return Ok(false) };
        match self.vault.read_list(&reference).await {
            Ok(entries) => window.lists.push_back(Known::of(entries)),
            Err(error) if error.damage().is_some() => {
                tracing::warn!(%error, "a chunk list of the backup before can't be read; storing more than needed");
            }
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}

impl Window {
    fn find(&self, first: &IdValue, last: &IdValue) -> Option<(usize, Found)> {
        let by = |id: &IdValue| {
            let known = self.lists.iter().enumerate().find_map(|(at, list)| Some((at, list.find(id)?)));
            known.filter(|_| id.is_kept())
        };
        by(first).or_else(|| by(last))
    }
}

impl Known {
    fn of(entries: Vec<ListEntry>) -> Self {
        let (mut chunks, mut ends) = (Vec::with_capacity(entries.len()), HashMap::with_capacity(entries.len() * 2));
        for (position, entry) in (0..).zip(entries) {
            ends.insert(entry.last, position);
            // Where a chunk is one document, or ends with what the next begins with, the first counts.
            ends.insert(entry.first, position);
            chunks.push((entry.id, entry.sum));
        }
        Self { chunks, ends }
    }

    fn find(&self, end: &IdValue) -> Option<Found> {
        self.chunks.get(*self.ends.get(end)? as usize).copied()
    }
}
