//! A repository that isn't there, or whose place another one has taken, while a program has it open: everything waits, nothing is
//! written, and once it is back all is as it was.

use std::fs;
use std::path::PathBuf;

use crate::support::*;
use lucid_repository::*;

/// What becomes of the repository's folder.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is gone.
    Gone,
    /// An empty one is in its place, as an unmount leaves it.
    Emptied,
    /// Another repository is in its place, which opens with the same key.
    Exchanged,
}

const FATES: [Fate; 3] = [Fate::Gone, Fate::Emptied, Fate::Exchanged];

/// Everything that is done with a repository.
#[derive(Clone, Copy, Debug)]
enum Deed {
    BackUp,
    Commit,
    Prune,
    CopyTo,
    CopyFrom,
    Forget,
    Pin,
    Unpin,
    Reencrypt,
    Rotate,
    AddSlot,
    Claim,
    Repair,
    Verify,
    VerifyAll,
    Read,
    List,
    Stats,
    Scan,
    Look,
}

const DEEDS: [Deed; 20] = [
    Deed::BackUp,
    Deed::Commit,
    Deed::Prune,
    Deed::CopyTo,
    Deed::CopyFrom,
    Deed::Forget,
    Deed::Pin,
    Deed::Unpin,
    Deed::Reencrypt,
    Deed::Rotate,
    Deed::AddSlot,
    Deed::Claim,
    Deed::Repair,
    Deed::Verify,
    Deed::VerifyAll,
    Deed::Read,
    Deed::List,
    Deed::Stats,
    Deed::Scan,
    Deed::Look,
];

/// A repository with a backup, and another one to copy to and from.
struct World {
    scratch: Scratch,
    other: Scratch,
    people: Vec<Vec<u8>>,
    backup: (Manifest, ManifestRef),
}

impl World {
    async fn new() -> Self {
        let (scratch, other) = (Scratch::new().await, Scratch::new().await);
        let people = documents(0..300, 400, "a");
        let collections: [(&str, _, &[Vec<u8>]); 1] = [("people", ContentOrder::Any, &people)];
        let (manifest, reference, _) = back_up(&scratch.repository, "night_1", Domain::Sealed, &collections).await;
        back_up(&other.repository, "theirs", Domain::Sealed, &collections).await;
        Self { scratch, other, people, backup: (manifest, reference) }
    }

    fn aside(&self) -> PathBuf {
        self.scratch.folder.path().join("aside")
    }

    /// Puts something else in the place of the repository.
    async fn befall(&self, fate: Fate) {
        let place = self.scratch.path();
        fs::rename(&place, self.aside()).expect("moved");
        match fate {
            Fate::Gone => {}
            Fate::Emptied => fs::create_dir(&place).expect("made"),
            Fate::Exchanged => {
                Repository::init(&self.scratch.location(), &self.scratch.key(), &InitOptions::default())
                    .await
                    .expect("made");
            }
        }
    }

    /// Brings it back; what was in its place goes.
    fn bring_back(&self) {
        let place = self.scratch.path();
        if place.exists() {
            fs::remove_dir_all(&place).expect("removed");
        }
        fs::rename(self.aside(), &place).expect("moved");
    }

    async fn writer(&self, job: &str) -> (BackupWriter, Manifest) {
        let writer =
            self.scratch.repository.begin(job, 1, Domain::Sealed, Compression::default()).await.expect("begins");
        let content = write_collection(&writer, ContentOrder::Any, &self.people).await;
        writer.finish().await.expect("finished");
        (writer, manifest(job, 1, Domain::Sealed, vec![entry("people", ContentOrder::Any, content)]))
    }

    async fn run(&self, deed: Deed, begun: &(BackupWriter, Manifest)) -> Result<(), RepositoryError> {
        let (repository, other) = (&self.scratch.repository, &self.other.repository);
        let (manifest, reference) = &self.backup;
        let kept = [self.scratch.key()];
        let never = || false;
        match deed {
            Deed::BackUp => repository.begin("night_2", 1, Domain::Sealed, Compression::default()).await.map(drop),
            Deed::Commit => begun.0.write_manifest(&begun.1).await.map(drop),
            Deed::Prune => repository.prune(&prune("prune_1"), &|_, _, _| (), &never).await.map(drop),
            Deed::CopyTo => {
                let theirs = other.manifests_of("theirs").await.expect("listed").remove(0).manifest.expect("sound");
                other.copy_backup(&theirs, repository, Compression::default(), &|_, _| (), &never).await.map(drop)
            }
            Deed::CopyFrom => {
                repository.copy_backup(manifest, other, Compression::default(), &|_, _| (), &never).await.map(drop)
            }
            Deed::Forget => repository.forget(&reference.key, "prune_0", "the test").await.map(drop),
            Deed::Pin => repository.pin(&reference.key, "why").await,
            Deed::Unpin => repository.unpin(&reference.key).await,
            Deed::Reencrypt => repository.reencrypt(&|_, _, _, _| (), &never).await.map(drop),
            Deed::Rotate => repository.rotate_key(&kept, true).await.map(drop),
            Deed::AddSlot => {
                let added = Unlock::KeyFile(self.scratch.folder.path().join("added"));
                repository.add_slot(&added, "added").await.map(drop)
            }
            Deed::Claim => repository.claim("cluster", true).await.map(drop),
            Deed::Repair => repository.repair(false, &|_| (), &never).await.map(drop),
            Deed::Verify => {
                let reader = repository.open_backup(manifest).await?;
                reader.verify(VerifyLevel::Data, &|_| (), &never).await.map(drop)
            }
            Deed::VerifyAll => {
                repository.verify_all(VerifyLevel::Structure, Share::All, &|_| (), &never).await.map(drop)
            }
            Deed::Read => read(repository, manifest, "people").await.map(drop),
            Deed::List => repository.manifests().await.map(drop),
            Deed::Stats => repository.stats().await.map(drop),
            Deed::Scan => repository.scan().await.map(drop),
            Deed::Look => repository.current().await.map(drop),
        }
    }
}

