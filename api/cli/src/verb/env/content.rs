//! What is in the files: what must be said, and, as comments, all else that can be.

use super::{known::User, secret::escaped};
use crate::{
    exit::Exit,
    variables::{self, Variable},
};
use std::fmt::Write;
use zeroize::Zeroizing;

/// The file that `lucid-ops bootstrap` reads, with every password.
pub const INIT: &str = "mongodb-init.env";
/// The variable with the members.
pub const MEMBERS: &str = "LUCID_BOOTSTRAP_MEMBERS";
/// The variable with the name of the replica set.
pub const SET: &str = "MONGO_REPLICA_SET";
/// MiB. The mission's 128 are what one restore of a small database writes, and a running member can't be set below 990: who was away for
/// longer than the oplog reaches back must copy everything anew, and change streams lose their place. This is 1.6 % of a disk of 128 GB.
const OPLOG_MIB: &str = "2048";

/// A file of variables.
pub struct EnvFile {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// The services that read it.
    pub services: &'static [&'static str],
    /// What is said in it besides connection strings and passwords.
    pub says: &'static [(&'static str, &'static str)],
}

/// All of them. What is said is the mission's, or what holds in the containers of deploy/ and isn't the default.
pub const FILES: [EnvFile; 6] = [
    EnvFile {
        name: INIT,
        purpose: "members, administrator and all passwords, for `lucid-ops bootstrap`",
        services: &["bootstrap"],
        says: &[],
    },
    EnvFile {
        name: "mongodb.env",
        purpose: "what mongod is started with",
        services: &[],
        says: &[("MONGO_OPLOG_SIZE", OPLOG_MIB)],
    },
    EnvFile {
        name: "database-backup.env",
        purpose: "API, and workers that back up and verify",
        services: &["api", "worker", "serve"],
        says: &[
            ("LUCID_KEY_FILE", KEY),
            ("LUCID_KINDS", "backup,verify,prune,copy,reencrypt"),
            ("BACKUP_SCHEDULE", "0 2 * * *"),
            ("BACKUP_RETENTION_DAYS", "30"),
            ("BACKUP_COMPRESSION", "true"),
            ("BACKUP_ENCRYPTION", "true"),
        ],
    },
    EnvFile {
        name: "database-restore.env",
        purpose: "a worker that restores",
        services: &["worker"],
        says: &[
            ("LUCID_KEY_FILE", KEY),
            ("LUCID_KINDS", "restore"),
            ("BACKUP_COMPRESSION", "true"),
            ("BACKUP_ENCRYPTION", "true"),
        ],
    },
    EnvFile {
        name: "database-monitoring.env",
        purpose: "the monitor",
        services: &["monitor"],
        says: &[("MONITORING_INTERVAL", "30"), ("METRICS_PORT", "9216"), ("PROMETHEUS_ENABLED", "true")],
    },
    EnvFile {
        name: "database-migration.env",
        purpose: "changes of schemas; no service reads it yet",
        services: &[],
        says: &[],
    },
];

/// Where deploy/compose.yaml shows the key of the repository.
const KEY: &str = "/run/secrets/repository.key";

/// File, user and the variable that holds his connection string in it.
pub const URI_OF: [(&str, User, &str); 5] = [
    ("database-backup.env", User::Worker, "MONGODB_URI"),
    ("database-backup.env", User::Api, "LUCID_API_MONGODB_URI"),
    ("database-restore.env", User::Restore, "MONGODB_URI"),
    ("database-monitoring.env", User::Monitor, "MONGODB_URI"),
    ("database-migration.env", User::Migration, "MONGODB_URI"),
];

/// What is the same in all files.
pub struct Settings {
    /// As `HOST:PORT,HOST:PORT`.
    pub members: String,
    /// The name of the replica set.
    pub replica_set: String,
    /// As `NAME=URL`.
    pub repository: String,
}

/// What a file is for.
pub fn purpose(name: &str) -> &'static str {
    FILES.iter().find(|file| file.name == name).map_or("", |file| file.purpose)
}

/// The text of a file.
///
/// # Errors
/// Where a password isn't known.
pub fn text<'a>(
    file: &EnvFile,
    settings: &Settings,
    password: &dyn Fn(User) -> Result<&'a str, Exit>,
) -> Result<Zeroizing<String>, Exit> {
    // Large enough from the start, so that no copy is left in memory.
    let mut text = Zeroizing::new(String::with_capacity(1 << 16));
    let purpose = file.purpose;
    let _ = writeln!(text, "# {}: {purpose}.", file.name);
    text.push_str("# Made by `lucid-ops env generate`, which leaves it as it is. NAME=value, without quotes; a line is a comment or a variable.\n\n");
    let said = said(file, settings);
    for (_, user, variable) in URI_OF.iter().filter(|(name, ..)| *name == file.name) {
        let (name, password) = (user.name(), escaped(password(*user)?));
        let _ = write!(text, "{variable}=mongodb://{name}:{}@", password.as_str());
        let _ = writeln!(text, "{}/?replicaSet={}&authSource=admin", settings.members, settings.replica_set);
    }
    for (name, value) in &said {
        let _ = writeln!(text, "{name}={value}");
    }
    if file.name == INIT {
        for user in User::ALL {
            let _ = writeln!(text, "{}={}", user.variable(), password(user)?);
        }
    }
    text.push_str(&choices(file, &said));
    Ok(text)
}

/// What is said in a file without a secret.
fn said<'a>(file: &'a EnvFile, settings: &'a Settings) -> Vec<(&'a str, &'a str)> {
    let mut said = vec![(SET, settings.replica_set.as_str())];
    if file.name == INIT {
        said.extend([(MEMBERS, settings.members.as_str()), ("MONGO_INITDB_ROOT_USERNAME", User::Administrator.name())]);
    }
    if file.services.contains(&"worker") {
        said.push(("LUCID_REPOSITORIES", &settings.repository));
    }
    said.extend(file.says);
    said
}

/// The other variables of the services, each with its default, as comments.
fn choices(file: &EnvFile, said: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut seen: Vec<String> = Vec::new();
    for service in file.services {
        for Variable { name, default, meaning } in variables::of_service(service) {
            let is_password = User::ALL.iter().any(|user| user.variable() == name);
            let is_uri = URI_OF.iter().any(|(.., uri)| *uri == name);
            let is_said = said.iter().any(|(said, _)| *said == name) || is_password || is_uri;
            if !is_said && !seen.contains(&name) {
                let _ = write!(text, "\n# {meaning}\n# {name}={}\n", default.unwrap_or_default());
                seen.push(name);
            }
        }
    }
    text
}

/// Refuses what can't stand in a connection string as members.
///
/// # Errors
/// The first that isn't one.
pub fn check_members(members: &str) -> Result<(), Exit> {
    let mut seen: Vec<&str> = Vec::new();
    for member in members.split(',') {
        let (host, port) = member.rsplit_once(':').unwrap_or((member, ""));
        let named_well =
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte));
        if !named_well || !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(Exit::usage(format!("'{member}' is no member: it must be HOST:PORT, such as pi-1:27017")));
        }
        if seen.contains(&member) {
            return Err(Exit::usage(format!("the member {member} is named twice")));
        }
        seen.push(member);
    }
    Ok(())
}

/// Refuses what can't be the name of a replica set, or of its key file.
///
/// # Errors
/// Where it isn't one.
pub fn check_set(name: &str) -> Result<(), Exit> {
    let is_one = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_one {
        Ok(())
    } else {
        Err(Exit::usage(format!("'{name}' is no name for a replica set: use letters, digits, '-' and '_'")))
    }
}
