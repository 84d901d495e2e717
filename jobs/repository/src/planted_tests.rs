//! Names that somebody has planted who has no key: they count only if what is in them holds.

use std::fs;

use crate::RepositoryError;
use crate::fault_tests::{Bench, Fault};
use crate::interruption_tests::{back_up, forget, people, prepared, prove, prune};
use crate::masters::mark_name;
use crate::object_name::{Stage, generation_name};

fn plant(bench: &Bench, object: &str, bytes: &[u8]) {
    let path = bench.folder().join(object);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, bytes).expect("planted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_mark_locks_nobody_out_and_goes() {
    let marks = [7, u32::MAX - 1].map(mark_name);
    for bytes in [&b""[..], b"rubbish"] {
        let bench = prepared().await;
        let before = bench.open(Fault::None).await.expect("opens");
        for mark in &marks {
            plant(&bench, mark, bytes);
        }
        back_up(&before, "before", &people("a")).await.expect("nothing was rotated");
        let repository = bench.open(Fault::None).await.expect("opens");
        back_up(&repository, "after", &people("a")).await.expect("made");
        prune(&repository, "prune_1", true).await.expect("pruned");
        assert!(marks.iter().all(|mark| !bench.folder().join(mark).exists()), "a prune clears them away");
        prove(&bench, 4, "planted").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_goes_past_a_planted_mark_and_a_real_one_counts_damaged_too() {
    let bench = prepared().await;
    let before = bench.open(Fault::None).await.expect("opens");
    plant(&bench, &mark_name(2), b"");
    let rotated = before.rotate_key(&[bench.key()], false).await.expect("rotated");
    assert_eq!(rotated.key_id, 3);
    for bytes in [None, Some(&b""[..])] {
        if let Some(bytes) = bytes {
            plant(&bench, &mark_name(3), bytes);
        }
        let behind = back_up(&before, "late", &people("a")).await;
        assert!(matches!(behind, Err(RepositoryError::KeyRotated { .. })), "{behind:?}");
        bench.open(Fault::None).await.expect("opens");
    }
    prune(&bench.open(Fault::None).await.expect("opens"), "prune_1", true).await.expect("pruned");
    prove(&bench, 2, "rotated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_generations_stop_no_prune_and_go() {
    for stage in [Stage::Doom, Stage::Close] {
        for number in [7, 5_000_000_000, i64::MAX] {
            for pruned in [false, true] {
                let what = format!("{stage:?} {number}, pruned before: {pruned}");
                let bench = prepared().await;
                let repository = bench.open(Fault::None).await.expect("opens");
                if pruned {
                    prune(&repository, "prune_0", false).await.expect(&what);
                }
                plant(&bench, &generation_name(stage, number), b"");
                back_up(&repository, "next", &people("next")).await.expect(&what);
                forget(&repository, "kept").await;
                let mut deleted = 0;
                for run in 1..5 {
                    deleted += prune(&repository, &format!("prune_{run}"), false).await.expect(&what).objects_deleted;
                }
                assert!(deleted > 2, "{what}: old and kept");
                let left = fs::read_dir(bench.folder().join("generations")).expect("a folder").count();
                assert_eq!(left, 2, "{what}");
                prove(&bench, 2, &what).await;
            }
        }
    }
}
