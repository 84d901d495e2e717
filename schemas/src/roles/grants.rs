//! The privileges themselves.

use super::{Grant, Need, Places, Resource, Service};
use crate::collections::{
    IDEMPOTENCY, MIGRATIONS, OPS, OPS_DETAILS, QUEUES, REPOSITORIES, SCHEDULES, SILENCES, WORKERS,
};

const WRITE: &[&str] = &["insert", "update"];
const OWN: &[&str] = &["insert", "remove", "update"];
/// A look at documents together with the server's clock is an aggregation without a collection, for which MongoDB wants `find` on the
/// whole database.
const LOOK: &[&str] = &["find", "listCollections", "listIndexes"];

/// What a service may do, and what for.
pub fn grants(service: Service, places: &Places) -> Vec<Grant> {
    let mut all = match service {
        Service::Api => api(places),
        Service::Worker => [worker(places), read()].concat(),
        Service::Restore => [worker(places), load()].concat(),
        Service::Monitor => [monitor(places), watch()].concat(),
        Service::Migration => migration(places),
    };
    if service != Service::Migration {
        all.extend(server());
    }
    all
}

fn on(need: Need, resource: Resource, actions: &'static [&'static str]) -> Grant {
    Grant { need, resource, actions }
}

/// Versions, the snapshot window and the size of the oplog are looked at by whoever connects.
fn server() -> Vec<Grant> {
    let oplog = Resource::Collection("local".into(), "oplog.rs".into());
    vec![on(Need::Server, Resource::Cluster, &["getParameter"]), on(Need::Server, oplog, &["collStats"])]
}

fn engine(places: &Places, collections: &[(&str, &'static [&'static str])]) -> Vec<Grant> {
    let of = |collection: &str| Resource::Collection(places.ops.clone(), collection.to_owned());
    let mut all: Vec<Grant> =
        collections.iter().map(|(collection, actions)| on(Need::Engine, of(collection), actions)).collect();
    all.push(on(Need::Engine, of(OPS), &["changeStream"]));
    all.push(on(Need::Engine, Resource::Database(places.ops.clone()), LOOK));
    all
}

/// Neither removes jobs, nor may make an index or a rule by which the server removes them.
fn api(places: &Places) -> Vec<Grant> {
    let mut all = engine(places, &[(OPS, WRITE), (SCHEDULES, OWN), (QUEUES, OWN), (IDEMPOTENCY, WRITE)]);
    all.push(on(Need::Names, Resource::Any, &["listCollections"]));
    all
}

fn worker(places: &Places) -> Vec<Grant> {
    let collections =
        [(OPS, OWN), (OPS_DETAILS, OWN), (WORKERS, OWN), (REPOSITORIES, WRITE), (SCHEDULES, OWN), (MIGRATIONS, WRITE)];
    let mut all = engine(places, &collections);
    let definitions = &["collMod", "createCollection", "createIndex"];
    all.push(on(Need::Definitions, Resource::Database(places.ops.clone()), definitions));
    all
}

fn monitor(places: &Places) -> Vec<Grant> {
    engine(places, &[(OPS, OWN), (OPS_DETAILS, OWN), (WORKERS, OWN), (SILENCES, OWN)])
}

fn read() -> Vec<Grant> {
    let actions = &["collStats", "find", "listCollections", "listIndexes"];
    let buckets = &["collStats", "find", "listIndexes"];
    vec![on(Need::Read, Resource::Any, actions), on(Need::Read, Resource::AnyBuckets, buckets)]
}

/// Never the built-in role `restore`, which may make users.
fn load() -> Vec<Grant> {
    let actions = &[
        "bypassDocumentValidation",
        "collMod",
        "collStats",
        "convertToCapped",
        "createCollection",
        "createIndex",
        "dropCollection",
        "dropDatabase",
        "find",
        "insert",
        "listCollections",
        "listIndexes",
        "remove",
        "update",
    ];
    let buckets = &["bypassDocumentValidation", "collStats", "find", "insert", "listIndexes", "remove", "update"];
    vec![
        on(Need::Load, Resource::Any, actions),
        on(Need::Load, Resource::AnyBuckets, buckets),
        on(Need::Load, Resource::Cluster, &["serverStatus"]),
        on(Need::Load, Resource::Database("admin".into()), &["dbStats"]),
    ]
}

/// Reads no documents but the ends of the oplog.
fn watch() -> Vec<Grant> {
    let cluster = &["replSetGetConfig", "replSetGetStatus", "serverStatus"];
    let measures = &["collStats", "listCollections"];
    vec![
        on(Need::Watch, Resource::Cluster, cluster),
        on(Need::Watch, Resource::Any, measures),
        on(Need::Watch, Resource::Database("config".into()), measures),
        on(Need::Watch, Resource::Database("admin".into()), &["dbStats"]),
        on(Need::Watch, Resource::Collection("local".into(), "oplog.rs".into()), &["find"]),
    ]
}

/// As the built-in roles `readWrite` and `dbAdmin` on these databases, without profiling.
fn migration(places: &Places) -> Vec<Grant> {
    let actions = &[
        "bypassDocumentValidation",
        "changeStream",
        "collMod",
        "collStats",
        "convertToCapped",
        "createCollection",
        "createIndex",
        "dbStats",
        "dropCollection",
        "dropIndex",
        "find",
        "indexStats",
        "insert",
        "listCollections",
        "listIndexes",
        "remove",
        "renameCollectionSameDB",
        "update",
        "validate",
    ];
    places.migrated.iter().map(|database| on(Need::Migrate, Resource::Database(database.clone()), actions)).collect()
}
