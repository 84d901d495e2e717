//! deploy/bare-metal.md names scripts and flags that there are. Commands of the program itself are parsed where it parses all documents.

use super::said;
use crate::support::process::binary;
use std::{fs, path::Path, process::Command};

#[test]
fn every_script_and_flag_of_the_guide_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let guide = fs::read_to_string(root.join("deploy/bare-metal.md")).expect("there");
    let mut seen = 0;
    for command in guide.split('`').skip(1).step_by(2) {
        let mut words = command.trim_start_matches("sudo ").split_whitespace();
        let Some(script) = words.next().filter(|word| word.starts_with("deploy/")) else { continue };
        // What the scripts make.
        if ["deploy/env", "deploy/secrets"].iter().any(|made| script.starts_with(made)) {
            continue;
        }
        let path = root.join(script);
        assert!(path.is_file(), "{command}: there is no {script}");
        let help = match script {
            "deploy/build-env.sh" => {
                said(&Command::new(binary("lucid-ops")).args(["env", "generate", "--help"]).output().expect("it runs"))
            }
            "deploy/install" | "deploy/package" => said(&Command::new(path).arg("--help").output().expect("it runs")),
            _ => String::new(),
        };
        for flag in words.filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "{command}: {script} has no {flag}");
        }
        seen += 1;
    }
    assert!(seen > 8, "only {seen} were found");
}
