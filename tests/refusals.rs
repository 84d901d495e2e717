//! Starting where one can't: one clear sentence, an exit code that isn't 0, nothing changed.

use crate::support::{World, process::run, world::scratch};
use lucid_embedded::{Deployment, Options};
use std::process::Output;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn refused(output: &Output, words: &[&str]) {
    assert!(!output.status.success(), "it should have been refused");
    let said = said(output);
    let last = said.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "'{word}' isn't in: {said}");
    }
}

fn worker(world: &World, key_file: &str, uri: &str) -> Output {
    let repository = world.repository();
    run(&["worker", "--repository", &repository, "--key-file", key_file], &[("MONGODB_URI", uri)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mongod_without_a_replica_set_is_refused() {
    let dir = scratch();
    let mut options = Options::standalone(dir.path().join("mongod"));
    options.auth = false;
    let alone = Deployment::start(options).await.expect("a standalone mongod");
    refused(&run(&["api"], &[("MONGODB_URI", &alone.uri())]), &["replica set"]);
    alone.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_keys_and_folders_are_refused_in_one_sentence() {
    let world = World::start(1).await;
    let uri = world.uri();
    let (_, after_scheme) = uri.split_once("://").expect("a URI");
    let (_, hosts) = after_scheme.split_once('@').expect("credentials");
    let wrong = format!("mongodb://lucid:not-the-password@{hosts}");
    let output = run(&["api", "--listen", "127.0.0.1:0"], &[("MONGODB_URI", &wrong)]);
    refused(&output, &["password"]);
    assert!(!said(&output).contains("not-the-password"), "the password is shown");

    refused(
        &run(&["api", "--listen", "127.0.0.1:0"], &[("MONGODB_URI", "mongodb://127.0.0.1:1/?replicaSet=rs0")]),
        &["127.0.0.1:1"],
    );

    let other_key = world.dir().join("other-key").display().to_string();
    let other = format!("other=file://{}", world.dir().join("other").display());
    assert!(run(&["repo", "init", "--repository", &other, "--key-file", &other_key], &[]).status.success());
    refused(&worker(&world, &other_key, &uri), &["wrong key"]);
    let repository = world.repository();
    refused(&run(&["repo", "list", "--repository", &repository, "--key-file", &other_key], &[]), &["wrong key"]);

    let empty = world.dir().join("empty");
    std::fs::create_dir(&empty).expect("a folder");
    let place = format!("main=file://{}", empty.display());
    let key_file = world.key_file();
    let output = run(&["worker", "--repository", &place, "--key-file", &key_file], &[("MONGODB_URI", &uri)]);
    refused(&output, &["not initialised or not mounted"]);
    assert_eq!(std::fs::read_dir(&empty).expect("readable").count(), 0, "nothing was put there");

    // The name is taken by the repository that a worker announced first.
    let (_worker, _) = world.worker(&[]);
    let place = format!("main=file://{}", world.dir().join("other").display());
    let output = run(&["worker", "--repository", &place, "--key-file", &other_key], &[("MONGODB_URI", &uri)]);
    refused(&output, &["belongs to repository"]);
}

#[test]
fn a_password_on_the_command_line_is_refused() {
    let output = run(&["api", "mongodb://lucid:secret@127.0.0.1/"], &[]);
    refused(&output, &["command line"]);
    assert!(!said(&output).contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_window_that_is_too_small_is_refused() {
    let world = World::start_with(|dir| Options::new(dir).parameter("minSnapshotHistoryWindowInSeconds", "1")).await;
    refused(&worker(&world, &world.key_file(), &world.uri()), &["minSnapshotHistoryWindowInSeconds"]);
}

#[test]
fn a_public_address_is_refused_unless_said_twice() {
    let output = run(&["api", "--listen", "0.0.0.0:0"], &[("MONGODB_URI", "mongodb://127.0.0.1:1/")]);
    refused(&output, &["0.0.0.0:0", "--tls-cert-file", "--plain-http", "token create", "--anonymous"]);
}
