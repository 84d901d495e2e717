//! deploy/mongodb-init.js, run by node against a real set: what a shell sends is passed on, and what the server answers is passed back.

use crate::support::{
    users::{command, done, members, variables},
    world::scratch,
};
use bson::{Bson, Document, doc};
use lucid_embedded::{Deployment, Options};
use mongodb::{
    Client,
    options::{ClientOptions, Credential},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a shell has, as far as the script uses it: each call is a line out, and its answer a line in.
const SHELL: &str = r"
const fs = require('fs');
const pending = Buffer.alloc(1 << 20);
function call(line) {
  fs.writeSync(1, JSON.stringify(line) + '\n');
  let text = '';
  while (!text.endsWith('\n')) text += pending.toString('utf8', 0, fs.readSync(0, pending));
  return JSON.parse(text);
}
globalThis.db = { getSiblingDB: (name) => ({
  runCommand: (command) => call({ database: name, command: JSON.stringify(command) }),
  auth: (user, password) => call({ user, password }).ok === 1,
}) };
globalThis.print = (text) => fs.writeSync(2, text + '\n');
globalThis.sleep = (milliseconds) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
require('vm').runInThisContext(fs.readFileSync(process.argv[1], 'utf8'), process.argv[1]);
";

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("deploy/mongodb-init.js")
}

/// The interpreter; Debian's, where there is none and it can be had.
fn node() -> &'static str {
    let runs = || Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    if !runs() {
        let install = ["install", "--yes", "--no-install-recommends", "nodejs"];
        let installed = Command::new("apt-get").args(install).env("DEBIAN_FRONTEND", "noninteractive").output();
        assert!(
            runs(),
            "node isn't there and can't be installed: apt-get update && apt-get install nodejs: {installed:?}"
        );
    }
    "node"
}

async fn client(member: &str, login: Option<(&str, &str)>) -> Client {
    let mut options = ClientOptions::parse(format!("mongodb://{member}/?directConnection=true")).await.expect("a URI");
    options.credential = login.map(|(user, password)| {
        Credential::builder().username(user.to_owned()).password(password.to_owned()).source("admin".to_owned()).build()
    });
    Client::with_options(options).expect("a client")
}

/// Runs a command, and gives the answer as a shell shows it.
async fn run(client: &Client, database: &str, command: &str) -> Value {
    // The order of fields counts, and a value of JSON doesn't keep it.
    let command: Bson = serde_json::from_str(command).expect("a command");
    let command = command.as_document().expect("a document").clone();
    match client.database(database).run_command(command).await {
        Ok(answer) => Bson::from(answer).into_relaxed_extjson(),
        Err(error) => json!({ "ok": 0, "errmsg": error.to_string() }),
    }
}

/// Runs the script to its end against the first member; what it printed.
async fn shell(told: &str, set: &[(String, String)]) -> String {
    let first = told.split(',').next().expect("a member");
    let mut command = Command::new(node());
    command.args(["-e", SHELL]).arg(script()).envs(set.iter().cloned()).env("LUCID_BOOTSTRAP_MEMBERS", told);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("node starts");
    let mut answers = child.stdin.take().expect("piped");
    let mut at = client(first, None).await;
    for line in BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok) {
        let call: Value = serde_json::from_str(&line).expect("JSON");
        let answer = if let (Some(user), Some(password)) = (call["user"].as_str(), call["password"].as_str()) {
            let login = client(first, Some((user, password))).await;
            let answer = run(&login, "admin", r#"{"ping":1}"#).await;
            if answer["ok"] == 1.0 || answer["ok"] == 1 {
                at = login;
                json!({ "ok": 1 })
            } else {
                json!({ "ok": 0 })
            }
        } else {
            run(&at, call["database"].as_str().expect("a database"), call["command"].as_str().expect("a command")).await
        };
        writeln!(answers, "{answer}").expect("it reads");
    }
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_makes_what_bootstrap_makes() {
    let dir = scratch();
    let options = Options::new(dir.path().join("mongod")).members(2);
    let mut deployment = Deployment::start_unfounded(options).await.expect("members start");
    let (told, set) = (members(&mut deployment), variables(&deployment));
    let said = shell(&told, &set).await;
    assert!(said.contains("made the administrator lucid") && said.contains("createUser lucid_restore"), "{said}");
    assert!(set.iter().all(|(_, secret)| !said.contains(secret)), "a password is told: {said}");
    let report = done(&command(&told, &set).output().expect("it runs"));
    for step in report["steps"].as_array().expect("steps") {
        let what = step["what"].as_str().expect("a text");
        let is_ours =
            ["replica set", "administrator", "member", "role", "user"].iter().any(|word| what.starts_with(word));
        assert!(!is_ours || step["did"] == "found", "bootstrap finds something else: {step}");
    }
    let again = shell(&told, &set).await;
    assert!(!again.contains("made") && !again.contains("added") && !again.contains("create"), "{again}");
    let report = done(&command(&told, &set).output().expect("it runs"));
    assert_eq!(report["changed"], false, "{report}");
    let administrator = deployment.administrator_password().expect("authentication").to_owned();
    let first = told.split(',').next().expect("a member");
    let admin = client(first, Some(("lucid", &administrator))).await.database("admin");
    let config: Document = admin.run_command(doc! { "replSetGetConfig": 1 }).await.expect("a config");
    assert_eq!(config.get_document("config").and_then(|config| config.get_array("members")).expect("members").len(), 2);
    deployment.stop().await.expect("stopped");
}

#[test]
fn the_script_holds_the_roles_as_they_are() {
    let text = std::fs::read_to_string(script()).expect("there");
    let roles = lucid_schemas::roles::script();
    assert!(
        text.contains(&format!("{roles}// The end of made roles.\n")),
        "outdated: put in the output of `cargo run -p lucid-schemas --example roles`"
    );
}
