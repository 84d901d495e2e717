//! The place of a repository is taken away, exchanged, or full, at every operation that changes the storage, whatever is under way: it is
//! said, nothing is written anywhere else, and once the place is right again all is as if nothing had been.

use std::fs;
use std::path::Path;

use futures::FutureExt;
use futures::future::join_all;

use crate::fault_tests::{Bench, Fault};
use crate::interruption_tests::{OPERATIONS, back_up, people, prepared, prove, prune};
use crate::{Compression, Repository, RepositoryError};

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    BackUp,
    Prune,
    Copy,
    Rotate,
    Reencrypt,
    Retire,
    Repair,
    AddSlot,
    Pin,
    Unpin,
    Claim,
}

const DEEDS: [Deed; 11] = [
    Deed::BackUp,
    Deed::Prune,
    Deed::Copy,
    Deed::Rotate,
    Deed::Reencrypt,
    Deed::Retire,
    Deed::Repair,
    Deed::AddSlot,
    Deed::Pin,
    Deed::Unpin,
    Deed::Claim,
];

/// What becomes of the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// The folder is gone.
    Gone,
    /// It is empty, as a mount point is whose disk was unmounted.
    Unmounted,
    /// Another repository lies there.
    Exchanged,
}

/// A repository with what a deed needs.
async fn ready(deed: Deed) -> Bench {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    let renewed = match deed {
        Deed::Reencrypt => 1,
        Deed::Retire => 2,
        _ => 0,
    };
    if renewed > 0 {
        repository.rotate_key(&[bench.key()], false).await.expect("rotated");
    }
    if renewed > 1 {
        let repository = bench.open(Fault::None).await.expect("opens");
        repository.reencrypt(&|_, _, _, _| (), &|| false).await.expect("encrypted anew");
    }
    match deed {
        // What it removes was doomed before.
        Deed::Prune => drop(prune(&repository, "prune_0", false).await.expect("pruned")),
        Deed::Unpin => repository.pin(&key_of(&repository, "kept").await, "the law").await.expect("pinned"),
        Deed::Repair => {
            let index = fs::read_dir(bench.folder().join("sealed/index")).expect("a folder");
            let all: Vec<_> = index.map(|entry| entry.expect("listed").path()).collect();
            fs::remove_file(&all[0]).expect("removed");
            fs::write(&all[1], "damaged").expect("written");
        }
        _ => {}
    }
    bench
}

async fn key_of(repository: &Repository, job: &str) -> String {
    repository.manifests_of(job).await.expect("lists").remove(0).key
}

async fn run(deed: Deed, bench: &Bench, repository: &Repository, source: &Repository) -> Result<(), RepositoryError> {
    match deed {
        Deed::BackUp => back_up(repository, "deed", &people("new")).await.map(drop),
        Deed::Prune => prune(repository, "deed", true).await.map(drop),
        Deed::Copy => {
            let found = source.manifests_of("kept").await?.remove(0).manifest.expect("sound");
            source.copy_backup(&found, repository, Compression::default(), &|_, _| (), &|| false).await.map(drop)
        }
        Deed::Rotate => repository.rotate_key(&[bench.key()], false).await.map(drop),
        Deed::Reencrypt => repository.reencrypt(&|_, _, _, _| (), &|| false).await.map(drop),
        Deed::Retire => repository.retire_keys(&[bench.key()], false).await.map(drop),
        Deed::Repair => repository.repair(false, &|_| (), &|| false).await.map(drop),
        Deed::AddSlot => repository.add_slot(&bench.other_key(), "other").await.map(drop),
        Deed::Pin => repository.pin(&key_of(repository, "part").await, "the law").await,
        Deed::Unpin => repository.unpin(&key_of(repository, "kept").await).await,
        Deed::Claim => repository.claim("cluster-1", false).await.map(drop),
    }
}

/// Names and bytes of everything below a folder.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("listed").path()) {
        if path.is_dir() {
            found.push((path.display().to_string(), Vec::new()));
            found.extend(contents(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).expect("read")));
        }
    }
    found.sort();
    found
}

/// Takes the place away; comes back with what is there now.
fn strike(blow: Blow, bench: &Bench, other: &Bench) -> Vec<(String, Vec<u8>)> {
    let (here, aside) = (bench.folder(), bench.folder().with_extension("aside"));
    fs::rename(&here, &aside).expect("moved away");
    match blow {
        Blow::Gone => {}
        Blow::Unmounted => fs::create_dir(&here).expect("made"),
        Blow::Exchanged => fs::rename(other.folder(), &here).expect("moved here"),
    }
    contents(&here)
}

