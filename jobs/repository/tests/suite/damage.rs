//! Damage of every kind to every kind of object: told by verification, and never returned as data.

use std::collections::BTreeSet;
use std::fs;

use crate::support::*;
use lucid_repository::*;

/// A repository with one backup of three small collections and an incompressible one.
async fn filled(domain: Domain) -> (Scratch, Manifest, ManifestRef) {
    let scratch = Scratch::new().await;
    let (people, log, tiny) = (documents(0..12, 64, "a"), documents(0..9, 32, "b"), documents(0..1, 16, "c"));
    let collections: &[(&str, _, &[Vec<u8>])] = &[
        ("people", ContentOrder::Any, &people),
        ("log", ContentOrder::Exact, &log),
        ("tiny", ContentOrder::Any, &tiny),
    ];
    let (manifest, reference, _) = back_up(&scratch.repository, "job", domain, collections).await;
    (scratch, manifest, reference)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_byte_of_every_object_is_found() {
    for domain in [Domain::Sealed, Domain::Plain] {
        let (scratch, manifest, reference) = filled(domain).await;
        let objects = scratch.objects(&domain.to_string());
        assert_eq!(objects.len(), 3, "a pack, an index object, a manifest: {objects:?}");
        for name in objects {
            let path = scratch.path().join(&name);
            let good = fs::read(&path).expect("there");
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                fs::write(&path, &bad).expect("written");
                let findings = scratch.verify(&manifest, VerifyLevel::Data).await;
                assert!(findings.iter().any(|finding| finding.object == name), "byte {at} of {name}: {findings:?}");
                if name.contains("/packs/") {
                    assert!(findings.iter().all(|finding| finding.lost_documents.is_some()));
                } else {
                    let findings = scratch.verify(&manifest, VerifyLevel::Structure).await;
                    assert!(findings.iter().any(|finding| finding.object == name), "byte {at} of {name}: {findings:?}");
                }
                if name == reference.key {
                    let error = scratch.repository.read_manifest(&name).await.expect_err("damaged");
                    assert!(error.damage().is_some_and(|damage| damage.object == name), "{error}");
                }
            }
            fs::write(&path, &good).expect("written");
        }
        assert_eq!(scratch.verify(&manifest, VerifyLevel::Data).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_chunk_costs_its_collection_only() {
    let (scratch, manifest, _) = filled(Domain::Sealed).await;
    let pack = scratch.objects("sealed/packs").remove(0);
    let path = scratch.path().join(&pack);
    let good = fs::read(&path).expect("there");
    // The first record is the first collection's only chunk.
    let mut bad = good.clone();
    bad[150] ^= 1;
    fs::write(&path, &bad).expect("written");
    let findings = scratch.verify(&manifest, VerifyLevel::Data).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!((findings[0].collection.as_deref(), findings[0].lost_documents), (Some("people"), Some(12)));
    assert_eq!(scratch.verify(&manifest, VerifyLevel::Structure).await, [], "structure doesn't read packs");
    let error = read(&scratch.repository, &manifest, "people").await.expect_err("damaged");
    assert!(error.damage().is_some_and(|damage| damage.object == pack) && !error.is_retryable());
    assert_eq!(read(&scratch.repository, &manifest, "log").await.expect("sound").len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_truncated_packs_are_told_with_their_collections() {
    let (scratch, manifest, _) = filled(Domain::Sealed).await;
    let pack = scratch.objects("sealed/packs").remove(0);
    let path = scratch.path().join(&pack);
    let good = fs::read(&path).expect("there");
    let told = |findings: Vec<Finding>| {
        assert!(findings.iter().all(|finding| finding.object == pack), "{findings:?}");
        findings.into_iter().filter_map(|finding| finding.collection).collect::<BTreeSet<_>>()
    };
    let all = BTreeSet::from(["people", "log", "tiny"].map(String::from));
    for level in [VerifyLevel::Structure, VerifyLevel::Data] {
        fs::remove_file(&path).expect("there");
        assert_eq!(told(scratch.verify(&manifest, level).await), all);
        assert!(read(&scratch.repository, &manifest, "people").await.is_err());
        fs::write(&path, &good[..100]).expect("written");
        assert_eq!(told(scratch.verify(&manifest, level).await), all);
        fs::write(&path, &good[..good.len() - 1]).expect("written");
        assert!(!scratch.verify(&manifest, level).await.is_empty());
        fs::write(&path, [good.as_slice(), &[0]].concat()).expect("written");
        assert!(!scratch.verify(&manifest, level).await.is_empty());
        fs::write(&path, &good).expect("written");
        assert_eq!(scratch.verify(&manifest, level).await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_index_is_made_up_for_but_told() {
    let (scratch, manifest, _) = filled(Domain::Sealed).await;
    let index = scratch.path().join(scratch.objects("sealed/index").remove(0));
    let good = fs::read(&index).expect("there");
    for damage in [None, Some(&good[..40])] {
        match damage {
            None => fs::remove_file(&index).expect("there"),
            Some(bytes) => fs::write(&index, bytes).expect("written"),
        }
        assert_eq!(read(&scratch.repository, &manifest, "people").await.expect("made up for").len(), 12);
        for level in [VerifyLevel::Structure, VerifyLevel::Data] {
            let findings = scratch.verify(&manifest, level).await;
            let pack = findings.iter().find(|finding| finding.object.contains("packs")).expect("told");
            assert!(pack.needed && !pack.wants_repair(), "it is sound, and the next backup lists it again");
        }
    }
    // The next backup lists the packs again.
    fs::remove_file(&index).expect("there");
    let people = documents(0..12, 64, "a");
    let (_, _, stats) =
        back_up(&scratch.repository, "next", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    assert_eq!(stats.chunks_new, 0);
    assert_eq!(scratch.verify(&manifest, VerifyLevel::Data).await, []);
    // Without index and pack, what is lost is still counted.
    fs::remove_file(scratch.path().join(scratch.objects("sealed/index").remove(0))).expect("there");
    fs::remove_file(scratch.path().join(scratch.objects("sealed/packs").remove(0))).expect("there");
    let findings = scratch.verify(&manifest, VerifyLevel::Structure).await;
    assert_eq!(findings.iter().filter_map(|finding| finding.lost_documents).sum::<u64>(), 22, "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_is_stored_again_by_the_next_backup() {
    let (scratch, manifest, _) = filled(Domain::Sealed).await;
    let pack = scratch.path().join(scratch.objects("sealed/packs").remove(0));
    let good = fs::read(&pack).expect("there");
    fs::write(&pack, &good[..good.len() / 2]).expect("written");
    let people = documents(0..12, 64, "a");
    let (next, _, stats) =
        back_up(&scratch.repository, "next", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    assert_eq!(stats.chunks_new, 1);
    assert_eq!(read(&scratch.repository, &next, "people").await.expect("sound"), people);
    assert_eq!(
        scratch.verify(&next, VerifyLevel::Data).await,
        [],
        "nothing of the next backup is in the lost pack only"
    );
    fs::remove_file(&pack).expect("there");
    for level in [VerifyLevel::Structure, VerifyLevel::Data] {
        assert_eq!(scratch.verify(&next, level).await, []);
        let lost: BTreeSet<_> =
            scratch.verify(&manifest, level).await.into_iter().filter_map(|finding| finding.collection).collect();
        assert_eq!(lost, BTreeSet::from(["log", "tiny"].map(String::from)), "what wasn't stored again is lost");
    }
    // A reader of the old backup takes the new copy.
    assert_eq!(read(&scratch.repository, &manifest, "people").await.expect("sound"), people);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_verification_found_damaged_is_stored_anew_and_nobody_moves_anything() {
    // Within a chunk, and within the footer: its size tells nothing of either.
    for from_end in [false, true] {
        let (scratch, manifest, _) = filled(Domain::Sealed).await;
        let pack = scratch.objects("sealed/packs").remove(0);
        let mut bad = fs::read(scratch.path().join(&pack)).expect("there");
        let at = if from_end { bad.len() - 20 } else { 150 };
        bad[at] ^= 1;
        fs::write(scratch.path().join(&pack), &bad).expect("written");
        let people = documents(0..12, 64, "a");
        let all: &[(&str, _, &[Vec<u8>])] = &[("people", ContentOrder::Any, &people)];
        let (trusting, _, stats) = back_up(&scratch.repository, "before", Domain::Sealed, all).await;
        assert_eq!(stats.chunks_new, 0, "nobody knows yet");

        let first = scratch.verify(&manifest, VerifyLevel::Data).await;
        assert!(!first.is_empty() && first.iter().all(|finding| finding.needed && finding.object == pack), "{first:?}");
        assert_eq!(
            scratch.verify(&manifest, VerifyLevel::Data).await,
            first,
            "it is told again as long as it is needed"
        );
        assert_eq!(scratch.objects("sealed/distrust").len(), 1);

        let (next, _, stats) = back_up(&scratch.repository, "next", Domain::Sealed, all).await;
        assert_eq!(stats.chunks_new, 1);
        for healed in [&next, &trusting] {
            assert_eq!(scratch.verify(healed, VerifyLevel::Data).await, []);
            assert_eq!(read(&scratch.repository, healed, "people").await.expect("sound"), people);
        }
        // Of the first backup, "log" and "tiny" are in the damaged pack alone.
        let options = PruneOptions {
            job: "prune_1".into(),
            epoch: 1,
            grace_ms: 0,
            repack: true,
            at_once: true,
            known: [].into(),
            dry_run: None,
        };
        scratch.repository.prune(&options, &|_, _, _| (), &|| false).await.expect("pruned");
        assert!(scratch.objects("sealed/packs").contains(&pack), "part of it may be what helps");
        let key = scratch.repository.manifests_of("job").await.expect("listed").remove(0).key;
        scratch.repository.forget(&key, "prune_0", "the test").await.expect("forgotten");
        scratch.repository.prune(&options, &|_, _, _| (), &|| false).await.expect("pruned");
        assert!(!scratch.objects("sealed/packs").contains(&pack), "all that is needed of it is elsewhere");
        assert!(scratch.objects("sealed/distrust").is_empty(), "it is tidied away with the pack");
        assert_eq!(scratch.verify(&next, VerifyLevel::Data).await, []);
        assert_eq!(read(&scratch.repository, &next, "people").await.expect("sound"), people);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_does_not_need_is_told_as_such_and_stray_files_are_ignored() {
    let (scratch, manifest, _) = filled(Domain::Sealed).await;
    let mine = scratch.objects("sealed/index").remove(0);
    let more = documents(100..140, 64, "other");
    let (other, reference, _) =
        back_up(&scratch.repository, "other", Domain::Sealed, &[("more", ContentOrder::Any, &more)]).await;
    for stray in [
        "sealed/packs/.DS_Store",
        "sealed/packs/a/b",
        "sealed/index/x.tmp",
        "sealed/manifests/Thumbs.db",
        "keys/.DS_Store",
    ] {
        let path = scratch.path().join(stray);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, "stray").expect("written");
    }
    assert_eq!(scratch.verify(&manifest, VerifyLevel::Data).await, []);
    Repository::open(&scratch.location(), &scratch.key()).await.expect("opens");
    let index =
        scratch.objects("sealed/index").into_iter().find(|name| *name != mine && !name.ends_with("tmp")).expect("two");
    let path = scratch.path().join(&index);
    let mut bytes = fs::read(&path).expect("there");
    bytes[120] ^= 1;
    fs::write(&path, &bytes).expect("written");
    fs::write(scratch.path().join("keys/0123456789abcdef"), "damaged").expect("written");
    for level in [VerifyLevel::Structure, VerifyLevel::Data] {
        let findings = scratch.verify(&manifest, level).await;
        let objects: Vec<_> = findings.iter().map(|finding| finding.object.as_str()).collect();
        assert_eq!(objects, ["keys/0123456789abcdef", &index], "both are told");
        assert!(findings.iter().all(|finding| !finding.needed), "and neither is needed");
        assert!(scratch.verify(&other, level).await.iter().any(|finding| finding.needed), "its own index is");
    }
    // One job's manifests are listed without a look at the others.
    fs::write(scratch.path().join(&reference.key), "damaged").expect("written");
    let listed = scratch.repository.manifests_of("job").await.expect("lists");
    assert_eq!(listed.iter().map(|entry| entry.job.as_str()).collect::<Vec<_>>(), ["job"]);
    assert!(scratch.repository.manifests_of("other").await.expect("lists")[0].manifest.is_err());
    assert!(scratch.repository.manifests_of("jo").await.expect("lists").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_objects_are_damage_and_not_read() {
    let (scratch, manifest, _) = filled(Domain::Sealed).await;
    let stem = "planted.1.00000000000000000000000000000000";
    let terabyte = |name: &str| {
        let path = scratch.path().join(name);
        let file = fs::OpenOptions::new().create(true).write(true).truncate(false).open(&path).expect("made");
        file.set_len(1 << 40).expect("sparse");
        file
    };
    terabyte(&format!("sealed/index/{stem}.000001"));
    terabyte(&format!("sealed/manifests/{stem}"));
    terabyte("keys/0123456789abcdef");
    let file = terabyte(&format!("sealed/packs/{stem}.000001"));
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff, 0xff, 0xff, 0xff, b'L', b'U', b'C', b'E'], (1 << 40) - 8)
        .expect("written");
    let repository = Repository::open(&scratch.location(), &scratch.key()).await.expect("opens");
    assert!(repository.manifests_of("planted").await.expect("lists")[0].manifest.is_err());
    let findings = scratch.verify(&manifest, VerifyLevel::Data).await;
    assert!(findings.len() == 3 && findings.iter().all(|finding| !finding.needed), "{findings:?}");
    // A pack of ours that was made larger.
    let pack = scratch.objects("sealed/packs").into_iter().find(|name| !name.contains("planted")).expect("there");
    terabyte(&pack);
    let findings = scratch.verify(&manifest, VerifyLevel::Data).await;
    assert!(findings.iter().any(|finding| finding.object == pack && finding.needed), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_damaged_manifest_does_not_hide_the_others() {
    let (scratch, manifest, reference) = filled(Domain::Sealed).await;
    let (_, other, _) = back_up(&scratch.repository, "other", Domain::Sealed, &[]).await;
    let path = scratch.path().join(&reference.key);
    let good = fs::read(&path).expect("there");
    // Another backup's bytes under this name are damage, too.
    for bytes in [good[..50].to_vec(), fs::read(scratch.path().join(&other.key)).expect("there")] {
        fs::write(&path, bytes).expect("written");
        let listed = scratch.repository.manifests().await.expect("lists");
        assert_eq!(
            listed.iter().map(|entry| (entry.job.as_str(), entry.manifest.is_ok())).collect::<Vec<_>>(),
            [("job", false), ("other", true)]
        );
        assert_eq!(scratch.verify(&manifest, VerifyLevel::Structure).await[0].object, reference.key);
    }
    fs::remove_file(&path).expect("there");
    assert!(!scratch.verify(&manifest, VerifyLevel::Structure).await.is_empty(), "a missing manifest is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_cannot_be_moved_between_names_domains_or_repositories() {
    let (one, manifest, _) = filled(Domain::Sealed).await;
    let (two, _, _) = filled(Domain::Sealed).await;
    // Another repository's pack of the same shape.
    let pack = one.path().join(one.objects("sealed/packs").remove(0));
    fs::copy(two.path().join(two.objects("sealed/packs").remove(0)), &pack).expect("copied");
    assert!(one.verify(&manifest, VerifyLevel::Data).await.iter().any(|finding| finding.lost_documents > Some(0)));
    assert!(read(&one.repository, &manifest, "people").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_repository_shows_no_names_and_no_documents() {
    let scratch = Scratch::new().await;
    let people: Vec<_> = (0..50)
        .map(|id| bson::serialize_to_vec(&bson::doc! { "_id": id, "secretfield": "secretvalue" }).expect("BSON"))
        .collect();
    let writer = scratch.repository.begin("job", 1, Domain::Sealed, Compression { level: None }).await.expect("begins");
    let content = write_collection(&writer, ContentOrder::Any, &people).await;
    writer.finish().await.expect("finished");
    writer
        .write_manifest(&manifest(
            "job",
            1,
            Domain::Sealed,
            vec![entry("secretcollection", ContentOrder::Any, content)],
        ))
        .await
        .expect("committed");
    for name in scratch.objects("") {
        let bytes = fs::read(scratch.path().join(&name)).expect("there");
        let shows = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text) || name.contains("secret");
        assert!(!shows(b"secret"), "{name}");
    }
    // The same search finds them in the plain domain, so it can find.
    back_up(&scratch.repository, "job", Domain::Plain, &[("secretcollection", ContentOrder::Any, &people)]).await;
    let plain = scratch.objects("plain");
    assert!(plain.iter().any(|name| {
        fs::read(scratch.path().join(name)).expect("there").windows(6).any(|window| window == b"secret")
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn verification_stops_when_told_and_reports_its_progress() {
    let (scratch, manifest, _) = filled(Domain::Sealed).await;
    let reader = scratch.repository.open_backup(&manifest).await.expect("opens");
    let stopped = reader.verify(VerifyLevel::Data, &|_| (), &|| true).await;
    assert!(matches!(stopped, Err(RepositoryError::Stopped)));
    let last = std::sync::Mutex::new(VerifyProgress::default());
    reader
        .verify(VerifyLevel::Data, &|progress| *last.lock().expect("no panic") = progress, &|| false)
        .await
        .expect("verifies");
    let last = *last.lock().expect("no panic");
    assert_eq!((last.packs_done, last.packs_total), (1, 1));
    assert!(last.bytes_done == last.bytes_total && last.bytes_total > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_backups_planted_in_a_strict_repository_are_not_looked_at() {
    let scratch = Scratch::new().await;
    let people = documents(0..10, 64, "a");
    let (manifest, reference, _) =
        back_up(&scratch.repository, "planted", Domain::Plain, &[("people", ContentOrder::Any, &people)]).await;
    let strict = scratch.folder.path().join("strict");
    let location = Location::folder(&strict).expect("valid");
    let repository = Repository::init(&location, &scratch.key(), &InitOptions::default()).await.expect("made");
    for name in scratch.objects("plain") {
        fs::create_dir_all(strict.join(&name).parent().expect("a folder")).expect("made");
        fs::copy(scratch.path().join(&name), strict.join(&name)).expect("copied");
    }
    assert!(repository.manifests().await.expect("lists").is_empty());
    assert!(matches!(repository.read_manifest(&reference.key).await, Err(RepositoryError::DomainUnavailable { .. })));
    assert!(matches!(repository.open_backup(&manifest).await, Err(RepositoryError::DomainUnavailable { .. })));
}
