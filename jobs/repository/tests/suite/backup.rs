//! Backups are written, found again, and read back.

use crate::support::*;
use lucid_repository::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read_back() {
    let scratch = Scratch::at(super::PLACE).await;
    let (people, log) = (documents(0..6_000, 400, "a"), documents(0..500, 200, "b"));
    for domain in [Domain::Sealed, Domain::Plain] {
        let job = format!("backup_{domain}");
        let collections: &[(&str, _, &[Vec<u8>])] = &[
            ("people", ContentOrder::Any, &people),
            ("log", ContentOrder::Exact, &log),
            ("empty", ContentOrder::Any, &[]),
        ];
        let (manifest, reference, stats) = back_up(&scratch.repository, &job, domain, collections).await;
        // Opened anew, by key alone.
        let repository = Repository::open(&scratch.location(), &scratch.key()).await.expect("opens");
        let (read_manifest, read_reference) = repository.read_manifest(&reference.key).await.expect("reads");
        assert_eq!((&read_manifest, read_reference), (&manifest, reference));
        assert_eq!(read(&repository, &manifest, "people").await.expect("sound"), people);
        assert_eq!(read(&repository, &manifest, "log").await.expect("sound"), log);
        assert!(read(&repository, &manifest, "empty").await.expect("sound").is_empty());
        let raw: u64 = people.iter().chain(&log).map(|document| document.len() as u64).sum();
        assert_eq!((stats.raw_bytes, stats.new_chunk_raw_bytes, stats.chunks_known), (raw, raw, 0));
        let stored: u64 = scratch
            .objects(&domain.to_string())
            .iter()
            .map(|name| scratch.path().join(name).metadata().expect("there").len())
            .sum();
        assert_eq!(stats.stored_bytes, stored);
        for (entry, documents) in manifest.collections.iter().zip([&people, &log]) {
            let mut hasher = repository.content_hasher(domain, entry.content_order);
            for document in documents {
                hasher.push(document);
            }
            assert_eq!(hasher.finish(), entry.content.content_hash);
        }
        for level in [VerifyLevel::Structure, VerifyLevel::Data] {
            assert_eq!(scratch.verify(&manifest, level).await, []);
        }
    }
    assert_eq!(scratch.repository.manifests().await.expect("lists").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_backup_stores_no_chunk_and_a_changed_one_few() {
    let scratch = Scratch::at(super::PLACE).await;
    let mut people = documents(0..20_000, 400, "a");
    let (_, _, first) =
        back_up(&scratch.repository, "first", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    let (_, _, second) =
        back_up(&scratch.repository, "second", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    assert_eq!((second.chunks_new, second.chunks_known), (0, first.chunks_new));
    assert!(second.stored_bytes * 100 < first.stored_bytes, "{second:?}");
    people.remove(10_000);
    people.push(documents(20_000..20_001, 400, "a").remove(0));
    let (manifest, _, third) =
        back_up(&scratch.repository, "third", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    assert!(third.chunks_new <= 7, "{third:?}");
    assert_eq!(read(&scratch.repository, &manifest, "people").await.expect("sound"), people);
    // Equal chunks within one run are stored once, too.
    let fresh = documents(0..2_000, 400, "z");
    let (manifest, _, stats) = back_up(
        &scratch.repository,
        "twins",
        Domain::Sealed,
        &[("a", ContentOrder::Any, &fresh), ("b", ContentOrder::Any, &fresh)],
    )
    .await;
    assert_eq!(stats.chunks_new, stats.chunks_known);
    assert_eq!(read(&scratch.repository, &manifest, "b").await.expect("sound"), fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_finds_what_its_predecessor_finished() {
    let scratch = Scratch::at(super::PLACE).await;
    let people = documents(0..100_000, 400, "a");
    let writer = scratch.repository.begin("job", 1, Domain::Sealed, Compression { level: None }).await.expect("begins");
    let content = write_collection(&writer, ContentOrder::Any, &people).await;
    let lost = writer.stats();
    writer.flush().await.expect("flushed");
    // Something that never got into a finished pack.
    let unfinished = write_collection(&writer, ContentOrder::Any, &documents(0..10, 100, "late")).await;
    drop(writer);
    assert!(scratch.objects("sealed/packs").len() >= 3);
    assert!(scratch.objects("sealed/index").is_empty());

    let writer = scratch.repository.begin("job", 2, Domain::Sealed, Compression::default()).await.expect("begins");
    assert!(writer.holds(&content).await.expect("asked"));
    assert!(!writer.holds(&unfinished).await.expect("asked"));
    let again = write_collection(&writer, ContentOrder::Any, &people).await;
    assert_eq!((again == content, writer.stats().chunks_new, writer.stats().chunks_known), (true, 0, lost.chunks_new));
    writer.finish().await.expect("finished");
    let unheld = manifest("job", 2, Domain::Sealed, vec![entry("x", ContentOrder::Any, unfinished)]);
    let refused = writer.write_manifest(&unheld).await.expect_err("refused");
    assert!(matches!(refused, RepositoryError::BadManifest { .. }), "{refused}");
    let manifest = manifest("job", 2, Domain::Sealed, vec![entry("people", ContentOrder::Any, content)]);
    writer.write_manifest(&manifest).await.expect("committed");
    assert_eq!(scratch.verify(&manifest, VerifyLevel::Data).await, []);
    assert_eq!(read(&scratch.repository, &manifest, "people").await.expect("sound"), people);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_refused_unless_it_is_this_writers_and_all_is_durable() {
    let scratch = Scratch::at(super::PLACE).await;
    let people = documents(0..100, 100, "a");
    let writer = scratch.repository.begin("job", 3, Domain::Sealed, Compression::default()).await.expect("begins");
    let content = write_collection(&writer, ContentOrder::Any, &people).await;
    let of = |job: &str, epoch, domain| {
        manifest(job, epoch, domain, vec![entry("people", ContentOrder::Any, content.clone())])
    };
    let good = of("job", 3, Domain::Sealed);
    assert!(writer.write_manifest(&good).await.is_err(), "not finished");
    writer.finish().await.expect("finished");
    let mut wrong_counts = good.clone();
    wrong_counts.collections[0].content.documents += 1;
    for bad in [of("other", 3, Domain::Sealed), of("job", 4, Domain::Sealed), of("job", 3, Domain::Plain), wrong_counts]
    {
        assert!(matches!(writer.write_manifest(&bad).await, Err(RepositoryError::BadManifest { .. })));
    }
    assert!(scratch.objects("sealed/manifests").is_empty());
    let first = writer.write_manifest(&good).await.expect("committed");
    assert_eq!(writer.write_manifest(&good).await.expect("the same again"), first);
    let mut second = good.clone();
    second.consistent = false;
    assert!(writer.write_manifest(&second).await.is_err(), "one manifest per writer");
    // A sealed backup's content in a plain manifest: the ids don't exist there.
    let plain = scratch.repository.begin("job", 3, Domain::Plain, Compression::default()).await.expect("begins");
    plain.finish().await.expect("finished");
    assert!(plain.write_manifest(&of("job", 3, Domain::Plain)).await.is_err());
    scratch.repository.forget(&first.key, "prune_0", "the test").await.expect("deleted");
    scratch.repository.forget(&first.key, "prune_0", "the test").await.expect("deleted already");
    assert!(matches!(scratch.repository.read_manifest(&first.key).await, Err(RepositoryError::Missing { .. })));
    assert!(matches!(
        scratch.repository.forget("config", "prune_0", "the test").await,
        Err(RepositoryError::BadName { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_share_a_writer() {
    let scratch = Scratch::at(super::PLACE).await;
    let writer = scratch.repository.begin("job", 1, Domain::Sealed, Compression::default()).await.expect("begins");
    let tasks = (0..6i64).map(|number| {
        let writer = writer.clone();
        tokio::spawn(async move {
            // Pairs of equal collections race for their chunks.
            let people = documents(0..8_000, 400, &format!("{}", number / 2));
            entry(&format!("c{number}"), ContentOrder::Any, write_collection(&writer, ContentOrder::Any, &people).await)
        })
    });
    let entries: Vec<_> = futures::future::try_join_all(tasks).await.expect("no panic");
    writer.finish().await.expect("finished");
    let manifest = manifest("job", 1, Domain::Sealed, entries);
    writer.write_manifest(&manifest).await.expect("committed");
    assert_eq!(scratch.verify(&manifest, VerifyLevel::Data).await, []);
    assert_eq!(writer.stats().chunks_new, writer.stats().chunks_known);
    assert_eq!(read(&scratch.repository, &manifest, "c5").await.expect("sound"), documents(0..8_000, 400, "2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_documents_and_bad_batches() {
    let scratch = Scratch::at(super::PLACE).await;
    let mut large = documents(0..3, 5 << 20, "large");
    large.extend(documents(3..300, 100, "small"));
    let (manifest, _, _) =
        back_up(&scratch.repository, "job", Domain::Sealed, &[("large", ContentOrder::Any, &large)]).await;
    assert_eq!(read(&scratch.repository, &manifest, "large").await.expect("sound"), large);
    let writer = scratch.repository.begin("bad", 1, Domain::Sealed, Compression::default()).await.expect("begins");
    let mut collection = writer.collection(ContentOrder::Any);
    let bad = DocumentBatch { bytes: large[5].clone().into(), offsets: vec![(0, 4)] };
    assert!(matches!(collection.push(bad).await, Err(RepositoryError::BadDocument { .. })));
    assert!(collection.finish().await.is_err(), "a hole is never papered over");
    for (level, ok) in [(Some(0), false), (Some(23), false), (Some(19), true), (None, true)] {
        assert_eq!(scratch.repository.begin("x", 1, Domain::Sealed, Compression { level }).await.is_ok(), ok);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_collections_have_lists_of_their_own() {
    let folder = tempfile::tempdir().expect("scratch");
    let location = Location::folder(&folder.path().join("repo")).expect("valid");
    let chunk = ChunkSizes { min_bytes: 100, avg_bytes: 200, max_bytes: 400 };
    let options = InitOptions { chunk, ..InitOptions::default() };
    let unlock = Unlock::KeyFile(folder.path().join("key"));
    let scratch = Scratch {
        repository: Repository::init(&location, &unlock, &options).await.expect("made"),
        folder,
        server: None,
    };
    let people = documents(0..30_000, 64, "a");
    let (manifest, _, _) =
        back_up(&scratch.repository, "one", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    let lists = scratch.objects("sealed/lists");
    assert!(lists.len() >= 2, "{}", lists.len());
    assert_eq!(read(&scratch.repository, &manifest, "people").await.expect("sound"), people);
    // Damaged lists are told, and written again by the next backup. The longest one, since the last may name a few chunks only.
    let bytes = |list: &&String| std::fs::metadata(scratch.path().join(list)).map_or(0, |there| there.len());
    let damaged = lists.iter().max_by_key(bytes).expect("some");
    let path = scratch.path().join(damaged);
    let mut bytes = std::fs::read(&path).expect("there");
    bytes[200] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    for level in [VerifyLevel::Structure, VerifyLevel::Data] {
        let findings = scratch.verify(&manifest, level).await;
        assert_eq!(
            (findings.len(), &findings[0].object, findings[0].collection.as_deref()),
            (1, damaged, Some("people"))
        );
        assert!(findings[0].lost_documents > Some(1000));
    }
    let (_, _, stats) =
        back_up(&scratch.repository, "two", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    // Under a name of its own; and as it has the same content, it helps the first one, too.
    assert_eq!((stats.chunks_new, scratch.objects("sealed/lists").len()), (0, lists.len() + 1));
    assert_eq!(scratch.verify(&manifest, VerifyLevel::Data).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_may_be_as_deep_as_a_server_takes_them_and_no_deeper() {
    let scratch = Scratch::at(super::PLACE).await;
    let nested = |levels: usize| {
        let mut inner = bson::rawdoc! {};
        for _ in 0..levels {
            inner = bson::rawdoc! { "a": inner };
        }
        inner
    };
    for (job, levels, fits) in [("deep", 200, true), ("absurd", 20_000, false)] {
        let begun = scratch.repository.begin(job, 1, Domain::Plain, Compression::default());
        let writer = begun.await.expect("begins");
        let content = write_collection(&writer, ContentOrder::Any, &documents(0..1, 16, "a")).await;
        writer.finish().await.expect("finished");
        let entry = CollectionEntry { options: nested(levels), ..entry("people", ContentOrder::Any, content) };
        let manifest = manifest(job, 1, Domain::Plain, vec![entry]);
        match writer.prepare_manifest(&manifest).await {
            Ok(ready) => {
                assert!(fits);
                assert!(scratch.repository.manifests_of(job).await.expect("lists").is_empty(), "only prepared");
                let reference = ready.reference().clone();
                assert_eq!(writer.write_prepared(ready.clone()).await.expect("committed"), reference);
                assert_eq!(writer.write_prepared(ready).await.expect("again"), reference);
                assert_eq!(scratch.repository.read_manifest(&reference.key).await.expect("there").0, manifest);
            }
            Err(error) => assert!(!fits && matches!(error, RepositoryError::BadManifest { .. }), "{error}"),
        }
    }
}
