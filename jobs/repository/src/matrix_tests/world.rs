//! The backups of the damage matrix, and what is done with a copy of them that has been hit.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Blow, Target};
use crate::support::{batches, documents, entry, manifest};
use crate::*;

const DATABASE: &str = "secretdatabase";

/// A repository with three backups and a forgotten one, and one that was in its place before.
pub(super) struct World {
    pub(super) folder: TempDir,
    /// Each with the key of its manifest.
    pub(super) backups: Vec<(Manifest, String)>,
    /// The documents of `log` and `people` in each; empty where it has no such collection.
    pub(super) contents: Vec<[Vec<Vec<u8>>; 2]>,
    pub(super) packs: Packs,
    slots: [String; 2],
}

/// Names of packs.
pub(super) struct Packs {
    pub(super) forgotten: String,
    full: String,
    bases: String,
    deltas: String,
}

fn folder_of(scratch: &TempDir, name: &str) -> PathBuf {
    scratch.path().join(name)
}

fn key(scratch: &TempDir, name: &str) -> Unlock {
    Unlock::KeyFile(folder_of(scratch, name))
}

/// Files below a folder by their names relative to it.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(path.strip_prefix(folder).expect("within").to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// A backup that builds on the newest one, as a job makes it.
pub(super) async fn back_up(
    repository: &Repository,
    job: &str,
    contents: &[Vec<Vec<u8>>; 2],
) -> Result<(Manifest, String), RepositoryError> {
    let earlier = repository.newest_manifest((DATABASE, None), Domain::Sealed).await?;
    let writer = repository.begin(job, 1, Domain::Sealed, Compression::default()).await?;
    let mut entries = Vec::new();
    for (name, documents) in ["log", "people"].into_iter().zip(contents).filter(|(_, documents)| !documents.is_empty())
    {
        let before = earlier.iter().flat_map(|manifest| &manifest.collections).find(|entry| entry.name == name);
        let mut collection = match before {
            Some(before) => writer.collection_after(ContentOrder::Any, &before.content),
            None => writer.collection(ContentOrder::Any),
        };
        for batch in batches(documents) {
            collection.push(batch).await?;
        }
        entries.push(entry(name, ContentOrder::Any, collection.finish().await?));
    }
    writer.finish().await?;
    let manifest = Manifest { generation: writer.generation(), ..manifest(job, 1, Domain::Sealed, entries) };
    let reference = writer.write_manifest(&manifest).await?;
    Ok((manifest, reference.key))
}

/// These documents; those of the ids given are others than before.
pub(super) fn changed(mut people: Vec<Vec<u8>>, ids: &[i64]) -> Vec<Vec<u8>> {
    for id in ids {
        people[usize::try_from(*id).expect("small")] = documents(*id..=*id, 401, "changed").remove(0);
    }
    people
}

impl World {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("scratch");
        let chunk = ChunkSizes { min_bytes: 2 << 10, avg_bytes: 8 << 10, max_bytes: 32 << 10 };
        let options = InitOptions { chunk, ..InitOptions::default() };
        let place = |name| Location::folder(&folder_of(&folder, name)).expect("valid");
        Repository::init(&place("before"), &key(&folder, "key"), &options).await.expect("made");
        let repository = Repository::init(&place("repo"), &key(&folder, "key"), &options).await.expect("made");
        let first = repository.slots().await.expect("listed").remove(0).id;
        let other = repository.add_slot(&key(&folder, "other"), "other").await.expect("added").id;

