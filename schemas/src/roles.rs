//! Who may do what in MongoDB: a user for each service, with one role of its own, as data.
//!
//! `lucid-ops bootstrap` makes the roles, `lucid-ops doctor` compares them with what a user may do, and deploy/privileges.md shows them.

mod grants;
mod table;

pub use grants::grants;
pub use table::document;

use crate::{Kind, names::DEFAULT_OPS_DATABASE};
use bson::{Document, doc};
use std::collections::{BTreeMap, BTreeSet};

/// Who logs in to MongoDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// The HTTP API.
    Api,
    /// A worker of every kind of job that only reads databases.
    Worker,
    /// A worker of restores and drills.
    Restore,
    /// The monitor.
    Monitor,
    /// Whoever changes schemas.
    Migration,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 5] = [Self::Api, Self::Worker, Self::Restore, Self::Monitor, Self::Migration];

    /// The spoken word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Restore => "restore",
            Self::Monitor => "monitor",
            Self::Migration => "migration",
        }
    }

    /// Its user, in the database `admin`.
    pub const fn user(self) -> &'static str {
        match self {
            Self::Api => "lucid_api",
            Self::Worker => "lucid_worker",
            Self::Restore => "lucid_restore",
            Self::Monitor => "lucid_monitor",
            Self::Migration => "lucid_migration",
        }
    }

    /// The role of that user, in the database `admin`.
    pub const fn role(self) -> &'static str {
        match self {
            Self::Api => "lucid_ops_api",
            Self::Worker => "lucid_ops_worker",
            Self::Restore => "lucid_ops_restore",
            Self::Monitor => "lucid_ops_monitor",
            Self::Migration => "lucid_ops_migration",
        }
    }

    /// The variable that holds the password of that user.
    pub const fn password_variable(self) -> &'static str {
        match self {
            Self::Api => "LUCID_API_PASSWORD",
            Self::Worker => "LUCID_WORKER_PASSWORD",
            Self::Restore => "LUCID_RESTORE_PASSWORD",
            Self::Monitor => "LUCID_MONITOR_PASSWORD",
            Self::Migration => "LUCID_MIGRATION_PASSWORD",
        }
    }
}

/// What a privilege is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// Looking at a server before it is relied on.
    Server,
    /// The engine's own collections.
    Engine,
    /// Making collections, validators and indexes of the engine anew that somebody has dropped.
    Definitions,
    /// Looking which collections a database has, before a job is asked for.
    Names,
    /// Reading databases.
    Read,
    /// Writing databases, and the scratch databases of drills and of what is tried before a swap.
    Load,
    /// Looking at the members of the set.
    Watch,
    /// Changing schemas.
    Migrate,
}

impl Need {
    /// Every need.
    pub const ALL: [Self; 8] = [
        Self::Server,
        Self::Engine,
        Self::Definitions,
        Self::Names,
        Self::Read,
        Self::Load,
        Self::Watch,
        Self::Migrate,
    ];

    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "look at the server",
            Self::Engine => "the engine's collections",
            Self::Definitions => "the engine's definitions",
            Self::Names => "names of collections",
            Self::Read => "read databases",
            Self::Load => "write databases",
            Self::Watch => "watch the members",
            Self::Migrate => "change schemas",
        }
    }
}

/// What jobs of a kind need beyond [`Need::Server`] and [`Need::Engine`]. A verification that is a drill needs what a restore does.
pub const fn needs(kind: Kind) -> &'static [Need] {
    match kind {
        Kind::Backup => &[Need::Read],
        Kind::Restore => &[Need::Load],
        // They read and write repositories only.
        Kind::Verify | Kind::Prune | Kind::Copy | Kind::Reencrypt | Kind::Notify => &[],
        Kind::Monitor => &[Need::Watch],
    }
}

/// What a privilege is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// The cluster.
    Cluster,
    /// Every collection of every database, but those of the server (`system.`, `local`, `config`).
    Any,
    /// The buckets of every time-series collection.
    AnyBuckets,
    /// Every collection of a database, but those of the server.
    Database(String),
    /// A collection of a database.
    Collection(String, String),
}

impl Resource {
    /// As MongoDB takes it.
    pub fn to_document(&self) -> Document {
        match self {
            Self::Cluster => doc! { "cluster": true },
            Self::Any => doc! { "db": "", "collection": "" },
            Self::AnyBuckets => doc! { "db": "", "system_buckets": "" },
            Self::Database(database) => doc! { "db": database, "collection": "" },
            Self::Collection(database, collection) => doc! { "db": database, "collection": collection },
        }
    }

    /// As MongoDB tells it; `None` for what no role here has.
    pub fn read(told: &Document) -> Option<Self> {
        if told.get_bool("cluster").unwrap_or_default() {
            return Some(Self::Cluster);
        }
        // MongoDB leaves an empty database away here.
        if told.get_str("system_buckets").is_ok_and(str::is_empty) {
            return told.get_str("db").unwrap_or_default().is_empty().then_some(Self::AnyBuckets);
        }
        let database = told.get_str("db").ok()?;
        Some(match (database, told.get_str("collection").ok()?) {
            ("", "") => Self::Any,
            ("", _) => return None,
            (database, "") => Self::Database(database.to_owned()),
            (database, collection) => Self::Collection(database.to_owned(), collection.to_owned()),
        })
    }

