//! From empty members to a replica set with users, roles and the engine's collections; idempotent, whoever does it, and however many at
//! once.
//!
//! Invariants: nothing is changed in a set that has other members than told; a set is begun on the first member told alone, and only where
//! every member told has answered and belongs to none, so that no two sets come of it. Each step looks at what is there before it makes
//! anything, so a crash between any two is mended by doing all of it again. Secrets are sent to servers only.

mod members;
mod reach;
mod users;

use crate::{connect, connect::ConnectError};
use bson::{Document, doc};
use lucid_ports::{Store, StoreError};
use lucid_schemas::{
    collections::{DEFINITIONS, MIGRATIONS},
    roles::{Places, Service},
};
use reach::Reach;
use serde::Serialize;
use std::{
    fmt,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(300);
/// How often the same wait is told of.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A secret; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Keeps it from being shown.
    pub const fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The set's name.
    pub replica_set: String,
    /// Its members as `host:port`, under the names by which all of them and all clients know them; the set begins with the first.
    pub members: Vec<String>,
    /// The administrator's name.
    pub administrator: String,
    /// His password.
    pub password: Password,
    /// His password before, where it is to be replaced.
    pub former: Option<Password>,
    /// Services that get a user; all get a role.
    pub services: Vec<(Service, Password)>,
    /// The databases that roles name.
    pub places: Places,
    /// Options of a connection string that every connection needs, such as `tls=true&tlsCAFile=/etc/lucid/ca.pem`.
    pub options: String,
    /// How long all of it may take.
    pub within: Duration,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// It wasn't there.
    Made,
    /// It was there and different.
    Changed,
    /// It was as it should be.
    Found,
    /// It can't be done yet.
    Waits,
}

/// A step, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What came of it.
    pub did: Did,
    /// What it is about.
    pub what: String,
}

/// Why a set isn't as it should be. No text holds a password.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// An option, or a member's address.
    #[error("{0}")]
    Usage(String),
    /// It took longer than it may.
    #[error("not done within {seconds} s: {waits}")]
    Slow {
        /// The bound.
        seconds: u64,
        /// What was waited for last.
        waits: String,
    },
    /// One mongod without a replica set.
    #[error("{member} runs without a replica set: start it with --replSet {wanted}")]
    Standalone {
        /// Which.
        member: String,
        /// The set's name.
        wanted: String,
    },
    /// A member of another set.
    #[error(
        "{member} belongs to the replica set '{found}', not '{wanted}': nothing was changed; check MONGO_REPLICA_SET and the list of members"
    )]
    OtherSet {
        /// Which.
        member: String,
        /// The set that it is in.
        found: String,
        /// The set's name.
        wanted: String,
    },
    /// Two sets of one name.
    #[error(
        "{one} and {other} belong to two sets, both called '{wanted}': nothing was changed; empty the data folder of the one that holds nothing, \
         and start it again"
    )]
    TwoSets {
        /// A member.
        one: String,
        /// A member that knows nothing of the first.
        other: String,
        /// The set's name.
        wanted: String,
    },
    /// The set has members of which nobody told.
    #[error(
        "the set '{set}' has members that weren't told: {}; nothing was changed: tell all of its members, or take these out of the set first",
        .others.join(", ")
    )]
    OtherMembers {
        /// The set's name.
        set: String,
        /// Those.
        others: Vec<String>,
    },
    /// Nobody may make the administrator from here.
    #[error(
        "the administrator '{user}' can't log in at {member}, and can't be made from here: either another password is set than the one in \
         MONGO_INITDB_ROOT_PASSWORD (its predecessor belongs into MONGO_INITDB_ROOT_PASSWORD_OLD), or there is no user yet, who can be \
         made only by a bootstrap that reaches {member} by loopback"
    )]
    Administrator {
        /// His name.
        user: String,
        /// The primary.
        member: String,
    },
    /// A server refuses.
    #[error("can't {doing}: {reason}")]
    Refused {
        /// What was tried.
        doing: String,
        /// What it said.
        reason: String,
    },
    /// The finished set can't be connected to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The engine's collections can't be made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BootstrapError {
    /// Whether nobody answered, so that the same may succeed later.
    pub const fn is_unreachable(&self) -> bool {
        match self {
            Self::Slow { .. } => true,
            Self::Connect(error) => error.is_retryable(),
            Self::Usage(_)
            | Self::Standalone { .. }
            | Self::OtherSet { .. }
            | Self::TwoSets { .. }
            | Self::OtherMembers { .. }
            | Self::Administrator { .. }
            | Self::Refused { .. }
            | Self::Store(_) => false,
        }
    }
}

