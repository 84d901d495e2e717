//! Promises of the files of variables.

use super::*;
use crate::args::{Cli, Command};
use clap::Parser;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};
use tempfile::TempDir;

/// What mongod's unit reads.
const MONGOD: [&str; 2] = ["MONGO_REPLICA_SET", "MONGO_OPLOG_SIZE"];

/// A folder for `env` and `secrets`.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("scratch"))
    }

    fn run(&self, more: &[&str]) -> Result<String, Exit> {
        let dir = self.0.path().join("env");
        let start = ["lucid-ops", "env", "generate", "--dir", dir.to_str().expect("UTF-8")];
        let cli = Cli::try_parse_from(start.iter().chain(more)).expect("understood");
        match cli.command {
            Command::Env(EnvCommand::Generate(args)) => generate(&args),
            other => panic!("{other:?}"),
        }
    }

    fn refused(&self, more: &[&str], because: &str) {
        let before = self.files();
        let said = self.run(more).expect_err("refused").to_string();
        assert!(said.contains(because), "{said}");
        assert_eq!(self.files(), before, "a refusal changes nothing");
    }

    /// All files by their place, with what they hold and their modes.
    fn files(&self) -> BTreeMap<String, (String, u32)> {
        let mut found = BTreeMap::new();
        for folder in ["env", "secrets"] {
            for entry in fs::read_dir(self.0.path().join(folder)).into_iter().flatten().flatten() {
                let text = fs::read_to_string(entry.path()).expect("readable");
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                found.insert(name, (text, entry.metadata().expect("there").mode() & 0o7777));
            }
        }
        found
    }

    fn text(&self, name: &str) -> String {
        self.files().remove(&format!("env/{name}")).expect(name).0
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.text(name);
        assert!(text.contains(from), "{name} has no {from}");
        fs::write(self.0.path().join("env").join(name), text.replace(from, to)).expect("written");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.0.path().join(name)).expect(name);
    }

    /// The variables that a file sets.
    fn set(&self, name: &str) -> BTreeMap<String, String> {
        let text = self.text(name);
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.split_once('=').expect(line)).map(|(name, value)| (name.into(), value.into())).collect()
    }
}

#[test]
fn what_is_made_is_private_random_and_told_without_a_secret() {
    let place = Place::new();
    let said = place.run(&[]).expect("made");
    let files = place.files();
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    let expected = [
        "env/database-backup.env",
        "env/database-migration.env",
        "env/database-monitoring.env",
        "env/database-restore.env",
        "env/mongodb-init.env",
        "env/mongodb.env",
        "secrets/repository.key",
        "secrets/rs0.key",
    ];
    assert_eq!(names, expected);
    for (name, (_, mode)) in &files {
        assert_eq!(*mode, if name.starts_with("secrets/") { 0o400 } else { 0o600 }, "{name}");
        assert!(said.contains(name.as_str()), "{name} isn't told: {said}");
    }
    for folder in ["env", "secrets"] {
        assert_eq!(place.0.path().join(folder).metadata().expect("there").mode() & 0o7777, 0o700);
    }
    let key = &files["secrets/rs0.key"].0;
    assert_eq!(key.trim_end().len(), 1_008, "as long as mongod takes");
    let init = place.set(INIT);
    let passwords: BTreeSet<_> = User::ALL.iter().map(|user| init[user.variable()].clone()).collect();
    assert_eq!(passwords.len(), User::ALL.len(), "no two are the same");
    for password in &passwords {
        assert_eq!(password.len(), 43, "256 bits");
        assert!(
            password.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
            "no escape is needed"
        );
        assert!(!said.contains(password.as_str()));
    }
    assert!(!said.contains(&key[..20]));
}

