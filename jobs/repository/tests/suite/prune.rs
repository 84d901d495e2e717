//! What no backup needs goes, in two steps; what one needs stays, whoever writes, sleeps or dies meanwhile.

use std::collections::BTreeSet;

use crate::support::*;
use lucid_repository::*;

fn options() -> PruneOptions {
    let (job, epoch, grace_ms) = ("prune_1".to_owned(), 1, 0);
    PruneOptions { job, epoch, grace_ms, repack: true, at_once: false, known: [].into(), dry_run: None }
}

async fn prune(scratch: &Scratch, options: &PruneOptions) -> PruneReport {
    scratch.repository.prune(options, &|_, _, _| (), &|| false).await.expect("pruned")
}

async fn whole(scratch: &Scratch, people: &[Vec<u8>], key: &str) {
    let (manifest, _) = scratch.repository.read_manifest(key).await.expect("counts");
    assert_eq!(scratch.verify(&manifest, VerifyLevel::Data).await, [], "{key}");
    assert_eq!(read(&scratch.repository, &manifest, "people").await.expect("sound"), people, "{key}");
}

/// A backup of one collection; its manifest's key.
async fn night(scratch: &Scratch, job: &str, people: &[Vec<u8>]) -> String {
    let (writer, manifest) = written(scratch, job, people).await;
    writer.write_manifest(&manifest).await.expect("committed").key
}