        let (log, people) = (documents(0..100, 400, "log"), documents(0..240, 400, "a"));
        let old = [documents(900..1_140, 400, "old"), Vec::new()];
        let contents =
            vec![[log.clone(), Vec::new()], [Vec::new(), people.clone()], [log, changed(people, &[100, 150])]];
        let (_, forgotten) = back_up(&repository, "forgotten", &old).await.expect("committed");
        repository.forget(&forgotten, "prune_0", "the test").await.expect("forgotten");
        let mut backups = Vec::new();
        for (night, contents) in contents.iter().enumerate() {
            backups.push(back_up(&repository, &format!("night_{night}"), contents).await.expect("committed"));
        }
        let job = "prune_0".to_owned();
        let options =
            PruneOptions { job, epoch: 1, grace_ms: 0, repack: false, at_once: false, known: [].into(), dry_run: None };
        repository.prune(&options, &|_, _, _| (), &|| false).await.expect("doomed");
        let all = files(&folder_of(&folder, "repo"));
        let pack_of = |job: &str| {
            let packs: Vec<_> = all.iter().filter(|name| name.starts_with(&format!("sealed/packs/{job}."))).collect();
            assert_eq!(packs.len(), 1, "{all:?}");
            packs[0].clone()
        };
        let packs = Packs {
            forgotten: pack_of("forgotten"),
            full: pack_of("night_0"),
            bases: pack_of("night_1"),
            deltas: pack_of("night_2"),
        };
        let slots = [first, other].map(|id| format!("keys/{id}"));
        Self { folder, backups, contents, packs, slots }
    }

    /// The objects that are hit: the first one is what the row is about.
    fn objects(&self, blow: Blow, target: Target) -> Vec<String> {
        let index = |pack: &str| pack.replace("/packs/", "/index/");
        let list = |backup: usize| {
            let people = self.backups[backup].0.collections.iter().find(|entry| entry.name == "people").expect("there");
            let ListRef { id, writer, .. } = &people.content.chunk_lists[0];
            format!("sealed/lists/{id}.{}", writer.as_ref().expect("it is an object"))
        };
        let [hit, other] = match target {
            Target::Config => ["config".into(), self.slots[0].clone()],
            Target::KeySlot => self.slots.clone(),
            Target::Manifest => [self.backups[2].1.clone(), self.backups[1].1.clone()],
            Target::Index => [index(&self.packs.bases), index(&self.packs.full)],
            Target::ChunkList => [list(1), list(2)],
            Target::FullPack => [self.packs.full.clone(), self.packs.deltas.clone()],
            Target::BasePack => [self.packs.bases.clone(), self.packs.full.clone()],
            Target::DeltaPack => [self.packs.deltas.clone(), self.packs.full.clone()],
        };
        if blow == Blow::Swap { vec![hit, other] } else { vec![hit] }
    }

    /// The bytes of an older object of this kind.
    fn older(&self, target: Target, size: usize) -> Vec<u8> {
        let repo = folder_of(&self.folder, "repo");
        let before = folder_of(&self.folder, "before");
        let read = |path: PathBuf| fs::read(path).expect("there");
        let forgotten = &self.packs.forgotten;
        match target {
            Target::Config => read(before.join("config")),
            Target::KeySlot => read(before.join("keys").join(&files(&before.join("keys"))[0])),
            Target::Manifest => read(repo.join(&self.backups[0].1)),
            Target::Index => read(repo.join(forgotten.replace("/packs/", "/index/"))),
            Target::ChunkList => {
                let named = self.objects(Blow::Swap, target);
                let lists = files(&repo.join("sealed/lists"));
                let old = lists.iter().find(|id| !named.iter().any(|name| name.ends_with(*id)));
                let old = old.expect("the forgotten backup's");
                read(repo.join("sealed/lists").join(old))
            }
            Target::FullPack | Target::BasePack | Target::DeltaPack => {
                let mut bytes = read(repo.join(forgotten));
                bytes.resize(size, 0);
                bytes
            }
        }
    }
}

/// A copy of the repository in which an object was hit.
pub(super) struct Broken<'a> {
    pub(super) world: &'a World,
    pub(super) cell: String,
    folder: TempDir,
    key: Unlock,
    pub(super) objects: Vec<String>,
}

impl<'a> Broken<'a> {
    pub(super) fn new(world: &'a World, blow: Blow, target: Target) -> Self {
        let folder = tempfile::tempdir().expect("scratch");
        let (from, to) = (folder_of(&world.folder, "repo"), folder_of(&folder, "repo"));
        for name in files(&from) {
            let path = to.join(&name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, fs::read(from.join(&name)).expect("there")).expect("written");
        }
        let objects = world.objects(blow, target);
        let hit = to.join(&objects[0]);
        let good = fs::read(&hit).expect("there");
        match blow {
            Blow::Delete => fs::remove_file(&hit).expect("removed"),
            Blow::Truncate => fs::write(&hit, &good[..good.len() / 2]).expect("written"),
            Blow::FlipABit => {
                let at = if objects[0].contains("/packs/") { 150 } else { good.len() / 2 };
                let mut bad = good;
                bad[at] ^= 1;
                fs::write(&hit, bad).expect("written");
            }
            Blow::Swap => {
                fs::write(&hit, fs::read(to.join(&objects[1])).expect("there")).expect("written");
                fs::write(to.join(&objects[1]), good).expect("written");
            }
            Blow::Older => fs::write(&hit, world.older(target, good.len())).expect("written"),
            Blow::Empty => fs::write(&hit, b"").expect("written"),
        }
        let opens = if target == Target::KeySlot { "other" } else { "key" };
        let cell = format!("{blow:?} x {target:?}");
        Self { world, cell, key: key(&world.folder, opens), folder, objects }
    }

    pub(super) async fn open(&self) -> Result<Repository, RepositoryError> {
        let place = Location::folder(&folder_of(&self.folder, "repo")).expect("valid");
        Repository::open(&place, &self.key).await
    }

    /// Where its objects are.
    pub(super) fn path(&self) -> PathBuf {
        folder_of(&self.folder, "repo")
    }

    /// All objects that are there.
    pub(super) fn files(&self) -> Vec<String> {
        files(&self.path())
    }

    /// Gives the objects that were hit their bytes back.
    pub(super) fn put_right(&self) {
        for object in &self.objects {
            let good = fs::read(folder_of(&self.world.folder, "repo").join(object)).expect("there");
            fs::write(self.path().join(object), good).expect("written");
        }
    }

    /// Whether a text names an object that was hit. What isn't there at all, or isn't ours, is told as such.
    pub(super) fn is_named(&self, text: &str) -> bool {
        self.objects.iter().any(|object| text.contains(object.as_str()))
            || text.contains("holds no repository")
            || text.contains("wrong key")
    }
}
