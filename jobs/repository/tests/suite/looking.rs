//! What a repository holds is counted, looked at, and saved from damage.

use std::path::PathBuf;

use crate::support::*;
use lucid_repository::*;

/// Burns the n-th byte of an object.
fn burn(path: &PathBuf, at: usize) {
    let mut bytes = std::fs::read(path).expect("read");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

/// Two backups, of enough chunks for lists of their own; the second adds documents to what the first has. Both manifests, and the
/// second one's pack.
async fn two_nights(scratch: &Scratch) -> (Manifest, Manifest, String) {
    let mut people = documents(0..12_000, 400, "a");
    let (first, ..) =
        back_up(&scratch.repository, "night_1", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    let packs = scratch.objects("sealed/packs");
    people.extend(documents(12_000..12_100, 400, "a"));
    let (second, ..) =
        back_up(&scratch.repository, "night_2", Domain::Sealed, &[("people", ContentOrder::Any, &people)]).await;
    let new = scratch.objects("sealed/packs").into_iter().find(|pack| !packs.contains(pack)).expect("a new pack");
    (first, second, new)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_counted() {
    let scratch = Scratch::new().await;
    assert_eq!(scratch.repository.stats().await.expect("counted"), RepositoryStats::default());
    let (first, second, _) = two_nights(&scratch).await;
    let stats = scratch.repository.stats().await.expect("counted");
    let size = |under: &str| -> u64 {
        let sizes = scratch.objects(under).into_iter().map(|name| scratch.path().join(name).metadata().expect("there"));
        sizes.map(|file| file.len()).sum()
    };
    assert_eq!(stats.stored_bytes(), size("sealed"));
    assert_eq!((stats.packs.number, stats.packs.bytes), (2, size("sealed/packs")));
    assert_eq!((stats.index_objects.number, stats.manifests.number, stats.unlisted_packs.number), (2, 2, 0));
    let raw: Vec<u64> = [first, second].iter().map(|manifest| manifest.collections[0].content.raw_bytes).collect();
    assert_eq!(stats.raw_bytes(), raw[0] + raw[1]);
    let stored = stats.full_chunks.raw_bytes + stats.delta_chunks.raw_bytes;
    assert!(raw[1] <= stored && stored < raw[1] + (4 << 20), "chunks that both have are stored once");
    let [one, two] = stats.backups.as_slice() else { panic!("{stats:?}") };
    assert_eq!((one.job.as_str(), one.documents, two.documents), ("night_1", 12_000, 12_100));
    assert!(two.new_bytes * 3 < one.new_bytes, "{two:?}");
    let written = one.new_bytes + two.new_bytes;
    assert_eq!(written, size("sealed/packs") + size("sealed/index") + size("sealed/manifests"));
}

fn kinds(scan: &Scan) -> Vec<(OddityKind, &str)> {
    scan.oddities.iter().map(|oddity| (oddity.kind, oddity.object.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_is_looked_at() {
    let scratch = Scratch::new().await;
    let (_, second, second_pack) = two_nights(&scratch).await;
    let scan = scratch.repository.scan().await.expect("scanned");
    assert_eq!((kinds(&scan), scan.needless_bytes), (vec![], Some(0)));
    let counted: u64 = scan.objects.values().map(|objects| objects.number).sum();
    assert_eq!(counted, scratch.objects("").len() as u64);

    // A second manifest that is gone leaves its pack, its list and its index object behind; a writer that died leaves a pack.
    let packs = scratch.objects("sealed/packs");
    let first_pack = packs.into_iter().find(|pack| *pack != second_pack).expect("two");
    let key = scratch.objects("sealed/manifests").pop().expect("there");
    let manifest = std::fs::read(scratch.path().join(&key)).expect("read");
    scratch.repository.forget(&key, "prune_0", "the test").await.expect("deleted");
    std::fs::write(scratch.path().join("sealed/notes.txt"), "mine").expect("written");
    let scan = scratch.repository.scan().await.expect("scanned");
    let found = kinds(&scan);
    assert!(found.contains(&(OddityKind::Orphan, &second_pack)), "{scan:?}");
    assert!(found.iter().any(|(kind, object)| *kind == OddityKind::Orphan && object.contains("lists")), "{scan:?}");
    assert!(found.contains(&(OddityKind::Unknown, "sealed/notes.txt")), "{scan:?}");
    assert!(!found.iter().any(|(_, object)| *object == first_pack), "{scan:?}");

    // While a manifest can't be read, nothing is called needless.
    let mut burnt = manifest.clone();
    burnt[200] ^= 1;
    std::fs::write(scratch.path().join(&key), burnt).expect("written");
    let scan = scratch.repository.scan().await.expect("scanned");
    assert_eq!(kinds(&scan), [(OddityKind::Damaged, key.as_str()), (OddityKind::Unknown, "sealed/notes.txt")]);
    assert_eq!(scan.needless_bytes, None);

    std::fs::write(scratch.path().join(&key), manifest).expect("written");
    burn(&scratch.path().join(list_object(&second)), 150);
    burn(&scratch.path().join(scratch.objects("keys").remove(0)), 20);
    std::fs::remove_file(scratch.path().join(&first_pack)).expect("removed");
    let scan = scratch.repository.scan().await.expect("scanned");
    let damaged: Vec<_> = kinds(&scan).into_iter().filter(|(kind, _)| *kind == OddityKind::Damaged).collect();
    assert_eq!(damaged.len(), 3, "key slot, list and pack: {scan:?}");

    // Without its config nobody knows whether it is the repository at all.
    burn(&scratch.path().join("config"), 20);
    let refused = scratch.repository.scan().await.expect_err("refused");
    assert!(refused.damage().is_some_and(|damage| damage.object == "config"), "{refused}");
}

/// The first chunk list of the first collection.
fn list_object(manifest: &Manifest) -> String {
    let list = &manifest.collections[0].content.chunk_lists[0];
    format!("sealed/lists/{}.{}", list.id, list.writer.as_ref().expect("it is an object"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_whole_document_is_salvaged_and_no_other() {
    let scratch = Scratch::new().await;
    let (people, log) = (documents(0..12_000, 400, "a"), documents(0..3_000, 400, "b"));
    let collections: &[(&str, _, &[Vec<u8>])] =
        &[("people", ContentOrder::Any, &people), ("log", ContentOrder::Exact, &log)];
    let (manifest, ..) = back_up(&scratch.repository, "night", Domain::Sealed, collections).await;
    let salvage = async |only: Option<&[String]>| {
        let reader = scratch.repository.open_backup(&manifest).await.expect("opens");
        reader.salvage(only, &|_, _| (), &|| false).await.expect("read")
    };
    let whole = salvage(None).await;
    assert_eq!((whole.manifest, whole.losses), (manifest.clone(), vec![]));

    burn(&scratch.path().join(scratch.objects("sealed/packs").remove(0)), 500);
    let Salvaged { manifest: kept, losses } = salvage(None).await;
    let [Loss { collection, lost, kept: left, problems }] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!((collection.as_str(), lost + left), ("people", 12_000));
    assert!(*lost > 50 && *lost < 3_000 && problems[0].contains("sealed/packs"), "{losses:?}");
    let found = read(&scratch.repository, &kept, "people").await.expect("sound");
    assert_eq!(found.len() as u64, *left);
    assert!(found.iter().all(|document| people.contains(document)));
    let mut hasher = scratch.repository.content_hasher(Domain::Sealed, ContentOrder::Any);
    for document in &found {
        hasher.push(document);
    }
    assert_eq!(hasher.finish(), kept.collections[0].content.content_hash);
    assert_eq!(kept.collections[1], manifest.collections[1]);

    // A list that is gone takes its collection with it.
    std::fs::remove_file(scratch.path().join(list_object(&manifest))).expect("removed");
    let Salvaged { manifest: kept, losses } = salvage(None).await;
    assert_eq!((losses[0].lost, losses[0].kept, kept.collections[0].content.documents), (12_000, 0, 0));
    assert!(salvage(Some(&["log".to_owned()])).await.losses.is_empty());
}
