//! The master key is rotated, everything encrypted anew, the old master given up: killed at every operation that changes the storage,
//! and asleep there while others rotate, back up and prune.

use std::fs;
use std::path::Path;

use crate::fault_tests::{Bench, Fault};
use crate::interruption_tests::{OPERATIONS, back_up, forget, people, prepared, prove, prune};
use crate::record::key_id_of;
use crate::support::{documents, read};
use crate::{Domain, ReencryptReport, Rekeyed, Repository, RepositoryError, VerifyLevel};

async fn rotate(bench: &Bench, repository: &Repository) -> Result<Rekeyed, RepositoryError> {
    repository.rotate_key(&[bench.key()], false).await
}

async fn reencrypt(repository: &Repository) -> Result<ReencryptReport, RepositoryError> {
    repository.reencrypt(&|_, _, _, _| (), &|| false).await
}

/// Rotates, encrypts anew, and gives up what was before; prunes as often as it takes for the old packs to go.
async fn renew(bench: &Bench, what: &str) -> u32 {
    let repository = bench.open(Fault::None).await.expect(what);
    rotate(bench, &repository).await.expect(what);
    let repository = bench.open(Fault::None).await.expect(what);
    let report = reencrypt(&repository).await.expect(what);
    assert!(report.backups.iter().all(|backup| backup.left.is_none()), "{what}: {report:?}");
    assert_eq!(report.needs_older, None, "{what}");
    let stats = repository.stats().await.expect(what);
    assert!(stats.outdated_packs.number > 0, "{what}: what was replaced is told apart from a backup that runs");
    let key_id = repository.retire_keys(&[bench.key()], false).await.expect(what).key_id;
    let repository = bench.open(Fault::None).await.expect(what);
    for number in 0..2 {
        prune(&repository, &format!("renew_{key_id}_{number}"), true).await.expect(what);
    }
    key_id
}

