//! How a set is, and what a user may do there, beside what is needed; all of it only read.

use crate::{connect, connect::Connection, error::describe};
use bson::{Bson, Document, doc};
use futures::future::join_all;
use lucid_ports::StoreError;
use lucid_schemas::roles::{Places, Privileges, Resource, Service, lacking, privileges};
use mongodb::{
    Client,
    options::{ClientOptions, ServerAddress},
};
use serde::Serialize;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// How long a member may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clocks that differ by more make no jobs of schedules.
const SKEW_MS_MAX: i64 = 30_000;
/// Backups that are interrupted go on within the window of snapshots; this much is what deploy/ sets.
const WINDOW_ADVISED_S: i64 = 300;
/// Less is what one restore of a small database writes.
const OPLOG_ADVISED_MIB: i64 = 990;
/// The first patch of each series without the hole by which anybody reads a server's memory before he logs in (CVE-2025-14847).
const MENDED: [(i64, i64, i64); 4] = [(6, 0, 27), (7, 0, 28), (8, 0, 17), (8, 2, 3)];

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is as it should be.
    Right,
    /// It works, but could be better, or couldn't be looked at.
    Warning,
    /// It is to be mended.
    Wrong,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub about: String,
    /// How much it matters.
    pub verdict: Verdict,
    /// What is so.
    pub said: String,
    /// What to do; absent where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn right(about: &str, said: impl Into<String>) -> Self {
        Self { about: about.into(), verdict: Verdict::Right, said: said.into(), mend: None }
    }

    /// It isn't.
    pub fn other(about: &str, verdict: Verdict, said: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { about: about.into(), verdict, said: said.into(), mend: Some(mend.into()) }
    }
}

/// What a user has less, and more, than his service needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// What he lacks.
    pub missing: Privileges,
    /// What he has beyond.
    pub superfluous: Privileges,
    /// What he has on resources that no role here knows, in MongoDB's words.
    pub unknown: Vec<String>,
}

/// Looks at the set behind a connection string with the eyes of its user, and, where it is said whose user that is, at what he may do; the set
/// should have this name.
pub async fn examine(uri: &str, set: Option<&str>, service: Option<Service>, places: &Places) -> Vec<Finding> {
    let connection = match connect(uri, &places.ops).await {
        Ok(connection) => connection,
        Err(error) => return vec![Finding::other("MongoDB", Verdict::Wrong, error.to_string(), "see there")],
    };
    let mut findings = Vec::new();
    if let Some(set) = set.filter(|set| *set != connection.replica_set()) {
        let said = format!("it is called {}, not {set}", connection.replica_set());
        findings.push(Finding::other(
            "replica set",
            Verdict::Wrong,
            said,
            "check MONGO_REPLICA_SET and the connection string",
        ));
    }
    if let Some(service) = service {
        findings.extend(match rights(&connection.client(), service, places).await {
            Ok(rights) => of_rights(service, &rights),
            Err(error) => {
                vec![Finding::other("rights", Verdict::Warning, error.to_string(), "look at the server's log")]
            }
        });
    }
    findings.extend(members(&connection, uri).await);
    findings.push(window(&connection).await);
    findings.push(oplog(&connection).await);
    findings
}

/// What the user of this client has less and more than a service needs.
///
/// # Errors
/// Where the server can't be asked.
pub async fn rights(client: &Client, service: Service, places: &Places) -> Result<Rights, StoreError> {
    let answer = ask(client, doc! { "connectionStatus": 1, "showPrivileges": true }).await?;
    let told = answer.get_document("authInfo").and_then(|info| info.get_array("authenticatedUserPrivileges"));
    let (mut has, mut unknown) = (Privileges::new(), Vec::new());
    for told in told.into_iter().flatten().filter_map(Bson::as_document) {
        let actions = told.get_array("actions").into_iter().flatten().filter_map(Bson::as_str).map(str::to_owned);
        let Ok(resource) = told.get_document("resource") else { continue };
        match Resource::read(resource) {
            Some(resource) => has.entry(resource).or_default().extend(actions),
            None => unknown.push(format!("{} on {resource}", actions.collect::<Vec<_>>().join(", "))),
        }
    }
    let wanted = privileges(service, places);
    Ok(Rights { missing: lacking(&wanted, &has), superfluous: lacking(&has, &wanted), unknown })
}