/// A backup that lacks only its manifest.
async fn written(scratch: &Scratch, job: &str, people: &[Vec<u8>]) -> (BackupWriter, Manifest) {
    let writer = scratch.repository.begin(job, 1, Domain::Sealed, Compression::default()).await.expect("begins");
    let content = write_collection(&writer, ContentOrder::Any, people).await;
    writer.finish().await.expect("finished");
    let entries = vec![entry("people", ContentOrder::Any, content)];
    let generation = writer.generation();
    (writer, Manifest { generation, ..manifest(job, 1, Domain::Sealed, entries) })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_goes_in_the_next_run_but_one_and_nothing_else() {
    let scratch = Scratch::at(super::PLACE).await;
    let (old, new) = (documents(0..20_000, 400, "old"), documents(0..3_000, 400, "new"));
    let first = night(&scratch, "night_1", &old).await;
    let second = night(&scratch, "night_2", &new).await;
    assert_eq!(prune(&scratch, &options()).await.objects_doomed, 0, "both are needed");
    scratch.repository.forget(&first, "prune_0", "the test").await.expect("forgotten");

    let before = scratch.objects("");
    let dry = prune(&scratch, &PruneOptions { dry_run: Some(BTreeSet::new()), ..options() }).await;
    assert_eq!(scratch.objects(""), before, "a dry run changes nothing");
    let young = prune(&scratch, &PruneOptions { grace_ms: 3_600_000, ..options() }).await;
    assert_eq!((young.objects_doomed, young.objects_young), (0, dry.objects_doomed));
    let mut after = scratch.objects("");
    after.retain(|object| !object.starts_with("generations/"));
    assert_eq!(after, before, "which backups count is noted once one is forgotten; nothing else");

    let doomed = prune(&scratch, &options()).await;
    assert_eq!((doomed.objects_deleted, doomed.objects_doomed), (0, dry.objects_doomed));
    assert!(doomed.objects_doomed > 1, "packs and a list");
    whole(&scratch, &new, &second).await;
    let freed = prune(&scratch, &options()).await;
    assert_eq!((freed.objects_deleted, freed.deleted_bytes), (doomed.objects_doomed, doomed.doomed_bytes));
    whole(&scratch, &new, &second).await;
    assert_eq!(scratch.objects("sealed/packs").len(), 1);
    assert_eq!(prune(&scratch, &options()).await.objects_deleted, 0);
    let third = night(&scratch, "night_3", &old).await;
    whole(&scratch, &old, &third).await;
    assert_eq!(scratch.objects("generations").len(), 2, "older ones are tidied");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_once_frees_in_one_run() {
    let scratch = Scratch::at(super::PLACE).await;
    let (old, new) = (documents(0..5_000, 400, "old"), documents(0..3_000, 400, "new"));
    let first = night(&scratch, "night_1", &old).await;
    let second = night(&scratch, "night_2", &new).await;
    scratch.repository.forget(&first, "prune_0", "the test").await.expect("forgotten");
    let freed = prune(&scratch, &PruneOptions { at_once: true, ..options() }).await;
    assert!(freed.objects_deleted > 0 && freed.objects_deleted == freed.objects_doomed, "{freed:?}");
    whole(&scratch, &new, &second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_does_not_build_on_what_is_doomed() {
    let scratch = Scratch::at(super::PLACE).await;
    // More chunks than fit a manifest, so that there is a chunk list, too.
    let people = documents(0..20_000, 400, "a");
    let first = night(&scratch, "night_1", &people).await;
    scratch.repository.forget(&first, "prune_0", "the test").await.expect("forgotten");
    assert!(prune(&scratch, &options()).await.objects_doomed > 1);
    let second = night(&scratch, "night_2", &people).await;
    assert!(prune(&scratch, &options()).await.objects_deleted > 1);
    whole(&scratch, &people, &second).await;
    let third = night(&scratch, "night_3", &people).await;
    whole(&scratch, &people, &third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_a_prune_overtakes_begins_again() {
    let scratch = Scratch::at(super::PLACE).await;
    let people = documents(0..5_000, 400, "a");
    let first = night(&scratch, "night_1", &people).await;
    // One that is about to prepare its commit, and two that are about to commit, one of which sleeps for long.
    let (early, early_manifest) = written(&scratch, "early", &people).await;
    let (late, late_manifest) = written(&scratch, "late", &people).await;
    let late_ready = late.prepare_manifest(&late_manifest).await.expect("ready");
    let (sleepy, sleepy_manifest) = written(&scratch, "sleepy", &people).await;
    let sleepy_ready = sleepy.prepare_manifest(&sleepy_manifest).await.expect("ready");

    scratch.repository.forget(&first, "prune_0", "the test").await.expect("forgotten");
    assert!(prune(&scratch, &options()).await.objects_doomed > 0);
    let pruned = |refused: RepositoryError| {
        assert!(matches!(refused, RepositoryError::Pruned { generation: 1 }) && refused.is_retryable(), "{refused}");
    };
    pruned(early.prepare_manifest(&early_manifest).await.expect_err("pruned"));
    pruned(late.write_prepared(late_ready.clone()).await.expect_err("pruned"));
    let seen = scratch.repository.manifests_of("late").await.expect("listed");
    assert!(!seen[0].settled, "a prune that has listed the manifests before may void it");

    // The next run sees it, so it counts, and what it needs stays although it was doomed.
    assert_eq!(prune(&scratch, &options()).await.objects_deleted, 0);
    whole(&scratch, &people, &late_ready.reference().key).await;
    assert!(scratch.repository.manifests_of("late").await.expect("listed")[0].settled);
    // What comes after that never counts, whatever its writer believes, and goes.
    pruned(sleepy.write_prepared(sleepy_ready.clone()).await.expect_err("pruned"));
    assert!(scratch.repository.manifests_of("sleepy").await.expect("listed").is_empty());
    assert!(scratch.repository.read_manifest(&sleepy_ready.reference().key).await.is_err());
    assert_eq!(prune(&scratch, &options()).await.manifests_void, 1);
    let again = night(&scratch, "again", &people).await;
    whole(&scratch, &people, &again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_lives_as_long_as_a_delta_needs_it() {
    let scratch = Scratch::at(super::PLACE).await;
    let mut people = documents(0..6_000, 400, "a");
    let mut nights = vec![(night(&scratch, "night_00", &people).await, people.clone())];
    let mut deltas = 0;
    for number in 1..=6 {
        people[number * 700] = documents(900_000..900_001, 400, "x").remove(0);
        let (before, _) = scratch.repository.read_manifest(&nights[number - 1].0).await.expect("there");
        let job = format!("night_{number:02}");
        let writer = scratch.repository.begin(&job, 1, Domain::Sealed, Compression::default()).await.expect("begins");
        let mut collection = writer.collection_after(ContentOrder::Any, &before.collections[0].content);
        for batch in batches(&people) {
            collection.push(batch).await.expect("pushed");
        }
        let content = collection.finish().await.expect("finished");
        writer.finish().await.expect("finished");
        deltas += writer.stats().chunks_delta;
        let manifest = Manifest {
            generation: writer.generation(),
            ..manifest(&job, 1, Domain::Sealed, vec![entry("people", ContentOrder::Any, content)])
        };
        nights.push((writer.write_manifest(&manifest).await.expect("committed").key, people.clone()));
        if number >= 3 {
            let (forgotten, _) = nights[number - 3].clone();
            scratch.repository.forget(&forgotten, "prune_0", "the test").await.expect("forgotten");
            prune(&scratch, &PruneOptions { job: format!("prune_{number}"), ..options() }).await;
            for (key, people) in &nights[number - 2..] {
                whole(&scratch, people, key).await;
            }
        }
    }
    // One each night, save where a change made or took the end of a chunk, which is chance.
    assert!(deltas >= 3, "{deltas} deltas in six nights");
}

#[tokio::test(flavor = "multi_thread")]
async fn mostly_unneeded_and_many_small_packs_are_written_anew() {
    let scratch = Scratch::at(super::PLACE).await;
    let many = documents(0..8_000, 400, "a");
    let few: Vec<_> = many[..2_000].to_vec();
    let first = night(&scratch, "night_1", &many).await;
    let second = night(&scratch, "night_2", &few).await;
    let before: u64 = sizes(&scratch);
    scratch.repository.forget(&first, "prune_0", "the test").await.expect("forgotten");
    let kept = prune(&scratch, &PruneOptions { repack: false, ..options() }).await;
    assert_eq!(kept.packs_repacked, 0);
    let report = prune(&scratch, &PruneOptions { job: "prune_2".into(), ..options() }).await;
    assert!(report.packs_repacked > 0 && report.repacked_bytes < before / 2, "{report:?}");
    prune(&scratch, &PruneOptions { job: "prune_3".into(), ..options() }).await;
    assert!(sizes(&scratch) < before / 2, "{} of {before}", sizes(&scratch));
    whole(&scratch, &few, &second).await;

    let mut keys = Vec::new();
    for number in 0..20 {
        let people = documents(number * 1_000..number * 1_000 + 300, 400, "small");
        keys.push((night(&scratch, &format!("small_{number}"), &people).await, people));
    }
    let packs = scratch.objects("sealed/packs").len();
    prune(&scratch, &PruneOptions { job: "prune_4".into(), at_once: true, ..options() }).await;
    assert!(packs > 20 && scratch.objects("sealed/packs").len() == 1);
    for (key, people) in &keys {
        whole(&scratch, people, key).await;
    }
    let tiny = night(&scratch, "tiny", &documents(0..1, 16, "tiny")).await;
    let settled = prune(&scratch, &PruneOptions { job: "prune_5".into(), ..options() }).await;
    assert_eq!((settled.packs_repacked, settled.objects_doomed), (0, 0), "what surrounds a tiny record is no waste");
    whole(&scratch, &documents(0..1, 16, "tiny"), &tiny).await;
}

fn sizes(scratch: &Scratch) -> u64 {
    let packs = scratch.objects("sealed/packs");
    packs.iter().map(|pack| std::fs::metadata(scratch.path().join(pack)).expect("there").len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_needs_cannot_be_told_nothing_goes() {
    for (folder, what) in [("sealed/manifests", "a manifest"), ("sealed/lists", "a chunk list")] {
        let scratch = Scratch::at(super::PLACE).await;
        let (old, new) = (documents(0..20_000, 400, "old"), documents(0..2_000, 400, "new"));
        night(&scratch, "night_1", &old).await;
        let second = night(&scratch, "night_2", &new).await;
        scratch.repository.forget(&second, "prune_0", "the test").await.expect("forgotten");
        let path = scratch.path().join(&scratch.objects(folder)[0]);
        let sound = std::fs::read(&path).expect("there");
        std::fs::write(&path, &sound[..sound.len() - 1]).expect("truncated");
        let before = scratch.objects("");
        let refused = scratch.repository.prune(&options(), &|_, _, _| (), &|| false).await.expect_err(what);
        assert!(refused.damage().is_some(), "{refused}");
        assert_eq!(scratch.objects(""), before, "{what}");
        std::fs::write(&path, sound).expect("mended");
        assert!(prune(&scratch, &options()).await.objects_doomed > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_generation_stops_nobody_and_costs_nothing() {
    for (stage, runs) in [("doom", 1), ("doom", 2), ("close", 2)] {
        let scratch = Scratch::at(super::PLACE).await;
        let (old, new) = (documents(0..12_000, 400, "old"), documents(0..12_000, 400, "new"));
        let first = night(&scratch, "night_1", &old).await;
        let second = night(&scratch, "night_2", &new).await;
        scratch.repository.forget(&first, "prune_0", "the test").await.expect("forgotten");
        for _ in 0..runs {
            prune(&scratch, &options()).await;
        }
        let objects = scratch.objects("generations");
        let object = objects.iter().find(|object| object.ends_with(stage)).expect("there");
        std::fs::write(scratch.path().join(object), "rubbish").expect("damaged");
        let (manifest, _) = scratch.repository.read_manifest(&second).await.expect("counts");
        let findings = scratch.verify(&manifest, VerifyLevel::Structure).await;
        assert!(matches!(&findings[..], [finding] if finding.object == *object && !finding.needed), "{findings:?}");
        // Nobody knows what is doomed, so nothing is built on.
        let third = night(&scratch, "night_3", &old).await;
        night(&scratch, "night_4", &new).await;
        for _ in 0..3 {
            prune(&scratch, &options()).await;
        }
        whole(&scratch, &new, &second).await;
        whole(&scratch, &old, &third).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_pack_stays_as_long_as_a_backup_names_what_is_in_it() {
    let scratch = Scratch::at(super::PLACE).await;
    let people = documents(0..5_000, 400, "a");
    night(&scratch, "night_1", &people).await;
    let path = scratch.path().join(&scratch.objects("sealed/packs")[0]);
    let sound = std::fs::read(&path).expect("there");
    std::fs::write(&path, &sound[..sound.len() / 2]).expect("truncated");
    let report = prune(&scratch, &PruneOptions { at_once: true, ..options() }).await;
    assert!(report.chunks_lost > 0 && report.objects_doomed == 0, "{report:?}");
    assert!(path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_is_told_and_holds() {
    let scratch = Scratch::at(super::PLACE).await;
    let people = documents(0..100, 400, "a");
    let key = night(&scratch, "night_1", &people).await;
    scratch.repository.pin(&key, "before the upgrade").await.expect("pinned");
    assert!(scratch.repository.pin("sealed/manifests/none.1.00000000000000000000000000000000", "x").await.is_err());
    let held = |candidates: Vec<Candidate>| candidates[0].held.clone();
    let candidates = scratch.repository.candidates().await.expect("listed");
    assert_eq!(held(candidates).as_deref(), Some("pinned: before the upgrade"));
    // Its text is for people; it holds even when it is damaged.
    let pin = scratch.path().join(&scratch.objects("sealed/pins")[0]);
    std::fs::write(pin, "rubbish").expect("written");
    assert!(held(scratch.repository.candidates().await.expect("listed")).is_some());
    scratch.repository.unpin(&key).await.expect("unpinned");
    scratch.repository.unpin(&key).await.expect("nothing to do");
    assert_eq!(held(scratch.repository.candidates().await.expect("listed")), None);
}
