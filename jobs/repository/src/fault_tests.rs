//! Storage that fails, lies or dies: what is there afterwards is complete or absent, and a successor finishes the work.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use object_store::Error;
use tokio::sync::Notify;

use crate::init::{init_on, open_on, secret_of};
use crate::local::LocalStorage;
use crate::storage::Storage;
use crate::support::{back_up, documents, entry, manifest, read, write_collection};
use crate::{
    ChunkSizes, Compression, ContentOrder, Domain, InitOptions, Location, Repository, RepositoryError, Unlock,
    VerifyLevel,
};

/// How a storage misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The first attempt of every write is done, but reported as failed.
    LostReply,
    /// Every write and delete from the n-th on fails for good.
    DeadAfter(usize),
    /// The n-th write or delete waits until [`Gate::open`].
    PauseAt(usize),
    /// The first write or delete of an object whose name has this in it waits until [`Gate::open`].
    PauseAtName(&'static str),
    /// Every write from the n-th operation on fails, as on a full disk, and opens [`Gate::reached`].
    FullAfter(usize),
    /// Writes of packs fail for good.
    NoPacks,
    /// `create` replaces what is there.
    NoCreateOnly,
}

/// Where a paused storage stands.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    reached: Notify,
    opened: Notify,
    pack_bytes_read: AtomicUsize,
}

impl Gate {
    async fn pause(&self) {
        self.reached.notify_one();
        self.opened.notified().await;
    }

    /// Waits until the operation is reached that is paused.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    /// How much was read of packs since this was asked for the last time.
    pub(crate) fn pack_bytes_read(&self) -> usize {
        self.pack_bytes_read.swap(0, Ordering::SeqCst)
    }

    /// Lets it go on.
    pub(crate) fn open(&self) {
        self.opened.notify_one();
    }
}

#[derive(Debug)]
struct Faulty {
    inner: LocalStorage,
    fault: Fault,
    writes: AtomicUsize,
    paused: AtomicBool,
    synced: Mutex<Vec<String>>,
    gate: Arc<Gate>,
}

impl Faulty {
    /// Counts a write or delete; fails or waits if it is its turn.
    async fn turn(&self, name: &str, operation: Operation) -> Result<(), Error> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::FullAfter(limit) if number >= limit && operation == Operation::Write => {
                self.gate.reached.notify_one();
                return Err(full());
            }
            Fault::DeadAfter(limit) if number >= limit => return Err(refused(name)),
            Fault::PauseAt(paused) if number == paused => self.gate.pause().await,
            Fault::PauseAtName(part) if name.contains(part) && !self.paused.swap(true, Ordering::SeqCst) => {
                self.gate.pause().await;
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a turn is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Write,
    Delete,
}

fn full() -> Error {
    Error::Generic { store: "test", source: std::io::Error::from_raw_os_error(28).into() }
}

fn lost() -> Error {
    Error::Generic { store: "test", source: "the reply was lost".into() }
}

fn refused(path: &str) -> Error {
    Error::PermissionDenied { path: path.into(), source: "the storage is dead".into() }
}

#[async_trait]
impl Storage for Faulty {
    fn anchor(&self, config: &Bytes) {
        self.inner.anchor(config);
    }

    async fn ensure_here(&self) -> Result<(), Error> {
        self.inner.ensure_here().await
    }

    async fn create(&self, name: &str, parts: &[Bytes]) -> Result<(), Error> {
        self.turn(name, Operation::Write).await?;
        match self.fault {
            Fault::NoPacks if name.contains("/packs/") => Err(refused(name)),
            Fault::NoCreateOnly => self.inner.replace(name, parts).await,
            Fault::LostReply => {
                // A second attempt meets what the first one left.
                self.inner.create(name, parts).await?;
                Err(lost())
            }
            _ => self.inner.create(name, parts).await,
        }
    }

    async fn replace(&self, name: &str, parts: &[Bytes]) -> Result<(), Error> {
        self.turn(name, Operation::Write).await?;
        self.inner.replace(name, parts).await
    }

    async fn read(&self, name: &str) -> Result<Bytes, Error> {
        self.inner.read(name).await
    }

    async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Error> {
        if name.contains("/packs/") {
            let bytes = usize::try_from(range.end - range.start).expect("small");
            self.gate.pack_bytes_read.fetch_add(bytes, Ordering::SeqCst);
        }
        self.inner.read_range(name, range).await
    }

    async fn size(&self, name: &str) -> Result<u64, Error> {
        self.inner.size(name).await
    }