#[test]
fn each_service_logs_in_as_its_own_user_with_the_password_that_is_set() {
    let place = Place::new();
    place.run(&["--members", "pi-1:27017,pi-2:27018", "--replica-set", "night"]).expect("made");
    let init = place.set(INIT);
    assert_eq!(init[content::MEMBERS], "pi-1:27017,pi-2:27018");
    for (file, user, variable) in content::URI_OF {
        let (name, password) = (user.name(), &init[user.variable()]);
        let expected = format!("mongodb://{name}:{password}@pi-1:27017,pi-2:27018/?replicaSet=night&authSource=admin");
        assert_eq!(place.set(file)[variable], expected, "{file}");
        assert_eq!(place.set(file)[content::SET], "night", "{file}");
    }
    assert!(place.0.path().join("secrets/night.key").exists());
}

#[test]
fn a_second_run_changes_nothing() {
    let place = Place::new();
    place.run(&[]).expect("made");
    place.edit("database-backup.env", "BACKUP_RETENTION_DAYS=30", "BACKUP_RETENTION_DAYS=90");
    let before = place.files();
    let said = place.run(&[]).expect("kept");
    assert_eq!(place.files(), before);
    assert!(said.lines().all(|line| line.starts_with("kept")), "{said}");
}

#[test]
fn a_run_that_was_broken_off_is_completed_with_the_same_secrets() {
    let place = Place::new();
    let said = place.run(&[]).expect("made");
    let whole = place.files();
    let root = place.0.path().canonicalize().expect("there");
    // As they were written, one after the other.
    let order: Vec<_> = said
        .lines()
        .map(|line| line.split_whitespace().nth(1).expect("a path").trim_end_matches(':'))
        .map(|path| {
            path.strip_prefix(root.to_str().expect("UTF-8")).expect("inside").trim_start_matches('/').to_owned()
        })
        .collect();
    assert_eq!(order.len(), whole.len());
    for written in 3..order.len() {
        for name in &order[written..] {
            place.remove(name);
        }
        fs::write(root.join("env/.incoming"), "half a file").expect("written");
        place.run(&[]).expect("completed");
        assert_eq!(place.files(), whole, "broken off after {}", order[written - 1]);
    }
    for name in &order {
        place.remove(name);
    }
    place.run(&[]).expect("made");
    assert_ne!(place.text(INIT), whole["env/mongodb-init.env"].0, "where nothing is left, all is new");
}

#[test]
fn a_file_is_made_anew_together_with_the_password_that_is_set_for_it() {
    let place = Place::new();
    place.run(&[]).expect("made");
    place.edit(INIT, "LUCID_MONITOR_PASSWORD=", "# mine\nLUCID_MONITOR_PASSWORD=");
    place.edit("database-monitoring.env", "MONITORING_INTERVAL=30", "# mine, too\nMONITORING_INTERVAL=5");
    place.edit("database-monitoring.env", "&authSource=admin", "&authSource=admin&tls=true");
    let (before, init) = (place.files(), place.set(INIT));
    let said = place.run(&["--replace", "database-monitoring.env"]).expect("made anew");
    let after = place.files();
    let monitoring = place.set("database-monitoring.env");
    assert_eq!(monitoring["MONITORING_INTERVAL"], "5", "but for passwords, it is as it was");
    assert!(
        monitoring["MONGODB_URI"]
            .ends_with("@mongo1:27017,mongo2:27017,mongo3:27017/?replicaSet=rs0&authSource=admin&tls=true")
    );
    for name in
        before.keys().filter(|name| !["env/mongodb-init.env", "env/database-monitoring.env"].contains(&name.as_str()))
    {
        assert_eq!(after[name], before[name], "{name}");
    }
    let new = place.set(INIT);
    assert_ne!(new["LUCID_MONITOR_PASSWORD"], init["LUCID_MONITOR_PASSWORD"]);
    assert!(place.set("database-monitoring.env")["MONGODB_URI"].contains(&new["LUCID_MONITOR_PASSWORD"]));
    assert!(place.text(INIT).contains("# mine"), "what people wrote stays");
    assert!(new.iter().all(|(name, value)| name == "LUCID_MONITOR_PASSWORD" || init[name] == *value), "only this one");
    assert_eq!(said.lines().filter(|line| line.starts_with("made anew")).count(), 2, "{said}");
    // Broken off between the two: said, and mended by saying it again.
    fs::write(place.0.path().join("env/database-monitoring.env"), &before["env/database-monitoring.env"].0)
        .expect("written");
    place.refused(&[], "--replace database-monitoring.env");
    place.run(&["--replace", "database-monitoring.env"]).expect("made anew");
    place.run(&[]).expect("all agree");
}