    /// Whether an action that is allowed on this is allowed on the other.
    pub fn covers(&self, other: &Self) -> bool {
        let is_own = |database: &str| matches!(database, "local" | "config");
        match (self, other) {
            (Self::Any, Self::Database(database)) => !is_own(database),
            (Self::Any, Self::Collection(database, collection)) => {
                !is_own(database) && !collection.starts_with("system.")
            }
            (Self::Database(all), Self::Collection(database, collection)) => {
                all == database && !collection.starts_with("system.")
            }
            (one, other) => one == other,
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Self::Cluster => "the cluster".into(),
            Self::Any => "every database".into(),
            Self::AnyBuckets => "buckets of time series in every database".into(),
            Self::Database(database) => format!("database {database}"),
            Self::Collection(database, collection) => format!("{database}.{collection}"),
        }
    }
}

/// Some actions on a resource, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What for.
    pub need: Need,
    /// On what.
    pub resource: Resource,
    /// Which actions, in MongoDB's words.
    pub actions: &'static [&'static str],
}

/// The databases that roles name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The engine's own.
    pub ops: String,
    /// Those that migrations may change.
    pub migrated: Vec<String>,
}

impl Default for Places {
    fn default() -> Self {
        Self { ops: DEFAULT_OPS_DATABASE.into(), migrated: vec!["lucid".into()] }
    }
}

/// Actions by what they are about.
pub type Privileges = BTreeMap<Resource, BTreeSet<String>>;

/// All that a service may do.
pub fn privileges(service: Service, places: &Places) -> Privileges {
    let mut all = Privileges::new();
    for grant in grants(service, places) {
        all.entry(grant.resource).or_default().extend(grant.actions.iter().map(|action| (*action).to_owned()));
    }
    all
}

/// What of `wanted` isn't in `has`.
pub fn lacking(wanted: &Privileges, has: &Privileges) -> Privileges {
    let has_it = |resource: &Resource, action: &String| {
        has.iter().any(|(other, actions)| other.covers(resource) && actions.contains(action))
    };
    let mut lacking = Privileges::new();
    for (resource, actions) in wanted {
        let missing: BTreeSet<String> = actions.iter().filter(|action| !has_it(resource, action)).cloned().collect();
        if !missing.is_empty() {
            lacking.insert(resource.clone(), missing);
        }
    }
    lacking
}

/// Privileges as `createRole` and `updateRole` take them.
pub fn to_documents(privileges: &Privileges) -> Vec<Document> {
    let privilege = |(resource, actions): (&Resource, &BTreeSet<String>)| {
        doc! { "resource": resource.to_document(), "actions": actions.iter().map(String::as_str).collect::<Vec<_>>() }
    };
    privileges.iter().map(privilege).collect()
}

/// The roles as deploy/mongodb-init.js holds them: one privilege a line.
pub fn script() -> String {
    let mut text = String::from("const ROLES = {\n");
    for service in Service::ALL {
        text.extend(["  ", service.role(), ": [\n"]);
        for privilege in to_documents(&privileges(service, &Places::default())) {
            text.extend(["    ", &bson::Bson::from(privilege).into_relaxed_extjson().to_string(), ",\n"]);
        }
        text += "  ],\n";
    }
    text + "};\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_read_as_they_are_told() {
        for service in Service::ALL {
            for (resource, actions) in privileges(service, &Places::default()) {
                assert_eq!(Resource::read(&resource.to_document()), Some(resource.clone()), "{resource:?}");
                assert!(!actions.is_empty(), "{resource:?}");
            }
        }
        assert_eq!(Resource::read(&doc! { "system_buckets": "" }), Some(Resource::AnyBuckets), "as MongoDB tells it");
        for other in [
            doc! { "db": "d", "system_buckets": "" },
            doc! { "anyResource": true },
            doc! { "db": "", "collection": "system.js" },
            doc! {},
        ] {
            assert_eq!(Resource::read(&other), None, "{other}");
        }
    }

    #[test]
    fn nobody_is_a_user_administrator_nor_may_more_than_a_service_has_a_kind_for() {
        const MIGHTY: [&str; 14] = [
            "anyAction",
            "internal",
            "createUser",
            "createRole",
            "grantRole",
            "grantPrivilegesToRole",
            "changePassword",
            "changeOwnPassword",
            "dropUser",
            "viewUser",
            "setParameter",
            "shutdown",
            "applyOps",
            "replSetConfigure",
        ];
        let writes = ["insert", "update", "remove", "dropCollection", "dropDatabase", "collMod", "createIndex"];
        for service in Service::ALL {
            for (resource, actions) in privileges(service, &Places::default()) {
                assert!(MIGHTY.iter().all(|mighty| !actions.contains(*mighty)), "{service:?} on {resource:?}");
                let reads_all = matches!(resource, Resource::Any | Resource::AnyBuckets);
                let may_write = service == Service::Restore;
                assert!(!reads_all || may_write || writes.iter().all(|write| !actions.contains(*write)), "{service:?}");
                assert!(
                    !(reads_all && service == Service::Api && actions.contains("find")),
                    "the API reads no documents"
                );
            }
        }
        // What would take events away: removing, dropping, and an index or a rule by which the server does it.
        for collection in
            [Resource::Collection("lucid_ops".into(), "ops".into()), Resource::Database("lucid_ops".into())]
        {
            let of_api = privileges(Service::Api, &Places::default()).remove(&collection).unwrap_or_default();
            for action in ["remove", "dropCollection", "dropDatabase", "createIndex", "collMod", "convertToCapped"] {
                assert!(!of_api.contains(action), "{action} on {collection:?}");
            }
        }
    }
}