fn of_rights(service: Service, rights: &Rights) -> Vec<Finding> {
    let each = |all: &Privileges| -> Vec<String> {
        let told = |(resource, actions): (&Resource, &std::collections::BTreeSet<String>)| {
            format!("{} on {}", actions.iter().map(String::as_str).collect::<Vec<_>>().join(", "), resource.describe())
        };
        all.iter().map(told).collect()
    };
    let mut findings = Vec::new();
    for missing in each(&rights.missing) {
        let mend = format!("run `lucid-ops bootstrap`, and log in as {}", service.user());
        findings.push(Finding::other("right missing", Verdict::Wrong, missing, mend));
    }
    for more in each(&rights.superfluous).into_iter().chain(rights.unknown.iter().cloned()) {
        let mend = format!("log in as {}, or take the role away that has it", service.user());
        findings.push(Finding::other("right too many", Verdict::Wrong, more, mend));
    }
    if findings.is_empty() {
        findings.push(Finding::right("rights", format!("what {} needs, and no more", service.role())));
    }
    findings
}

async fn ask(client: &Client, command: Document) -> Result<Document, StoreError> {
    let database = client.database("admin");
    match timeout(PATIENCE * 2, tokio::spawn(async move { database.run_command(command).await })).await {
        Ok(Ok(answer)) => answer.map_err(|error| StoreError::Rejected(describe(&error))),
        Ok(Err(_)) | Err(_) => Err(StoreError::Unavailable("no answer".into())),
    }
}

/// Each member by itself: whether it answers, its clock, its version.
async fn members(connection: &Connection, uri: &str) -> Vec<Finding> {
    let hello = match ask(&connection.client(), doc! { "hello": 1 }).await {
        Ok(hello) => hello,
        Err(error) => {
            return vec![Finding::other("replica set", Verdict::Wrong, error.to_string(), "start its members")];
        }
    };
    let of = |field: &str| hello.get_array(field).into_iter().flatten().filter_map(Bson::as_str).map(str::to_owned);
    let members: Vec<String> = of("hosts").chain(of("passives")).collect();
    let (name, number) = (connection.replica_set(), members.len());
    let mut findings = vec![match number {
        1 | 2 => Finding::other(
            "replica set",
            Verdict::Warning,
            format!("{name} has {number} members, so that it takes no writes once one is away"),
            "add members, and tell them to `lucid-ops bootstrap`",
        ),
        _ => Finding::right("replica set", format!("{name} has {number} members and a primary")),
    }];
    for told in join_all(members.iter().map(|member| of_member(uri, member))).await {
        findings.extend(told);
    }
    findings
}

async fn of_member(uri: &str, member: &str) -> Vec<Finding> {
    let about = format!("member {member}");
    let Ok(client) = direct(uri, member).await else { return Vec::new() };
    let begun = SystemTime::now();
    let hello = match ask(&client, doc! { "hello": 1 }).await {
        Ok(hello) => hello,
        Err(error) => {
            return vec![Finding::other(
                &about,
                Verdict::Wrong,
                format!("it doesn't answer: {error}"),
                "start it, or look at the network",
            )];
        }
    };
    let mut findings = Vec::new();
    let now = bson::DateTime::from_system_time(begun + begun.elapsed().unwrap_or_default() / 2);
    if let Ok(theirs) = hello.get_datetime("localTime") {
        let skew = theirs.timestamp_millis() - now.timestamp_millis();
        findings.push(if skew.abs() > SKEW_MS_MAX {
            let said = format!("its clock is {} s from that of this machine", skew / 1_000);
            Finding::other(&about, Verdict::Wrong, said, "let chrony or systemd-timesyncd set both clocks")
        } else {
            Finding::right(&about, format!("it answers, and its clock is {skew} ms from that of this machine"))
        });
    }
    if let Ok(build) = ask(&client, doc! { "buildInfo": 1 }).await {
        let parts: Vec<i64> =
            build.get_array("versionArray").into_iter().flatten().filter_map(Bson::as_i32).map(i64::from).collect();
        if let [major, minor, patch, ..] = parts[..] {
            findings.push(version(&about, (major, minor, patch)));
        }
    }
    findings
}

