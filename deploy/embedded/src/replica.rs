//! Making a replica set out of mongods, and asking it how it is.

use crate::{Error, Options, Result, client};
use bson::{Bson, Document, doc};
use futures::future::join_all;
use mongodb::{Client, error::ErrorKind};
use std::time::Duration;

/// Longest wait for a member to say what it is; a suspended one never does, and the others are waited for meanwhile.
const HELLO_PATIENCE: Duration = Duration::from_millis(500);

/// What a member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Secondary,
    /// Starting up, recovering, removed, or not in a set.
    Other,
}

/// Asks a member for its role.
pub(crate) async fn role(member: &Client) -> Result<Role> {
    let hello = client::command_within(member, doc! { "hello": 1 }, HELLO_PATIENCE).await?;
    let is = |field| hello.get_bool(field).unwrap_or(false);
    Ok(match (is("isWritablePrimary"), is("secondary")) {
        (true, _) => Role::Primary,
        (_, true) => Role::Secondary,
        _ => Role::Other,
    })
}

/// The roles of all members at once; one that does not answer has none.
pub(crate) async fn roles(members: &[Client]) -> Vec<Option<Role>> {
    join_all(members.iter().map(role)).await.into_iter().map(Result::ok).collect()
}

/// Makes a new set of the members at these ports.
pub(crate) async fn initiate(first: &Client, name: &str, ports: &[u16], options: &Options) -> Result<()> {
    let config = doc! {
        "_id": name,
        "members": members(ports),
        "settings": {
            "electionTimeoutMillis": i64::from(options.election_timeout_ms),
            "heartbeatIntervalMillis": i64::from((options.election_timeout_ms / 4).clamp(100, 2_000)),
            // How soon a suspended member counts as down.
            "heartbeatTimeoutSecs": i64::from(options.election_timeout_ms.div_ceil(1_000).max(1)),
        },
    };
    client::command(first, doc! { "replSetInitiate": config }).await.map(drop)
}

/// Whether a member has not yet read its set's configuration, as is so right after its start.
pub(crate) fn is_early(error: &Error) -> bool {
    const NOT_YET_INITIALIZED: i32 = 94;
    refusal_code(error) == Some(NOT_YET_INITIALIZED)
}

/// Whether a member refused because it isn't the primary any more.
pub(crate) fn is_deposed(error: &Error) -> bool {
    const NOT_WRITABLE_PRIMARY: i32 = 10_107;
    const PRIMARY_STEPPED_DOWN: i32 = 189;
    const INTERRUPTED_DUE_TO_STATE_CHANGE: i32 = 11_602;
    let codes = [NOT_WRITABLE_PRIMARY, PRIMARY_STEPPED_DOWN, INTERRUPTED_DUE_TO_STATE_CHANGE];
    refusal_code(error).is_some_and(|code| codes.contains(&code))
}

fn refusal_code(error: &Error) -> Option<i32> {
    let Error::Command { source, .. } = error else {
        return None;
    };
    match &*source.kind {
        ErrorKind::Command(refusal) => Some(refusal.code),
        _ => None,
    }
}

/// Tells a set where its members are now, if it believes them elsewhere. By force: it cannot elect a primary before.
pub(crate) async fn move_to(first: &Client, ports: &[u16]) -> Result<()> {
    let mut reply = client::command(first, doc! { "replSetGetConfig": 1 }).await?;
    let Some(Bson::Document(mut config)) = reply.remove("config") else {
        return Err(Error::Unexpected { command: "replSetGetConfig" });
    };
    let hosts = |config: &Document| -> Vec<String> {
        let members = config.get_array("members").into_iter().flatten().filter_map(Bson::as_document);
        members.filter_map(|member| member.get_str("host").ok()).map(str::to_owned).collect()
    };
    let moved = doc! { "members": members(ports) };
    if hosts(&config) == hosts(&moved) {
        return Ok(());
    }
    let version = config.get_i32("version").map(i64::from).or_else(|_| config.get_i64("version")).unwrap_or(1);
    config.insert("version", version + 1);
    config.extend(moved);
    client::command(first, doc! { "replSetReconfig": config, "force": true }).await.map(drop)
}

fn members(ports: &[u16]) -> Vec<Document> {
    let member = |(id, port): (i32, &u16)| doc! { "_id": id, "host": format!("127.0.0.1:{port}") };
    (0..).zip(ports).map(member).collect()
}

/// Makes the administrator, through the server's exception for the first user from loopback.
pub(crate) async fn create_administrator(client: &Client, password: &str) -> Result<()> {
    let command = doc! { "createUser": client::ADMINISTRATOR, "pwd": password, "roles": ["root"] };
    client::command(client, command).await.map(drop)
}

/// Proves that all members take writes, by one that leaves no trace but in the oplog. What was written before, such as the users, is
/// known to each of them from then on.
pub(crate) async fn prove_writes(client: &Client, members: usize) -> Result<()> {
    let concern = doc! { "w": i64::try_from(members).unwrap_or(1), "wtimeout": 10_000 };
    let note = doc! { "appendOplogNote": 1, "data": { "lucid": "ready" }, "writeConcern": concern };
    client::command(client, note).await.map(drop)
}
