//! Shape: rules on the text of the project that would be wishes without a test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 60;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Files of the project with this ending: tracked ones and new ones, not what git ignores.
fn files(ending: &str) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    let listed = String::from_utf8(output.stdout).expect("names are UTF-8");
    let found: Vec<_> = listed
        .lines()
        .filter(|name| name.ends_with(ending))
        .map(|name| root().join(name))
        .filter(|path| path.exists())
        .collect();
    assert!(!found.is_empty(), "no {ending} files were found");
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("a readable file")
}

#[test]
fn files_stay_short() {
    let long: Vec<_> = files(".rs")
        .into_iter()
        .map(|path| (text(&path).lines().count(), path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(long.is_empty(), "split by responsibility: {long:?}");
}

#[test]
fn functions_stay_short() {
    let mut long = Vec::new();
    for path in files(".rs") {
        let text = text(&path);
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            if let Some((start, own_indent, name)) = &open {
                if indent == *own_indent && line.trim_start().starts_with('}') {
                    if number - start > FUNCTION_LINES_MAX {
                        long.push(format!("{}: {} lines: {name}", path.display(), number - start));
                    }
                    open = None;
                }
            } else if is_function_head(line) && !line.trim_end().ends_with([';', '}']) {
                open = Some((number, indent, line.trim().to_owned()));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

fn is_function_head(line: &str) -> bool {
    let words: Vec<_> = line.split_whitespace().take(5).collect();
    words.contains(&"fn") && !line.trim_start().starts_with("//")
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent: Vec<_> = files(".rs").into_iter().filter(|path| !text(path).starts_with("//!")).collect();
    assert!(silent.is_empty(), "no module doc in {silent:?}");
}

#[test]
fn the_law_has_no_wildcard_arm() {
    for path in files(".rs") {
        let name = path.strip_prefix(root()).expect("inside").display().to_string();
        if name.starts_with("engine/core/src/") && (name.contains("/decide") || name.ends_with("/evolve.rs")) {
            let arm = text(&path).lines().any(|line| line.trim_start().starts_with("_ =>"));
            assert!(!arm, "{name}: a new state or event must not be forgotten silently");
        }
    }
}

#[test]
fn links_and_paths_in_documents_exist() {
    let mut missing = Vec::new();
    for path in files(".md") {
        let folder = path.parent().expect("a folder").to_owned();
        let text = text(&path);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let target = link.split('#').next().unwrap_or(link);
            if !folder.join(target).exists() {
                missing.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_state_picture_is_the_table() {
    let picture = format!("```mermaid\n{}```", lucid_core::table::picture());
    for name in ["README.md", "schemas/state-machine.md"] {
        assert!(
            text(&root().join(name)).contains(&picture),
            "{name} is outdated: put in the output of `cargo run -p lucid-core --example picture`"
        );
    }
}

#[test]
fn the_picture_of_alerts_is_their_table() {
    let picture = format!("```mermaid\n{}```", lucid_core::alert::table::picture());
    assert!(text(&root().join("schemas/state-machine.md")).contains(&picture), "outdated: see the picture of jobs");
}

#[test]
fn no_machine_paths_and_no_unfinished_marks() {
    // Put together here, so that this file doesn't find itself.
    let marks =
        [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["todo", "!("].concat(), ["unimplemented", "!("].concat()];
    let homes = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat()];
    for path in files(".rs").into_iter().chain(files(".md")).chain(files("run")).chain(files("quickstart")) {
        let text = text(&path);
        for mark in marks.iter().chain(&homes) {
            assert!(!text.contains(mark.as_str()), "{}: {mark}", path.display());
        }
    }
}

#[test]
fn the_top_level_is_the_prescribed_one() {
    const PRESCRIBED: [&str; 10] =
        ["Cargo.toml", "Cargo.lock", "engine", "api", "jobs", "schemas", "deploy", "tests", "README.md", "LICENSE"];
    let output = Command::new("git").args(["ls-files"]).current_dir(root()).output().expect("git runs");
    let listed = String::from_utf8(output.stdout).expect("names are UTF-8");
    for name in listed.lines().filter_map(|name| name.split('/').next()) {
        assert!(name.starts_with('.') || PRESCRIBED.contains(&name), "{name} is not of the top level");
    }
}