    async fn modified_ms(&self, name: &str) -> Result<i64, Error> {
        self.inner.modified_ms(name).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error> {
        self.inner.list(folder).await
    }

    async fn sync(&self, names: &[String]) -> Result<(), Error> {
        self.synced.lock().expect("no panic").extend_from_slice(names);
        self.inner.sync(names).await
    }

    async fn delete(&self, name: &str) -> Result<(), Error> {
        self.turn(name, Operation::Delete).await?;
        self.inner.delete(name).await
    }
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("listed")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).expect("made");
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("scratch");
        std::fs::create_dir(folder.path().join("repo")).expect("made");
        Self { folder }
    }

    fn location(&self) -> Location {
        Location::folder(&self.folder.path().join("repo")).expect("valid")
    }

    pub(crate) fn folder(&self) -> std::path::PathBuf {
        self.folder.path().join("repo")
    }

    pub(crate) fn key(&self) -> Unlock {
        Unlock::KeyFile(self.folder.path().join("key"))
    }

    /// A copy of all there is, the key included.
    pub(crate) fn stolen(&self) -> Self {
        let copy = Self { folder: tempfile::tempdir().expect("scratch") };
        copy_folder(self.folder.path(), copy.folder.path());
        copy
    }

    /// A key that is made when a slot is added for it.
    pub(crate) fn other_key(&self) -> Unlock {
        Unlock::KeyFile(self.folder.path().join("other"))
    }

    /// A key that opens nothing.
    pub(crate) fn stray_key(&self) -> Unlock {
        let stray = Unlock::KeyFile(self.folder.path().join("stray"));
        secret_of(&stray, true).expect("made");
        stray
    }

    pub(crate) async fn open_with(&self, key: &Unlock) -> Result<Repository, RepositoryError> {
        let opened = open_on(self.storage(Fault::None), &self.location(), key).await?;
        Ok(Repository::new(&self.location(), key, opened))
    }

    fn storage(&self, fault: Fault) -> Arc<Faulty> {
        let inner = LocalStorage::open(&self.folder.path().join("repo")).expect("there");
        let (writes, paused, synced, gate) =
            (AtomicUsize::new(0), AtomicBool::new(false), Mutex::default(), Arc::default());
        Arc::new(Faulty { inner, fault, writes, paused, synced, gate })
    }

    pub(crate) async fn init(&self, fault: Fault) -> Result<(), RepositoryError> {
        let secret = secret_of(&self.key(), true).expect("a key");
        // Little data make many chunks, and every operation is broken off once.
        let chunk = ChunkSizes { min_bytes: 8 << 10, avg_bytes: 32 << 10, max_bytes: 128 << 10 };
        let options = InitOptions { chunk, ..InitOptions::default() };
        init_on(self.storage(fault), &self.location(), secret, &options).await
    }

    pub(crate) async fn open(&self, fault: Fault) -> Result<Repository, RepositoryError> {
        Ok(self.open_gated(fault).await?.0)
    }

