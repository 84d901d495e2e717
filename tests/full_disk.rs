//! The disk that holds the repository is full, or turns read-only, in the middle of the work. It is one of the worker's own: in a mount
//! namespace that nobody else sees.

use crate::support::{Api, World, data, process::Process};
use bson::doc;
use serde_json::json;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// A worker whose repository lies on a disk of its own.
struct Disk {
    worker: Process,
    folder: PathBuf,
}

impl Disk {
    /// Mounts so many megabytes, makes the repository there, and starts the worker.
    fn mount(world: &World, megabytes: u32, more: &[&str]) -> Self {
        let folder = world.dir().join("disk");
        std::fs::create_dir(&folder).expect("a mount point");
        let repository = format!("main=file://{}/repository", folder.display());
        let key = world.key_file();
        let there = ["--repository", &repository, "--key-file", &key];
        let init = Process::command(&[&["repo", "init"], &there[..]].concat(), &[]);
        let work = Process::command(&[&["worker", "--lease-ms", "3000"], &there[..], more].concat(), &[]);
        let script = format!(
            "mount -t tmpfs -o size={megabytes}m tmpfs {} && {} >&2 && exec {}",
            folder.display(),
            words(&init),
            words(&work)
        );
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-c", &script]).env("MONGODB_URI", world.uri()).env("LUCID_LOG", "info");
        let mut worker = Process::spawn(&mut command);
        worker.await_line("worker ");
        Self { worker, folder }
    }

    /// Mounts it anew with other options; what is on it stays.
    fn remount(&self, options: &str) {
        let worker = self.worker.id().to_string();
        let arguments = ["-t", &worker, "-U", "-m", "--preserve-credentials", "mount", "-o"];
        let options = format!("remount,{options}");
        let output = Command::new("nsenter").args(arguments).arg(&options).arg(&self.folder).output().expect("nsenter");
        assert!(output.status.success(), "{options}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The repository as others see it.
    fn seen(&self) -> PathBuf {
        let inside = self.folder.join("repository");
        Path::new("/proc")
            .join(self.worker.id().to_string())
            .join("root")
            .join(inside.strip_prefix("/").expect("whole"))
    }
}

fn words(command: &Command) -> String {
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    all.map(|word| format!("'{}'", word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// A backup with one attempt.
fn ask(api: &Api, database: &str) -> String {
    api.accepted("/backup", &json!({ "database": database, "job": { "max_attempts": 1 } }))
}

async fn failed(api: &Api, id: &str) -> String {
    let ended = api.await_job(id, Duration::from_secs(120), |job| job.state == "failed").await;
    ended.error.expect("a reason").message
}

async fn is_whole(api: &Api, backup: &str) {
    let verified = api.accepted("/verify", &json!({ "backup": backup }));
    api.succeeded(&verified).await;
}

/// Names of files that no reader takes for objects.
fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| if path.is_dir() { unfinished(&path) } else { vec![path] })
        .filter(|path| path.to_string_lossy().contains('#'))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_costs_nothing_that_was_there() {
    let world = World::bare(|dir| lucid_embedded::Options::new(dir).members(1)).await;
    data::rows(&world, "small", 2_000).await;
    data::rows(&world, "large", 40_000).await;
    let (_api_process, api) = world.api();
    let disk = Disk::mount(&world, 24, &[]);
    let small = ask(&api, "small");
    api.succeeded(&small).await;
    for _ in 0..2 {
        let reason = failed(&api, &ask(&api, "large")).await;
        assert!(reason.contains("No space left on device") && reason.contains("sealed/packs"), "{reason}");
    }
    let left = unfinished(&disk.seen());
    assert!(left.is_empty(), "{left:?}: what couldn't be written takes no room");
    is_whole(&api, &small).await;
    // A prune frees what the failed backups left.
    for _ in 0..2 {
        let prune = api.accepted("/prune", &json!({ "keep": { "last": 9 }, "grace_hours": 0, "at_once": true }));
        api.succeeded(&prune).await;
    }
    let again = ask(&api, "small");
    api.succeeded(&again).await;
    disk.remount("size=200m");
    let large = ask(&api, "large");
    api.succeeded(&large).await;
    for backup in [&small, &large] {
        is_whole(&api, backup).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_to_the_last_byte_can_be_pruned() {
    let world = World::bare(|dir| lucid_embedded::Options::new(dir).members(1)).await;
    data::rows(&world, "small", 2_000).await;
    let (_api_process, api) = world.api();
    let disk = Disk::mount(&world, 24, &[]);
    let old = ask(&api, "small");
    api.succeeded(&old).await;
    let rows = world.client().database("small").collection::<bson::Document>("rows");
    // Nothing of the first backup is needed by the second.
    rows.delete_many(doc! {}).await.expect("deleted");
    data::rows_of(&world, "small", 50_000..50_100).await;
    let new = ask(&api, "small");
    api.succeeded(&new).await;
    let (filler, ballast) = (disk.seen().with_file_name("filler"), disk.seen().join("ballast"));
    assert!(ballast.exists(), "room is set aside");
    let mut file = std::fs::File::create(&filler).expect("made");
    for bytes in [64 << 10, 4 << 10, 1] {
        while file.write_all(&vec![7; bytes]).is_ok() {}
    }
    let reason = failed(&api, &ask(&api, "small")).await;
    assert!(reason.contains("lucid-ops prune"), "{reason}");
    let mut freed = 0;
    for _ in 0..3 {
        let prune = api.accepted("/prune", &json!({ "keep": { "last": 1 }, "grace_hours": 0, "at_once": true }));
        freed += api.succeeded(&prune).await.result.expect("a result")["deleted_bytes"].as_i64().expect("a number");
    }
    assert!(freed > 1_500_000, "the pack of the first backup: {freed}");
    is_whole(&api, &new).await;
    std::fs::remove_file(&filler).expect("removed");
    let prune = api.accepted("/prune", &json!({ "keep": { "last": 1 }, "grace_hours": 0 }));
    api.succeeded(&prune).await;
    assert!(ballast.exists(), "it is put back");
    let again = ask(&api, "small");
    api.succeeded(&again).await;
    is_whole(&api, &again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_turns_read_only_is_said_and_the_next_backup_goes_on() {
    let world = World::bare(|dir| lucid_embedded::Options::new(dir).members(1)).await;
    data::rows(&world, "small", 2_000).await;
    data::rows(&world, "large", 40_000).await;
    let (_api_process, api) = world.api();
    let disk = Disk::mount(&world, 200, &["--max-rate", "10MB"]);
    let small = ask(&api, "small");
    api.succeeded(&small).await;
    let stopped = ask(&api, "large");
    api.await_job(&stopped, Duration::from_secs(60), data::copying).await;
    disk.remount("ro");
    let reason = failed(&api, &stopped).await;
    assert!(reason.contains("Read-only file system"), "{reason}");
    // What only reads goes on.
    is_whole(&api, &small).await;
    let restored = api.accepted("/restore", &json!({ "backup": small, "database": "again" }));
    api.succeeded(&restored).await;
    let rows = world.client().database("again").collection::<bson::Document>("rows");
    assert_eq!(rows.count_documents(doc! {}).await.expect("counts"), 2_000);
    disk.remount("rw");
    let large = ask(&api, "large");
    api.succeeded(&large).await;
    is_whole(&api, &large).await;
}
