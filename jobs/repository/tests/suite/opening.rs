//! Making and opening repositories: what is refused, and how it is said.

use std::fs;

use crate::support::*;
use lucid_repository::*;

fn cheap() -> InitOptions {
    let passphrase_cost = PassphraseCost { memory_kib: 64, iterations: 1, lanes: 1 };
    InitOptions { passphrase_cost, ..InitOptions::default() }
}

#[tokio::test]
async fn each_refusal_is_its_own() {
    let scratch = Scratch::new().await;
    let here = scratch.location();
    let other_key = Unlock::KeyFile(scratch.folder.path().join("other"));
    let other = scratch.folder.path().join("elsewhere");
    Repository::init(&Location::folder(&other).expect("valid"), &other_key, &cheap()).await.expect("made");
    let wrong = Repository::open(&here, &other_key).await.expect_err("wrong");
    assert!(matches!(wrong, RepositoryError::WrongKey { .. }) && wrong.to_string().starts_with("wrong key"), "{wrong}");
    let passphrase = Unlock::Passphrase(Secret::new("hunter2"));
    assert!(matches!(Repository::open(&here, &passphrase).await, Err(RepositoryError::WrongKey { .. })));
    assert!(matches!(Repository::open(&here, &Unlock::None).await, Err(RepositoryError::KeyRequired { .. })));
    let missing = Unlock::KeyFile(scratch.folder.path().join("nokey"));
    assert!(matches!(Repository::open(&here, &missing).await, Err(RepositoryError::KeyFileUnreadable { .. })));
    let again = Repository::init(&here, &scratch.key(), &cheap()).await;
    assert!(matches!(again, Err(RepositoryError::AlreadyInitialised { .. })));
    assert!(!format!("{passphrase:?} {:?}", scratch.repository).contains("hunter2"));
}

#[tokio::test]
async fn an_empty_folder_is_never_taken_for_a_repository() {
    let scratch = Scratch::new().await;
    let empty = scratch.folder.path().join("empty");
    fs::create_dir(&empty).expect("made");
    for folder in [empty.clone(), scratch.folder.path().join("absent")] {
        let error =
            Repository::open(&Location::folder(&folder).expect("valid"), &scratch.key()).await.expect_err("none");
        assert!(error.to_string().starts_with("not initialised or not mounted"), "{error}");
    }
    assert_eq!(fs::read_dir(&empty).expect("there").count(), 0);
    assert!(!scratch.folder.path().join("absent").exists());
}