fn prune(job: &str) -> PruneOptions {
    PruneOptions {
        job: job.into(),
        epoch: 1,
        grace_ms: 0,
        repack: true,
        at_once: true,
        known: [].into(),
        dry_run: None,
    }
}

/// Everything below a folder with its size.
fn contents(world: &World) -> Option<Vec<(String, u64)>> {
    let place = world.scratch.path();
    place.exists().then(|| {
        let size = |name: &String| fs::metadata(place.join(name)).expect("there").len();
        world.scratch.objects("").into_iter().map(|name| (name.clone(), size(&name))).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_while_a_repository_is_away_and_all_is_well_once_it_is_back() {
    for fate in FATES {
        let world = World::new().await;
        let begun = world.writer("begun").await;
        world.befall(fate).await;
        let before = contents(&world);
        for deed in DEEDS {
            let error = world.run(deed, &begun).await.expect_err(&format!("{deed:?} succeeds where it is {fate:?}"));
            assert!(error.is_away() && error.is_retryable(), "{deed:?} where it is {fate:?}: {error}");
            assert_eq!(contents(&world), before, "{deed:?} writes where it is {fate:?}");
        }
        world.bring_back();
        world.run(Deed::Commit, &begun).await.expect("committed now");
        for backup in [&world.backup.0, &begun.1] {
            let found = read(&world.scratch.repository, backup, "people").await.expect("whole");
            assert!(found == world.people, "{fate:?}");
        }
        world.run(Deed::Prune, &begun).await.expect("pruned");
        world.run(Deed::Pin, &begun).await.expect("pinned");
        world.run(Deed::CopyTo, &begun).await.expect("copied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_one_that_is_away_says_what_to_do() {
    let world = World::new().await;
    let (place, id) = (world.scratch.location().to_string(), world.scratch.repository.id().to_string());
    let told: [(Fate, &[&str]); 3] = [
        (Fate::Gone, &[&place, "Mount", "waits"]),
        (Fate::Emptied, &[&place, "Mount", "waits"]),
        (Fate::Exchanged, &[&place, &id, "another repository", "waits"]),
    ];
    for (fate, words) in told {
        world.befall(fate).await;
        let told = world.scratch.repository.ensure_here().await.expect_err("away").to_string();
        assert!(words.iter().all(|word| told.contains(word)), "{fate:?}: {told}");
        world.bring_back();
        world.scratch.repository.ensure_here().await.expect("here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_was_emptied_or_exchanged_is_found_out_at_the_commit() {
    for fate in FATES {
        let scratch = Scratch::at(Place::S3).await;
        let other = Scratch::new().await;
        let people = documents(0..300, 400, "a");
        let writer =
            scratch.repository.begin("night", 1, Domain::Sealed, Compression::default()).await.expect("begins");
        let content = write_collection(&writer, ContentOrder::Any, &people).await;
        writer.finish().await.expect("finished");
        let manifest = manifest("night", 1, Domain::Sealed, vec![entry("people", ContentOrder::Any, content)]);
        let (place, aside) = (scratch.path(), scratch.folder.path().join("aside"));
        fs::rename(&place, &aside).expect("moved");
        match fate {
            Fate::Gone => {}
            Fate::Emptied => fs::create_dir(&place).expect("made"),
            Fate::Exchanged => fs::rename(other.path(), &place).expect("moved"),
        }
        let before = scratch.objects("");
        let committed = writer.write_manifest(&manifest).await.expect_err("away");
        let pruned = scratch.repository.prune(&prune("prune_1"), &|_, _, _| (), &|| false).await.expect_err("away");
        let listed = scratch.repository.manifests().await.expect_err("away");
        let opened = scratch.repository.open_backup(&manifest).await.map(drop);
        for error in [committed, pruned, listed] {
            assert!(error.is_away(), "{fate:?}: {error}");
        }
        if !matches!(fate, Fate::Exchanged) {
            assert!(opened.expect_err("away").is_away(), "{fate:?}: it isn't damage");
        }
        assert_eq!(scratch.objects(""), before, "{fate:?}");
    }
}
