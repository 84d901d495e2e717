//! Who is in the set, and how a member sees the others.

use super::{at, moment, number, whole};
use bson::{Bson, Document};
use lucid_ports::members::{Hello, Peer, Set};
use std::collections::BTreeSet;

/// `hello`, and `replSetGetConfig` where it may be read, which knows hidden members, too.
pub fn hello(hello: &Document, config: Option<&Document>) -> Hello {
    let is = |name: &str| hello.get_bool(name).unwrap_or(false);
    let told = ["hosts", "passives", "arbiters"].into_iter().filter_map(|name| hello.get_array(name).ok()).flatten();
    let mut peers: BTreeSet<String> = told.filter_map(Bson::as_str).map(str::to_owned).collect();
    // One that was removed may still have a configuration, which no longer is the set's.
    if !peers.is_empty() {
        peers.extend(config.into_iter().flat_map(configured).map(|(address, _)| address.to_owned()));
    }
    Hello {
        set: hello.get_str("setName").ok().map(str::to_owned),
        is_primary: is("isWritablePrimary"),
        is_arbiter: is("arbiterOnly"),
        config_version: whole(hello, "setVersion"),
        peers,
    }
}

/// Members of a configuration, by address.
fn configured(config: &Document) -> impl Iterator<Item = (&str, &Document)> {
    documents(config, "config.members").filter_map(|member| Some((member.get_str("host").ok()?, member)))
}

fn documents<'a>(document: &'a Document, path: &str) -> impl Iterator<Item = &'a Document> + use<'a> {
    at(document, path).and_then(Bson::as_array).into_iter().flatten().filter_map(Bson::as_document)
}

/// `replSetGetStatus` and, where it may be read, `replSetGetConfig`.
pub fn set(status: &Document, config: Option<&Document>) -> Set {
    let configured = |address: &str| config.and_then(|config| configured(config).find(|(host, _)| *host == address));
    let peer = |seen: &Document| {
        let address = seen.get_str("name").ok()?;
        let wanted = configured(address).map(|(_, wanted)| wanted);
        let peer = Peer {
            state: whole(seen, "state"),
            is_healthy: number(seen, "health").map(|health| health > 0.0),
            // The first has milliseconds, the second is of older servers.
            applied_at: moment(seen, "lastAppliedWallTime").or_else(|| moment(seen, "optimeDate")),
            delay_seconds: wanted.and_then(|wanted| whole(wanted, "secondaryDelaySecs")).unwrap_or(0),
            ping_seconds: number(seen, "pingMs").map(|ms| ms / 1_000.0),
            is_hidden: wanted.is_some_and(|wanted| wanted.get_bool("hidden").unwrap_or(false)),
            votes: wanted.and_then(|wanted| whole(wanted, "votes")),
            elected_at: moment(seen, "electionDate"),
            heard_at: moment(seen, "lastHeartbeatRecv").or_else(|| moment(seen, "lastHeartbeat")),
        };
        Some((address.to_owned(), peer))
    };
    Set {
        state: whole(status, "myState"),
        term: whole(status, "term"),
        elected_at: documents(status, "members").find_map(|seen| moment(seen, "electionDate")),
        members: documents(status, "members").filter_map(peer).collect(),
    }
}
