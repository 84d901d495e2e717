//! What is said before anything is started: `config check` finds what would stop a service, and `env generate` leaves nothing half done.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

fn command(folder: &Path, arguments: &[&str], set: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lucid-ops"));
    command.args(arguments).current_dir(folder).env_clear().envs(set.iter().copied()).stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str], set: &[(&str, &str)]) -> Output {
    command(folder, arguments, set).output().expect("it runs")
}

/// Exit code and what is said.
fn check(folder: &Path, arguments: &[&str], set: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = run(folder, &[&["config", "check"], arguments].concat(), set);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("UTF-8"))
}

/// A folder with a repository, its key and the connection string of a set that isn't there.
fn place() -> TempDir {
    let folder = tempfile::tempdir().expect("scratch");
    let made = run(folder.path(), &["repo", "init", "--repository", &main(&folder), "--key-file", "key"], &[]);
    assert!(made.status.success(), "{made:?}");
    fs::write(folder.path().join("uri"), "mongodb://lucid_worker:hunter2@127.0.0.1:1/?replicaSet=rs0\n")
        .expect("written");
    fs::set_permissions(folder.path().join("uri"), PermissionsExt::from_mode(0o600)).expect("mode");
    folder
}

fn main(folder: &TempDir) -> String {
    format!("main=file://{}/repository", folder.path().display())
}

