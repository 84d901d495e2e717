//! What can be chosen about a private mongod.

use crate::{Error, Mongod, Result};
use std::path::PathBuf;

/// How to start a [`Deployment`](crate::Deployment); begin with [`Options::new`] or [`Options::standalone`] and change
/// what matters.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of its data, logs and secrets; made if need be. A set that was started there before goes on.
    pub dir: PathBuf,
    /// How many members, 1 to 7.
    pub members: usize,
    /// Port of the first member, the others follow; none or 0 takes any free ones.
    pub mongod_port: Option<u16>,
    /// Whether clients must log in.
    pub auth: bool,
    /// The replica set's name; none starts a mongod without one.
    pub replica_set: Option<String>,
    /// Most the oplog may take on disk.
    pub oplog_mib: u32,
    /// Cache of the storage engine, for each member; at least 256.
    pub wired_tiger_cache_mib: u32,
    /// How long a set is without a primary before it elects another one; of a new set only.
    pub election_timeout_ms: u32,
    /// Most connections that a member takes; none leaves that to the server.
    pub max_connections: Option<u32>,
    /// Further server parameters, as for `--setParameter`; never secrets.
    pub extra_parameters: Vec<(String, String)>,
    /// The program; none finds it with [`Mongod::find`].
    pub mongod: Option<Mongod>,
}

impl Options {
    /// One member, replica set `rs0`, with authentication, on any free port.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            members: 1,
            mongod_port: None,
            auth: true,
            replica_set: Some("rs0".to_owned()),
            oplog_mib: 512,
            wired_tiger_cache_mib: 256,
            election_timeout_ms: 2_000,
            max_connections: None,
            extra_parameters: Vec::new(),
            mongod: None,
        }
    }

    /// One mongod without a replica set.
    pub fn standalone(dir: impl Into<PathBuf>) -> Self {
        Self { replica_set: None, ..Self::new(dir) }
    }

    /// The same with this many members.
    #[must_use]
    pub fn members(mut self, members: usize) -> Self {
        self.members = members;
        self
    }

    /// The same with one more server parameter.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.extra_parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn first_port(&self) -> Option<u16> {
        self.mongod_port.filter(|port| *port != 0)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let most = if self.replica_set.is_some() { 7 } else { 1 };
        if !(1..=most).contains(&self.members) {
            let allowed = if most == 7 { "1 to 7" } else { "1 without a replica set" };
            return Err(Error::Option { what: "the number of members", allowed, given: self.members.to_string() });
        }
        if self.wired_tiger_cache_mib < 256 {
            let given = self.wired_tiger_cache_mib.to_string();
            return Err(Error::Option { what: "the cache in MiB", allowed: "256 or more", given });
        }
        Ok(())
    }
}
