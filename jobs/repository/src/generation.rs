//! Generations: what prunes have doomed, and which backups they honoured (format, section 9).
//!
//! Invariant: what is doomed goes only after its generation is closed, and a closed generation names every backup of an earlier
//! one that counts; what was doomed once stays doomed while it is there; and nobody acts on a doom or a close of his that others have
//! gone past. So neither a writer nor a pruner that wakes up late can make a backup that lacks something.

use std::collections::BTreeSet;
use std::sync::Arc;

use bson::{DateTime, serialize_to_vec};
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::object_name::{GENERATIONS, ManifestName, Stage, generation_name, parse_generation};
use crate::record::{RecordType, key_id_of};
use crate::seal::Sealer;
use crate::store::Created;
use crate::vault::Vault;
use crate::{Damage, ManifestEntry, RepositoryError, masters};

const FORMAT: i32 = 1;

/// Said of a name that only a later program can have given: what it says, and how it is sealed, nobody knows here.
const LATER: &str = "another kind of generation (if no later program has pruned this repository, somebody has planted that object: \
                     remove it, once you are sure)";

/// What can't be read, and has a number so much above those that can, is nobody's: no prune ever gets as far.
const REACH: i64 = 1_000_000_000;

/// What is to go. From its creation on nothing is built on it any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Doom {
    format: i32,
    pub(crate) generation: i64,
    created_at: DateTime,
    /// Full names of packs and chunk lists.
    pub(crate) objects: BTreeSet<String>,
    /// Keys of the manifests that were there, and counted. Absent as programs wrote it that didn't note what they forget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counted: Option<BTreeSet<String>>,
}

/// The backups of earlier generations that count, for good: whatever else of an earlier one turns up is void.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Close {
    format: i32,
    pub(crate) generation: i64,
    created_at: DateTime,
    /// Names of manifests' objects.
    pub(crate) honoured: BTreeSet<String>,
    /// Whether whoever forgets one of them notes it. Absent as programs wrote it that didn't.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    noted: bool,
}

/// The newest doom and the newest close.
#[derive(Clone, Debug, Default)]
pub(crate) struct Generations {
    pub(crate) doom: Option<Doom>,
    pub(crate) close: Option<Close>,
    /// All their objects, the newest ones included.
    pub(crate) objects: Vec<(Stage, i64, String)>,
    /// Those of them that can't be read.
    pub(crate) damage: Vec<Damage>,
    /// Whether one that is in force is sealed with an older master key: the next prune replaces it.
    pub(crate) is_behind: bool,
    /// Objects that only look like newer ones, and don't count: an older master key has sealed them, or nobody can have got so far.
    outdated: Vec<(Stage, i64, String)>,
}

impl Generations {
    /// Reads them. Damage to one is noted and stops nobody: a prune heals it. Fails with `KeyRotated` where the keys at hand are
    /// behind.
    pub(crate) async fn load(vault: &Vault) -> Result<Self, RepositoryError> {
        masters::check_current(vault).await?;
        let (objects, vault) = (list(vault).await?, vault.of_whole_repository());
        let mut read = Self { objects, ..Self::default() };
        read.doom = read.newest_of(&vault, Stage::Doom).await?;
        read.close = read.newest_of(&vault, Stage::Close).await?;
        Ok(read)
    }

    async fn newest_of<T: Numbered>(&mut self, vault: &Vault, stage: Stage) -> Result<Option<T>, RepositoryError> {
        let mut found = None;
        // Far above any number that there was so far, and not to be read.
        let mut far: Vec<(i64, Damage)> = Vec::new();
        let mut of_stage: Vec<_> = self.objects.iter().filter(|(of, ..)| *of == stage).cloned().collect();
        of_stage.sort_by_key(|(_, number, _)| *number);
        let mut reached = 0;
        while let Some((_, number, object)) = of_stage.pop() {
            match read(vault, &object, number).await {
                Ok((read, key_id)) => {
                    self.is_behind |= key_id < vault.keys.newest_key_id();
                    (found, reached) = (Some(read), number);
                    break;
                }
                Err(error) if error.is_outdated() => {
                    tracing::warn!(%error, "going on as if it weren't there");
                    self.set_aside(&object);
                }
                Err(error) => far.push((number, error.damage().ok_or(error)?)),
            }
            if far.last().is_some_and(|(number, _)| *number <= REACH) {
                break;
            }
        }
        for (number, damage) in far {
            if number > reached.saturating_add(REACH) {
                tracing::warn!(%damage, "no prune gets so far: going on as if it weren't there");
                self.set_aside(&damage.object);
            } else {
                tracing::warn!(%damage, "going on without it");
                self.damage.push(damage);
                found = None;
            }
        }
        Ok(found)
    }