type Result<T> = std::result::Result<T, BootstrapError>;

/// Called at each step, and while something is waited for.
pub type Tell = Box<dyn Fn(&Step) + Send + Sync>;

/// Makes what is missing or differs, and returns every step but the waits.
///
/// # Errors
/// What can't be done; what was done before stays, and is found by the next call.
pub async fn bootstrap(mut plan: Plan, tell: Tell) -> Result<Vec<Step>> {
    let reach = Reach::new(&plan.options)?;
    plan.members = addresses(&plan.members)?;
    let name = plan.replica_set.clone();
    let mut work = Work { plan, reach, tell, begun: Instant::now(), steps: Vec::new(), waits: None };
    let (primary, did) = work.begin_set().await?;
    work.did(did, format!("replica set {name}"));
    work.administrator(primary).await?;
    work.join_all().await?;
    let set = work.reach.set(&work.plan).await?;
    work.roles(&set).await?;
    work.users(&set).await?;
    work.definitions(&set).await?;
    Ok(work.steps)
}

/// The members as a set knows them, with their ports.
fn addresses(told: &[String]) -> Result<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    for member in told.iter().map(|member| member.trim()).filter(|member| !member.is_empty()) {
        let member = if member.contains(':') { member.to_owned() } else { format!("{member}:27017") };
        if all.iter().any(|other| other.eq_ignore_ascii_case(&member)) {
            return Err(BootstrapError::Usage(format!("the member {member} is told twice")));
        }
        all.push(member);
    }
    if all.is_empty() { Err(BootstrapError::Usage("no members were told".into())) } else { Ok(all) }
}

struct Work {
    plan: Plan,
    reach: Reach,
    tell: Tell,
    begun: Instant,
    steps: Vec<Step>,
    /// What is waited for, and when it was told last.
    waits: Option<(String, Instant)>,
}

impl Work {
    /// Notes what came of a step.
    fn did(&mut self, did: Did, what: impl Into<String>) {
        let step = Step { did, what: what.into() };
        (self.tell)(&step);
        self.steps.push(step);
        self.waits = None;
    }

    /// Waits a moment; tells what for.
    async fn wait(&mut self, what: String) -> Result<()> {
        if self.begun.elapsed() > self.plan.within {
            return Err(BootstrapError::Slow { seconds: self.plan.within.as_secs(), waits: what });
        }
        let is_told = self.waits.as_ref().is_some_and(|(told, since)| *told == what && since.elapsed() < TELL_EVERY);
        if !is_told {
            (self.tell)(&Step { did: Did::Waits, what: what.clone() });
            self.waits = Some((what, Instant::now()));
        }
        sleep(LOOK).await;
        Ok(())
    }

    /// The engine's collections, and what tells this cluster from others.
    async fn definitions(&mut self, set: &mongodb::Client) -> Result<()> {
        let ops = self.plan.places.ops.clone();
        let newest = doc! { "_id": "definitions", "schema": DEFINITIONS };
        let there = set.database(&ops).collection::<Document>(MIGRATIONS).find_one(newest).await;
        let connection = connect(&self.reach.uri(&self.plan), &ops).await?;
        connection.set_up().await?;
        connection.store().cluster().await?;
        let did = if matches!(there, Ok(Some(_))) { Did::Found } else { Did::Made };
        self.did(did, format!("collections and indexes of {ops}"));
        for problem in connection.problems().sentences() {
            tracing::warn!("{problem}");
        }
        Ok(())
    }
}
