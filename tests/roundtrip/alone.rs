//! Everything else is gone: a repository, its key and an empty replica set are enough.

use super::{
    sample::{assert_same, contents, make},
    world::World,
};
use crate::support::process::{Process, binary, run};
use bson::doc;
use lucid_embedded::{Deployment, Options, Signal};
use mongodb::Client;
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitStatus, Output},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// An empty replica set that has never seen the engine, beside a repository with its key.
struct Island {
    deployment: Deployment,
    repository: String,
    key_file: String,
    _scratch: TempDir,
}

impl Island {
    async fn beside(world: &World) -> Self {
        let scratch = crate::support::world::scratch();
        let options = Options::new(scratch.path().join("mongod")).parameter("enableTestCommands", "1");
        let deployment = Deployment::start(options).await.expect("a replica set");
        let key_file = world.folder.parent().expect("a folder").join("key");
        Self {
            deployment,
            repository: format!("main=file://{}", world.folder.display()),
            key_file: key_file.display().to_string(),
            _scratch: scratch,
        }
    }

    /// `lucid-ops repo ...` with the repository and its key, and the connection where it is asked for.
    fn repo(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["repo"];
        all.extend(arguments);
        all.extend(["--repository", &self.repository, "--key-file", &self.key_file]);
        let uri = self.deployment.uri();
        let environment = if arguments[0] == "restore" { vec![("MONGODB_URI", uri.as_str())] } else { Vec::new() };
        run(&all, &environment)
    }

    /// What it prints where it ends well.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.repo(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn refused(&self, arguments: &[&str], code: i32, words: &str) {
        let output = self.repo(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }

    fn client(&self) -> Client {
        self.deployment.client().expect("a client")
    }

    async fn databases(&self) -> Vec<String> {
        let mut names = self.client().list_database_names().await.expect("names");
        names.retain(|name| !["admin", "config", "local"].contains(&name.as_str()));
        names
    }
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_and_its_key_bring_a_database_back() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    make(&world.client, &source).await;
    let original = contents(&world.client, &source).await;
    let (job, _) = world.back_up(&source).await;
    let backup = job.job().request.id.to_string();
    let island = Island::beside(&world).await;

    looking_shows_what_is_there(&island, &source, &backup);
    island.refused(&["restore", "backup_none", "--to", "shop"], 2, "repo list");
    island.refused(&["restore", "latest", "--to", "lucid_ops"], 2, "lucid_ops");
    let planned = island.told(&["restore", "latest", "--to", "shop", "--dry-run"]);
    assert!(planned.contains("would be made") && planned.contains("users"), "{planned}");
    assert!(island.databases().await.is_empty(), "a dry run, or a refused one, does nothing");

    let told = island.told(&["restore", "latest", "--to", "shop", "--json"]);
    assert_eq!(json(&told)[0]["backup"], backup.as_str(), "{told}");
    assert_same(&original, &contents(&island.client(), "shop").await);
    assert_eq!(island.databases().await, ["shop"], "the engine's database isn't made");

    island.refused(&["restore", &backup, "--to", "shop"], 2, "--replace");
    let users = island.client().database("shop").collection::<bson::Document>("users");
    users.delete_many(doc! {}).await.expect("deleted");
    let some = island.told(&["restore", &backup, "--to", "shop", "--replace", "--collections", "users,words"]);
    assert!(some.contains("2 collections") && some.contains("replaced: "), "{some}");
    assert_same(&original, &contents(&island.client(), "shop").await);
    assert_eq!(island.databases().await, ["shop"]);
    island.deployment.stop().await.expect("stopped");
    world.stop().await;
}

