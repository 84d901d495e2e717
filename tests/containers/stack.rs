//! The stacks of Compose: from a fresh clone to the first verified backup, and the whole of it through a crash, a lost member, `down` and `up`.

use super::{Stack, until};
use crate::support::{Api, engine::said};
use bson::{Document, doc};
use mongodb::Client;
use serde_json::{Value, json};
use std::{
    fs,
    time::{Duration, Instant},
};

const STACK: &str = "deploy/compose.yaml";
const SINGLE: &str = "deploy/compose.single.yaml";
const NODE: &str = "deploy/compose.node.yaml";
/// From `up` to all of it healthy.
const HEALTHY_WITHIN: Duration = Duration::from_secs(180);
const WITHIN: Duration = Duration::from_secs(120);
const API: &str = "http://127.0.0.1:8089";
const MONITOR: &str = "http://127.0.0.1:8091";

impl Stack {
    /// What a variable is in one of the files of variables.
    fn variable(&self, file: &str, name: &str) -> String {
        let text = fs::read_to_string(self.clone.path().join("deploy/env").join(file)).expect("a file of variables");
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in {file}")).to_owned()
    }

    /// The administrator's connection to the member in this container alone.
    async fn member(&self, container: &str) -> Client {
        let address =
            self.engine.told(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container]);
        let name = self.variable("mongodb-init.env", "MONGO_INITDB_ROOT_USERNAME");
        let password = self.variable("mongodb-init.env", "MONGO_INITDB_ROOT_PASSWORD");
        let uri = format!("mongodb://{name}:{password}@{}:27017/?directConnection=true", address.trim());
        Client::with_uri_str(uri).await.expect("a client")
    }

    /// The same to the primary among these.
    async fn primary(&self, containers: &[&str]) -> Client {
        for container in containers {
            let client = self.member(container).await;
            let hello = client.database("admin").run_command(doc! { "hello": 1 }).await.expect("told");
            if hello.get_bool("isWritablePrimary").unwrap_or(false) {
                return client;
            }
        }
        panic!("none of {containers:?} is primary")
    }

    /// Waits until exactly these run, and all of them are healthy.
    fn await_healthy(&self, wanted: &[&str]) {
        until("healthy", || {
            let mut running = self.running();
            running.sort();
            let mut wanted = wanted.to_vec();
            wanted.sort_unstable();
            let unwell: Vec<_> = running.iter().filter(|name| self.health(name) != "healthy").collect();
            if running == wanted && unwell.is_empty() {
                Ok(())
            } else {
                Err(format!("{running:?} run, {unwell:?} aren't well"))
            }
        });
    }
}

/// Documents of about 1 kB, of which each is another one.
async fn load(client: &Client, documents: i32) {
    let collection = client.database("lucid").collection::<Document>("sessions");
    for begin in (0..documents).step_by(2_000) {
        let batch = (begin..documents.min(begin + 2_000)).map(|id| {
            let noise: String = (0..15).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect::<Vec<_>>().concat();
            doc! { "_id": id, "noise": noise }
        });
        collection.insert_many(batch).await.expect("inserted");
    }
}

