//! What tells a container manager that a service lives, and the two services of a node in one process.

use crate::{
    monitor::until,
    support::{
        Api, World,
        process::{Process, run},
    },
};
use bson::{Document, doc};
use lucid_embedded::Signal;
use serde_json::json;
use std::time::{Duration, Instant};

/// How it ends, and what it says; within two seconds, and some for a busy machine to start it.
fn healthcheck(more: &[&str]) -> (Option<i32>, String) {
    let begun = Instant::now();
    let output = run(&[&["healthcheck"], more].concat(), &[]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    (
        output.status.code(),
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_shows_that_it_lives_whatever_becomes_of_mongodb() {
    let mut world = World::start(1).await;
    let files: Vec<_> = ["api", "worker", "monitor"].map(|role| world.dir().join(role).display().to_string()).into();
    let [api, worker, monitor] = [&files[0], &files[1], &files[2]];
    let (api_process, _) = world.api_with(&["--listen", "127.0.0.1:0", "--alive-file", api]);
    let (_worker, _) = world.worker(&["--alive-file", worker]);
    let token_file = world.token_file();
    let ports =
        ["--listen", "127.0.0.1:0", "--metrics-port", "0", "--token-file", &token_file, "--alive-file", monitor];
    let mut monitor_process = Process::start(&[&["monitor"], &ports[..]].concat(), &world.uri());
    monitor_process.await_line("listening on ");
    let mongod = world.deployment.members()[0].port;
    assert_eq!(healthcheck(&["--mongodb", &format!("127.0.0.1:{mongod}")]), (Some(0), String::new()), "without a user");
    let all_live = || {
        let lives = |(file, role): (&String, &str)| {
            healthcheck(&["--alive-file", file]) == (Some(0), format!("{role} lives\n"))
        };
        if files.iter().zip(["api", "worker", "monitor"]).all(lives) {
            Ok(())
        } else {
            Err("not all of them live".into())
        }
    };
    until("all alive", all_live).await;

    world.deployment.kill(0, Signal::SIGKILL).await.expect("killed");
    assert_eq!(all_live(), Ok(()), "MongoDB is gone, and they aren't");
    let (code, said) = healthcheck(&["--mongodb", &format!("127.0.0.1:{mongod}")]);
    assert_eq!((code, said.contains(&mongod.to_string())), (Some(1), true), "{said}");

    // It hangs: its file is fresh, but it doesn't answer.
    api_process.signal(Signal::SIGSTOP);
    let (code, said) = healthcheck(&["--alive-file", api]);
    assert_eq!((code, said.contains("/livez") || said.contains("http://127.0.0.1:")), (Some(1), true), "{said}");
    api_process.signal(Signal::SIGCONT);
    until("alive again", all_live).await;
    drop(api_process);
    assert_eq!(healthcheck(&["--alive-file", api]).0, Some(1), "it is gone");
    assert_eq!(healthcheck(&["--alive-file", "/nowhere/alive"]).0, Some(1), "there never was one");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_serves_the_api_and_runs_its_jobs_each_with_a_connection_of_its_own() {
    let world = World::start(1).await;
    world.client().database("lucid").collection("users").insert_one(doc! { "_id": 1 }).await.expect("inserted");
    let (repository, key_file, token_file) = (world.repository(), world.key_file(), world.token_file());
    let file = world.dir().join("alive").display().to_string();
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--repository",
        &repository,
        "--key-file",
        &key_file,
        "--token-file",
        &token_file,
        "--alive-file",
        &file,
    ];
    let [worker, api] = ["of-the-worker", "of-the-api"].map(|name| format!("{}&appName={name}", world.uri()));
    let mut process = Process::start_with(&arguments, &[("MONGODB_URI", &worker), ("LUCID_API_MONGODB_URI", &api)]);
    let url = process.await_line("listening on ");
    let api = Api::new(url, &token_file);
    api.succeeded(&api.accepted("/backup", &json!({ "database": "lucid" }))).await;
    let pipeline = vec![doc! { "$currentOp": { "idleConnections": true } }, doc! { "$project": { "appName": 1 } }];
    let mut names = world.client().database("admin").aggregate(pipeline).await.expect("told");
    let mut seen = Vec::new();
    while names.advance().await.expect("told") {
        seen.extend(
            Document::try_from(names.current()).expect("a document").get_str("appName").map(str::to_owned).ok(),
        );
    }
    for name in ["of-the-worker", "of-the-api"] {
        assert!(seen.iter().any(|seen| seen == name), "{name} isn't among {seen:?}");
    }
    until("alive", || match (healthcheck(&["--alive-file", &file]), std::fs::read_to_string(&file)) {
        ((Some(0), _), Ok(sign)) if sign.contains("url") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(process.stop().success(), "both end cleanly");
    assert_eq!(healthcheck(&["--alive-file", &file]).0, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_there_may_be_asked_for_again_and_keeps_its_key() {
    let world = World::start(1).await;
    let key = std::fs::read(world.key_file()).expect("a key");
    let (repository, key_file) = (world.repository(), world.key_file());
    let init = |key: &str| run(&["repo", "init", "--if-absent", "--repository", &repository, "--key-file", key], &[]);
    assert!(init(&key_file).status.success());
    assert_eq!(std::fs::read(&key_file).expect("a key"), key);
    let other = world.dir().join("other").display().to_string();
    let refused = init(&other);
    assert!(!refused.status.success() && !std::path::Path::new(&other).exists(), "a key that doesn't open it");
}
