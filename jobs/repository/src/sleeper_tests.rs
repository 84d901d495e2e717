//! A pruner whose host was suspended wakes up late, whatever it was about to do: dooms, closes, deletions. Meanwhile another one took over,
//! and newer backups stored again what the first had found unneeded.

use crate::fault_tests::{Bench, Fault};
use crate::interruption_tests::{OPERATIONS, back_up, forget, people, prepared, prove, prune};
use crate::support::{documents, read};

/// What goes on while the sleeper sleeps: takeovers, prunes that free what it knows, and backups of just that.
async fn nights_pass(bench: &Bench, what: &str) {
    let repository = bench.open(Fault::None).await.expect("opens");
    // The one who takes over may meet what the sleeper has left half done.
    let _ = prune(&repository, "prune_2", true).await;
    forget(&repository, "kept").await;
    for night in 3..5 {
        prune(&repository, &format!("prune_{night}"), true).await.expect(what);
    }
    back_up(&repository, "again", &people("old")).await.expect(what);
    back_up(&repository, "kept_again", &people("kept")).await.expect(what);
    prune(&repository, "prune_5", false).await.expect(what);
}

async fn sleeps(at_once: bool) {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}, at once: {at_once}");
        let bench = prepared().await;
        if !at_once {
            // What it removes was doomed the night before.
            prune(&bench.open(Fault::None).await.expect("opens"), "prune_0", false).await.expect("pruned");
        }
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        let mut run = tokio::spawn(async move { prune(&sleeper, "prune_1", at_once).await });
        tokio::select! {
            ended = &mut run => {
                ended.expect("no panic").expect("pruned");
                assert!(operation > 3, "it removes some objects: {operation}");
                return;
            }
            () = gate.reached() => {}
        }
        nights_pass(&bench, &what).await;
        gate.open();
        // It may be told that others went on; it must not have hurt anything.
        let _ = run.await.expect("no panic");
        prove(&bench, 3, &what).await;
    }
    panic!("the prune never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pruner_that_wakes_late_in_the_second_night_hurts_nothing() {
    sleeps(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pruner_that_wakes_late_hurts_nothing_that_was_stored_again() {
    sleeps(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_that_comes_late_is_not_acted_on_though_its_name_is_free_again() {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    // A backup of what is to be doomed, on its way since before.
    let all = [people("old"), documents(50_000..50_375, 400, "new")].concat();
    let (writing, manifest) = bench.open_gated(Fault::PauseAtName("/manifests/")).await.expect("opens");
    let theirs = all.clone();
    let slow = tokio::spawn(async move { back_up(&writing, "slow", &theirs).await });
    manifest.reached().await;
    prune(&repository, "prune_0", false).await.expect("doomed");
    // The sleeper has looked which backups there are, and is about to say so.
    let (sleeper, close) = bench.open_gated(Fault::PauseAtName(".close")).await.expect("opens");
    let late = tokio::spawn(async move { prune(&sleeper, "prune_1", false).await });
    close.reached().await;
    manifest.open();
    slow.await.expect("no panic").expect_err("nobody knows yet whether it counts");
    // Others honour the backup, and go on until the names of that generation are free.
    prune(&repository, "prune_2", true).await.expect("pruned");
    forget(&repository, "kept").await;
    prune(&repository, "prune_3", true).await.expect("pruned");
    prune(&repository, "prune_4", true).await.expect("pruned");
    close.open();
    late.await.expect("no panic").expect_err("others have gone past it");
    let found = repository.manifests_of("slow").await.expect("lists").remove(0);
    assert!(found.settled);
    let found = found.manifest.expect("sound");
    assert_eq!(read(&repository, &found, "people").await.expect("whole"), all);
    prove(&bench, 2, "after a late close").await;
}
