//! What each golden repository is made of.

use std::fs;

use super::{Golden, PASSPHRASE, back_up, back_up_of, people};
use crate::support::documents;
use crate::{ChunkSizes, Domain, InitOptions, PassphraseCost, PruneOptions, Repository, Secret, Unlock};

/// Small chunks, so that a few documents are many, with lists of their own.
pub(super) fn options() -> InitOptions {
    InitOptions {
        allow_plain: false,
        chunk: ChunkSizes { min_bytes: 512, avg_bytes: 1024, max_bytes: 4096 },
        passphrase_cost: PassphraseCost { memory_kib: 64, iterations: 1, lanes: 1 },
        slot_label: "golden".into(),
    }
}

/// Two key slots, a generation, backups before and after it, deltas, a pin.
pub(super) async fn make_sealed(golden: &Golden) -> Repository {
    let passphrase = Unlock::Passphrase(Secret::new(PASSPHRASE));
    let repository = Repository::init(&golden.location(), &passphrase, &options()).await.expect("made");
    repository.add_slot(&Unlock::KeyFile(golden.beside("key")), "key file").await.expect("added");
    let forgotten = back_up(&repository, "night_0", Domain::Sealed, &documents(500..520, 160, "c")).await;
    let first = back_up(&repository, "night_1", Domain::Sealed, &people(0)).await;
    repository.pin(&first, "the first one").await.expect("pinned");
    repository.forget(&forgotten, "prune_0", "the test").await.expect("forgotten");
    let (job, epoch, grace_ms) = ("prune_1".to_owned(), 1, 0);
    let options = PruneOptions { job, epoch, grace_ms, repack: false, at_once: true, known: [].into(), dry_run: None };
    let report = repository.prune(&options, &|_, _, _| (), &|| false).await.expect("pruned");
    assert!(report.objects_deleted > 0, "{report:?}");
    back_up(&repository, "night_2", Domain::Sealed, &people(2)).await;
    assert!(repository.stats().await.expect("counted").delta_chunks.number > 0);
    assert!(
        fs::read_dir(golden.folder.join(&golden.name).join("sealed/lists"))
            .is_ok_and(|mut lists| lists.next().is_some())
    );
    repository
}

/// Two masters, and backups that each has sealed.
pub(super) async fn make_rotated(golden: &Golden) -> Repository {
    let key = Unlock::KeyFile(golden.beside("key"));
    let repository = Repository::init(&golden.location(), &key, &options()).await.expect("made");
    back_up(&repository, "night_1", Domain::Sealed, &people(0)).await;
    back_up(&repository, "night_2", Domain::Sealed, &people(1)).await;
    repository.rotate_key(std::slice::from_ref(&key), false).await.expect("rotated");
    let repository = golden.open().await;
    back_up(&repository, "night_3", Domain::Sealed, &people(2)).await;
    repository
}

/// The same, encrypted anew; and one more backup.
pub(super) async fn make_renewed(golden: &Golden) -> Repository {
    let repository = make_rotated(golden).await;
    let report = repository.reencrypt(&|_, _, _, _| (), &|| false).await.expect("encrypted anew");
    assert!(report.backups.iter().any(|backup| backup.left.is_none()), "{report:?}");
    back_up(&repository, "night_4", Domain::Sealed, &people(3)).await;
    repository
}

/// A backup, and an owner who has taken it over from another one.
pub(super) async fn make_owned(golden: &Golden) -> Repository {
    let key = Unlock::KeyFile(golden.beside("key"));
    let repository = Repository::init(&golden.location(), &key, &options()).await.expect("made");
    back_up(&repository, "night_1", Domain::Sealed, &people(0)).await;
    for (cluster, take) in [("first-1", false), ("second-2", true)] {
        assert!(repository.claim(cluster, take).await.expect("claimed"));
    }
    repository
}

/// Backups of two clusters, night by night; the one that comes later in the night has taken the repository over.
pub(super) async fn make_clusters(golden: &Golden) -> Repository {
    let key = Unlock::KeyFile(golden.beside("key"));
    let repository = Repository::init(&golden.location(), &key, &options()).await.expect("made");
    for (cluster, take) in [("cluster-1", false), ("cluster-2", true)] {
        assert!(repository.claim(cluster, take).await.expect("claimed"));
    }
    for night in 1..=2 {
        for (cluster, word) in [("cluster-1", "night"), ("cluster-2", "late")] {
            let job = format!("{word}_{night}");
            back_up_of(cluster, &repository, &job, Domain::Sealed, &people(night)).await;
        }
    }
    repository
}

/// A backup in each domain.
pub(super) async fn make_both(golden: &Golden) -> Repository {
    let options = InitOptions { allow_plain: true, ..options() };
    let key = Unlock::KeyFile(golden.beside("key"));
    let repository = Repository::init(&golden.location(), &key, &options).await.expect("made");
    back_up(&repository, "night_1", Domain::Sealed, &people(0)).await;
    back_up(&repository, "night_2", Domain::Plain, &people(1)).await;
    repository
}
