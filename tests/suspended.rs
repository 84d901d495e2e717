//! A host that is suspended in the middle of a prune, beyond its lease, wakes up: at every write and delete of its storage. Meanwhile
//! another one has taken over, freed what the first was about to free, and backups have stored just that again.

use crate::support::{
    Api, World,
    bucket::{Gate, Server, variables},
    data,
    process::{Process, run},
    world::LEASE_MS,
};
use bson::{Document, doc};
use futures::{StreamExt, stream};
use lucid_embedded::Signal;
use serde_json::{Value, json};
use std::time::Duration;

/// Rounds at once: most of each is waiting for a lease to end.
const AT_ONCE: usize = 3;
/// More writes and deletes than such a prune makes.
const OPERATIONS: usize = 60;
/// Enough for packs, and a chunk list that is an object.
const DOCUMENTS: u32 = 4_000;

/// One repository, with the sleeper's way to it and everybody else's.
struct Round<'a> {
    world: &'a World,
    api: &'a Api,
    bucket: &'a Server,
    name: String,
}

impl Round<'_> {
    fn repository(&self) -> String {
        format!("{0}=s3://lucid/{0}", self.name)
    }

    fn key_file(&self) -> String {
        self.world.dir().join(format!("{}.key", self.name)).display().to_string()
    }

    fn verb(&self, verb: &[&str]) -> String {
        let (repository, key_file) = (self.repository(), self.key_file());
        let arguments = [verb, &["--repository", &repository, "--key-file", &key_file]].concat();
        let settings = variables(self.bucket.port);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let said = run(&arguments, &settings);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// A worker that reaches the repository at this port.
    fn worker(&self, port: u16) -> Process {
        let (repository, key_file, lease_ms) = (self.repository(), self.key_file(), LEASE_MS.to_string());
        let arguments = ["worker", "--repository", &repository, "--key-file", &key_file, "--lease-ms", &lease_ms];
        let (settings, uri) = (variables(port), self.world.uri());
        let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
        let environment: Vec<_> = settings.chain([("MONGODB_URI", uri.as_str())]).collect();
        let mut worker = Process::start_with(&arguments, &environment);
        worker.await_line("worker ");
        worker
    }

    async fn backup(&self) -> String {
        let id = self.api.accepted("/backup", &json!({ "database": self.name, "repository": self.name }));
        self.api.succeeded(&id).await;
        id
    }

    fn ask_prune(&self) -> String {
        let body = json!({ "repository": self.name, "keep": { "last": 1 }, "grace_hours": 0, "at_once": true });
        self.api.accepted("/prune", &body)
    }

    /// Fills the database with what the first backup held, or the second.
    async fn fill(&self, first: bool) {
        let database = self.world.client().database(&self.name);
        database.collection::<Document>("rows").delete_many(doc! {}).await.expect("deleted");
        let begin = if first { 0 } else { DOCUMENTS };
        data::rows_of(self.world, &self.name, begin..begin + DOCUMENTS).await;
    }

    /// Whether the prune made so many writes and deletes that the sleeper fell asleep at this one.
    async fn plays(&self, operation: usize) -> bool {
        let gate = Gate::before(self.bucket.port).await;
        self.verb(&["repo", "init"]);
        let sleeper = self.worker(gate.port);
        self.fill(true).await;
        self.backup().await;
        self.fill(false).await;
        self.backup().await;
        gate.arm(operation);
        let prune = self.ask_prune();
        let done = async { self.api.succeeded(&prune).await };
        tokio::select! {
            () = gate.reached() => {}
            _ = done => return false,
        }
        sleeper.signal(Signal::SIGSTOP);
        let other = self.worker(self.bucket.port);
        self.api.succeeded(&prune).await;
        // What it was about to free is stored again, and what it knew as needed is freed.
        self.fill(true).await;
        let again = self.backup().await;
        for _ in 0..2 {
            self.api.succeeded(&self.ask_prune()).await;
        }
        sleeper.signal(Signal::SIGCONT);
        gate.open();
        // It has had its say when it has ended by itself after being asked to.
        assert!(sleeper.stop().success(), "at {operation}");
        self.is_whole(&again, operation).await;
        drop(other);
        true
    }

    /// Every backup that is listed is whole, and the next one is.
    async fn is_whole(&self, again: &str, operation: usize) {
        let next = self.backup().await;
        let listed = self.verb(&["repo", "list", "--json"]);
        let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let names: Vec<&str> = listed.iter().filter_map(|backup| backup["job"].as_str()).collect();
        assert!(names.contains(&again) && names.contains(&next.as_str()), "at {operation}: {listed:?}");
        for backup in names {
            let verify = self.api.accepted("/verify", &json!({ "backup": backup, "level": "data" }));
            let ended = self.api.await_job(&verify, Duration::from_secs(120), |job| job.finished_at.is_some()).await;
            assert_eq!(ended.state, "succeeded", "asleep at {operation}: {ended:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_host_wakes_up_in_a_prune_and_hurts_nothing() {
    let world = World::bare(|dir| lucid_embedded::Options::new(dir).members(1)).await;
    let folder = world.dir().join("s3");
    std::fs::create_dir_all(folder.join("lucid")).expect("made");
    let bucket = Server::start(&folder).await;
    let (_api_process, api) = world.api();
    let rounds = stream::iter(0..OPERATIONS).map(|operation| {
        let round = Round { world: &world, api: &api, bucket: &bucket, name: format!("night{operation}") };
        async move { round.plays(operation).await }
    });
    let slept = rounds.buffered(AT_ONCE).take_while(|slept| std::future::ready(*slept)).count().await;
    assert!((6..OPERATIONS).contains(&slept), "closes, dooms, deletes: {slept} operations");
}
