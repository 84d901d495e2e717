//! The Debian package: made twice the same, installed into a root, and what is in it.

use super::{root::Root, said};
use crate::support::{process::binary, world::scratch};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    output
}

/// Makes it into a folder.
fn package(out: &Path, program: &Path) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("deploy/package");
    let made = run(Command::new(script).arg("--binary").arg(program).arg("--out").arg(out).arg("--fast"));
    PathBuf::from(said(&made).trim())
}

#[test]
fn a_package_is_the_same_each_time_and_installs_what_it_promises() {
    let dir = scratch();
    // The program of tests is large with what a debugger needs.
    let program = dir.path().join("lucid-ops");
    run(Command::new("strip").arg("-o").arg(&program).arg(binary("lucid-ops")));
    let packages = ["one", "two"].map(|name| {
        let out = dir.path().join(name);
        fs::create_dir(&out).expect("a folder");
        package(&out, &program)
    });
    let bytes = packages.each_ref().map(|package| fs::read(package).expect("made"));
    assert!(bytes[0] == bytes[1], "{packages:?} differ");

    let root = Root::new();
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "usr/bin"] {
        fs::create_dir_all(root.path().join(folder)).expect("a folder");
    }
    fs::write(root.path().join("var/lib/dpkg/status"), "").expect("written");
    let dpkg = |arguments: &[&str]| {
        let mut command = Command::new("dpkg");
        command.arg(format!("--root={}", root.path().display()));
        // There is nothing in that root that a script could run in, nor what the package depends on.
        command.args(["--force-script-chrootless", "--force-depends"]).args(arguments);
        said(&run(&mut command))
    };
    let file = packages[0].display().to_string();
    dpkg(&["--install", &file]);
    dpkg(&["--install", &file]);
    let users = root.text("etc/passwd");
    for user in ["lucid-ops", "lucid-backup"] {
        assert_eq!(users.lines().filter(|line| line.starts_with(&format!("{user}:"))).count(), 1, "{users}");
    }
    assert_eq!(root.mode("etc/lucid-ops/credentials"), 0o700);
    assert_eq!(root.mode("usr/bin/lucid-ops"), 0o755);
    for service in super::root::SERVICES {
        root.text(&format!("usr/lib/systemd/system/lucid-ops-{service}.service"));
    }
    let bash = root.path().join("usr/share/bash-completion/completions/lucid-ops");
    let load = ["--norc", "-c", "source \"$1\"; complete -p lucid-ops", "bash"];
    assert!(said(&run(Command::new("bash").args(load).arg(bash))).contains("lucid-ops"), "completions");
    let page = root.path().join("usr/share/man/man1/lucid-ops-repo-restore.1.gz");
    assert!(said(&run(Command::new("gzip").arg("-dc").arg(page))).contains("\\-\\-salvage"), "the page of a verb");

    let told = dpkg(&["--purge", "lucid-ops"]);
    assert!(told.contains("left for you to remove"), "{told}");
    assert!(!root.path().join("usr/bin/lucid-ops").exists() && root.path().join("etc/lucid-ops").exists());
}

#[test]
fn the_bill_of_materials_names_what_the_program_is_built_of() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let bill = || run(&mut Command::new(root.join("deploy/sbom"))).stdout;
    let told = bill();
    assert!(told == bill(), "the same sources, other bytes");
    let bill: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
    assert_eq!((bill["bomFormat"].as_str(), bill["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
    let components = bill["components"].as_array().expect("components");
    let mut names: BTreeSet<&str> = components.iter().filter_map(|part| part["purl"].as_str()).collect();
    names.extend(bill["metadata"]["component"]["purl"].as_str());
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "-e", "normal", "-p", "lucid-ops", "--prefix", "none", "-f", "{p}"])
        .current_dir(root);
    let tree = String::from_utf8(run(&mut tree).stdout).expect("UTF-8");
    let purl = |line: &str| {
        let mut words = line.split(' ');
        format!(
            "pkg:cargo/{}@{}",
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default().trim_start_matches('v')
        )
    };
    let built: BTreeSet<String> = tree.lines().map(purl).collect();
    assert_eq!(names, built.iter().map(String::as_str).collect());
    for part in components {
        let is_ours = part["name"].as_str().is_some_and(|name| name.starts_with("lucid-"));
        assert!(part["licenses"].is_array() && (is_ours || part["hashes"].is_array()), "{part}");
    }
    for each in bill["dependencies"].as_array().expect("dependencies") {
        for needed in each["dependsOn"].as_array().expect("a list").iter().chain([&each["ref"]]) {
            assert!(names.contains(needed.as_str().expect("a name")), "{needed} isn't told");
        }
    }
}
