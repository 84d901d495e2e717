//! The images: built without a shell, run as nobody in particular, and the same twice.

use super::{Stack, until};
use crate::support::{engine::said, process::binary};
use std::fs;

/// How the stacks run all of them.
const LOCKED: [&str; 7] =
    ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true", "--memory", "512m"];

/// Builds them, and runs each.
pub fn images(stack: &Stack) {
    for image in ["mongodb", "database-backup", "database-monitoring"] {
        stack.types(&format!("docker build -f deploy/Dockerfile.{image} -t pickme/lucid:{image} ."));
    }
    let run = |more: &[&str]| stack.engine.docker(&[&["run", "--rm", "--network", "none"], &LOCKED[..], more].concat());
    let lucid = "pickme/lucid:database-backup";
    assert!(said("its version", &run(&[lucid, "--version"])).starts_with("lucid-ops "));
    assert!(said("its version", &run(&["pickme/lucid:mongodb", "--version"])).starts_with("db version "));
    // A new volume is his, as the folder in the image is.
    let init = [
        "--volume",
        "backups:/data/backups",
        lucid,
        "repo",
        "init",
        "--if-absent",
        "--allow-plain",
        "--repository",
        "main=file:///data/backups",
    ];
    assert!(said("a repository", &run(&init)).contains("made at"));
    assert_eq!(said("the same", &run(&init)), "");
    let repository = ["--repository", "main=file:///data/backups"];
    let listed = run(&[&["--volume", "backups:/data/backups", lucid, "repo", "list"], &repository[..]].concat());
    said("its backups", &listed);
    assert!(!String::from_utf8_lossy(&listed.stderr).contains("chmod"), "others can enter it: {listed:?}");
    for image in [lucid, "pickme/lucid:mongodb"] {
        let refused = run(&["--entrypoint", "/bin/sh", image, "-c", "true"]);
        assert_eq!(refused.status.code(), Some(127), "{image} has a shell");
    }
    healthy_or_not(stack);
    built_again(stack);
}

/// A container tells by itself whether what runs in it lives.
fn healthy_or_not(stack: &Stack) {
    let start = |name: &str, more: &[&str]| {
        let scratch = ["--tmpfs", "/run/lucid-ops:uid=65532,mode=0700", "--tmpfs", "/tmp:uid=65532"];
        let often = ["--health-interval", "1s", "--health-start-period", "60s"];
        stack.engine.told(&[&["run", "--detach", "--name", name], &LOCKED[..], &scratch, &often, more].concat());
    };
    let is = |name: &str, wanted: &str| match stack.health(name) {
        health if health == wanted => Ok(()),
        health => Err(health),
    };
    start("mongod", &["--volume", "data:/data/db", "pickme/lucid:mongodb"]);
    // Its set was never made: nothing that it is to be started anew for. Nor is a monitor, because nobody answers.
    start(
        "monitor",
        &["--env", "MONGODB_URI=mongodb://nobody.invalid:27017/?replicaSet=rs0", "pickme/lucid:database-monitoring"],
    );
    until("healthy", || is("mongod", "healthy").and_then(|()| is("monitor", "healthy")));
    stack.check_locked_down();
    let mongod = stack.engine.pid_of("mongod");
    said("stopped", &stack.engine.beside(&["kill", "-STOP", &mongod]));
    until("unhealthy", || is("mongod", "unhealthy"));
    said("going on", &stack.engine.beside(&["kill", "-CONT", &mongod]));
    until("healthy again", || is("mongod", "healthy"));
    stack.engine.told(&["rm", "--force", "--volumes", "mongod", "monitor"]);
}

/// What was compiled lies in the same layer, whoever builds the image, and may come from elsewhere.
fn built_again(stack: &Stack) {
    let layers = |image: &str| stack.engine.told(&["inspect", "-f", "{{join .RootFS.Layers \" \"}}", image]);
    let program = |image: &str| layers(image).split(' ').nth(1).expect("a layer over the base").to_owned();
    stack.types("docker build --no-cache -f deploy/Dockerfile --target lucid-ops -t again .");
    assert_eq!(program("again"), program("pickme/lucid:database-backup"));
    let place = stack.clone.path().join("deploy/dist/amd64/usr/local/bin");
    fs::create_dir_all(&place).expect("a folder");
    fs::copy(binary("lucid-ops"), place.join("lucid-ops")).expect("copied");
    stack.types("docker build --build-arg BINARY=prebuilt --build-arg RUST_IMAGE=nobody.invalid/rust -f deploy/Dockerfile --target lucid-ops -t elsewhere .");
    assert!(stack.engine.told(&["run", "--rm", "elsewhere", "--version"]).starts_with("lucid-ops "));
}
