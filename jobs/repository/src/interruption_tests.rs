//! Killed, or stopped while others go on, at every operation that changes the storage: of a backup, of a prune, and of a copy.

use std::sync::Arc;

use crate::fault_tests::{Bench, Fault};
use crate::support::{documents, entry, manifest, read, try_write_collection};
use crate::{
    Compression, ContentOrder, CopyReport, Domain, Manifest, PruneOptions, PruneReport, Repository, RepositoryError,
    VerifyLevel,
};

/// More writes and deletes than any of these runs makes.
pub(crate) const OPERATIONS: usize = 60;

pub(crate) fn people(salt: &str) -> Vec<Vec<u8>> {
    // Enough for a chunk list of its own.
    documents(0..1_500, 400, salt)
}

pub(crate) async fn back_up(
    repository: &Repository,
    job: &str,
    people: &[Vec<u8>],
) -> Result<Manifest, RepositoryError> {
    let writer = repository.begin(job, 1, Domain::Sealed, Compression::default()).await?;
    let content = try_write_collection(&writer, ContentOrder::Any, people).await?;
    writer.finish().await?;
    let entries = vec![entry("people", ContentOrder::Any, content)];
    let manifest = Manifest { generation: writer.generation(), ..manifest(job, 1, Domain::Sealed, entries) };
    writer.write_manifest(&manifest).await?;
    Ok(manifest)
}

pub(crate) async fn prune(repository: &Repository, job: &str, at_once: bool) -> Result<PruneReport, RepositoryError> {
    let options =
        PruneOptions { job: job.into(), epoch: 1, grace_ms: 0, repack: true, at_once, known: [].into(), dry_run: None };
    repository.prune(&options, &|_, _, _| (), &|| false).await
}

/// Forgets every backup of a job.
pub(crate) async fn forget(repository: &Repository, job: &str) {
    for entry in repository.manifests_of(job).await.expect("lists") {
        repository.forget(&entry.key, "prune_0", "the test").await.expect("forgotten");
    }
}

/// Three backups, the first of them forgotten; the third one shares most of it, so that its pack is worth repacking.
pub(crate) async fn prepared() -> Bench {
    let bench = Bench::new();
    bench.init(Fault::None).await.expect("made");
    let repository = bench.open(Fault::None).await.expect("opens");
    back_up(&repository, "old", &people("old")).await.expect("made");
    back_up(&repository, "kept", &people("kept")).await.expect("made");
    back_up(&repository, "part", &people("old")[..250]).await.expect("made");
    forget(&repository, "old").await;
    bench
}