fn version(about: &str, (major, minor, patch): (i64, i64, i64)) -> Finding {
    let said = format!("it is MongoDB {major}.{minor}.{patch}");
    match MENDED.iter().find(|(of, series, _)| (*of, *series) == (major, minor)) {
        Some((_, _, first)) if patch < *first => {
            let said =
                format!("{said}, of which anybody who reaches it can read the memory without a login (CVE-2025-14847)");
            Finding::other(about, Verdict::Wrong, said, format!("install {major}.{minor}.{first} or later"))
        }
        Some(_) => Finding::right(about, said),
        None => Finding::other(
            about,
            Verdict::Warning,
            format!("{said}, a series that isn't known here"),
            "prefer 7.0 or 8.0",
        ),
    }
}

/// A client of one member, with the login of the connection string.
async fn direct(uri: &str, member: &str) -> Result<Client, mongodb::error::Error> {
    let mut options = ClientOptions::parse(uri).await?;
    options.hosts = vec![ServerAddress::parse(member)?];
    options.direct_connection = Some(true);
    options.repl_set_name = None;
    options.server_selection_timeout = Some(PATIENCE);
    options.connect_timeout = Some(PATIENCE);
    Client::with_options(options)
}

async fn window(connection: &Connection) -> Finding {
    const ABOUT: &str = "snapshot window";
    let mend = "set minSnapshotHistoryWindowInSeconds, see deploy/mongod.conf";
    match connection.snapshot_window_s().await {
        Ok(Some(seconds)) if seconds < WINDOW_ADVISED_S => {
            Finding::other(ABOUT, Verdict::Wrong, format!("{seconds} s: long reads of a backup would end"), mend)
        }
        Ok(Some(seconds)) => Finding::right(ABOUT, format!("{seconds} s")),
        Ok(None) => {
            Finding::other(ABOUT, Verdict::Warning, "this user may not ask for it", "look with the administrator's")
        }
        Err(error) => Finding::other(ABOUT, Verdict::Warning, error.to_string(), mend),
    }
}

async fn oplog(connection: &Connection) -> Finding {
    const ABOUT: &str = "oplog";
    let local = connection.client().database("local");
    let asked = tokio::spawn(async move { local.run_command(doc! { "collStats": "oplog.rs" }).await }).await;
    let most = asked.ok().and_then(Result::ok).and_then(|stats| match stats.get("maxSize")? {
        Bson::Int32(bytes) => Some(i64::from(*bytes)),
        Bson::Int64(bytes) => Some(*bytes),
        #[allow(clippy::cast_possible_truncation)] // A size as a double: whole by nature.
        Bson::Double(bytes) => Some(*bytes as i64),
        _ => None,
    });
    match most.map(|bytes| bytes >> 20) {
        Some(mib) if mib < OPLOG_ADVISED_MIB => Finding::other(
            ABOUT,
            Verdict::Warning,
            format!("{mib} MiB: a member that is away for long must copy everything anew"),
            format!(
                "give it {OPLOG_ADVISED_MIB} MiB or more: `replSetResizeOplog`, or oplogSizeMB in deploy/mongod.conf"
            ),
        ),
        Some(mib) => Finding::right(ABOUT, format!("{mib} MiB")),
        None => Finding::other(
            ABOUT,
            Verdict::Warning,
            "this user may not ask for its size",
            "look with the administrator's",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_known_holes_are_told_from_mended_ones() {
        let verdict = |version| super::version("a", version).verdict;
        assert_eq!([(6, 0, 5), (7, 0, 27), (8, 2, 2)].map(verdict), [Verdict::Wrong; 3]);
        assert_eq!([(6, 0, 27), (7, 0, 28), (8, 0, 30)].map(verdict), [Verdict::Right; 3]);
        assert_eq!(verdict((7, 3, 1)), Verdict::Warning);
    }
}
