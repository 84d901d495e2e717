//! What is asked of a server before it is relied on, and why one doesn't answer.

use crate::{
    connect::{ConnectError, OLDEST_MAJOR, OPLOG_LEAST_MIB, WINDOW_LEAST_S},
    error::{code, describe, is_passing},
};
use bson::{Bson, Document, doc};
use mongodb::{Client, Database, error::ErrorKind, options::ClientOptions};
use std::time::Duration;

/// For telling why, when nobody answered for as long as usual.
const CLOSER_LOOK: Duration = Duration::from_secs(2);

/// Versions that this program is right for.
pub async fn check_version(admin: &Database, hosts: &str) -> Result<(), ConnectError> {
    let info = ask(admin, doc! { "buildInfo": 1 }, hosts).await?;
    info.map_or(Ok(()), |info| version_suits(&info))
}

fn version_suits(info: &Document) -> Result<(), ConnectError> {
    let parts = info.get_array("versionArray").map(Vec::as_slice).unwrap_or_default();
    match parts.first().and_then(Bson::as_i32) {
        Some(major) if major < OLDEST_MAJOR => {
            Err(ConnectError::TooOld { version: info.get_str("version").unwrap_or("unknown").to_owned() })
        }
        _ => Ok(()),
    }
}

/// Room for snapshot reads.
pub async fn check_window(client: &Client, hosts: &str) -> Result<(), ConnectError> {
    match window(client, hosts).await? {
        Some(seconds) if seconds < WINDOW_LEAST_S => Err(ConnectError::SnapshotWindow { seconds }),
        _ => Ok(()),
    }
}

/// How long the server keeps what a snapshot reads, in seconds.
pub async fn window(client: &Client, hosts: &str) -> Result<Option<i64>, ConnectError> {
    const NAME: &str = "minSnapshotHistoryWindowInSeconds";
    let answer = ask(&client.database("admin"), doc! { "getParameter": 1, NAME: 1 }, hosts).await?;
    Ok(answer.and_then(|answer| whole(&answer, NAME)))
}

/// Room for change streams.
pub async fn check_oplog(client: &Client, hosts: &str) -> Result<(), ConnectError> {
    let answer = ask(&client.database("local"), doc! { "collStats": "oplog.rs" }, hosts).await?;
    match answer.and_then(|answer| whole(&answer, "maxSize")) {
        Some(bytes) if bytes >> 20 < OPLOG_LEAST_MIB => Err(ConnectError::Oplog { mib: bytes >> 20 }),
        _ => Ok(()),
    }
}

/// An answer; `None` where the user may not ask that, which is no reason to refuse to work.
async fn ask(database: &Database, command: Document, hosts: &str) -> Result<Option<Document>, ConnectError> {
    /// The second is how hosted services say it.
    const NOT_ALLOWED: [i32; 2] = [13, 8000];
    match database.run_command(command).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if code(&error).is_some_and(|code| NOT_ALLOWED.contains(&code)) => {
            tracing::warn!(reason = describe(&error), "a check is left out: the user may not read it");
            Ok(None)
        }
        Err(error) => Err(refusal(&error, hosts.to_owned())),
    }
}

fn whole(answer: &Document, field: &str) -> Option<i64> {
    let value = answer.get(field)?;
    value.as_i64().or_else(|| value.as_i32().map(i64::from)).or_else(|| {
        #[allow(clippy::cast_possible_truncation)] // A size as a double: whole by nature.
        value.as_f64().map(|number| number as i64)
    })
}

/// Looks closer at a first answer that failed: a lone mongod is told from one that doesn't run.
pub async fn diagnose(error: &mongodb::error::Error, mut options: ClientOptions, hosts: String) -> ConnectError {
    if !matches!(error.kind.as_ref(), ErrorKind::ServerSelection { .. }) {
        return refusal(error, hosts);
    }
    options.direct_connection = Some(true);
    options.server_selection_timeout = Some(CLOSER_LOOK);
    options.repl_set_name = None;
    options.hosts.truncate(1);
    let Ok(direct) = Client::with_options(options) else {
        return refusal(error, hosts);
    };
    match direct.database("admin").run_command(doc! { "hello": 1 }).await {
        Ok(hello) if hello.get_str("setName").is_err() => ConnectError::NotReplicaSet { hosts },
        Ok(_) => ConnectError::Unreachable {
            hosts,
            reason: "the replica set has no primary, or its name isn't the one of the connection string".into(),
        },
        Err(closer) => refusal(&closer, hosts),
    }
}

fn refusal(error: &mongodb::error::Error, hosts: String) -> ConnectError {
    const AUTHENTICATION_FAILED: i32 = 18;
    match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => ConnectError::Credentials { hosts },
        _ if code(error) == Some(AUTHENTICATION_FAILED) => ConnectError::Credentials { hosts },
        ErrorKind::ServerSelection { .. } => ConnectError::Unreachable { hosts, reason: "no server answers".into() },
        _ if is_passing(error) => ConnectError::Unreachable { hosts, reason: describe(error) },
        _ => ConnectError::Refused { hosts, reason: describe(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_refused_by_their_number() {
        let info = |version: &str, major: i32| doc! { "version": version, "versionArray": [major, 4, 28, 0] };
        let old = ConnectError::TooOld { version: "4.4.28".into() };
        assert_eq!(version_suits(&info("4.4.28", 4)), Err(old));
        assert_eq!(version_suits(&info("6.0.5", 6)), Ok(()));
        assert_eq!(version_suits(&info("10.0.0", 10)), Ok(()));
    }
}
