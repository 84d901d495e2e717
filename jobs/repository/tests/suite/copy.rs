//! Copies: what arrives is what was backed up, or nothing does.

use lucid_repository::*;

use crate::support::{Scratch, back_up, documents, read};

async fn copy(from: &Scratch, manifest: &Manifest, to: &Repository) -> Result<CopyReport, RepositoryError> {
    from.repository.copy_backup(manifest, to, Compression::default(), &|_, _| (), &|| false).await
}

async fn people(scratch: &Scratch, job: &str, domain: Domain, salt: &str) -> (Manifest, Vec<Vec<u8>>) {
    let people = documents(0..4_000, 400, salt);
    let log = documents(0..50, 100, "log");
    let collections: [(&str, ContentOrder, &[Vec<u8>]); 2] =
        [("people", ContentOrder::Any, &people), ("log", ContentOrder::Exact, &log)];
    let (manifest, ..) = back_up(&scratch.repository, job, domain, &collections).await;
    (manifest, people)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_stands_on_its_own_and_says_where_it_comes_from() {
    let (near, far) = (Scratch::new().await, Scratch::new().await);
    let (manifest, expected) = people(&near, "backup_1", Domain::Sealed, "a").await;
    let made = copy(&near, &manifest, &far.repository).await.expect("copied");
    assert!(!made.was_there && made.stats.chunks_new > 0);
    let (copied, _) = far.repository.read_manifest(&made.reference.key).await.expect("there");
    assert_eq!(copied.copied_from, Some(near.repository.id().to_string()));
    let names = |scratch: &Scratch, under: &str| scratch.objects(under);
    for list in names(&far, "sealed/lists") {
        assert!(!names(&near, "sealed/lists").contains(&list), "ids of two repositories are unrelated");
    }
    drop(near);
    assert!(far.verify(&copied, VerifyLevel::Data).await.is_empty());
    assert_eq!(read(&far.repository, &copied, "people").await.expect("read"), expected);
    let same = Manifest { copied_from: None, generation: 0, collections: Vec::new(), ..copied.clone() };
    assert_eq!(same, Manifest { collections: Vec::new(), ..manifest.clone() });
    for (ours, theirs) in copied.collections.iter().zip(&manifest.collections) {
        assert_eq!((&ours.options, &ours.indexes, ours.uuid), (&theirs.options, &theirs.indexes, theirs.uuid));
        assert_eq!(ours.content.documents, theirs.content.documents);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_copied_again_and_what_resembles_it_is_a_delta() {
    let (near, far, third) = (Scratch::new().await, Scratch::new().await, Scratch::new().await);
    let (first, mut expected) = people(&near, "backup_1", Domain::Sealed, "a").await;
    copy(&near, &first, &far.repository).await.expect("copied");
    let objects = far.objects("");
    let again = copy(&near, &first, &far.repository).await.expect("found");
    assert!(again.was_there && far.objects("") == objects);

    for document in expected.iter_mut().step_by(100) {
        document[20] ^= 1;
    }
    let collections: [(&str, ContentOrder, &[Vec<u8>]); 1] = [("people", ContentOrder::Any, &expected)];
    let (second, ..) = back_up(&near.repository, "backup_2", Domain::Sealed, &collections).await;
    let made = copy(&near, &second, &far.repository).await.expect("copied");
    assert!(made.stats.chunks_delta > 0, "{:?}", made.stats);
    let (copied, _) = far.repository.read_manifest(&made.reference.key).await.expect("there");
    assert_eq!(read(&far.repository, &copied, "people").await.expect("read"), expected);

    // A copy of a copy is a copy of the first.
    let onward = copy(&far, &copied, &third.repository).await.expect("copied");
    assert!(!onward.was_there);
    assert!(copy(&near, &second, &third.repository).await.expect("found").was_there);
    assert!(copy(&third, &copied_in(&third, &onward).await, &near.repository).await.expect("found").was_there);
}

async fn copied_in(scratch: &Scratch, report: &CopyReport) -> Manifest {
    scratch.repository.read_manifest(&report.reference.key).await.expect("there").0
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_of_what_is_damaged() {
    let (near, far) = (Scratch::new().await, Scratch::new().await);
    let (manifest, _) = people(&near, "backup_1", Domain::Sealed, "a").await;
    let pack = near.path().join(&near.objects("sealed/packs")[0]);
    let mut bytes = std::fs::read(&pack).expect("read");
    bytes[1_000] ^= 1;
    std::fs::write(&pack, bytes).expect("written");
    let error = copy(&near, &manifest, &far.repository).await.expect_err("damaged");
    assert!(error.damage().is_some_and(|damage| damage.object.contains("packs/")), "{error}");
    assert!(far.objects("sealed/manifests").is_empty());

    // Whole chunks, but another content than the manifest says.
    let near = Scratch::new().await;
    let (mut manifest, _) = people(&near, "backup_1", Domain::Sealed, "a").await;
    manifest.collections[0].content.content_hash = manifest.collections[1].content.content_hash.clone();
    let error = copy(&near, &manifest, &far.repository).await.expect_err("damaged");
    assert!(error.to_string().contains("people"), "{error}");
    assert!(far.objects("sealed/manifests").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_sealed_where_there_is_a_key_and_never_unsealed() {
    let (near, far) = (Scratch::new().await, Scratch::new().await);
    let (plain, expected) = people(&near, "backup_1", Domain::Plain, "a").await;
    let made = copy(&near, &plain, &far.repository).await.expect("copied");
    let copied = copied_in(&far, &made).await;
    assert_eq!(copied.domain, Domain::Sealed);
    assert_eq!(read(&far.repository, &copied, "people").await.expect("read"), expected);

    let folder = tempfile::tempdir().expect("scratch");
    let open = Location::folder(&folder.path().join("open")).expect("valid");
    let open = Repository::init(&open, &Unlock::None, &InitOptions::default()).await.expect("made");
    copy(&near, &plain, &open).await.expect("copied");
    let (sealed, _) = people(&near, "backup_2", Domain::Sealed, "a").await;
    let refused = copy(&near, &sealed, &open).await.expect_err("refused");
    assert!(matches!(refused, RepositoryError::DomainUnavailable { .. }), "{refused}");
    let refused = copy(&near, &sealed, &near.repository).await.expect_err("refused");
    assert!(refused.to_string().contains("the repository that the backup is in"), "{refused}");
}
