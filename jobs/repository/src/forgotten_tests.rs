//! Manifests that are gone: forgotten, which is noted before, whoever dies or sleeps meanwhile; or out of sight, which stops all prunes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::fault_tests::{Bench, Fault};
use crate::interruption_tests::{OPERATIONS, back_up, forget, people, prepared, prove, prune};
use crate::object_name::{Folder, ForgottenName};
use crate::support::{self, Scratch, documents, read};
use crate::{ContentOrder, Domain, PruneOptions, Repository, RepositoryError};

/// All files below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("listed").path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).expect("read");
            found.insert(path, bytes);
        }
    }
    found
}

/// The keys of the manifests that an error says are missing.
fn missing(error: RepositoryError) -> Vec<String> {
    let told = error.to_string();
    let RepositoryError::ManifestsMissing { manifests } = error else { panic!("{told}") };
    assert!(told.contains("--accept-loss") && manifests.iter().all(|key| told.contains(key.as_str())), "{told}");
    manifests
}

/// What becomes of the manifests behind everybody's back.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Away,
    Emptied,
    OneRemoved,
}

impl Fate {
    /// Comes back with how many are missing then.
    fn befall(self, manifests: &Path, aside: &Path) -> usize {
        let all: Vec<PathBuf> = files(manifests).into_keys().collect();
        match self {
            Self::Away => fs::rename(manifests, aside).expect("moved"),
            Self::Emptied => {
                fs::rename(manifests, aside).expect("moved");
                fs::create_dir(manifests).expect("made");
            }
            Self::OneRemoved => {
                fs::create_dir(aside).expect("made");
                fs::rename(&all[0], aside.join(all[0].file_name().expect("named"))).expect("moved");
                return 1;
            }
        }
        all.len()
    }

