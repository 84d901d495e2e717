//! Floors: a crate may look only down. The table is `ALLOWED`; this chapter reads `cargo metadata` and compares.

use serde_json::Value;
use std::{collections::BTreeSet, process::Command};

/// Crate, what it may use of ours, what it may not use of others. Development dependencies are free.
const ALLOWED: [(&str, &[&str], &[&str]); 18] = [
    ("lucid-schemas", &[], &["tokio", "mongodb", "actix-web"]),
    (
        "lucid-core",
        &["lucid-schemas"],
        &["tokio", "mongodb", "actix-web", "chrono", "getrandom", "rand", "uuid", "tracing", "futures"],
    ),
    ("lucid-ports", &["lucid-schemas", "lucid-core"], &["mongodb", "actix-web"]),
    ("lucid-cipher", &[], &["tokio", "mongodb", "actix-web"]),
    ("lucid-repository", &["lucid-cipher"], &["mongodb", "actix-web"]),
    ("lucid-mongo", &["lucid-schemas", "lucid-core", "lucid-ports"], &["actix-web"]),
    // What it finds is data of lucid-ports, so that whoever judges or shows it needs no driver.
    ("lucid-members", &["lucid-ports"], &["actix-web"]),
    ("lucid-runtime", &["lucid-schemas", "lucid-core", "lucid-ports"], &["mongodb", "actix-web"]),
    // All of it is tests, whose dependencies are free.
    ("lucid-sim", &[], &["mongodb", "actix-web"]),
    ("lucid-handlers", &["lucid-schemas", "lucid-ports", "lucid-repository"], &["actix-web"]),
    // It works on alerts, so it knows their law; what it is run by, and who evaluates, it doesn't.
    ("lucid-notify", &["lucid-schemas", "lucid-core", "lucid-ports"], &["mongodb", "actix-web"]),
    ("lucid-http", &["lucid-schemas", "lucid-core", "lucid-ports"], &["mongodb"]),
    // It says no, and turns web pages away, just as the API does.
    ("lucid-monitor", &["lucid-schemas", "lucid-core", "lucid-ports", "lucid-http", "lucid-notify"], &["mongodb"]),
    ("lucid-client", &["lucid-schemas"], &["mongodb", "tokio", "actix-web"]),
    ("lucid-embedded", &[], &["actix-web"]),
    ("lucid-sample", &[], &["actix-web"]),
    (
        "lucid-ops",
        &[
            "lucid-schemas",
            "lucid-core",
            "lucid-ports",
            "lucid-mongo",
            "lucid-runtime",
            "lucid-repository",
            "lucid-handlers",
            "lucid-http",
            "lucid-members",
            "lucid-monitor",
            "lucid-notify",
            "lucid-client",
            "lucid-embedded",
        ],
        &["mongodb", "actix-web"],
    ),
    (
        "judge",
        &[
            "lucid-schemas",
            "lucid-core",
            "lucid-ports",
            "lucid-mongo",
            "lucid-members",
            "lucid-runtime",
            "lucid-repository",
            "lucid-handlers",
            "lucid-http",
            "lucid-client",
            "lucid-embedded",
            "lucid-sample",
        ],
        &[],
    ),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("metadata is JSON")
}

#[test]
fn no_floor_looks_up() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<_> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let listed: BTreeSet<_> = ALLOWED.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, listed, "every crate has its row in the table");
    for (name, ours, not_others) in ALLOWED {
        let package = packages.iter().find(|package| package["name"] == name).expect("listed");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            if dependency["kind"] == "dev" {
                continue;
            }
            let used = dependency["name"].as_str().expect("a name");
            assert!(
                !names.contains(used) || ours.contains(&used),
                "{name} may not use {used}: see architecture, floors"
            );
            assert!(!not_others.contains(&used), "{name} may not use {used}");
        }
    }
}

#[test]
fn every_crate_obeys_the_lints_of_the_workspace() {
    for package in metadata()["packages"].as_array().expect("packages") {
        let manifest = package["manifest_path"].as_str().expect("a path");
        let text = std::fs::read_to_string(manifest).expect("a manifest");
        assert!(text.contains("[lints]\nworkspace = true"), "{manifest} has lints of its own");
        assert!(
            !text.lines().any(|line| line.contains("version = \"") && line.contains("features")),
            "{manifest} declares a version that belongs into the workspace's Cargo.toml"
        );
    }
}

#[test]
fn every_dependency_of_the_workspace_is_used_and_says_why() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let workspace = std::fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
    let declared = workspace
        .split("[workspace.dependencies]")
        .nth(1)
        .and_then(|rest| rest.split("\n[").next())
        .expect("a section of dependencies");
    let manifests: String = metadata()["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| std::fs::read_to_string(package["manifest_path"].as_str().expect("a path")).expect("a manifest"))
        .collect();
    for line in declared.lines().filter(|line| line.contains('=') && !line.starts_with('#')) {
        let name = line.split([' ', '=']).next().expect("a name");
        let used = manifests.lines().any(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(".workspace") || rest.starts_with(" = {"))
        });
        assert!(used, "{name} is declared, but no crate uses it");
        assert!(line.contains("path = ") || line.contains(" # "), "{name}: say in one line why it is there");
    }
}
