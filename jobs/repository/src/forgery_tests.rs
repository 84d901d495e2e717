//! Somebody who was locked out by a rotation still has the old ring, and may write to the folder: nothing that he seals with it counts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fault_tests::{Bench, Fault};
use crate::index::Index;
use crate::interruption_tests::{OPERATIONS, back_up, forget, people, prepared, prove, prune};
use crate::object_name::WriterNames;
use crate::pack_listing::{self, PackListing};
use crate::record::RecordType;
use crate::seal::Sealer;
use crate::support::read;
use crate::{Domain, ManifestEntry, OddityKind, Repository, RepositoryError, Share, VerifyLevel};

/// All files below a folder, without it.
fn files(folder: &Path, below: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder.join(below)).expect("a folder").map(|entry| entry.expect("listed")) {
        let name = entry.file_name().into_string().expect("text");
        let name = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.path().is_dir() { files(folder, &name, found) } else { found.push(name) }
    }
}

/// Puts into the folder what was written into a stolen copy of it since.
fn plant(thief: &Bench, bench: &Bench, which: impl Fn(&str) -> bool) -> Vec<String> {
    let (mut theirs, mut planted) = (Vec::new(), Vec::new());
    files(&thief.folder(), "", &mut theirs);
    for name in theirs.into_iter().filter(|name| which(name)) {
        let (from, to) = (thief.folder().join(&name), bench.folder().join(&name));
        if fs::read(&to).ok() != fs::read(&from).ok() {
            fs::create_dir_all(to.parent().expect("below the root")).expect("made");
            fs::copy(from, to).expect("planted");
            planted.push(name);
        }
    }
    planted
}

fn is_sealed(name: &str) -> bool {
    name.starts_with("sealed/")
}

async fn rotate(bench: &Bench) -> Repository {
    let repository = bench.open(Fault::None).await.expect("opens");
    repository.rotate_key(&[bench.key()], false).await.expect("rotated");
    bench.open(Fault::None).await.expect("opens")
}

async fn jobs(repository: &Repository) -> Vec<String> {
    repository.manifests().await.expect("lists").into_iter().map(|entry| entry.job).collect()
}