    fn undo(manifests: &Path, aside: &Path) {
        fs::create_dir_all(manifests).expect("made");
        for path in files(aside).into_keys() {
            fs::rename(&path, manifests.join(path.file_name().expect("named"))).expect("moved");
        }
        fs::remove_dir(aside).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_out_of_sight_stop_every_prune_until_they_are_back() {
    for fate in [Fate::Away, Fate::Emptied, Fate::OneRemoved] {
        // While what was doomed isn't closed yet, and once it is.
        for runs in 1..3 {
            let what = format!("{fate:?} after {runs} prunes");
            let bench = prepared().await;
            let repository = bench.open(Fault::None).await.expect("opens");
            for run in 0..runs {
                prune(&repository, &format!("before_{run}"), false).await.expect("pruned");
            }
            let (manifests, aside) = (bench.folder().join("sealed/manifests"), bench.folder().with_file_name("aside"));
            let number = fate.befall(&manifests, &aside);
            let before = files(&bench.folder());
            for run in 0..3 {
                let refused = prune(&repository, &format!("prune_{run}"), true).await.expect_err(&what);
                assert!(!refused.is_retryable(), "{what}");
                assert_eq!(missing(refused).len(), number, "{what}");
            }
            assert_eq!(
                missing(repository.ensure_none_missing(&[].into()).await.expect_err(&what)).len(),
                number,
                "{what}"
            );
            assert!(files(&bench.folder()) == before, "{what}: something was written or removed");
            Fate::undo(&manifests, &aside);
            prune(&repository, "prune_9", true).await.expect(&what);
            prove(&bench, 2, &what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_of_either_domain_are_missed() {
    for domain in [Domain::Sealed, Domain::Plain] {
        let scratch = Scratch::new().await;
        let repository = &scratch.repository;
        let (old, some) = (documents(0..2_000, 400, "old"), documents(0..1_000, 400, "some"));
        for (job, of, documents) in
            [("old", domain, &old), ("sealed", Domain::Sealed, &some), ("plain", Domain::Plain, &some)]
        {
            support::back_up(repository, job, of, &[("people", ContentOrder::Any, documents)]).await;
        }
        forget(repository, "old").await;
        prune(repository, "prune_1", true).await.expect("pruned");
        let manifests = scratch.path().join(format!("{domain}/manifests"));
        let aside = scratch.folder.path().join("aside");
        assert_eq!(Fate::Away.befall(&manifests, &aside), 1);
        let named = missing(prune(repository, "prune_2", true).await.expect_err("missing"));
        assert!(named.len() == 1 && named[0].starts_with(&format!("{domain}/manifests/{domain}.1.")), "{named:?}");
        Fate::undo(&manifests, &aside);
        prune(repository, "prune_3", true).await.expect("pruned");
        for found in repository.manifests().await.expect("lists") {
            assert_eq!(read(repository, &found.manifest.expect("sound"), "people").await.expect("whole"), some);
        }
    }
}

/// After a first prune, the manifest of `kept` is removed by hand.
async fn without_kept() -> (Bench, Repository, String) {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    prune(&repository, "prune_0", true).await.expect("pruned");
    let kept = repository.manifests_of("kept").await.expect("lists").remove(0).key;
    fs::remove_file(bench.folder().join(&kept)).expect("removed");
    (bench, repository, kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_removed_a_manifest_by_hand_says_so_once() {
    let (bench, repository, kept) = without_kept().await;
    assert_eq!(missing(prune(&repository, "prune_1", true).await.expect_err("missing")), std::slice::from_ref(&kept));
    assert_eq!(repository.accept_loss("prune_2", &[].into()).await.expect("accepted"), 1);
    let said = repository.forgotten(&kept).await.expect("read").expect("noted");
    assert_eq!((said.lost, said.by.as_str(), said.job.as_str(), said.hash), (true, "prune_2", "kept", None));
    assert_eq!(repository.accept_loss("prune_3", &[].into()).await.expect("accepted"), 0, "nothing more is missing");
    assert!(prune(&repository, "prune_3", true).await.expect("pruned").objects_deleted > 0);
    prove(&bench, 1, "accepted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_record_that_can_be_read_says_that_a_manifest_was_forgotten() {
    let (bench, repository, kept) = without_kept().await;
    let planted = ForgottenName { manifest: kept.clone(), key_id: 1 }.object(Domain::Sealed, &"ab".repeat(16));
    // That of another backup is there, under this one's name as well.
    let noted = fs::read_dir(bench.folder().join("sealed/forgotten")).expect("a folder").next().expect("one");
    let other = fs::read(noted.expect("listed").path()).expect("read");
    for bytes in [Vec::new(), b"rubbish".to_vec(), other] {
        fs::write(bench.folder().join(&planted), bytes).expect("written");
        assert_eq!(
            missing(prune(&repository, "prune_1", true).await.expect_err("missing")),
            std::slice::from_ref(&kept)
        );
        assert_eq!(repository.forgotten(&kept).await.expect("read"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_told_with_who_did_and_why() {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    let kept = repository.manifests_of("kept").await.expect("lists").remove(0);
    let hash = repository.read_manifest(&kept.key).await.expect("there").1.hash;
    assert_eq!(repository.forgotten(&kept.key).await.expect("read"), None);
    for _ in 0..2 {
        repository.forget(&kept.key, "prune_7", "no rule keeps it").await.expect("forgotten, or already gone");
    }
    let said = repository.forgotten(&kept.key).await.expect("read").expect("noted");
    assert_eq!((said.manifest, said.hash, said.job), (kept.key, Some(hash), "kept".to_owned()));
    assert_eq!((said.by.as_str(), said.reason.as_str(), said.lost), ("prune_7", "no rule keeps it", false));
    assert_eq!((said.database.as_deref(), said.at), (Some("secretdatabase"), Some(bson::DateTime::from_millis(3_000))));
    assert_eq!(said.cluster.as_deref(), Some("cluster-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_may_be_killed_anywhere() {
    for operation in 0..OPERATIONS {
        let what = format!("killed at {operation}");
        let bench = prepared().await;
        let repository = bench.open(Fault::None).await.expect("opens");
        prune(&repository, "prune_0", true).await.expect("pruned");
        let kept = repository.manifests_of("kept").await.expect("lists").remove(0).key;
        let dying = bench.open(Fault::DeadAfter(operation)).await.expect("opens");
        let ended = dying.forget(&kept, "prune_1", "the test").await;
        prune(&repository, "prune_2", true).await.expect(&what);
        prove(&bench, 1, &what).await;
        if ended.is_ok() {
            assert!(operation > 1, "the record, then the manifest: {operation}");
            return;
        }
    }
    panic!("it never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_may_sleep_anywhere_while_others_prune() {
    for operation in 0..OPERATIONS {
        let what = format!("asleep at {operation}");
        let bench = prepared().await;
        let (sleeper, gate) = bench.open_gated(Fault::PauseAt(operation)).await.expect("opens");
        let mut run = tokio::spawn(async move {
            let kept = sleeper.manifests_of("kept").await.expect("lists").remove(0).key;
            sleeper.forget(&kept, "prune_1", "the test").await
        });
        tokio::select! {
            ended = &mut run => {
                ended.expect("no panic").expect("forgotten");
                assert!(operation > 1, "the record, then the manifest: {operation}");
                return;
            }
            () = gate.reached() => {}
        }
        let repository = bench.open(Fault::None).await.expect("opens");
        for number in 2..4 {
            back_up(&repository, &format!("night_{number}"), &people("night")).await.expect(&what);
            forget(&repository, &format!("night_{number}")).await;
            prune(&repository, &format!("prune_{number}"), true).await.expect(&what);
        }
        gate.open();
        run.await.expect("no panic").expect(&what);
        prune(&repository, "prune_4", true).await.expect(&what);
        prove(&bench, 1, &what).await;
    }
    panic!("it never got through");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_encrypted_anew_over_manifests_that_are_missing() {
    let (bench, repository, kept) = without_kept().await;
    repository.rotate_key(&[bench.key()], false).await.expect("rotated");
    let repository = bench.open(Fault::None).await.expect("opens");
    let refused = repository.reencrypt(&|_, _, _, _| (), &|| false).await.expect_err("else nobody would miss it");
    assert_eq!(missing(refused), [kept]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_from_before_a_rotation_counts_only_if_that_met_it() {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    prune(&repository, "prune_0", true).await.expect("pruned");
    let kept = repository.manifests_of("kept").await.expect("lists").remove(0).key;
    let part = repository.manifests_of("part").await.expect("lists").remove(0).key;
    repository.forget(&kept, "prune_1", "the test").await.expect("forgotten");
    let stolen = bench.stolen();
    repository.rotate_key(&[bench.key()], false).await.expect("rotated");
    // Who was locked out says that another one was forgotten, too, and removes it.
    let locked_out = stolen.open(Fault::None).await.expect("opens");
    locked_out.forget(&part, "prune_2", "spite").await.expect("forgotten");
    for name in files(&stolen.folder().join(Folder::Forgotten.of(Domain::Sealed))).into_keys() {
        let theirs = bench.folder().join("sealed/forgotten").join(name.file_name().expect("named"));
        fs::copy(&name, theirs).expect("planted");
    }
    fs::remove_file(bench.folder().join(&part)).expect("removed");
    let repository = bench.open(Fault::None).await.expect("opens");
    assert_eq!(missing(prune(&repository, "prune_3", true).await.expect_err("missing")), [part]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_go_once_nothing_depends_on_them_save_the_newest() {
    let bench = prepared().await;
    let repository = bench.open(Fault::None).await.expect("opens");
    let vault = repository.vault(Domain::Sealed).expect("there");
    let noted = || files(&bench.folder().join("sealed/forgotten")).len();
    let tidy = async |kept: usize| {
        crate::forgotten::tidy(&vault, &repository.generations().await.expect("read"), kept).await.expect("tidied");
    };
    prune(&repository, "prune_1", true).await.expect("pruned");
    forget(&repository, "kept").await;
    assert_eq!(noted(), 2, "old, and kept");
    tidy(1).await;
    assert_eq!(noted(), 2, "the close counts kept; old is the newest that idles");
    tidy(0).await;
    assert_eq!(noted(), 1, "the close counts kept");
    prune(&repository, "prune_2", true).await.expect("pruned");
    tidy(0).await;
    assert_eq!(noted(), 0);
    prove(&bench, 1, "tidied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_prune_has_counted_yet_all_manifests_out_of_sight_stop_it_too() {
    let bench = Bench::new();
    bench.init(Fault::None).await.expect("made");
    let repository = bench.open(Fault::None).await.expect("opens");
    prune(&repository, "prune_0", true).await.expect("there is nothing yet");
    for job in ["a", "b"] {
        back_up(&repository, job, &people(job)).await.expect("made");
    }
    let (manifests, aside) = (bench.folder().join("sealed/manifests"), bench.folder().with_file_name("aside"));
    for fate in [Fate::Away, Fate::Emptied] {
        fate.befall(&manifests, &aside);
        let before = files(&bench.folder());
        for run in 1..4 {
            let refused = prune(&repository, &format!("prune_{run}"), true).await.expect_err("all are away");
            assert!(refused.to_string().contains("no backup at all"), "{refused}");
        }
        assert!(files(&bench.folder()) == before, "something was written or removed");
        fs::create_dir_all(&manifests).expect("made");
        Fate::undo(&manifests, &aside);
        prune(&repository, "prune_4", true).await.expect("pruned");
    }
    Fate::Emptied.befall(&manifests, &aside);
    assert_eq!(repository.accept_loss("prune_5", &[].into()).await.expect("accepted"), 0, "nobody knows of any");
    assert!(prune(&repository, "prune_6", true).await.expect("pruned").objects_deleted > 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_no_prune_has_counted_is_missed_by_who_knows_of_it() {
    for at_once in [false, true] {
        let bench = Bench::new();
        bench.init(Fault::None).await.expect("made");
        let repository = bench.open(Fault::None).await.expect("opens");
        for job in ["a", "b"] {
            back_up(&repository, job, &people(job)).await.expect("made");
        }
        let keys: Vec<String> =
            repository.manifests().await.expect("lists").into_iter().map(|entry| entry.key).collect();
        let known = BTreeSet::from([keys[0].clone(), keys[1].clone()]);
        let options = |job: &str, known: &BTreeSet<String>| PruneOptions {
            job: job.into(),
            epoch: 1,
            grace_ms: 0,
            repack: true,
            at_once,
            known: known.clone(),
            dry_run: None,
        };
        let run = async |job: &str, known: &BTreeSet<String>| {
            repository.prune(&options(job, known), &|_, _, _| (), &|| false).await
        };
        repository.ensure_none_missing(&known).await.expect("both are there");
        let (there, aside) = (bench.folder().join(&keys[0]), bench.folder().with_file_name("aside"));
        fs::rename(&there, &aside).expect("moved");
        let before = files(&bench.folder());
        let gone = std::slice::from_ref(&keys[0]);
        assert_eq!(missing(repository.ensure_none_missing(&known).await.expect_err("one is gone")), gone);
        assert_eq!(missing(run("prune_1", &known).await.expect_err("one is gone")), gone);
        assert!(files(&bench.folder()) == before, "something was written or removed");
        fs::rename(&aside, &there).expect("moved back");
        repository.forget(&keys[0], "prune_2", "the test").await.expect("forgotten");
        run("prune_2", &known).await.expect("it is known what became of it");
        fs::remove_file(bench.folder().join(&keys[1])).expect("removed");
        assert_eq!(repository.accept_loss("prune_3", &known).await.expect("accepted"), 1, "with none left, too");
        assert!(repository.forgotten(&keys[1]).await.expect("read").expect("noted").lost);
        run("prune_3", &known).await.expect("accepted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_that_is_forgotten_the_others_are_missed_though_nothing_goes_with_it() {
    let bench = Bench::new();
    bench.init(Fault::None).await.expect("made");
    let repository = bench.open(Fault::None).await.expect("opens");
    for job in ["a", "b", "c"] {
        back_up(&repository, job, &people("same")).await.expect("made");
    }
    forget(&repository, "a").await;
    assert_eq!(prune(&repository, "prune_1", false).await.expect("pruned").objects_doomed, 0, "the others need it all");
    let (manifests, aside) = (bench.folder().join("sealed/manifests"), bench.folder().with_file_name("aside"));
    Fate::Away.befall(&manifests, &aside);
    assert_eq!(missing(prune(&repository, "prune_2", true).await.expect_err("all are away")).len(), 2);
}