#[tokio::test]
async fn init_takes_over_nothing_that_is_there() {
    let folder = tempfile::tempdir().expect("scratch");
    let key = Unlock::KeyFile(folder.path().join("key"));
    let at = |name: &str| Location::folder(&folder.path().join(name)).expect("valid");
    let deep = Repository::init(&at("not/mounted"), &key, &cheap()).await;
    assert!(matches!(deep, Err(RepositoryError::ParentMissing { .. })));
    fs::create_dir_all(folder.path().join("foreign/photos")).expect("made");
    assert!(matches!(
        Repository::init(&at("foreign"), &key, &cheap()).await,
        Err(RepositoryError::ForeignFolder { .. })
    ));
    // A repository that lost its config isn't made anew.
    fs::create_dir_all(folder.path().join("headless/sealed/packs")).expect("made");
    assert!(matches!(
        Repository::init(&at("headless"), &key, &cheap()).await,
        Err(RepositoryError::ForeignFolder { .. })
    ));
    assert!(!folder.path().join("key").exists(), "refusals leave no key behind");
    let inside = Unlock::KeyFile(folder.path().join("fresh/key"));
    assert!(matches!(
        Repository::init(&at("fresh"), &inside, &cheap()).await,
        Err(RepositoryError::KeyFileUnreadable { .. })
    ));
    // An interrupted init may be repeated; its slot is ignored.
    Repository::init(&at("fresh"), &key, &cheap()).await.expect("made");
    fs::remove_file(folder.path().join("fresh/config")).expect("there");
    let repository = Repository::init(&at("fresh"), &key, &cheap()).await.expect("made again");
    assert_eq!(repository.slots().await.expect("lists").len(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(folder.path().join("fresh").metadata().expect("there").mode() & 0o777, 0o700);
    }
}

#[tokio::test]
async fn two_inits_at_once_make_one_repository() {
    let folder = tempfile::tempdir().expect("scratch");
    let location = Location::folder(&folder.path().join("repo")).expect("valid");
    fs::create_dir(folder.path().join("repo")).expect("made");
    let key = Unlock::KeyFile(folder.path().join("key"));
    let options = cheap();
    let (a, b) = tokio::join!(Repository::init(&location, &key, &options), Repository::init(&location, &key, &options));
    let made: Vec<_> = [a, b].into_iter().filter_map(Result::ok).collect();
    assert!(made.len() <= 1, "never two");
    if let Some(made) = made.first() {
        assert_eq!(Repository::open(&location, &key).await.expect("opens").id(), made.id());
    }
}

#[tokio::test]
async fn slots_are_added_and_open() {
    let folder = tempfile::tempdir().expect("scratch");
    let location = Location::folder(&folder.path().join("repo")).expect("valid");
    let passphrase = Unlock::Passphrase(Secret::new("correct horse"));
    let repository = Repository::init(&location, &passphrase, &cheap()).await.expect("made");
    assert!(matches!(
        Repository::init(&location, &Unlock::Passphrase(Secret::new("")), &cheap()).await,
        Err(RepositoryError::AlreadyInitialised { .. })
    ));
    let key = Unlock::KeyFile(folder.path().join("key"));
    let slot = repository.add_slot(&key, "safe").await.expect("added");
    assert_eq!((slot.kind, slot.label.as_str()), (SlotKind::KeyFile, "safe"));
    assert_eq!(repository.slots().await.expect("lists").len(), 2);
    for unlock in [&passphrase, &key] {
        assert_eq!(Repository::open(&location, unlock).await.expect("opens").id(), repository.id());
    }
    assert!(matches!(repository.add_slot(&Unlock::None, "").await, Err(RepositoryError::Slot { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_goes_only_while_another_one_opens() {
    let scratch = Scratch::new().await;
    let first = scratch.repository.slots().await.expect("listed").remove(0);
    let key = Unlock::KeyFile(scratch.folder.path().join("second"));
    let refused = scratch.repository.remove_slot(&first.id, &scratch.key()).await.expect_err("the last one");
    assert!(refused.to_string().contains("no other slot"), "{refused}");
    let second = scratch.repository.add_slot(&key, "safe").await.expect("added");
    for (id, kept) in [(&first.id, scratch.key()), (&first.id, Unlock::None), (&"../config".to_owned(), key.clone())] {
        assert!(matches!(scratch.repository.remove_slot(id, &kept).await, Err(RepositoryError::Slot { .. })), "{id}");
    }
    scratch.repository.remove_slot(&first.id, &key).await.expect("another one opens");
    assert!(matches!(
        Repository::open(&scratch.location(), &scratch.key()).await,
        Err(RepositoryError::WrongKey { .. })
    ));
    let repository = Repository::open(&scratch.location(), &key).await.expect("opens");
    assert_eq!(repository.slots().await.expect("listed"), [second]);
    assert!(repository.remove_slot(&first.id, &key).await.is_err(), "it is gone already");
}

#[tokio::test]
async fn a_repository_without_keys_takes_plain_backups_only() {
    let folder = tempfile::tempdir().expect("scratch");
    let location = Location::folder(&folder.path().join("repo")).expect("valid");
    let repository = Repository::init(&location, &Unlock::None, &InitOptions::default()).await.expect("made");
    assert!(repository.takes(Domain::Plain) && !repository.takes(Domain::Sealed));
    let sealed = repository.begin("job", 1, Domain::Sealed, Compression::default()).await;
    assert!(matches!(sealed, Err(RepositoryError::DomainUnavailable { .. })));
    let people = documents(0..100, 100, "a");
    let (manifest, _, _) = back_up(&repository, "job", Domain::Plain, &[("people", ContentOrder::Any, &people)]).await;
    assert_eq!(read(&repository, &manifest, "people").await.expect("sound"), people);
    let key = folder.path().join("key");
    fs::write(&key, "00".repeat(32)).expect("written");
    let exchanged = Repository::open(&location, &Unlock::KeyFile(key)).await;
    assert!(matches!(exchanged, Err(RepositoryError::NotEncrypted { .. })));
    // An encrypted one takes plain backups only if it was made to.
    let strict = Location::folder(&folder.path().join("strict")).expect("valid");
    let strict = Repository::init(&strict, &Unlock::KeyFile(folder.path().join("k2")), &cheap()).await.expect("made");
    let plain = strict.begin("job", 1, Domain::Plain, Compression::default()).await;
    assert!(matches!(plain, Err(RepositoryError::DomainUnavailable { .. })));
}

#[tokio::test]
async fn every_flipped_byte_of_config_and_slot_is_told() {
    let scratch = Scratch::new().await;
    let mut names = scratch.objects("keys");
    names.push("config".into());
    for name in names {
        let path = scratch.path().join(&name);
        let good = fs::read(&path).expect("there");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).expect("written");
            match Repository::open(&scratch.location(), &scratch.key()).await {
                Err(RepositoryError::Damaged { object, .. }) => assert_eq!(object, name),
                other => panic!("byte {at} of {name}: {other:?}"),
            }
        }
        fs::write(&path, &good).expect("written");
    }
    Repository::open(&scratch.location(), &scratch.key()).await.expect("opens again");
}

/// A slot that anyone could plant: its checksum is no secret.
fn planted(body: &bson::RawDocument) -> Vec<u8> {
    let length = u32::try_from(body.as_bytes().len()).expect("small");
    let mut out = [b"LUCO".as_slice(), &[1, 2, 0, 0], &length.to_le_bytes(), body.as_bytes()].concat();
    let checksum = blake3::hash(&out);
    out.extend_from_slice(checksum.as_bytes());
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_slot_neither_hides_the_right_one_nor_ends_the_process() {
    let folder = tempfile::tempdir().expect("scratch");
    let location = Location::folder(&folder.path().join("repo")).expect("valid");
    let right = Unlock::Passphrase(Secret::new("correct horse"));
    let repository = Repository::init(&location, &right, &cheap()).await.expect("made");
    let nested = |levels: usize| {
        let mut inner = bson::rawdoc! {};
        for _ in 0..levels {
            inner = bson::rawdoc! { "": inner };
        }
        bson::rawdoc! { "slot": { "x": inner }, "wrapped": 1 }
    };
    let binary = |bytes: &[u8]| bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: bytes.to_vec() };
    let id = u128::from_str_radix(&repository.id().to_string(), 16).expect("hex digits");
    let absurd = bson::rawdoc! {
        "slot": {
            "repository": binary(&id.to_be_bytes()), "id": binary(&[0; 8]), "kind": "passphrase", "label": "",
            "created_at": bson::DateTime::from_millis(0), "salt": binary(&[0; 32]),
            "argon2id": { "memory_kib": 2i64 << 20, "iterations": 64i64, "lanes": 1i64 },
        },
        "wrapped": binary(&[0; 100]),
    };
    let keys = folder.path().join("repo/keys");
    fs::write(keys.join("0000000000000000"), planted(&absurd)).expect("written");
    fs::write(keys.join("0000000000000001"), planted(&nested(20_000))).expect("written");
    fs::write(keys.join("0000000000000002"), planted(&nested(550))).expect("written");
    Repository::open(&location, &right).await.expect("the right slot opens");
    let wrong = Unlock::Passphrase(Secret::new("battery staple"));
    let error = Repository::open(&location, &wrong).await.expect_err("no slot fits");
    assert!(matches!(error, RepositoryError::Damaged { .. }), "the damaged one may have been the right one: {error}");
    let long = repository.add_slot(&wrong, &"x".repeat(300)).await;
    assert!(matches!(long, Err(RepositoryError::Slot { .. })), "what couldn't be read again isn't written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_forged_with_a_good_checksum_is_refused() {
    let scratch = Scratch::new().await;
    let path = scratch.path().join("config");
    let bytes = fs::read(&path).expect("there");
    let mut forged = bytes[..bytes.len() - 32].to_vec();
    let at = forged.windows(7).position(|window| window == b"\x08plain\0").expect("there") + 7;
    forged[at] ^= 1;
    let checksum = blake3::hash(&forged);
    forged.extend_from_slice(checksum.as_bytes());
    fs::write(&path, forged).expect("written");
    assert!(matches!(
        Repository::open(&scratch.location(), &scratch.key()).await,
        Err(RepositoryError::Damaged { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_versions_generations_stop_everything() {
    let scratch = Scratch::new().await;
    let people = documents(0..100, 100, "a");
    let writer = scratch.repository.begin("late", 1, Domain::Sealed, Compression::default()).await.expect("begins");
    let content = write_collection(&writer, ContentOrder::Any, &people).await;
    writer.finish().await.expect("finished");
    fs::create_dir(scratch.path().join("generations")).expect("made");
    fs::write(scratch.path().join("generations/00000000000000000001"), "doom").expect("written");
    let manifest = manifest("late", 1, Domain::Sealed, vec![entry("people", ContentOrder::Any, content)]);
    let refused = writer.write_manifest(&manifest).await.expect_err("nobody knows what it says");
    assert!(matches!(refused, RepositoryError::UnsupportedVersion { .. }), "{refused}");
    let refused = refused.to_string();
    assert!(refused.contains("generations/00000000000000000001") && refused.contains("remove it"), "{refused}");
    assert!(scratch.objects("sealed/manifests").is_empty());
    assert!(scratch.repository.begin("job", 1, Domain::Sealed, Compression::default()).await.is_err());
    assert!(scratch.repository.manifests().await.is_err());
}