    /// The same, with the gate that [`Fault::PauseAt`] waits at.
    pub(crate) async fn open_gated(&self, fault: Fault) -> Result<(Repository, Arc<Gate>), RepositoryError> {
        let storage = self.storage(fault);
        let gate = storage.gate.clone();
        let opened = open_on(storage, &self.location(), &self.key()).await?;
        Ok((Repository::new(&self.location(), &self.key(), opened), gate))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_replies_are_survived() {
    let bench = Bench::new();
    bench.init(Fault::None).await.expect("made");
    let repository = bench.open(Fault::LostReply).await.expect("opens");
    let people = documents(0..500, 100, "a");
    let (manifest, _, _) = back_up(&repository, "job", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    let reader = repository.open_backup(&manifest).await.expect("opens");
    assert_eq!(reader.verify(VerifyLevel::Data, &|_| (), &|| false).await.expect("verifies"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_lost_a_pack_commits_nothing() {
    let bench = Bench::new();
    bench.init(Fault::None).await.expect("made");
    let repository = bench.open(Fault::NoPacks).await.expect("opens");
    let writer = repository.begin("job", 1, Domain::Sealed, Compression::default()).await.expect("begins");
    let content = write_collection(&writer, ContentOrder::Any, &documents(0..500, 100, "a")).await;
    let failed = writer.finish().await.expect_err("no packs");
    assert!(matches!(failed, RepositoryError::WriterFailed { retryable: false, .. }), "{failed}");
    let manifest = manifest("job", 1, Domain::Sealed, vec![entry("people", ContentOrder::Any, content)]);
    assert!(writer.write_manifest(&manifest).await.is_err());
    assert!(repository.manifests().await.expect("lists").is_empty());
    assert!(!failed.to_string().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_without_create_only_is_found_out() {
    let bench = Bench::new();
    bench.init(Fault::NoCreateOnly).await.expect("made");
    assert!(matches!(bench.init(Fault::NoCreateOnly).await, Err(RepositoryError::AlreadyInitialised { .. })));
    let repository = bench.open(Fault::NoCreateOnly).await.expect("opens");
    let people = documents(0..500, 100, "a");
    let (manifest, _, _) = back_up(&repository, "job", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    assert_eq!(read(&repository, &manifest, "people").await.expect("sound"), people);
}

#[tokio::test(flavor = "multi_thread")]
async fn death_between_any_two_writes_hurts_nothing() {
    let people = documents(0..60_000, 400, "a");
    for writes in 0..12 {
        let bench = Bench::new();
        bench.init(Fault::None).await.expect("made");
        let dying = bench.open(Fault::DeadAfter(writes)).await.expect("opens");
        let committed = back_up_until_death(&dying, &people).await;
        // Another worker, on a storage that works.
        let repository = bench.open(Fault::None).await.expect("opens");
        let manifests = repository.manifests().await.expect("lists");
        assert_eq!(manifests.len(), usize::from(committed), "after {writes} writes");
        let (manifest, _, stats) =
            back_up(&repository, "next", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
        assert!(writes == 0 || stats.chunks_known > 0, "finished packs are found after {writes} writes");
        for manifest in manifests.into_iter().map(|entry| entry.manifest.expect("sound")).chain([manifest]) {
            let reader = repository.open_backup(&manifest).await.expect("opens");
            assert_eq!(reader.verify(VerifyLevel::Data, &|_| (), &|| false).await.expect("verifies"), []);
        }
        if committed {
            return;
        }
    }
    panic!("the backup never got through");
}

/// Whether the backup was committed.
async fn back_up_until_death(repository: &Repository, people: &[Vec<u8>]) -> bool {
    let writer = repository.begin("job", 1, Domain::Sealed, Compression { level: None }).await.expect("begins");
    let backup = async {
        let mut collection = writer.collection(ContentOrder::Any);
        for batch in crate::support::batches(people) {
            collection.push(batch).await?;
        }
        let content = collection.finish().await?;
        writer.finish().await?;
        let manifest = manifest("job", 1, Domain::Sealed, vec![entry("people", ContentOrder::Any, content)]);
        writer.write_manifest(&manifest).await
    };
    let committed = backup.await.is_ok();
    // Nothing of this writer is still on its way when the successor looks.
    let _ = writer.flush().await;
    committed
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_predecessor_wrote_is_made_durable_before_it_is_built_on() {
    let bench = Bench::new();
    bench.init(Fault::None).await.expect("made");
    // Small documents, so that the list is an object of its own and there are two packs.
    let people = documents(0..60_000, 400, "a");
    let dying = bench.open(Fault::DeadAfter(2)).await.expect("opens");
    assert!(!back_up_until_death(&dying, &people).await);
    let storage = bench.storage(Fault::None);
    let opened = open_on(storage.clone(), &bench.location(), &bench.key()).await.expect("opens");
    let repository = Repository::new(&bench.location(), &bench.key(), opened);
    for (job, needs) in [("second", "sealed/packs/job."), ("third", "sealed/lists/")] {
        let collection: (&str, _, &[Vec<u8>]) = ("people", ContentOrder::Any, &people);
        back_up(&repository, job, Domain::Sealed, &[collection]).await;
        let synced = std::mem::take(&mut *storage.synced.lock().expect("no panic"));
        assert!(synced.iter().any(|name| name.starts_with(needs)), "{job}: {synced:?}");
        let packs = synced.iter().any(|name| name.contains("/packs/"));
        assert_eq!(packs, job == "second", "what an index lists was durable before");
    }
}

#[tokio::test]
async fn death_during_init_leaves_nothing_that_opens() {
    for writes in 0..9 {
        let bench = Bench::new();
        if bench.init(Fault::DeadAfter(writes)).await.is_ok() {
            assert!(writes >= 3, "probe, slot, config");
            bench.open(Fault::None).await.expect("opens");
            return;
        }
        assert!(matches!(bench.open(Fault::None).await, Err(RepositoryError::NotInitialised { .. })));
        bench.init(Fault::None).await.expect("made at the second attempt");
        bench.open(Fault::None).await.expect("opens");
    }
    panic!("init never got through");
}