    /// Takes out what doesn't count.
    fn set_aside(&mut self, object: &str) {
        if let Some(place) = self.objects.iter().position(|(.., name)| name == object) {
            self.outdated.push(self.objects.swap_remove(place));
        }
    }

    /// The newest one: what is written now belongs to it. 0 before the first.
    pub(crate) fn newest(&self) -> i64 {
        self.objects.iter().map(|(_, number, _)| *number).max().unwrap_or(0)
    }

    fn newest_number(&self, stage: Stage) -> Option<i64> {
        self.objects.iter().filter(|(of, ..)| *of == stage).map(|(_, number, _)| *number).max()
    }

    /// Whether something is doomed whose generation isn't closed yet.
    pub(crate) fn is_open(&self) -> bool {
        self.newest_number(Stage::Doom) > self.newest_number(Stage::Close)
    }

    /// Whether the name is taken under which the newest doom would be closed, by what doesn't count.
    fn is_blocked(&self) -> bool {
        let doom = self.newest_number(Stage::Doom);
        self.is_open() && self.outdated.iter().any(|(stage, number, _)| *stage == Stage::Close && Some(*number) == doom)
    }

    /// The same, such that the newest doom can be closed: where it can't, what it dooms is doomed once more.
    pub(crate) async fn unblocked(self, vault: &Vault) -> Result<Self, RepositoryError> {
        if !self.is_blocked() {
            return Ok(self);
        }
        let objects = self.doom.as_ref().map(|doom| doom.objects.clone()).unwrap_or_default();
        self.write_doom(vault, objects, self.counted(), 0).await?;
        Self::load(vault).await
    }

    /// Whether a pack or a chunk list is known to be doomed.
    pub(crate) fn dooms(&self, object: &str) -> bool {
        self.doom.as_ref().is_some_and(|doom| doom.objects.contains(object))
    }

    /// Whether it may be doomed, so that nothing is to be built on it: where the newest doom can't be read, nobody knows.
    pub(crate) fn may_doom(&self, object: &str) -> bool {
        let unknown = self.doom.is_none() && self.newest_number(Stage::Doom).is_some();
        unknown || self.dooms(object)
    }

    /// Keys of the manifests that were there when the newest doom or the newest close was written: each of them is there, or is noted to
    /// be forgotten.
    pub(crate) fn counted(&self) -> BTreeSet<String> {
        let key = |object: &String| Some(ManifestName::parse(object).ok()?.key);
        let honoured = self.close.iter().filter(|close| close.noted).flat_map(|close| &close.honoured).filter_map(key);
        let doomed = self.doom.iter().filter_map(|doom| doom.counted.as_ref()).flatten().cloned();
        honoured.chain(doomed).collect()
    }

    /// Whether it is noted which manifests there are, so that they are missed.
    pub(crate) fn counts(&self) -> bool {
        let doom = self.doom.as_ref().is_some_and(|doom| doom.counted.is_some());
        doom || self.close.as_ref().is_some_and(|close| close.noted)
    }

    /// Whether there was none yet.
    pub(crate) fn is_none(&self) -> bool {
        self.objects.is_empty()
    }

    /// Whether a manifest came too late to count.
    pub(crate) fn voids(&self, object: &str, generation: i64) -> bool {
        self.close.as_ref().is_some_and(|close| generation < close.generation && !close.honoured.contains(object))
    }

    /// Whether a manifest that was there before these were read counts for good, whatever is doomed later.
    pub(crate) fn settles(&self, object: &str, generation: i64) -> bool {
        let honoured = self.close.as_ref().is_some_and(|close| close.honoured.contains(object));
        generation >= self.newest() || honoured
    }