fn looking_shows_what_is_there(island: &Island, source: &str, backup: &str) {
    let list = island.told(&["list"]);
    assert!(list.contains(backup) && list.contains(source) && list.contains("not one instant"), "{list}");
    let listed = &json(&island.told(&["list", "--json"]))[0];
    assert_eq!((&listed["database"], listed["encrypted"].as_bool()), (&source.into(), Some(true)), "{listed}");
    assert!(listed["documents"].as_u64().is_some_and(|documents| documents > 4_000), "{listed}");

    let collections = island.told(&["ls", "latest"]);
    for words in ["time-series", "capped", "\"size\":1048576", "mail, ttl", "adults_view"] {
        assert!(collections.contains(words), "no {words} in {collections}");
    }
    let users = json(&island.told(&["ls", backup, "--json"])).into_iter().find(|entry| entry["name"] == "users");
    assert_eq!(users.expect("listed")["documents"], 3_001);

    let words = island.told(&["cat", "latest", "words"]);
    assert!(words.contains(r#"{"_id":"Ärger","w":"a"}"#) && words.lines().count() == 2, "{words}");
    let dates = json(&island.told(&["cat", "latest", "blocks", "--limit", "3"]));
    assert!(dates.len() == 3 && dates[0]["_id"]["$date"]["$numberLong"].is_string(), "canonical: {dates:?}");
    let raw = island.repo(&["cat", "latest", "words", "--bson"]).stdout;
    let first = bson::Document::from_reader(raw.as_slice()).expect("BSON");
    assert_eq!(first.get_str("w").ok(), Some("a"));
    island.refused(&["cat", "latest", "none"], 2, "repo ls");
    for level in ["structure", "data"] {
        assert!(island.told(&["verify", backup, "--level", level]).contains("is whole"));
    }
    assert_eq!(json(&island.told(&["verify", "--all", "--json"]))[0]["findings"], Value::Array(Vec::new()));
    assert!(island.told(&["verify", backup, "--sample", "1%", "--seed", "7"]).contains("chosen by --seed 7"));
    assert!(island.told(&["verify", backup, "--part", "1/1"]).contains("part 1 of 1"));
    island.refused(&["verify", backup, "--level", "drill"], 2, "lucid-ops verify");
    assert!(island.told(&["repair"]).contains("needs no repair"));
}

/// A few changes between two nights; tells the first backup and the second.
async fn two_nights(world: &World, source: &str) -> (String, String) {
    make(&world.client, source).await;
    let (first, _) = world.back_up(source).await;
    let words = world.client.database(source).collection::<bson::Document>("words");
    words.insert_one(doc! { "_id": "neu", "w": "c" }).await.expect("inserted");
    words.update_one(doc! { "_id": "zorn" }, doc! { "$set": { "w": "d" } }).await.expect("updated");
    words.delete_one(doc! { "_id": "Ärger" }).await.expect("deleted");
    words.drop_index("simple").await.expect("dropped");
    let (second, _) = world.back_up(source).await;
    (first.job().request.id.to_string(), second.job().request.id.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_compared_counted_and_saved_from_damage() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    let (first, second) = two_nights(&world, &source).await;
    let island = Island::beside(&world).await;

    let diff = island.told(&["diff", &first, &second, "--documents"]);
    for line in
        ["+ words \"neu\"", "~ words \"zorn\"", "- words \"Ärger\"", "indexes: -simple", "no difference in 10 others"]
    {
        assert!(diff.contains(line), "no {line} in {diff}");
    }
    let words = json(&island.told(&["diff", &first, &second, "--json"])).into_iter().find(|one| one["name"] == "words");
    assert_eq!(words.expect("compared")["changed"], 1);
    let stats = &json(&island.told(&["stats", "--json"]))[0];
    assert_eq!(stats["backups"].as_array().map(Vec::len), Some(2), "{stats}");
    let added = |night: usize| stats["backups"][night]["new_bytes"].as_u64().expect("told");
    assert!(added(1) * 2 < added(0), "the second night adds little: {stats}");
    assert!(island.told(&["stats"]).contains("times less"));
    assert!(island.told(&["scan"]).contains("every object is as it should be"));
    a_reader_that_goes_away_is_no_failure(&island, &first);

    let objects = pack_of_first(&world, &first);
    let mut bytes = fs::read(&objects).expect("read");
    bytes[700] ^= 1;
    fs::write(&objects, bytes).expect("written");
    assert!(island.told(&["repair", "--dry-run"]).contains("distrust"));
    assert_eq!(island.repo(&["verify", "--all"]).status.code(), Some(1));
    assert!(island.told(&["repair", "--dry-run"]).contains("needs no repair"), "verification has recorded it");
    island.refused(&["restore", &first, "--to", "saved"], 1, "damaged");
    let told = island.told(&["restore", &first, "--to", "saved", "--salvage", "--json"]);
    let result = &json(&told)[0];
    let lost: u64 = result["losses"].as_array().expect("told").iter().filter_map(|loss| loss["lost"].as_u64()).sum();
    assert!(lost > 0, "{told}");
    let mut saved = contents(&island.client(), "saved").await;
    // Backups count its buckets.
    saved.remove("metrics");
    let documents: usize = saved.values().map(|(_, _, documents)| documents.len()).sum();
    let listed = json(&island.told(&["list", "--json"])).into_iter().find(|entry| entry["job"] == first.as_str());
    assert_eq!(documents as u64 + lost, listed.expect("listed")["documents"].as_u64().expect("told"));
    island.refused(&["restore", &first, "--to", "saved", "--salvage"], 2, "exists");
    assert_eq!(island.databases().await, ["saved"]);
    island.deployment.stop().await.expect("stopped");
    world.stop().await;
}

fn pack_of_first(world: &World, job: &str) -> PathBuf {
    let packs = fs::read_dir(world.folder.join("sealed/packs")).expect("a folder");
    let mut names: Vec<PathBuf> = packs.map(|entry| entry.expect("an entry").path()).collect();
    names.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(job)));
    names.sort();
    names.remove(0)
}

fn a_reader_that_goes_away_is_no_failure(island: &Island, backup: &str) {
    let program = binary("lucid-ops");
    let (program, Island { repository, key_file, .. }) = (program.display(), island);
    let command = format!(
        "set -o pipefail; {program} repo cat {backup} users --repository {repository} --key-file {key_file} | head -1"
    );
    let output = Command::new("bash").args(["-c", &command]).output().expect("bash runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
}

impl Island {
    /// Lets each insert take long, or not any more.
    async fn slow_down(&self, mode: &str) {
        let data =
            doc! { "failCommands": ["insert"], "blockConnection": true, "blockTimeMS": 2_000, "appName": "lucid-ops" };
        let fail_point = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
        self.client().database("admin").run_command(fail_point).await.expect("test commands are on");
    }

    async fn staging(&self, database: &str) -> usize {
        let names = self.client().database(database).list_collection_names().await.expect("names");
        names.iter().filter(|name| name.contains("__lucid_staging_")).count()
    }

    /// Sends this signal to a restore in the middle of its loading; tells how it ended.
    async fn break_off(&self, backup: &str, database: &str, signal: Signal) -> ExitStatus {
        self.slow_down("alwaysOn").await;
        let uri = self.deployment.uri();
        let place = ["--repository", &self.repository, "--key-file", &self.key_file];
        let arguments = [&["repo", "restore", backup, "--to", database], &place[..]].concat();
        let mut process = Process::start_with(&arguments, &[("MONGODB_URI", &uri)]);
        let begun = Instant::now();
        while self.staging(database).await < 4 {
            assert!(begun.elapsed() < Duration::from_secs(60) && process.ended().is_none(), "it never loaded anything");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        process.signal(signal);
        loop {
            if let Some(status) = process.ended() {
                self.slow_down("off").await;
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "it doesn't end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_broken_off_leaves_nothing_for_long() {
    let world = World::start(1).await;
    let source = world.database("source").await;
    make(&world.client, &source).await;
    let original = contents(&world.client, &source).await;
    let (job, _) = world.back_up(&source).await;
    let backup = job.job().request.id.to_string();
    let island = Island::beside(&world).await;

    let interrupted = island.break_off(&backup, "shop", Signal::SIGINT).await;
    assert_eq!(interrupted.code(), Some(130));
    let mut left = island.client().database("shop").list_collection_names().await.expect("names");
    // What the server keeps after the last view, and be it that of a time-series collection.
    left.retain(|name| name != "system.views");
    assert_eq!(left, Vec::<String>::new(), "it cleans up before it ends");

    island.break_off(&backup, "shop", Signal::SIGKILL).await;
    assert!(island.staging("shop").await > 0, "nobody could clean up");
    island.told(&["restore", &backup, "--to", "shop"]);
    assert_same(&original, &contents(&island.client(), "shop").await);
    assert_eq!(island.staging("shop").await, 0, "the next one has cleaned up");
    island.deployment.stop().await.expect("stopped");
    world.stop().await;
}
