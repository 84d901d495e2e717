//! Whole repositories as versions of this program wrote them, kept in `tests/golden`: each must open, read, grow and be pruned for ever.
//!
//! Invariant: what is committed there is never changed. For a new version add new ones beside: raise [`VERSION`], and run
//! `cargo test -p lucid-repository --lib golden_repositories -- --ignored`, which makes what isn't there.

mod making;

use std::fs;
use std::path::{Path, PathBuf};

use bson::{Document, RawDocument};

use crate::config::{CONFIG, StoredConfig};
use crate::envelope::{self, EnvelopeType};
use crate::support::{batches, documents, entry, manifest, read};
use crate::{
    Compression, ContentOrder, Domain, Location, Manifest, OddityKind, PruneOptions, Repository, RetentionPolicy,
    Scope, Secret, Unlock, VerifyLevel, judge,
};

/// Goes into the names of new ones.
const VERSION: &str = "v3";
const PASSPHRASE: &str = "correct horse battery staple";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A golden repository, or a copy of one that may be changed. Its key and what it holds lie beside it.
struct Golden {
    folder: PathBuf,
    name: String,
}

impl Golden {
    fn location(&self) -> Location {
        Location::folder(&self.folder.join(&self.name)).expect("absolute")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// All that opens it.
    fn unlocks(&self) -> Vec<Unlock> {
        let mut unlocks = vec![Unlock::KeyFile(self.beside("key"))];
        if !self.beside("key").exists() {
            unlocks = vec![Unlock::None];
        } else if self.name.ends_with("_sealed") {
            unlocks.push(Unlock::Passphrase(Secret::new(PASSPHRASE)));
        }
        unlocks
    }

    async fn open(&self) -> Repository {
        Repository::open(&self.location(), &self.unlocks()[0]).await.expect("opens")
    }

    fn config(&self) -> PathBuf {
        self.folder.join(&self.name).join(CONFIG)
    }

    /// Gives its config other features; the checksum is right, whatever the key may say.
    fn set_features(&self, features: &[&str]) {
        let bytes = fs::read(self.config()).expect("a config");
        let body: &RawDocument = envelope::unwrap(CONFIG, EnvelopeType::Config, &bytes).expect("sound");
        let mut body = Document::try_from(body).expect("BSON");
        body.get_document_mut("config").expect("there").insert("features", features.to_vec());
        let body = bson::serialize_to_vec(&body).expect("BSON");
        fs::write(self.config(), envelope::wrap(EnvelopeType::Config, &body)).expect("written");
    }
}

/// All of them, each as a copy within this folder.
fn copies(to: &Path) -> Vec<Golden> {
    copy(&folder(), to);
    let mut names: Vec<_> = fs::read_dir(to)
        .expect("copied")
        .map(|entry| entry.expect("readable"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names.into_iter().map(|name| Golden { folder: to.into(), name }).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("there") {
        let path = entry.expect("readable").path();
        let to = to.join(path.file_name().expect("named"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).expect("copied");
        }
    }
}

/// What there is to read, a line for each collection: manifest, collection, documents, hash of them as read.
async fn contents(repository: &Repository) -> String {
    let mut lines = Vec::new();
    for found in repository.manifests().await.expect("lists") {
        let manifest = found.manifest.expect("sound");
        if let Some(cluster) = &manifest.cluster {
            lines.push(format!("{} made by {cluster}\n", found.key));
        }
        for collection in &manifest.collections {
            let documents = read(repository, &manifest, &collection.name).await.expect("sound");
            let (count, hash) = (documents.len(), blake3::hash(&documents.concat()).to_hex());
            lines.push(format!("{} {} {count} {hash}\n", found.key, collection.name));
        }
    }
    for (key, reason) in repository.pins().await.expect("lists") {
        lines.push(format!("{key} pinned: {reason}\n"));
    }
    if let Some(owner) = repository.owner().await.expect("told") {
        lines.push(format!("owned by {}\n", owner.cluster));
    }
    lines.concat()
}

/// A backup of two collections; one of people is built on what an earlier one holds.
async fn back_up(repository: &Repository, job: &str, domain: Domain, people: &[Vec<u8>]) -> String {
    back_up_of("cluster-1", repository, job, domain, people).await
}

/// The same of this cluster.
async fn back_up_of(cluster: &str, repository: &Repository, job: &str, domain: Domain, people: &[Vec<u8>]) -> String {
    let before = repository.newest_manifest(("secretdatabase", None), domain).await.expect("lists");
    let writer = repository.begin(job, 1, domain, Compression::default()).await.expect("begins");
    let mut entries = Vec::new();
    for (name, order, documents) in
        [("people", ContentOrder::Any, people), ("log", ContentOrder::Exact, &people[..people.len() / 10])]
    {
        let mut collection = match &before {
            Some(before) if name == "people" => writer.collection_after(order, &before.collections[0].content),
            _ => writer.collection(order),
        };
        for batch in batches(documents) {
            collection.push(batch).await.expect("pushed");
        }
        entries.push(entry(name, order, collection.finish().await.expect("finished")));
    }
    writer.finish().await.expect("finished");
    let (generation, cluster) = (writer.generation(), Some(cluster.to_owned()));
    let manifest = Manifest { cluster, generation, ..manifest(job, 1, domain, entries) };
    writer.write_manifest(&manifest).await.expect("committed").key
}

/// The people of some night: a few of them differ from those of the night before.
fn people(night: usize) -> Vec<Vec<u8>> {
    let mut people = documents(0..150, 160, "a");
    for night in 1..=night {
        let id = i64::try_from(night).expect("small") * 37;
        people[night * 37] = documents(id..=id, 160, "b").remove(0);
    }
    people
}

async fn whole(repository: &Repository, name: &str) {
    for found in repository.manifests().await.expect("lists") {
        let reader = repository.open_backup(&found.manifest.expect("sound")).await.expect("opens");
        let findings = reader.verify(VerifyLevel::Data, &|_| (), &|| false).await.expect("verifies");
        assert_eq!(findings, [], "{name} {}", found.key);
    }
    let oddities = repository.scan().await.expect("scanned").oddities;
    assert!(oddities.iter().all(|oddity| oddity.kind == OddityKind::Orphan), "{name}: {oddities:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_golden_repository_opens_reads_and_grows() {
    let scratch = tempfile::tempdir().expect("scratch");
    let all = copies(scratch.path());
    assert!(all.len() >= 3, "they are committed");
    for golden in all {
        let expected = fs::read_to_string(golden.beside("expected")).expect("what it holds");
        for unlock in golden.unlocks() {
            let repository = Repository::open(&golden.location(), &unlock).await.expect("opens");
            assert_eq!(contents(&repository).await, expected, "{}", golden.name);
            whole(&repository, &golden.name).await;
        }
        let repository = golden.open().await;
        let domains = [Domain::Sealed, Domain::Plain];
        for domain in domains.into_iter().filter(|domain| repository.takes(*domain)) {
            back_up(&repository, &format!("night_9_{domain}"), domain, &people(3)).await;
        }
        whole(&repository, &golden.name).await;
        let now = contents(&repository).await;
        assert!(expected.lines().all(|line| now.contains(line)), "{}: the old ones stay", golden.name);
        assert!(now.len() > expected.len(), "{}: there is a new one", golden.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_golden_repository_is_pruned() {
    let scratch = tempfile::tempdir().expect("scratch");
    for golden in copies(scratch.path()) {
        let repository = golden.open().await;
        let expected = fs::read_to_string(golden.beside("expected")).expect("what it holds");
        let domain = if repository.takes(Domain::Sealed) { Domain::Sealed } else { Domain::Plain };
        back_up(&repository, "night_9", domain, &people(3)).await;
        let pins = repository.pins().await.expect("lists");
        let mut keys = repository.manifests().await.expect("lists").into_iter().map(|entry| entry.key);
        let forgotten = keys.find(|key| !pins.contains_key(key)).expect("one of before");
        assert!(repository.forget(&forgotten, "prune_0", "the test").await.expect("forgotten"));
        for night in 1..=2 {
            let (job, grace_ms) = (format!("prune_{night}"), 0);
            let options = PruneOptions {
                job,
                epoch: 1,
                grace_ms,
                repack: true,
                at_once: night == 2,
                known: [].into(),
                dry_run: None,
            };
            repository.prune(&options, &|_, _, _| (), &|| false).await.expect("pruned");
            whole(&repository, &golden.name).await;
        }
        let now = contents(&repository).await;
        let mut stay = expected.lines().filter(|line| !line.starts_with(&forgotten));
        assert!(stay.all(|line| now.contains(line)), "{}: {now}", golden.name);
        assert!(!now.contains(&forgotten) && now.contains("night_9"), "{}: {now}", golden.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clusters_of_a_golden_repository_are_judged_apart() {
    let scratch = tempfile::tempdir().expect("scratch");
    let golden = copies(scratch.path()).into_iter().find(|golden| golden.name == "v3_clusters").expect("there");
    let candidates = golden.open().await.candidates().await.expect("lists");
    let policy = RetentionPolicy { last: 1, ..RetentionPolicy::default() };
    let now = bson::DateTime::now();
    for (cluster, goes) in [("cluster-1", "night_1"), ("cluster-2", "late_1"), ("cluster-3", "")] {
        let scope = Scope { cluster: cluster.into(), unknown: true, now, forget_many: false };
        let verdicts = judge(&policy, &scope, &candidates).verdicts;
        let gone: Vec<_> =
            verdicts.iter().filter(|verdict| !verdict.keep).map(|verdict| verdict.job.as_str()).collect();
        assert_eq!((verdicts.len(), gone.concat().as_str()), (4, goes), "{verdicts:?}");
    }
}

/// A program that knows nothing of clusters would forget backups of one for those of another.
#[test]
fn what_holds_backups_of_clusters_is_refused_by_programs_that_know_of_none() {
    for entry in fs::read_dir(folder()).expect("golden ones") {
        let path = entry.expect("readable").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
        let Ok(config) = fs::read(path.join(CONFIG)) else { continue };
        let known =
            |features: &[&str]| StoredConfig::read_knowing(&config, features).err().map(|error| error.to_string());
        let refused = known(&["delta", "sums"]);
        let is_new = !name.starts_with("v1_") && !name.starts_with("v2_");
        assert_eq!(refused.is_some_and(|refused| refused.contains("feature \"clusters\"")), is_new, "{name}");
        assert_eq!(known(&["delta", "sums", "clusters", "vouched"]), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_golden_repository_with_other_features_is_refused() {
    let scratch = tempfile::tempdir().expect("scratch");
    for golden in copies(scratch.path()) {
        let repository = golden.open().await;
        let before = fs::read(golden.config()).expect("a config");
        let config = StoredConfig::read(&before).expect("sound").config;
        golden.set_features(&["delta", "teleport"]);
        let refused =
            Repository::open(&golden.location(), &golden.unlocks()[0]).await.expect_err("unknown").to_string();
        assert!(refused.contains("feature \"teleport\""), "{refused}");
        if config.encrypted {
            // Known ones, but not those that the key vouches for.
            golden.set_features(if config.takes_deltas() { &[] } else { &["delta"] });
            let refused =
                Repository::open(&golden.location(), &golden.unlocks()[0]).await.expect_err("forged").to_string();
            assert!(refused.contains("wasn't written with this repository's key"), "{refused}");
        }
        fs::write(golden.config(), before).expect("as it was");
        assert_eq!(golden.open().await.id(), repository.id());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_of_before_is_written_anew_so_that_older_programs_prune_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let golden = copies(folder.path()).into_iter().find(|golden| golden.name == "v2_owned").expect("there");
    let repository = golden.open().await;
    let before = repository.owner().await.expect("told").expect("owned");
    assert!(repository.claim("first-1", false).await.is_err(), "another one's");
    assert_eq!(repository.owner().await.expect("told").as_ref(), Some(&before), "which isn't touched");
    assert!(!repository.claim("second-2", false).await.expect("its own"));
    let after = repository.owner().await.expect("told").expect("owned");
    assert_eq!((&after.cluster, after.since), (&before.cluster, before.since));
    assert_ne!(after, before, "its format is the one that older programs don't read");
    assert!(!repository.claim("second-2", false).await.expect("its own"));
    assert_eq!(repository.owner().await.expect("told").as_ref(), Some(&after), "once is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forgotten_before_that_was_noted_locks_nobody_out() {
    let scratch = tempfile::tempdir().expect("scratch");
    let of_before = |golden: &Golden| ["v1_sealed", "v2_sealed"].contains(&golden.name.as_str());
    for golden in copies(scratch.path()).into_iter().filter(of_before) {
        let repository = golden.open().await;
        let forgotten = repository.manifests().await.expect("lists").remove(0);
        // As programs did it that left no record; the close that is there honours it.
        fs::remove_file(golden.folder.join(&golden.name).join(&forgotten.object)).expect("removed");
        for number in 0..3 {
            let (job, at_once) = (format!("prune_{number}"), number == 1);
            let options =
                PruneOptions { job, epoch: 1, grace_ms: 0, repack: true, at_once, known: [].into(), dry_run: None };
            repository.prune(&options, &|_, _, _| (), &|| false).await.expect("pruned");
        }
        whole(&repository, &golden.name).await;
        // From the first close that a program of now has written, each one is missed.
        let missed = repository.manifests().await.expect("lists").remove(0);
        fs::remove_file(golden.folder.join(&golden.name).join(&missed.object)).expect("removed");
        let refused = repository.ensure_none_missing(&[].into()).await.expect_err("missing").to_string();
        assert!(refused.contains(&missed.key), "{}: {refused}", golden.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes golden repositories for a new version; those that are there stay as they are"]
async fn make_golden_repositories() {
    for kind in ["sealed", "both_domains", "rotated", "renewed", "owned", "clusters"] {
        let golden = Golden { folder: folder(), name: format!("{VERSION}_{kind}") };
        if golden.folder.join(&golden.name).exists() {
            continue;
        }
        fs::create_dir_all(&golden.folder).expect("made");
        let repository = match kind {
            "sealed" => making::make_sealed(&golden).await,
            "both_domains" => making::make_both(&golden).await,
            "renewed" => making::make_renewed(&golden).await,
            "owned" => making::make_owned(&golden).await,
            "clusters" => making::make_clusters(&golden).await,
            _ => making::make_rotated(&golden).await,
        };
        fs::write(golden.beside("expected"), contents(&repository).await).expect("written");
    }
}