    /// Whether a manifest counts; says at it whether that is for good. A damaged one isn't judged.
    pub(crate) fn judge(&self, entry: &mut ManifestEntry) -> bool {
        let Ok(manifest) = &entry.manifest else { return !entry.retired };
        entry.settled = self.settles(&entry.object, manifest.generation);
        !self.voids(&entry.object, manifest.generation)
    }

    /// Dooms objects: the beginning of the next generation, whose number comes back. `counting` are the manifests that are there and count,
    /// listed after these were read.
    pub(crate) async fn doom(
        &self,
        vault: &Vault,
        objects: BTreeSet<String>,
        counting: &[ManifestEntry],
    ) -> Result<i64, RepositoryError> {
        let above = counting.iter().filter_map(|entry| Some(entry.manifest.as_ref().ok()?.generation)).max();
        let keys = counting.iter().map(|entry| entry.key.clone()).collect();
        self.write_doom(vault, objects, keys, above.unwrap_or(0)).await
    }

    /// `above` is the highest number known elsewhere.
    async fn write_doom(
        &self,
        vault: &Vault,
        objects: BTreeSet<String>,
        counted: BTreeSet<String>,
        above: i64,
    ) -> Result<i64, RepositoryError> {
        let mut free = (self.newest().max(above)..i64::MAX).map(|number| number + 1);
        let is_free = |number: &i64| !self.outdated.iter().any(|(_, taken, _)| taken == number);
        let generation = free.find(is_free).ok_or_else(|| {
            RepositoryError::damaged(GENERATIONS, "the highest number there is was used: this program didn't do that")
        })?;
        let doom = Doom { format: FORMAT, generation, created_at: DateTime::now(), objects, counted: Some(counted) };
        write(vault, Stage::Doom, generation, &doom).await?;
        check_newest(vault, generation).await?;
        Ok(generation)
    }

    /// Closes the newest doom. `counting` are all manifests that are there and not void, listed after it was written.
    pub(crate) async fn close(&self, vault: &Vault, counting: &[ManifestEntry]) -> Result<(), RepositoryError> {
        let Some(generation) = self.newest_number(Stage::Doom) else { return Ok(()) };
        let honoured = counting.iter().map(|entry| entry.object.clone()).collect();
        let close = Close { format: FORMAT, generation, created_at: DateTime::now(), honoured, noted: true };
        write(vault, Stage::Close, generation, &close).await?;
        check_newest(vault, generation).await
    }

    /// Removes those that newer ones have replaced, and those that never counted.
    pub(crate) async fn tidy(&self, vault: &Vault) -> Result<(), RepositoryError> {
        for (.., object) in &self.outdated {
            vault.store.delete(object).await?;
        }
        for (stage, number, object) in &self.objects {
            if self.newest_number(*stage).is_some_and(|newest| *number < newest) {
                vault.store.delete(object).await?;
            }
        }
        Ok(())
    }
}

/// All objects of generations: which half of one, its number, and its name.
async fn list(vault: &Vault) -> Result<Vec<(Stage, i64, String)>, RepositoryError> {
    let mut objects = Vec::new();
    for (object, bytes) in vault.store.list(GENERATIONS).await? {
        let name = object.rsplit('/').next().unwrap_or_default();
        match parse_generation(&object) {
            Some((stage, number)) => objects.push((stage, number, object)),
            // No program leaves an empty one: objects are there whole, or not at all.
            None if bytes > 0 && name.starts_with(|first: char| first.is_ascii_digit()) => {
                return Err(RepositoryError::UnsupportedVersion { object, needs: LATER.into() });
            }
            None => tracing::warn!(object, "not the name of a generation; ignored"),
        }
    }
    Ok(objects)
}

/// Whether what was just written of a generation is in force. One that others have gone past may have been closed by them before, with
/// other backups, and its names be free again: then this came too late. The newest ones are never removed, so it can't be overlooked.
async fn check_newest(vault: &Vault, generation: i64) -> Result<(), RepositoryError> {
    let newest = Generations::load(vault).await?.newest();
    if newest > generation { Err(RepositoryError::Pruned { generation: newest }) } else { Ok(()) }
}

