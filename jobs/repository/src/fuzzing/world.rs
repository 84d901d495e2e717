//! Whole repositories that somebody forged who knows the keys of the plain domain: everything that reads, prunes or adds to them goes
//! on, or refuses. What panics within a task comes back as `Internal`, which is never right here.

use std::sync::{Arc, OnceLock};

use futures::TryStreamExt;
use tokio::runtime::{Builder, Runtime};

use super::forger::Forger;
use super::storage::Memory;
use crate::init::open_on;
use crate::{
    Compression, ContentOrder, DocumentBatch, Domain, Location, Manifest, PruneOptions, RawChunk, Repository,
    RepositoryError, RetentionPolicy, Scope, Unlock, VerifyLevel, judge,
};

/// Reads of a storage that are enough for everything done here, for each object and each byte of the input.
const READS: usize = 200;

pub(super) fn run(input: &[u8]) {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime =
        RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime"));
    let memory = Arc::new(Memory::default());
    Forger::forge(input, &memory);
    let objects = memory.objects().len();
    runtime.block_on(use_it(memory.clone()));
    assert!(memory.asked() <= READS * (objects + input.len()), "{} reads of {objects} objects", memory.asked());
}

async fn use_it(memory: Arc<Memory>) {
    let location = Location::parse("file:///fuzzed").expect("a location");
    let opened = open_on(memory, &location, &Unlock::None).await;
    let Some(opened) = possible(opened) else { return };
    let repository = Repository::new(&location, &Unlock::None, opened);
    let _ = (possible(repository.stats().await), possible(repository.scan().await));
    possible(repository.verify_all(VerifyLevel::Data, crate::Share::All, &|_| (), &|| false).await);
    let manifests = possible(repository.manifests().await).unwrap_or_default();
    let sound: Vec<Manifest> = manifests.into_iter().filter_map(|entry| entry.manifest.ok()).collect();
    for manifest in &sound {
        read(&repository, manifest).await;
    }
    if let [first, .., last] = sound.as_slice() {
        possible(repository.diff(first, last, None).await);
    }
    add(&repository, sound.first()).await;
    let candidates = possible(repository.candidates().await).unwrap_or_default();
    let now = bson::DateTime::from_millis(0);
    let scope = Scope { cluster: "fuzzed".into(), unknown: true, now, forget_many: false };
    let policy = RetentionPolicy { last: 1, weekly: 1, days: 1, ..RetentionPolicy::default() };
    assert_eq!(judge(&policy, &scope, &candidates).verdicts.len(), candidates.len());
    for dry_run in [Some(std::collections::BTreeSet::new()), None, None] {
        let (job, epoch, grace_ms) = ("prune".to_owned(), 1, 0);
        let options = PruneOptions { job, epoch, grace_ms, repack: true, at_once: false, known: [].into(), dry_run };
        possible(repository.prune(&options, &|_, _, _| (), &|| false).await);
    }
    possible(repository.scan().await);
}

async fn read(repository: &Repository, manifest: &Manifest) {
    let Some(reader) = possible(repository.open_backup(manifest).await) else { return };
    for level in [VerifyLevel::Structure, VerifyLevel::Data] {
        possible(reader.verify(level, &|_| (), &|| false).await);
    }
    possible(reader.salvage(None, &|_, _| (), &|| false).await);
    for collection in &manifest.collections {
        possible::<Vec<RawChunk>>(reader.chunks(collection).try_collect().await);
    }
}

/// A backup on top of what is there.
async fn add(repository: &Repository, before: Option<&Manifest>) {
    let Some(writer) = possible(repository.begin("late", 1, Domain::Plain, Compression::default()).await) else {
        return;
    };
    let document = bson::serialize_to_vec(&bson::doc! { "_id": 1, "pad": "x".repeat(64) }).expect("BSON");
    let length = u32::try_from(document.len()).expect("small");
    let batch = DocumentBatch { bytes: document.into(), offsets: vec![(0, length)] };
    let earlier = before.and_then(|before| before.collections.first());
    for order in [ContentOrder::Any, ContentOrder::Exact] {
        let mut collection = match earlier {
            Some(earlier) => writer.collection_after(order, &earlier.content),
            None => writer.collection(order),
        };
        if possible(collection.push(batch.clone()).await).is_some() {
            possible(collection.finish().await);
        }
    }
    possible(writer.finish().await);
}

/// What came of it; anything but a failure of the program itself is possible.
fn possible<T>(outcome: Result<T, RepositoryError>) -> Option<T> {
    if let Err(error @ RepositoryError::Internal { .. }) = &outcome {
        panic!("{error}");
    }
    outcome.ok()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let zeros = [0; 8].as_slice();
    let chunks = [0, 3, 1, 40, 0, 1, 9, 200, 2, 0, 0, 1, 5, 2, 2, 1, 2, 6, 5, 0, 0, 5, 1, 0, 5, 3, 0].as_slice();
    let honest = [chunks, &[4, 0, 6, 0, 7, 0, 0, 8, 1, 0], zeros, &[9, 0], zeros].concat();
    let doomed = [&honest, [0, 2, 90, 10, 4, 0, 10, 0, 0].as_slice(), zeros].concat();
    let closed = [&doomed, [10, 1, 0].as_slice(), zeros, &[11]].concat();
    let twisted =
        [chunks, &[3, 5, 1, 2, 0, 0, 0, 4, 2, 6, 4, 7, 1, 1, 8, 1, 1, 255, 255, 255, 255, 255, 255, 255, 127]].concat();
    // Copies upon copies, of which the first lacks a base.
    let copies: Vec<u8> = (1..8).flat_map(|depth| [2, depth - 1, depth - 1, 1, 1].repeat(4)).collect();
    let copies = [&[0, 0, 1, 1], copies.as_slice(), &[5, 28, 0, 4, 0]].concat();
    vec![honest, doomed, closed, twisted, copies]
}