#[test]
fn a_worker_that_would_start_is_told_so_without_reaching_anybody() {
    let folder = place();
    let repository = main(&folder);
    let sound = ["worker", "--repository", &repository, "--key-file", "key", "--mongodb-uri-file", "uri"];
    let (code, said) = check(folder.path(), &sound, &[("MONGO_REPLICA_SET", "rs0"), ("BACKUP_SCHEDULE", "0 2 * * *")]);
    assert_eq!((code, said.as_str()), (Some(0), "nothing is wrong\n"));
    // The same from variables, and those from a file.
    let set = format!(
        "# as containers have it\nLUCID_REPOSITORIES={repository}\nLUCID_KEY_FILE=key\nMONGODB_URI=mongodb://u:hunter2@a:1/\n"
    );
    fs::write(folder.path().join("worker.env"), set).expect("written");
    let (code, said) = check(folder.path(), &["--env-file", "worker.env", "worker"], &[]);
    assert_eq!((code, said.as_str()), (Some(0), "nothing is wrong\n"));
    // Asked for, it is reached, or not.
    let (code, said) = check(folder.path(), &[&["--connect"], &sound[..]].concat(), &[]);
    assert!(code == Some(2) && said.contains("error    MongoDB: ") && !said.contains("hunter2"), "{said}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once_each_on_a_line() {
    let folder = place();
    let (there, gone) = (main(&folder), "gone=file:///nowhere/backups");
    fs::write(folder.path().join("other"), "no key\n").expect("written");
    fs::set_permissions(folder.path().join("other"), PermissionsExt::from_mode(0o600)).expect("mode");
    let arguments = ["worker", "--repository", &there, "--repository", gone, "--key-file", "other"];
    let set = [
        ("MONGODB_URI", "mongodb://lucid_worker:hun/ter2@127.0.0.1"),
        ("BACKUP_SCHEDULE", "0 25 * * *"),
        ("BACKUP_TIMEZONE", "Europe/Atlantis"),
        ("LUCID_LEASE_MS", "1"),
        ("LUCID_OPS_DATABASE", "admin.x"),
        ("LUCID_SLOTTS", "3"),
    ];
    let (code, said) = check(folder.path(), &arguments, &set);
    assert_eq!(code, Some(2), "{said}");
    let expected = [
        "warning  LUCID_SLOTTS: no verb reads this variable; did you mean LUCID_SLOTS?",
        "error    BACKUP_SCHEDULE: ",
        "error    LUCID_LEASE_MS: ",
        "error    repository 'main': ",
        "error    repository 'gone': ",
        "error    LUCID_OPS_DATABASE: ",
        "error    the connection string: ",
    ];
    for (line, expected) in said.lines().zip(expected) {
        assert!(line.starts_with(expected), "{expected}: {line}");
    }
    assert_eq!(said.lines().count(), expected.len(), "{said}");
    assert!(said.contains("Europe/Atlantis") && !said.contains("ter2"), "{said}");
}

#[test]
fn a_set_of_another_name_and_a_secret_that_others_read_are_told() {
    let folder = place();
    fs::set_permissions(folder.path().join("uri"), PermissionsExt::from_mode(0o644)).expect("mode");
    let (code, said) = check(folder.path(), &["api", "--mongodb-uri-file", "uri"], &[("MONGO_REPLICA_SET", "rs1")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("warning  uri: ") && said.contains("chmod 600"), "{said}");
    assert!(said.contains("error    uri: it says replica set 'rs0', but MONGO_REPLICA_SET is 'rs1'"), "{said}");
    let (code, said) = check(folder.path(), &["api"], &[("MONGODB_URI", "mongodb://pi-1:27017/")]);
    assert!(code == Some(0) && said.starts_with("warning  the connection string: it names no user"), "{said}");
}

#[test]
fn a_monitor_is_told_of_its_files() {
    let folder = place();
    for (name, text) in [("channels", "[channels.a]\nkind = \"pigeon\"\n"), ("rules", "{\"no_such_rule\": {}}")] {
        fs::write(folder.path().join(name), text).expect("written");
        fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(0o600)).expect("mode");
    }
    let set = [
        ("LUCID_CHANNELS_FILE", "channels"),
        ("LUCID_RULES_FILE", "rules"),
        ("LUCID_METRICS_BIND", "0.0.0.0"),
        ("MONGODB_URI", "mongodb://m:hunter2@pi-1:27017/"),
    ];
    let (code, said) = check(folder.path(), &["monitor"], &set);
    assert_eq!(code, Some(2), "{said}");
    for about in ["LUCID_CHANNELS_FILE", "LUCID_RULES_FILE", "LUCID_METRICS_BIND"] {
        assert_eq!(said.lines().filter(|line| line.starts_with(&format!("error    {about}: "))).count(), 1, "{said}");
    }
    // What can't be read as a flag at all is refused as by the service.
    let (code, said) = check(folder.path(), &["monitor"], &[("MONITORING_INTERVAL", "0")]);
    assert!(code == Some(2) && said.contains("--monitoring-interval"), "{said}");
}

#[test]
fn a_generation_that_is_killed_anywhere_is_completed_with_passwords_that_agree() {
    let folder = tempfile::tempdir().expect("scratch");
    let env = folder.path().join("env");
    let files = || {
        fs::read_dir(&env).map_or(0, |entries| {
            entries.flatten().filter(|entry| entry.path().extension().is_some_and(|is| is == "env")).count()
        })
    };
    let generate = ["env", "generate", "--dir", "env"];
    let mut broken_off = 0;
    for delay in 0..60 {
        drop(fs::remove_dir_all(&env));
        let mut child = command(folder.path(), &generate, &[]).stdout(Stdio::null()).spawn().expect("it starts");
        thread::sleep(Duration::from_micros(delay * 700));
        drop(child.kill());
        child.wait().expect("it was started");
        broken_off += usize::from((1..6).contains(&files()));
        let kept = fs::read_to_string(env.join("mongodb-init.env")).ok();
        // It refuses what doesn't agree.
        for _ in 0..2 {
            let output = run(folder.path(), &generate, &[]);
            assert!(output.status.success(), "{output:?}");
        }
        assert_eq!(files(), 6);
        let init = fs::read_to_string(env.join("mongodb-init.env")).expect("there");
        assert!(kept.is_none_or(|kept| kept == init), "the same passwords");
    }
    println!("{broken_off} of 60 were broken off between two files");
}