/// A part of a generation, which knows its number.
pub(crate) trait Numbered: for<'de> Deserialize<'de> {
    fn number(&self) -> i64;
}

impl Numbered for Doom {
    fn number(&self) -> i64 {
        self.generation
    }
}

impl Numbered for Close {
    fn number(&self) -> i64 {
        self.generation
    }
}

/// With the id of the master that sealed it.
async fn read<T: Numbered>(vault: &Vault, object: &str, number: i64) -> Result<(T, u32), RepositoryError> {
    let (body, stored) = vault.read_named(object, RecordType::Generation).await?;
    Ok((decode(object, number, &body)?, key_id_of(&stored)))
}

/// A part of a generation that has the number in its name.
pub(crate) fn decode<T: Numbered>(object: &str, number: i64, body: &[u8]) -> Result<T, RepositoryError> {
    let read: T = limits::decode(object, body, ("generation", FORMAT..=FORMAT))?;
    if read.number() == number {
        Ok(read)
    } else {
        Err(RepositoryError::damaged(object, "it isn't what its name says"))
    }
}

async fn write(vault: &Vault, stage: Stage, number: i64, body: &impl Serialize) -> Result<(), RepositoryError> {
    let vault = vault.of_whole_repository();
    let internal =
        |error: bson::error::Error| RepositoryError::Internal { what: "generation", reason: error.to_string() };
    let body = serialize_to_vec(body).map_err(internal)?;
    let object = generation_name(stage, number);
    let sealer = Arc::new(Sealer::new(vault.keys.clone(), vault.domain)?);
    let sealed = vault.seal_record(&sealer, RecordType::Generation, vault.name_id(&object), body).await?;
    vault.store.ensure_here().await?;
    match vault.store.create(&object, std::slice::from_ref(&sealed)).await? {
        Created::New => Ok(()),
        // The reply to our first attempt may have been lost.
        Created::Exists if vault.store.read(&object, sealed.len() as u64).await.is_ok_and(|there| there == sealed) => {
            vault.store.sync(&[object]).await
        }
        Created::Exists => Err(RepositoryError::Pruned { generation: number }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generations(doom: i64, close: Option<(i64, &[&str])>) -> Generations {
        let objects = std::iter::once("sealed/packs/a".to_owned()).collect();
        let doom = Doom { format: 1, generation: doom, created_at: DateTime::now(), objects, counted: None };
        let close = close.map(|(generation, honoured)| {
            let honoured = honoured.iter().map(|key| (*key).to_owned()).collect();
            Close { format: 1, generation, created_at: DateTime::now(), honoured, noted: true }
        });
        let mut objects = vec![(Stage::Doom, doom.generation, String::new())];
        objects.extend(close.iter().map(|close| (Stage::Close, close.generation, String::new())));
        Generations { doom: Some(doom), close, objects, ..Generations::default() }
    }

    #[test]
    fn what_comes_late_is_void_once_the_generation_is_closed() {
        let none = Generations::default();
        assert!(!none.voids("m", 0) && none.settles("m", 0) && !none.is_open());
        let open = generations(1, None);
        assert!(open.is_open() && !open.voids("m", 0) && !open.settles("m", 0) && open.settles("m", 1));
        let closed = generations(1, Some((1, &["old"])));
        assert!(!closed.is_open() && closed.voids("late", 0) && !closed.voids("old", 0) && !closed.voids("new", 1));
        assert!(closed.settles("old", 0) && closed.settles("new", 1) && !closed.settles("late", 0));
        let next = generations(2, Some((1, &["old"])));
        assert!(next.is_open() && next.voids("late", 0) && !next.voids("new", 1) && !next.settles("new", 1));
        assert!(next.dooms("sealed/packs/a") && !next.dooms("sealed/packs/b") && !next.may_doom("sealed/packs/b"));
        let unread = Generations { doom: None, ..next };
        assert!(unread.is_open() && !unread.dooms("sealed/packs/a") && unread.may_doom("sealed/packs/b"));
    }
}