async fn reencrypt_and_retire(bench: &Bench) -> Repository {
    let repository = bench.open(Fault::None).await.expect("opens");
    let report = repository.reencrypt(&|_, _, _, _| (), &|| false).await.expect("encrypted anew");
    assert_eq!(report.needs_older, None, "{report:?}");
    repository.retire_keys(&[bench.key()], false).await.expect("retired");
    bench.open(Fault::None).await.expect("opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_forged_with_the_old_ring_is_never_listed_nor_encrypted_anew() {
    let bench = prepared().await;
    let thief = bench.stolen();
    let repository = rotate(&bench).await;
    back_up(&thief.open(Fault::None).await.expect("opens"), "zz_forged", &people("forged")).await.expect("forged");
    let planted = plant(&thief, &bench, is_sealed);
    let forged = planted.iter().find(|name| name.contains("manifests/zz_forged")).expect("planted");
    assert_eq!(jobs(&repository).await, ["kept", "part"], "a repository that was open before");
    let repository = bench.open(Fault::None).await.expect("opens");
    assert_eq!(jobs(&repository).await, ["kept", "part"]);
    let refused = repository.read_manifest(forged).await.expect_err("it doesn't count");
    assert!(matches!(refused, RepositoryError::NotCounted { .. }), "{refused}");
    // What looks at every object says what it is.
    let scan = repository.scan().await.expect("scanned");
    let told = scan.oddities.iter().find(|oddity| oddity.object == *forged).expect("told");
    assert!(told.kind == OddityKind::NotCounted && told.problem.contains("master key 1"), "{told:?}");
    let found = repository.verify_all(VerifyLevel::Structure, Share::All, &|_| (), &|| false);
    let found = found.await.expect("verified");
    assert!(found.repository.iter().any(|finding| finding.object == *forged && !finding.needed), "{found:?}");
    // It survives nothing.
    let repository = reencrypt_and_retire(&bench).await;
    assert_eq!(jobs(&repository).await, ["kept", "part"]);
    prune(&repository, "prune_1", true).await.expect("pruned");
    assert!(!bench.folder().join(forged).exists(), "a prune removes it");
    prove(&bench, 2, "renewed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_before_the_old_ring_is_given_up_removes_a_forgery_too() {
    let bench = prepared().await;
    let thief = bench.stolen();
    let repository = rotate(&bench).await;
    back_up(&thief.open(Fault::None).await.expect("opens"), "zz_forged", &people("forged")).await.expect("forged");
    let planted = plant(&thief, &bench, is_sealed);
    for number in 0..2 {
        prune(&repository, &format!("prune_{number}"), true).await.expect("pruned");
    }
    for name in planted.iter().filter(|name| !name.contains("/index/")) {
        assert!(!bench.folder().join(name).exists(), "{name}");
    }
    prove(&bench, 2, "pruned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgery_in_the_place_of_a_backup_is_not_taken_for_it() {
    let bench = prepared().await;
    let thief = bench.stolen();
    rotate(&bench).await;
    let theirs = thief.open(Fault::None).await.expect("opens");
    let kept = theirs.manifests_of("kept").await.expect("lists").remove(0);
    let other = people("forged");
    forged_as(&theirs, &kept, &other).await;
    let planted = plant(&thief, &bench, is_sealed);
    assert!(planted.contains(&kept.object), "{planted:?}");
    let repository = bench.open(Fault::None).await.expect("opens");
    assert_eq!(jobs(&repository).await, ["part"]);
    let report = repository.reencrypt(&|_, _, _, _| (), &|| false).await.expect("encrypted anew");
    assert_eq!(report.backups.len(), 1, "{report:?}");
}

/// Writes another backup under the name of one that is there.
async fn forged_as(theirs: &Repository, entry: &ManifestEntry, documents: &[Vec<u8>]) {
    let made = back_up(theirs, &entry.job, documents).await.expect("forged");
    let vault = theirs.vault(Domain::Sealed).expect("there");
    let sealer = Arc::new(Sealer::new(vault.keys.clone(), Domain::Sealed).expect("keys"));
    let body = bson::serialize_to_vec(&made).expect("small");
    let id = vault.name_id(&entry.object);
    let sealed = vault.seal_record(&sealer, RecordType::Manifest, id, body).await.expect("sealed");
    vault.store.replace(&entry.object, &[sealed]).await.expect("replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_generations_owners_and_distrust_of_the_old_ring_say_nothing() {
    let bench = prepared().await;
    let before = bench.open(Fault::None).await.expect("opens");
    assert!(before.claim("cluster-1", false).await.expect("claimed"));
    let part = before.manifests_of("part").await.expect("lists").remove(0);
    before.pin(&part.key, "the law").await.expect("pinned");
    prune(&before, "prune_1", false).await.expect("doomed");
    let thief = bench.stolen();
    let repository = rotate(&bench).await;
    let new = back_up(&repository, "new", &people("new")).await.expect("made");
    // Whoever has the old ring pins what should go, claims the repository, and lets a prune of his forget what he doesn't know of.
    let theirs = thief.open(Fault::None).await.expect("opens");
    let kept = theirs.manifests_of("kept").await.expect("lists").remove(0);
    theirs.pin(&kept.key, "forged").await.expect("pinned");
    assert!(theirs.claim("cluster-2", true).await.expect("claimed"));
    for number in 2..6 {
        forget(&theirs, "part").await;
        back_up(&theirs, &format!("other_{number}"), &people(&format!("other {number}"))).await.expect("made");
        forget(&theirs, &format!("other_{number}")).await;
        prune(&theirs, &format!("prune_{number}"), number == 5).await.expect("pruned");
    }
    let planted = plant(&thief, &bench, |name| {
        name.contains("/pins/") || name.starts_with("owners/") || name.starts_with("generations/")
    });
    assert!(planted.len() >= 4, "{planted:?}");
    for what in ["an open one", "opened anew"] {
        let repository =
            if what == "an open one" { repository.clone() } else { bench.open(Fault::None).await.expect(what) };
        assert_eq!(jobs(&repository).await, ["kept", "new", "part"], "{what}: none is void");
        assert_eq!(
            repository.pins().await.expect("lists").into_keys().collect::<Vec<_>>(),
            std::slice::from_ref(&part.key),
            "{what}"
        );
        let owner = repository.owner().await.expect("told").expect("claimed");
        assert_eq!(owner.cluster, "cluster-1", "{what}");
    }
    assert!(!repository.claim("cluster-1", false).await.expect("still"));
    assert!(matches!(repository.claim("cluster-2", false).await, Err(RepositoryError::OtherOwner { .. })));
    assert!(repository.claim("cluster-3", true).await.expect("taken"), "whatever number was planted");
    // Prunes go on, and what was planted goes.
    for number in 7..10 {
        prune(&repository, &format!("prune_{number}"), true).await.expect("pruned");
    }
    assert_eq!(repository.manifests_of("new").await.expect("lists")[0].manifest.as_ref().expect("sound"), &new);
    let repository = reencrypt_and_retire(&bench).await;
    assert_eq!(repository.pins().await.expect("lists").into_keys().collect::<Vec<_>>(), [part.key]);
    prove(&bench, 3, "renewed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_the_old_ring_does_not_say_what_is_in_a_pack_of_the_new_one() {
    let bench = prepared().await;
    let thief = bench.stolen();
    let repository = rotate(&bench).await;
    back_up(&repository, "new", &people("new")).await.expect("made");
    // He knows which chunks the next backup will have, and says that they are in a pack that is there.
    let theirs = thief.open(Fault::None).await.expect("opens");
    back_up(&theirs, "next", &people("next")).await.expect("made");
    let vault = theirs.vault(Domain::Sealed).expect("there");
    let (index, _) = Index::load(&vault).await.expect("loads");
    let entries = index.by_pack(&vec![true; index.packs.len()]).into_iter().flatten().collect();
    let pack = newest_pack(&bench);
    let name = pack.file_name().expect("a file").to_str().expect("text").to_owned();
    let listing = PackListing { name, stored_bytes: fs::metadata(&pack).expect("there").len(), entries };
    let sealer = Arc::new(Sealer::new(vault.keys.clone(), Domain::Sealed).expect("keys"));
    let object = WriterNames::new(Domain::Sealed, "aa", 1, sealer.writer()).expect("good").index(1);
    let body = pack_listing::encode(&[listing]);
    let sealed = vault.seal_record(&sealer, RecordType::Index, vault.name_id(&object), body).await.expect("sealed");
    fs::write(bench.folder().join(object), &sealed).expect("planted");
    let made = back_up(&repository, "next", &people("next")).await.expect("made");
    assert_eq!(read(&repository, &made, "people").await.expect("whole"), people("next"));
}

/// A pack of the job `new`.
fn newest_pack(bench: &Bench) -> PathBuf {
    let packs =
        fs::read_dir(bench.folder().join("sealed/packs")).expect("packs").map(|entry| entry.expect("listed").path());
    packs.into_iter().find(|pack| pack.to_string_lossy().contains("/new.")).expect("there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_ends_while_the_key_is_rotated_counts_or_begins_again() {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}");
        let bench = prepared().await;
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        let key = bench.key();
        let mut run = tokio::spawn(async move { sleeper.rotate_key(&[key], false).await });
        tokio::select! {
            ended = &mut run => {
                ended.expect("no panic").expect("rotated");
                assert!(operation > 4, "two copies, slot, mark, what came meanwhile, old slot: {operation}");
                return;
            }
            () = gate.reached() => {}
        }
        let meanwhile = bench.open(Fault::None).await.expect(&what);
        let made = back_up(&meanwhile, "meanwhile", &people("kept")).await.expect(&what);
        let pinned = meanwhile.manifests_of("meanwhile").await.expect(&what).remove(0);
        meanwhile.pin(&pinned.key, "stays").await.expect(&what);
        gate.open();
        run.await.expect("no panic").expect(&what);
        let repository = bench.open(Fault::None).await.expect(&what);
        let found = repository.manifests_of("meanwhile").await.expect(&what).remove(0);
        assert_eq!(found.manifest.expect(&what), made, "{what}");
        assert!(repository.pins().await.expect(&what).contains_key(&pinned.key), "{what}");
        reencrypt_and_retire(&bench).await;
        prove(&bench, 3, &what).await;
    }
    panic!("the rotation never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_dies_leaves_no_backup_behind_and_believes_no_forgery() {
    for operation in 0..OPERATIONS {
        let what = format!("killed at {operation}");
        let bench = prepared().await;
        let thief = bench.stolen();
        let dying = bench.open(Fault::DeadAfter(operation)).await.expect("opens");
        let ended = dying.rotate_key(&[bench.key()], false).await;
        let repository = bench.open(Fault::None).await.expect(&what);
        assert_eq!(jobs(&repository).await, ["kept", "part"], "{what}");
        back_up(&thief.open(Fault::None).await.expect("opens"), "zz_forged", &people("forged")).await.expect("forged");
        plant(&thief, &bench, is_sealed);
        if parsed_marks(&bench) == 0 {
            // His key is in force still.
            continue;
        }
        let listed = repository.manifests().await.expect(&what);
        let forged = listed.iter().find(|entry| entry.job == "zz_forged");
        assert!(forged.is_none_or(|entry| entry.manifest.is_err()), "{what}: {forged:?}");
        let report = repository.reencrypt(&|_, _, _, _| (), &|| false).await.expect(&what);
        assert_eq!(report.backups.iter().filter(|backup| backup.left.is_none()).count(), 2, "{what}: {report:?}");
        if ended.is_ok() {
            return;
        }
    }
    panic!("the rotation never got through");
}

fn parsed_marks(bench: &Bench) -> usize {
    fs::read_dir(bench.folder().join("masters")).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_counted_is_known_though_a_copy_or_the_mark_is_lost() {
    let bench = prepared().await;
    let repository = rotate(&bench).await;
    assert!(repository.knows_what_counts());
    let mut inventories = Vec::new();
    files(&bench.folder(), "inventories", &mut inventories);
    let (copies, late): (Vec<_>, Vec<_>) = inventories.iter().partition(|name| name.matches('.').count() == 2);
    assert_eq!((copies.len(), late.len()), (2, 1), "{inventories:?}");
    let mark = bench.folder().join(crate::masters::mark_name(2));
    for (lost, kept) in [(copies[0], copies[1]), (copies[1], copies[0])] {
        let bytes = fs::read(bench.folder().join(lost)).expect("read");
        fs::remove_file(bench.folder().join(lost)).expect("lost");
        let without_mark = fs::read(&mark).expect("read");
        fs::remove_file(&mark).expect("lost");
        let repository = bench.open(Fault::None).await.expect("opens");
        assert_eq!(jobs(&repository).await, ["kept", "part"], "{kept} is left");
        let scan = repository.scan().await.expect("scanned");
        assert!(scan.oddities.iter().any(|oddity| oddity.object == *lost), "{scan:?}");
        let part = repository.manifests_of("part").await.expect("lists").remove(0).manifest.expect("sound");
        let reader = repository.open_backup(&part).await.expect("opens");
        let found = reader.verify(VerifyLevel::Structure, &|_| (), &|| false).await.expect("verifies");
        assert!(found.len() == 1 && found[0].object == *lost && !found[0].needed, "{found:?}");
        fs::write(&mark, without_mark).expect("put back");
        fs::write(bench.folder().join(lost), bytes).expect("put back");
    }
    // Without both nobody can tell: nothing is believed, and nothing is removed.
    for name in &copies {
        fs::write(bench.folder().join(name), b"damaged").expect("damaged");
    }
    let repository = bench.open(Fault::None).await.expect("opens");
    let listed = repository.manifests().await.expect("lists");
    assert!(listed.len() == 2 && listed.iter().all(|entry| entry.manifest.is_err() && !entry.retired), "{listed:?}");
    let told = listed[0].manifest.as_ref().expect_err("damaged").to_string();
    assert!(told.contains("inventories/") && told.contains("from a copy"), "{told}");
    back_up(&repository, "new", &people("kept")).await.expect("backups go on");
    assert!(prune(&repository, "prune_1", true).await.is_err(), "nobody knows what is needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_is_carried_from_rotation_to_rotation() {
    let bench = prepared().await;
    let thief = bench.stolen();
    rotate(&bench).await;
    back_up(&thief.open(Fault::None).await.expect("opens"), "zz_forged", &people("forged")).await.expect("forged");
    plant(&thief, &bench, is_sealed);
    let repository = rotate(&bench).await;
    assert_eq!(jobs(&repository).await, ["kept", "part"], "the second rotation doesn't take it either");
    let mut inventories = Vec::new();
    files(&bench.folder(), "inventories", &mut inventories);
    assert!(inventories.iter().all(|name| name.starts_with("inventories/0000000003")), "{inventories:?}");
    reencrypt_and_retire(&bench).await;
    assert!(fs::read_dir(bench.folder().join("inventories")).map_or(0, Iterator::count) == 0, "nothing older is left");
    prove(&bench, 2, "renewed").await;
}