/// Every backup that counts is whole; the next backup and the next prunes succeed, and after them it is so still.
pub(crate) async fn prove(bench: &Bench, least: usize, what: &str) {
    let repository = bench.open(Fault::None).await.expect("opens");
    for round in 0..2 {
        let manifests = repository.manifests().await.expect("lists");
        assert!(manifests.len() >= least, "{what}: {} backups", manifests.len());
        for found in manifests {
            let found = found.manifest.expect("sound");
            let reader = repository.open_backup(&found).await.expect("opens");
            let findings = reader.verify(VerifyLevel::Data, &|_| (), &|| false).await.expect("verifies");
            let needed: Vec<_> = findings.iter().filter(|finding| finding.needed).collect();
            assert!(needed.is_empty(), "{what}, round {round}, {}: {needed:?}", found.job);
        }
        if round == 0 {
            let next = back_up(&repository, "next", &people("old")).await.expect(what);
            prune(&repository, "prune_8", false).await.expect(what);
            prune(&repository, "prune_9", true).await.expect(what);
            assert_eq!(read(&repository, &next, "people").await.expect(what), people("old"), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_may_be_killed_anywhere() {
    let mut operation = 0;
    loop {
        assert!(operation < OPERATIONS, "the prune never got through");
        let bench = prepared().await;
        let dying = bench.open(Fault::DeadAfter(operation)).await.expect("opens");
        let ended = prune(&dying, "prune_1", true).await;
        prove(&bench, 2, &format!("killed at {operation}")).await;
        if ended.is_ok() {
            break;
        }
        operation += 1;
    }
    assert!(operation > 6, "it removes some objects: {operation}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_may_sleep_anywhere_while_others_back_up_and_prune() {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}");
        let bench = prepared().await;
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        let mut run = tokio::spawn(async move { prune(&sleeper, "prune_1", true).await });
        tokio::select! {
            ended = &mut run => {
                ended.expect("no panic").expect("pruned");
                assert!(operation > 6, "it removes some objects: {operation}");
                return;
            }
            () = gate.reached() => {}
        }
        let repository = bench.open(Fault::None).await.expect("opens");
        back_up(&repository, "meanwhile", &people("old")).await.expect(&what);
        forget(&repository, "kept").await;
        // Two pruners at once are one too many: either may be told so.
        let _ = prune(&repository, "prune_2", true).await;
        back_up(&repository, "again", &people("kept")).await.expect(&what);
        gate.open();
        let _ = run.await.expect("no panic");
        prove(&bench, 3, &what).await;
    }
    panic!("the prune never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_may_sleep_anywhere_while_others_prune() {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}");
        let bench = prepared().await;
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        // Builds on what is to be doomed, and adds something.
        let all = Arc::new([people("old"), documents(50_000..50_375, 400, "new")].concat());
        let theirs = all.clone();
        let mut run = tokio::spawn(async move { back_up(&sleeper, "sleepy", &theirs).await });
        let through = tokio::select! {
            ended = &mut run => Some(ended),
            () = gate.reached() => None,
        };
        if let Some(ended) = through {
            ended.expect("no panic").expect("made");
            assert!(operation > 2, "pack, list, index, manifest: {operation}");
            return;
        }
        let repository = bench.open(Fault::None).await.expect("opens");
        for number in 2..5 {
            prune(&repository, &format!("prune_{number}"), true).await.expect(&what);
        }
        gate.open();
        match run.await.expect("no panic") {
            Ok(made) => assert_eq!(&read(&repository, &made, "people").await.expect(&what), &*all, "{what}"),
            Err(error) => assert!(error.is_retryable(), "{what}: {error}"),
        }
        prove(&bench, 2, &what).await;
        // It can be made now.
        back_up(&repository, "sleepy_2", &all).await.expect(&what);
    }
    panic!("the backup never got through");
}

async fn copy(from: &Repository, job: &str, to: &Repository) -> Result<CopyReport, RepositoryError> {
    let found = from.manifests_of(job).await?;
    let manifest = found.first().expect("there").manifest.clone().expect("sound");
    from.copy_backup(&manifest, to, Compression::default(), &|_, _| (), &|| false).await
}

/// Another repository: with a backup of its own, one that shares half of what is to be copied, and a copy.
async fn target(source: &Bench) -> Bench {
    let bench = Bench::new();
    bench.init(Fault::None).await.expect("made");
    let (from, to) = (source.open(Fault::None).await.expect("opens"), bench.open(Fault::None).await.expect("opens"));
    back_up(&to, "own", &people("own")).await.expect("made");
    back_up(&to, "near", &people("kept")[..750]).await.expect("made");
    copy(&from, "part", &to).await.expect("copied");
    bench
}

/// The copy is made, or found, and holds what was copied.
async fn prove_copy(source: &Bench, bench: &Bench, what: &str) {
    let (from, to) = (source.open(Fault::None).await.expect("opens"), bench.open(Fault::None).await.expect("opens"));
    let made = copy(&from, "kept", &to).await.expect(what);
    let (copied, _) = to.read_manifest(&made.reference.key).await.expect(what);
    assert_eq!(copied.copied_from, Some(from.id().to_string()), "{what}");
    assert_eq!(read(&to, &copied, "people").await.expect(what), people("kept"), "{what}");
    assert!(copy(&from, "kept", &to).await.expect(what).was_there, "{what}: it is found the next time");
    prove(bench, 3, what).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_may_be_killed_anywhere() {
    let source = prepared().await;
    let from = source.open(Fault::None).await.expect("opens");
    for operation in 0..OPERATIONS {
        let bench = target(&source).await;
        let dying = bench.open(Fault::DeadAfter(operation)).await.expect("opens");
        let ended = copy(&from, "kept", &dying).await;
        prove_copy(&source, &bench, &format!("killed at {operation}")).await;
        if ended.is_ok() {
            assert!(operation > 2, "pack, list, index, manifest: {operation}");
            return;
        }
    }
    panic!("the copy never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_may_sleep_anywhere_while_both_repositories_are_pruned() {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}");
        let source = prepared().await;
        let bench = target(&source).await;
        let from = source.open(Fault::None).await.expect("opens");
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        let theirs = from.clone();
        let mut run = tokio::spawn(async move { copy(&theirs, "kept", &sleeper).await });
        tokio::select! {
            ended = &mut run => {
                ended.expect("no panic").expect("copied");
                assert!(operation > 2, "pack, list, index, manifest: {operation}");
                return;
            }
            () = gate.reached() => {}
        }
        // What the copy has found there, and builds on.
        let repository = bench.open(Fault::None).await.expect("opens");
        forget(&repository, "near").await;
        for number in 2..4 {
            prune(&repository, &format!("prune_{number}"), true).await.expect(&what);
        }
        back_up(&repository, "meanwhile", &people("kept")[..375]).await.expect(&what);
        prune(&from, "prune_2", true).await.expect(&what);
        gate.open();
        match run.await.expect("no panic") {
            Ok(_) => {}
            Err(error) => assert!(error.is_retryable(), "{what}: {error}"),
        }
        prove_copy(&source, &bench, &what).await;
    }
    panic!("the copy never got through");
}