/// Puts everything back where it was.
fn put_back(blow: Blow, bench: &Bench, other: &Bench) {
    let (here, aside) = (bench.folder(), bench.folder().with_extension("aside"));
    match blow {
        Blow::Gone => {}
        Blow::Unmounted => fs::remove_dir(&here).expect("it is empty"),
        Blow::Exchanged => fs::rename(&here, other.folder()).expect("moved back"),
    }
    fs::rename(&aside, &here).expect("put back");
}

/// The deed can be done now, and hurts nothing.
async fn prove_done(deed: Deed, bench: &Bench, source: &Repository, what: &str) {
    let repository = bench.open(Fault::None).await.expect(what);
    run(deed, bench, &repository, source).await.unwrap_or_else(|error| panic!("{what}, again: {error}"));
    prove(bench, 2, what).await;
}

async fn place_is_taken(blow: Blow) {
    let from = prepared().await;
    let source = from.open(Fault::None).await.expect("opens");
    join_all(DEEDS.map(|deed| taken_from_under(deed, blow, &source))).await;
}

async fn taken_from_under(deed: Deed, blow: Blow, source: &Repository) {
    let (made, other) = (ready(deed).await, prepared().await);
    for operation in 0.. {
        let what = format!("{deed:?} x {blow:?} at {operation}");
        assert!(operation < OPERATIONS, "{what}: it never got through");
        let bench = made.stolen();
        let (repository, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect(&what);
        let mut running = std::pin::pin!(run(deed, &bench, &repository, source));
        tokio::select! {
            ended = &mut running => {
                ended.expect(&what);
                assert!(operation > 0, "{what}: it writes something");
                return;
            }
            () = gate.reached() => {}
        }
        let there = strike(blow, &bench, &other);
        gate.open();
        let error = running.await.expect_err(&what);
        assert!(error.is_away() && error.is_retryable(), "{what}: {error:?}");
        assert!(contents(&bench.folder()) == there, "{what}: nothing is written in another's place");
        put_back(blow, &bench, &other);
        prove_done(deed, &bench, source, &what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_gone_is_never_made_and_nothing_succeeds() {
    place_is_taken(Blow::Gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_to_an_empty_mount_point_and_nothing_succeeds() {
    place_is_taken(Blow::Unmounted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_to_another_repository_and_nothing_succeeds() {
    place_is_taken(Blow::Exchanged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_hurts_nothing() {
    let from = prepared().await;
    let source = from.open(Fault::None).await.expect("opens");
    join_all(DEEDS.map(|deed| is_full_under(deed, &source))).await;
}

async fn is_full_under(deed: Deed, source: &Repository) {
    let made = ready(deed).await;
    for operation in 0.. {
        let what = format!("{deed:?} x full at {operation}");
        assert!(operation < OPERATIONS, "{what}: it never got through");
        let bench = made.stolen();
        let (repository, gate) = bench.open_gated(Fault::FullAfter(operation)).await.expect(&what);
        let ended = run(deed, &bench, &repository, source).await;
        if gate.reached().now_or_never().is_none() {
            return ended.expect(&what);
        }
        match ended {
            // What needs no room may go on.
            Ok(()) => assert!(matches!(deed, Deed::Prune | Deed::Unpin), "{what}: it succeeds"),
            Err(error) => {
                assert!(error.to_string().contains("No space left") && error.is_retryable(), "{what}: {error}");
            }
        }
        prove_done(deed, &bench, source, &what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_one_in_its_place_is_no_wrong_key() {
    let (bench, other) = (prepared().await, prepared().await);
    let repository = bench.open(Fault::None).await.expect("opens");
    for blow in [Blow::Gone, Blow::Unmounted, Blow::Exchanged] {
        strike(blow, &bench, &other);
        // As if it had been exchanged after a look had found it in its place.
        let Err(refused) = repository.open_again().await else { panic!("{blow:?}: it isn't there") };
        assert!(refused.is_away(), "{blow:?}: {refused}");
        put_back(blow, &bench, &other);
        repository.open_again().await.expect("it is back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_says_without_a_key_which_repository_is_in_it() {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    let folder = bench.folder();
    assert_eq!(crate::identity(&folder), Some(*repository.id()));
    let config = folder.join("config");
    let mut bytes = fs::read(&config).expect("read");
    bytes[40] ^= 1;
    fs::write(&config, bytes).expect("written");
    assert_eq!(crate::identity(&folder), None, "a damaged one is nobody's");
    fs::remove_file(config).expect("removed");
    assert_eq!(crate::identity(&folder), None, "an empty mount point");
    assert_eq!(crate::identity(Path::new("/nowhere/at/all")), None);
}