/// The commands of the first block after this heading of the guide.
fn commands(heading: &str) -> Vec<String> {
    let guide = include_str!("../../deploy/README.md");
    let (_, rest) = guide.split_once(heading).unwrap_or_else(|| panic!("no '{heading}' in the guide"));
    let block = rest.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of commands");
    block
        .lines()
        .map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// What a guide's reader types on one host. The line that makes the first document runs mongosh of MongoDB's image, which can't be had
/// here: the document is made otherwise.
pub async fn first_backup(stack: &Stack) {
    let lines = commands("## One host\n");
    assert!(lines.len() <= 6, "{lines:#?}");
    let mut up = Instant::now();
    for line in &lines {
        if line.contains("mongosh") {
            load(&stack.member("lucid_mongo").await, 10).await;
            continue;
        }
        if line.contains(" up ") {
            up = Instant::now();
        }
        let told = stack.types(line);
        if line.contains(" verify ") {
            assert!(told.contains("is whole"), "{told}");
        }
    }
    assert!(up.elapsed() < Duration::from_secs(300), "{:?}", up.elapsed());
    assert!(lines.iter().any(|line| line.contains(" verify ")) && lines.iter().any(|line| line.contains(" up ")));
    stack.await_healthy(&["lucid_mongo", "lucid_backup", "lucid_restore", "lucid_monitoring"]);
    stack.check_locked_down();
    stack.types(&format!("docker-compose -f {SINGLE} down -v"));
}

/// What tests are in a hurry about.
const HURRY: &str = r#"
services:
  worker:
    environment: {LUCID_MAX_RATE: 4MB, LUCID_LEASE_MS: "5000"}
  monitor:
    environment: {MONITORING_INTERVAL: "1", LUCID_LEASE_MS: "5000", LUCID_RULES_FILE: /rules.json}
    volumes: ["./hurry.json:/rules.json:ro"]
"#;
const RULES: &str = r#"{ "member_down": { "for_seconds": 2 } }"#;
const ALL: [&str; 7] =
    ["lucid_mongo1", "lucid_mongo2", "lucid_mongo3", "lucid_api", "lucid_backup", "lucid_restore", "lucid_monitoring"];

pub async fn whole(stack: &Stack) {
    let deploy = stack.clone.path().join("deploy");
    fs::remove_dir_all(deploy.join("env")).expect("removed");
    stack.types("deploy/build-env.sh");
    for file in [STACK, SINGLE, NODE] {
        let named = "LUCID_NODE=pi-1 LUCID_REPOSITORY=main=file:///data/backups";
        stack.types(&format!("{named} docker-compose -f {file} --profile dashboards config -q"));
    }
    fs::write(deploy.join("hurry.yaml"), HURRY).expect("written");
    fs::write(deploy.join("hurry.json"), RULES).expect("written");
    let compose = format!("docker-compose -f {STACK} -f deploy/hurry.yaml");
    let begun = Instant::now();
    stack.types(&format!("{compose} up -d"));
    stack.await_healthy(&ALL);
    assert!(begun.elapsed() < HEALTHY_WITHIN, "{:?}", begun.elapsed());
    stack.check_locked_down();
    eprintln!("the whole stack was healthy after {:?}", begun.elapsed());

    let members = ["lucid_mongo1", "lucid_mongo2", "lucid_mongo3"];
    load(&stack.primary(&members).await, 40_000).await;
    let (api, monitor) = (Api::to_read(API.into()), Api::to_read(MONITOR.into()));
    let backup = crashed_in_the_middle(stack, &api).await;
    api.succeeded(&api.accepted("/verify", &json!({ "backup": backup }))).await;
    restored(stack, &api, &backup, &members).await;
    member_lost(stack, &api, &monitor).await;

    let before = history(&api);
    stack.types(&format!("{compose} down"));
    assert!(stack.running().is_empty());
    stack.types(&format!("{compose} up -d"));
    stack.await_healthy(&ALL);
    let after = history(&api);
    assert!(before.iter().all(|job| after.contains(job)) && before.len() >= 5, "{before:?}, but {after:?}");
    api.succeeded(&api.accepted("/verify", &json!({ "backup": backup }))).await;
    stack.types(&format!("{compose} down -v"));
}

/// A worker that dies in the middle of a backup is started again, and the backup is made to its end.
async fn crashed_in_the_middle(stack: &Stack, api: &Api) -> String {
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.await_job(&backup, WITHIN, crate::support::data::copying).await;
    let worker = stack.engine.pid_of("lucid_backup");
    said("kill", &stack.engine.beside(&["kill", "-9", &worker]));
    let ended = api.succeeded(&backup).await;
    assert!(api.events(&backup).events.iter().filter(|event| event.kind == "claimed").count() > 1, "{ended:#?}");
    assert_ne!(stack.engine.pid_of("lucid_backup"), worker, "it was started again");
    backup
}

/// Restores take a token, which is in the API's container.
async fn restored(stack: &Stack, api: &Api, backup: &str, members: &[&str]) {
    let body = json!({ "backup": backup, "database": "lucid_copy" });
    assert!([401, 403].contains(&api.call("POST", "/restore", Some(&body)).0), "not by whoever has no token");
    let pid = stack.engine.pid_of("lucid_api");
    let token = said("the token", &stack.engine.beside(&["cat", &format!("/proc/{pid}/cwd/run/lucid-ops/token")]));
    let bearer = format!("Bearer {}", token.trim());
    let (status, job) = api.call_with("POST", "/restore", Some(&body), &[("authorization", &bearer)]);
    assert_eq!(status, 202, "{job}");
    api.succeeded(job["job_id"].as_str().expect("an id")).await;
    let client = stack.primary(members).await;
    let mut hashes = Vec::new();
    for database in ["lucid", "lucid_copy"] {
        let told = client.database(database).run_command(doc! { "dbHash": 1 }).await.expect("told");
        hashes.push(told.get_document("collections").expect("collections").clone());
    }
    assert_eq!(hashes[0], hashes[1]);
}

/// A member is stopped: jobs go on, an alert comes, and goes once it is back.
async fn member_lost(stack: &Stack, api: &Api, monitor: &Api) {
    let open = || match monitor.get("/alerts?rule=member_down&state=open") {
        (200, answer) => Ok(answer["alerts"].as_array().map_or(0, Vec::len)),
        (status, answer) => Err(format!("{status} {answer}")),
    };
    stack.engine.told(&["stop", "lucid_mongo3"]);
    until("an alert", || if open()? == 1 { Ok(()) } else { Err("none is open".into()) });
    api.succeeded(&api.accepted("/backup", &json!({ "database": "lucid" }))).await;
    stack.engine.told(&["start", "lucid_mongo3"]);
    until("over", || if open()? == 0 { Ok(()) } else { Err("it is open".into()) });
}

/// All jobs by their ids.
fn history(api: &Api) -> Vec<String> {
    let (status, page) = api.get("/jobs?limit=100");
    assert_eq!(status, 200, "{page}");
    page["jobs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|job: &Value| job["job_id"].as_str())
        .map(str::to_owned)
        .collect()
}