/// The masters that objects are sealed with, pins aside.
fn masters_in_use(folder: &Path, found: &mut Vec<(u32, String)>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("listed").path()) {
        if entry.is_dir() {
            masters_in_use(&entry, found);
        } else {
            found.push((key_id_of(&fs::read(&entry).expect("read")), entry.display().to_string()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_renewal_nothing_is_sealed_with_the_old_master() {
    let bench = prepared().await;
    let before = bench.open(Fault::None).await.expect("opens");
    let kept = before.manifests_of("kept").await.expect("lists").remove(0);
    before.pin(&kept.key, "the law").await.expect("pinned");
    let noted = before.read_manifest(&kept.key).await.expect("there").1;
    prune(&before, "prune_before", true).await.expect("pruned");
    assert!(before.claim("cluster-1", false).await.expect("claimed"));
    assert_eq!(renew(&bench, "renewed").await, 2);
    let mut found = Vec::new();
    masters_in_use(&bench.folder().join("sealed"), &mut found);
    masters_in_use(&bench.folder().join("generations"), &mut found);
    masters_in_use(&bench.folder().join("owners"), &mut found);
    assert!(found.len() > 7 && found.iter().all(|(key_id, _)| *key_id == 2), "{found:?}");
    // What was noted before finds it, and it is pinned still.
    let repository = bench.open(Fault::None).await.expect("opens");
    assert_eq!(repository.stats().await.expect("counted").outdated_packs.number, 0, "two prunes free it");
    let (manifest, reference) = repository.read_manifest(&kept.key).await.expect("found by its old key");
    assert!(reference.had_hash(&noted.hash) && reference.hash != noted.hash && reference.key == noted.key);
    assert_eq!(repository.pins().await.expect("lists")[&kept.key], "the law");
    assert_eq!(repository.owner().await.expect("told").map(|owner| owner.cluster).as_deref(), Some("cluster-1"));
    assert_eq!(read(&repository, &manifest, "people").await.expect("sound"), people("kept"));
    // Whoever opened it before can't go on.
    assert!(matches!(back_up(&before, "late", &people("old")).await, Err(RepositoryError::KeyRotated { .. })));
    assert!(matches!(before.manifests().await, Err(RepositoryError::KeyRotated { .. })));
    prove(&bench, 2, "renewed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_after_a_rotation_needs_nothing_from_before() {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    rotate(&bench, &repository).await.expect("rotated");
    let repository = bench.open(Fault::None).await.expect("opens");
    let refused = repository.retire_keys(&[bench.key()], false).await.expect_err("the old backups need it");
    assert!(refused.to_string().contains("older master key"), "{refused}");
    // What somebody may have sealed with a master that he shouldn't have is built on by nothing, not even for what it says of chunks.
    let newest = async || repository.newest_manifest(("secretdatabase", None), Domain::Sealed).await.expect("lists");
    assert_eq!(newest().await, None);
    let new = back_up(&repository, "new", &people("kept")).await.expect("made");
    assert_eq!(newest().await, Some(new));
    for job in ["kept", "part"] {
        forget(&repository, job).await;
    }
    for number in 0..2 {
        prune(&repository, &format!("prune_{number}"), true).await.expect("pruned");
    }
    let mut found = Vec::new();
    masters_in_use(&bench.folder().join("sealed"), &mut found);
    assert!(found.len() >= 4 && found.iter().all(|(key_id, _)| *key_id == 2), "{found:?}");
    repository.retire_keys(&[bench.key()], false).await.expect("nothing needs it");
    prove(&bench, 1, "retired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_asks_for_every_key_that_is_to_stay() {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    let second = bench.other_key();
    repository.add_slot(&second, "second").await.expect("added");
    let refused = rotate(&bench, &repository).await.expect_err("a slot would go");
    assert!(refused.to_string().contains("second"), "{refused}");
    let wrong = repository.rotate_key(&[bench.key(), bench.stray_key()], true).await.expect_err("one opens nothing");
    assert!(wrong.to_string().contains("stray opens none"), "{wrong}");
    assert!(repository.rotate_key(&[], true).await.is_err());
    assert_eq!(repository.slots().await.expect("lists").len(), 2, "nothing has changed");
    let kept = repository.rotate_key(std::slice::from_ref(&second), true).await.expect("rotated");
    assert_eq!((kept.slots.len(), kept.slots[0].label.as_str(), kept.dropped.len()), (1, "second", 1));
    assert!(matches!(bench.open(Fault::None).await, Err(RepositoryError::WrongKey { .. })), "its slot is gone");
    let repository = bench.open_with(&second).await.expect("opens");
    assert_eq!(repository.manifests().await.expect("lists").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_before_and_a_lost_mark() {
    let bench = prepared().await;
    let keys = bench.folder().join("keys");
    let slot = fs::read_dir(&keys).expect("a folder").next().expect("a slot").expect("listed").path();
    let old = fs::read(&slot).expect("read");
    let repository = bench.open(Fault::None).await.expect("opens");
    rotate(&bench, &repository).await.expect("rotated");
    // The new slots are all there is, so the mark isn't missed.
    let mark = bench.folder().join(crate::masters::mark_name(2));
    let bytes = fs::read(&mark).expect("read");
    fs::remove_file(&mark).expect("removed");
    let repository = bench.open(Fault::None).await.expect("opens without the mark");
    back_up(&repository, "unmarked", &people("kept")).await.expect("made");
    // Nor is it if any byte of it is another one.
    let flips = (0..bytes.len()).map(|at| {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        bad
    });
    let damaged: Vec<Vec<u8>> = flips.chain([Vec::new(), bytes[..40].to_vec()]).collect();
    for bad in &damaged {
        fs::write(&mark, bad).expect("written");
        bench.open(Fault::None).await.expect("opens beside a damaged mark");
    }
    // With a slot from before beside the new one, it is asked for, and no key is called wrong.
    let new = fs::read_dir(&keys).expect("a folder").next().expect("a slot").expect("listed").path();
    fs::write(&slot, old).expect("put back");
    for bad in &damaged {
        fs::write(&mark, bad).expect("written");
        let refused = bench.open(Fault::None).await.expect_err("nobody can tell");
        assert!(refused.damage().is_some_and(|damage| damage.object == crate::masters::mark_name(2)), "{refused}");
    }
    fs::write(&mark, bytes).expect("put back");
    bench.open(Fault::None).await.expect("the new slot opens");
    // The old one alone opens nothing beside the mark.
    fs::remove_file(new).expect("removed");
    assert!(matches!(bench.open(Fault::None).await, Err(RepositoryError::KeyRotated { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_does_not_make_a_manifest_one_of_a_retired_master() {
    let bench = prepared().await;
    renew(&bench, "second").await;
    assert_eq!(renew(&bench, "third").await, 3);
    let repository = bench.open(Fault::None).await.expect("opens");
    let kept = repository.manifests_of("kept").await.expect("lists").remove(0);
    let file = bench.folder().join(&kept.object);
    let mut bytes = fs::read(&file).expect("read");
    assert_eq!(bytes[8], 3, "the master's id (format, section 5)");
    bytes[8] = 2;
    fs::write(&file, &bytes).expect("written");
    let found = repository.manifests_of("kept").await.expect("lists").remove(0);
    assert!(found.manifest.is_err() && !found.retired, "{found:?}");
    let refused = prune(&repository, "prune_1", true).await.expect_err("it is damaged");
    assert!(refused.to_string().contains("put right from a copy"), "{refused}");
    bytes[8] = 3;
    fs::write(&file, &bytes).expect("put right");
    prove(&bench, 2, "put right").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_distrusted_before_is_no_finding_afterwards() {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    let pack = fs::read_dir(bench.folder().join("sealed/packs")).expect("packs").next().expect("one").expect("listed");
    let good = fs::read(pack.path()).expect("read");
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(pack.path(), bad).expect("damaged");
    repository.repair(false, &|_| (), &|| false).await.expect("looked at");
    fs::write(pack.path(), good).expect("put right");
    let distrust = || fs::read_dir(bench.folder().join("sealed/distrust")).map_or(0, Iterator::count);
    assert_eq!(distrust(), 1);
    renew(&bench, "renewed").await;
    assert_eq!(distrust(), 0);
    let repository = bench.open(Fault::None).await.expect("opens");
    for found in repository.manifests().await.expect("lists") {
        let reader = repository.open_backup(&found.manifest.expect("sound")).await.expect("opens");
        assert_eq!(reader.verify(VerifyLevel::Data, &|_| (), &|| false).await.expect("verifies"), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_may_be_killed_anywhere() {
    for operation in 0..OPERATIONS {
        let what = format!("killed at {operation}");
        let bench = prepared().await;
        let dying = bench.open(Fault::DeadAfter(operation)).await.expect("opens");
        let ended = rotate(&bench, &dying).await;
        let repository = bench.open(Fault::None).await.expect(&what);
        back_up(&repository, "after", &people("kept")).await.expect(&what);
        renew(&bench, &what).await;
        prove(&bench, 3, &what).await;
        if ended.is_ok() {
            assert!(operation > 1, "slot, mark, old slot: {operation}");
            return;
        }
    }
    panic!("the rotation never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_may_sleep_anywhere_while_others_rotate() {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}");
        let bench = prepared().await;
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        let key = bench.key();
        let mut run = tokio::spawn(async move { sleeper.rotate_key(&[key], false).await });
        tokio::select! {
            ended = &mut run => {
                ended.expect("no panic").expect("rotated");
                assert!(operation > 1, "slot, mark, old slot: {operation}");
                return;
            }
            () = gate.reached() => {}
        }
        let repository = bench.open(Fault::None).await.expect(&what);
        back_up(&repository, "meanwhile", &people("kept")).await.expect(&what);
        renew(&bench, &what).await;
        gate.open();
        // It may have been first, or must say that another one was.
        if let Err(error) = run.await.expect("no panic") {
            let told = matches!(error, RepositoryError::KeyRotated { .. } | RepositoryError::Slot { .. });
            assert!(told, "{what}: {error}");
        }
        prove(&bench, 3, &what).await;
        renew(&bench, &what).await;
        prove(&bench, 3, &what).await;
    }
    panic!("the rotation never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_may_sleep_anywhere_while_the_key_is_renewed() {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}");
        let bench = prepared().await;
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        let all = [people("old"), documents(50_000..50_375, 400, "new")].concat();
        let theirs = all.clone();
        let mut run = tokio::spawn(async move { back_up(&sleeper, "sleepy", &theirs).await });
        tokio::select! {
            ended = &mut run => {
                ended.expect("no panic").expect("made");
                assert!(operation > 2, "pack, list, index, manifest: {operation}");
                return;
            }
            () = gate.reached() => {}
        }
        renew(&bench, &what).await;
        gate.open();
        let ended = run.await.expect("no panic");
        assert!(ended.as_ref().is_err_and(RepositoryError::is_retryable), "{what}: {ended:?}");
        prove(&bench, 2, &what).await;
        let repository = bench.open(Fault::None).await.expect(&what);
        let made = back_up(&repository, "sleepy", &all).await.expect(&what);
        assert_eq!(read(&repository, &made, "people").await.expect(&what), all, "{what}");
    }
    panic!("the backup never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_encrypt_anew_neither_removes_what_the_other_wrote() {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}");
        let bench = rotated().await;
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        let mut run = tokio::spawn(async move { reencrypt(&sleeper).await });
        tokio::select! {
            ended = &mut run => {
                ended.expect("no panic").expect("encrypted anew");
                return;
            }
            () = gate.reached() => {}
        }
        let repository = bench.open(Fault::None).await.expect(&what);
        reencrypt(&repository).await.expect(&what);
        let manifests = bench.folder().join("sealed/manifests");
        let names = || fs::read_dir(&manifests).expect("a folder").map(|entry| entry.expect("listed").file_name());
        let anew: Vec<_> = names().filter(|name| name.to_string_lossy().contains(".k2.")).collect();
        gate.open();
        let _ = run.await.expect("no panic");
        let after: Vec<_> = names().collect();
        assert!(anew.len() >= 2 && anew.iter().all(|name| after.contains(name)), "{what}: {anew:?}, {after:?}");
        prove(&bench, 2, &what).await;
    }
    panic!("it never got through");
}

/// Two backups that the first master has sealed, and a second master.
async fn rotated() -> Bench {
    let bench = prepared().await;
    rotate(&bench, &bench.open(Fault::None).await.expect("opens")).await.expect("rotated");
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypting_anew_may_be_killed_anywhere() {
    for operation in 0..OPERATIONS {
        let what = format!("killed at {operation}");
        let bench = rotated().await;
        let dying = bench.open(Fault::DeadAfter(operation)).await.expect("opens");
        let ended = reencrypt(&dying).await;
        assert_eq!(bench.open(Fault::None).await.expect(&what).manifests().await.expect(&what).len(), 2, "{what}");
        renew(&bench, &what).await;
        prove(&bench, 2, &what).await;
        if ended.is_ok() {
            assert!(operation > 6, "packs, lists, index, manifest, removals: {operation}");
            return;
        }
    }
    panic!("it never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypting_anew_may_sleep_anywhere_while_others_renew() {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}");
        let bench = rotated().await;
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        let mut run = tokio::spawn(async move { reencrypt(&sleeper).await });
        tokio::select! {
            ended = &mut run => {
                ended.expect("no panic").expect("encrypted anew");
                assert!(operation > 6, "packs, lists, index, manifest, removals: {operation}");
                return;
            }
            () = gate.reached() => {}
        }
        let repository = bench.open(Fault::None).await.expect(&what);
        back_up(&repository, "meanwhile", &people("old")).await.expect(&what);
        // Once with the master that the sleeper has, and once with one that it doesn't know.
        reencrypt(&repository).await.expect(&what);
        prune(&repository, "prune_2", true).await.expect(&what);
        renew(&bench, &what).await;
        gate.open();
        let _ = run.await.expect("no panic");
        prove(&bench, 3, &what).await;
        renew(&bench, &what).await;
        prove(&bench, 3, &what).await;
    }
    panic!("it never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_prunes_is_known_whatever_master_is_given_up() {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    assert!(repository.claim("cluster-1", false).await.expect("claimed"));
    let since = repository.owner().await.expect("told").expect("claimed").since;
    for job in ["kept", "part"] {
        forget(&repository, job).await;
    }
    rotate(&bench, &repository).await.expect("rotated");
    let behind = repository.claim("cluster-1", false).await;
    assert!(matches!(behind, Err(RepositoryError::KeyRotated { .. })), "what it can't read isn't damage: {behind:?}");
    let repository = bench.open(Fault::None).await.expect("opens");
    let refused = repository.retire_keys(&[bench.key()], false).await.expect_err("the old master has sealed it");
    assert!(refused.to_string().contains("who prunes"), "{refused}");
    reencrypt(&repository).await.expect("encrypted anew");
    repository.retire_keys(&[bench.key()], false).await.expect("nothing needs it");
    let owner = bench.open(Fault::None).await.expect("opens").owner().await.expect("told").expect("still");
    assert_eq!((owner.cluster.as_str(), owner.since), ("cluster-1", since));
}
