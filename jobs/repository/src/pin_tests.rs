//! A pin and a prune of the same backup at the same moment: whoever is told that it stays finds it there, whoever sleeps in between.

use crate::fault_tests::{Bench, Fault};
use crate::interruption_tests::{OPERATIONS, prepared, prove, prune};
use crate::{Repository, RepositoryError};

async fn key(bench: &Bench) -> (Repository, String) {
    let repository = bench.open(Fault::None).await.expect("opens");
    let key = repository.manifests_of("kept").await.expect("lists").remove(0).key;
    (repository, key)
}

/// What the two were told agrees with what there is, after further prunes, too.
async fn agree(bench: &Bench, key: &str, (pinned, forgotten): (bool, bool), what: &str) {
    let repository = bench.open(Fault::None).await.expect("opens");
    assert!(!(pinned && forgotten), "{what}: both were told that they had their way");
    assert_eq!(repository.pins().await.expect("lists").contains_key(key), pinned, "{what}");
    assert_eq!(repository.read_manifest(key).await.is_ok(), !forgotten, "{what}");
    prune(&repository, "prune_2", true).await.expect(what);
    prove(bench, usize::from(pinned) + 1, what).await;
}

fn pinned(outcome: Result<(), RepositoryError>, what: &str) -> bool {
    match outcome {
        Ok(()) => true,
        Err(RepositoryError::BeingForgotten { .. } | RepositoryError::Missing { .. }) => false,
        Err(error) => panic!("{what}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_forgets_may_sleep_anywhere_while_the_backup_is_pinned() {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}");
        let bench = prepared().await;
        let (repository, key) = key(&bench).await;
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        let theirs = key.clone();
        let mut run = tokio::spawn(async move { sleeper.forget(&theirs, "prune_1", "the test").await });
        tokio::select! {
            ended = &mut run => {
                assert!(ended.expect("no panic").expect("forgotten") && operation > 1, "{operation}");
                return;
            }
            () = gate.reached() => {}
        }
        let pinned = pinned(repository.pin(&key, "stays").await, &what);
        gate.open();
        let forgotten = run.await.expect("no panic").expect(&what);
        agree(&bench, &key, (pinned, forgotten), &what).await;
    }
    panic!("it never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pins_may_sleep_anywhere_while_the_backup_is_forgotten() {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}");
        let bench = prepared().await;
        let (repository, key) = key(&bench).await;
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        let theirs = key.clone();
        let mut run = tokio::spawn(async move { sleeper.pin(&theirs, "stays").await });
        tokio::select! {
            ended = &mut run => {
                ended.expect("no panic").expect("pinned");
                assert!(operation > 0, "{operation}");
                return;
            }
            () = gate.reached() => {}
        }
        let forgotten = repository.forget(&key, "prune_1", "the test").await.expect(&what);
        gate.open();
        let pinned = pinned(run.await.expect("no panic"), &what);
        agree(&bench, &key, (pinned, forgotten), &what).await;
    }
    panic!("it never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_backup_is_not_forgotten_and_nothing_says_so() {
    let bench = prepared().await;
    let (repository, key) = key(&bench).await;
    repository.pin(&key, "stays").await.expect("pinned");
    assert!(!repository.forget(&key, "prune_1", "the test").await.expect("looked at"));
    assert_eq!(repository.forgotten(&key).await.expect("read"), None);
    repository.pin(&key, "stays, for another reason").await.expect("pinned again");
    repository.unpin(&key).await.expect("unpinned");
    assert!(repository.forget(&key, "prune_1", "the test").await.expect("forgotten"));
    assert!(repository.forgotten(&key).await.expect("read").is_some());
}
