//! Names that somebody has planted who has no key: they count only if what is in them holds.

use std::fs;

use bson::rawdoc;
use zeroize::Zeroizing;

use crate::config::{CONFIG, StoredConfig, binary};
use crate::envelope::{EnvelopeType, wrap};
use crate::fault_tests::{Bench, Fault};
use crate::interruption_tests::{back_up, forget, people, prepared, prove, prune};
use crate::keys::KeyRing;
use crate::masters::mark_name;
use crate::object_name::{Stage, generation_name};
use crate::slot::{Slot, SlotSecret};
use crate::{PassphraseCost, Repository, RepositoryError};

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

/// A mark with the right checksum, by somebody who has a ring of his own, or says nothing of that.
fn forged_mark(repository: &Repository, ring: Option<&KeyRing>, object: &str) -> Vec<u8> {
    let sealed = [7; 200];
    let body = if let Some(ring) = ring {
        rawdoc! { "mark": binary(&sealed), "mac": binary(&ring.vouch(repository.id(), object, &[&sealed])) }
    } else {
        rawdoc! { "mark": binary(&sealed) }
    };
    wrap(EnvelopeType::Mark, body.as_bytes())
}

/// A ring, and a slot for it, of somebody without a key.
fn forged_slot(repository: &Repository, key_id: u32) -> (KeyRing, String, Vec<u8>) {
    let ring = KeyRing::generate().expect("randomness").rotated(key_id - 1).expect("a master");
    let secret = SlotSecret::KeyFile(Zeroizing::new([9; 32]));
    let slot = Slot::new(repository.id(), &secret, ("", &ring), PassphraseCost::default()).expect("made");
    let sealed = slot.seal(&secret, &ring).expect("sealed");
    (ring, slot.name(), sealed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_mark_with_the_right_checksum_locks_nobody_out_either() {
    for with_slots in [false, true] {
        let bench = prepared().await;
        let before = bench.open(Fault::None).await.expect("opens");
        let (ring, ..) = forged_slot(&before, 7);
        // More than are tried of passphrases, most before the real one.
        for _ in 0..if with_slots { 64 } else { 0 } {
            let (_, name, bytes) = forged_slot(&before, 9);
            plant(&bench, &name, &bytes);
        }
        let marks = [mark_name(7), mark_name(8), mark_name(9)];
        plant(&bench, &marks[0], &forged_mark(&before, None, &marks[0]));
        plant(&bench, &marks[1], &forged_mark(&before, Some(&ring), &marks[1]));
        plant(&bench, &marks[2], b"rubbish");
        back_up(&before, "before", &people("a")).await.expect("nothing was rotated");
        let repository = bench.open(Fault::None).await.expect("opens");
        back_up(&repository, "after", &people("a")).await.expect("made");
        prune(&repository, "prune_1", true).await.expect("pruned");
        assert!(marks.iter().all(|mark| !bench.folder().join(mark).exists()), "a prune clears them away");
        prove(&bench, 4, "planted").await;

        // In place of a real one, and beside that.
        assert_eq!(repository.rotate_key(&[bench.key()], true).await.expect("rotated").key_id, 2);
        let real = fs::read(bench.folder().join(mark_name(2))).expect("read");
        plant(&bench, &mark_name(2), &forged_mark(&before, Some(&ring), &mark_name(2)));
        bench.open(Fault::None).await.expect("its slots are all there is");
        plant(&bench, &mark_name(3), &real);
        bench.open(Fault::None).await.expect("it vouches for its own name alone");
        let behind = back_up(&before, "late", &people("a")).await.expect_err("it was rotated");
        let RepositoryError::KeyRotated { mark: Some(mark), .. } = &behind else { panic!("{behind:?}") };
        assert_eq!(*mark, mark_name(2), "claimed by the new slot, if by nothing else");
    }
}

/// As earlier programs made them, where nobody vouches for marks: one that is planted can't be told from a real one.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_planted_mark_cannot_be_told_it_is_named_with_what_to_do() {
    let bench = prepared().await;
    let made = bench.open(Fault::None).await.expect("opens");
    let config = StoredConfig::read(&fs::read(bench.folder().join(CONFIG)).expect("read")).expect("sound");
    plant(&bench, CONFIG, &config.without_vouching(made.keys().ring()));
    let repository = bench.open(Fault::None).await.expect("opens");
    let mark = mark_name(7);
    plant(&bench, &mark, &forged_mark(&repository, None, &mark));
    let refused = [
        bench.open(Fault::None).await.expect_err("nobody can tell"),
        back_up(&repository, "next", &people("a")).await.expect_err("nobody can tell"),
    ];
    for refused in refused.map(|error| error.to_string()) {
        assert!(refused.contains(&mark) && refused.contains("planted") && refused.contains("remove it"), "{refused}");
    }
    fs::remove_file(bench.folder().join(&mark)).expect("removed");
    back_up(&repository, "next", &people("a")).await.expect("made");
    let rotated = repository.rotate_key(&[bench.key()], false).await.expect("rotated");
    assert_eq!(rotated.key_id, 2);
    assert!(matches!(repository.manifests().await, Err(RepositoryError::KeyRotated { .. })), "a real one counts");
    prove(&bench, 3, "rotated").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn empty_generations_of_names_that_nobody_gives_stop_nothing() {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    for name in ["0.doom", "18446744073709551614.doom", "99999999999999999999.close", "7.sweep"] {
        plant(&bench, &format!("generations/{name}"), b"");
    }
    back_up(&repository, "next", &people("next")).await.expect("backed up");
    forget(&repository, "kept").await;
    for run in 0..3 {
        prune(&repository, &format!("prune_{run}"), false).await.expect("pruned");
    }
    plant(&bench, "generations/18446744073709551615.doom", b"of a later program");
    let refused = repository.manifests().await.expect_err("what it dooms isn't known").to_string();
    assert!(refused.contains("generations/18446744073709551615.doom") && refused.contains("planted"), "{refused}");
}
