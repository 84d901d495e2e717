//! What is told of variables is what the code reads.

use super::*;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Where the code reads variables without clap: how often, and which.
const READ: [(&str, usize, &[&str]); 11] = [
    ("api/cli/src/logging.rs", 1, &["LUCID_LOG"]),
    ("api/cli/src/main.rs", 1, &["LUCID_TZDIR", "TZDIR"]),
    ("api/cli/src/memory.rs", 1, &["MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"]),
    ("api/cli/src/role/priority.rs", 1, &["LUCID_LOWERED"]),
    ("api/cli/src/secrets.rs", 4, &["MONGODB_URI", "LUCID_API_MONGODB_URI"]),
    ("api/cli/src/token.rs", 2, &["LUCID_TOKEN", "XDG_RUNTIME_DIR"]),
    // All of them, to look at their names.
    ("api/cli/src/verb/config.rs", 1, &[]),
    ("deploy/embedded/src/binary.rs", 2, &["LUCID_MONGOD", "PATH"]),
    ("deploy/embedded/src/fetch.rs", 1, &["LUCID_CACHE", "XDG_CACHE_HOME", "HOME"]),
    // All of the environment, of which the storage library takes what it knows.
    ("jobs/repository/src/bucket.rs", 1, &[]),
    ("jobs/repository/src/key_file.rs", 1, &["CREDENTIALS_DIRECTORY"]),
];
/// Those whose names are handed to `secrets::of_variable`.
const PASSWORDS: [(&str, &[&str]); 2] = [
    ("api/cli/src/verb/bootstrap.rs", &["MONGO_INITDB_ROOT_PASSWORD", "MONGO_INITDB_ROOT_PASSWORD_OLD"]),
    (
        "schemas/src/roles.rs",
        &[
            "LUCID_API_PASSWORD",
            "LUCID_WORKER_PASSWORD",
            "LUCID_RESTORE_PASSWORD",
            "LUCID_MONITOR_PASSWORD",
            "LUCID_MIGRATION_PASSWORD",
        ],
    ),
];
/// What the crates that the program is made of read by themselves.
const BY_OTHERS: [&str; 5] = ["AWS_*", "GOOGLE_*", "AZURE_*", "SSL_CERT_FILE", "SSL_CERT_DIR"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_owned()
}

/// How often each source file reads variables.
fn reads(folder: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_test = ["tests", "tests.rs", "examples", "target", "tls.rs", "variables"].contains(&name.as_str());
        if is_test || path.ends_with("engine/sim") || path.ends_with("deploy/sample") {
            continue;
        }
        if path.is_dir() {
            reads(&path, found);
        } else if path.extension().is_some_and(|is| is == "rs") {
            let text = fs::read_to_string(&path).expect("readable");
            let calls =
                ["env::var(", "env::var_os(", "env::vars(", "env::vars_os(", "from_env(\"", "from_default_env("];
            let number = calls.iter().map(|call| text.matches(call).count()).sum::<usize>();
            if number > 0 {
                let path = path.strip_prefix(root()).expect("inside").display().to_string();
                found.insert(path, number);
            }
        }
    }
}

#[test]
fn every_variable_that_the_code_reads_is_in_the_list() {
    let mut found = BTreeMap::new();
    for folder in ["api", "engine", "jobs", "schemas", "deploy"] {
        reads(&root().join(folder), &mut found);
    }
    let listed: BTreeMap<_, _> = READ.iter().map(|(file, number, _)| ((*file).to_owned(), *number)).collect();
    assert_eq!(found, listed, "tell of what is read there in variables/by_hand.rs, and then here");
    let mut named: Vec<&str> = BY_OTHERS.to_vec();
    for (file, names) in READ.map(|(file, _, names)| (file, names)).into_iter().chain(PASSWORDS) {
        let text = fs::read_to_string(root().join(file)).expect("readable");
        for name in names {
            assert!(text.contains(&format!("\"{name}\"")), "{file} doesn't name {name}");
        }
        named.extend(names);
    }
    let told: BTreeSet<&str> = BY_HAND.iter().map(|by_hand| by_hand.name).collect();
    assert_eq!(told, named.into_iter().collect(), "the list and the code");
}

#[test]
fn the_table_in_deploy_is_the_newest() {
    let file = fs::read_to_string(root().join("deploy/variables.md")).expect("there");
    assert!(file == table(), "outdated: put in the output of `lucid-ops env table`");
    for name in names() {
        assert!(file.contains(&format!("| `{name}` |")), "{name} has no line");
    }
}

#[test]
fn those_who_read_by_hand_are_verbs() {
    let command = built();
    for by_hand in &BY_HAND {
        for reader in by_hand.readers {
            assert!(command.find_subcommand(reader).is_some(), "{}: {reader} is no verb", by_hand.name);
        }
    }
}