#[test]
fn a_password_that_people_chose_is_escaped_and_recognised() {
    let place = Place::new();
    place.run(&[]).expect("made");
    let password = place.set(INIT)["LUCID_RESTORE_PASSWORD"].clone();
    place.edit(INIT, &password, "p@ss/w:rd%");
    place.remove("env/database-restore.env");
    place.run(&[]).expect("made");
    assert!(place.set("database-restore.env")["MONGODB_URI"].contains("://lucid_restore:p%40ss%2Fw%3Ard%25@mongo1"));
    place.run(&[]).expect("they agree");
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = Place::new();
    for bad in ["pi-1", "pi-1:0", "pi 1:27017", ":27017", "a:1,a:1", "u:p@pi-1:27017", "pi-1:27017/?tls=true"] {
        place.refused(&["--members", bad], "member");
    }
    place.refused(&["--replica-set", "../rs0"], "no name for a replica set");
    place.refused(&["--repository", "backups"], "not NAME=URL");
    place.run(&[]).expect("made");
    place.refused(&["--members", "pi-1:27017"], "made for the members mongo1:27017");
    place.refused(&["--replica-set", "rs1"], "made for the replica set rs0");
    place.edit(INIT, "LUCID_WORKER_PASSWORD=", "LUCID_WORKER_PASSWORD=x");
    place.refused(&[], "doesn't hold the user lucid_worker");
    place.edit(INIT, "LUCID_WORKER_PASSWORD=x", "LUCID_WORKER_PASSWORD=");
    place.edit(INIT, "LUCID_API_PASSWORD=", "LUCID_API_PASSWORD_FILE=");
    place.remove("env/database-backup.env");
    place.refused(&[], "has no LUCID_API_PASSWORD");
    place.remove("env/mongodb-init.env");
    place.refused(&[], "alone holds the administrator's password");
    fs::set_permissions(place.0.path().join("env"), PermissionsExt::from_mode(0o750)).expect("mode");
    place.refused(&[], "chmod 700");
    let place = Place::new();
    let _taken = Folder::open(&place.0.path().join("env")).expect("taken");
    place.refused(&[], "another");
}

#[test]
fn every_variable_is_one_that_the_service_reads_and_none_is_missing() {
    let place = Place::new();
    place.run(&[]).expect("made");
    for file in &FILES {
        let read: BTreeSet<String> = match file.name {
            "mongodb.env" => MONGOD.map(str::to_owned).into(),
            "database-migration.env" => [content::SET.to_owned(), "MONGODB_URI".to_owned()].into(),
            _ => read_by(file),
        };
        let set: BTreeSet<String> = place.set(file.name).into_keys().collect();
        assert!(set.is_subset(&read), "{}: {:?}", file.name, set.difference(&read));
        let text = place.text(file.name);
        for name in read {
            let lines = text.lines().filter(|line| line.trim_start_matches("# ").starts_with(&format!("{name}=")));
            assert_eq!(lines.count(), 1, "{}: {name}", file.name);
        }
    }
}

fn read_by(file: &content::EnvFile) -> BTreeSet<String> {
    file.services.iter().flat_map(|service| variables::of_service(service)).map(|variable| variable.name).collect()
}

#[test]
fn the_services_take_what_is_said() {
    let place = Place::new();
    place.run(&[]).expect("made");
    for file in FILES.iter().filter(|file| file.name != INIT) {
        for service in file.services {
            let command = variables::built();
            let command = command.find_subcommand(service).expect("a service");
            let mut line = vec!["lucid-ops".to_owned(), (*service).to_owned()];
            for (name, value) in place.set(file.name) {
                let arg = command.get_arguments().find(|arg| arg.get_env().is_some_and(|env| env == name.as_str()));
                line.extend(arg.and_then(clap::Arg::get_long).map(|long| format!("--{long}={value}")));
            }
            assert!(line.len() > 3, "{line:?}");
            Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        }
    }
}
