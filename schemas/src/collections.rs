//! Collections of the engine's own database: names, validators, indexes and views, as data.
//!
//! Applied idempotently at every start. The validators document the fields for Compass and refuse what no
//! version of this program writes; they never decide a transition.

use crate::{
    State,
    access::Role,
    alert::AlertState,
    kind::ALERT,
    silence::{SILENCE_MS_MAX, WINDOWS_MS_MAX},
};
use bson::{Document, doc};

/// The jobs, and the alerts beside them.
pub const OPS: &str = "ops";
/// A view: one document per event, for people.
pub const OPS_EVENTS: &str = "ops_events";
/// Lists too large for an event.
pub const OPS_DETAILS: &str = "ops_details";
/// Workers and what they reach.
pub const WORKERS: &str = "workers";
/// Repository names bound to ids.
pub const REPOSITORIES: &str = "repositories";
/// Jobs that are asked for by themselves.
pub const SCHEDULES: &str = "schedules";
/// What nobody is told of for a while.
pub const SILENCES: &str = "silences";
/// Who may do what over HTTP, by tokens; only hashes of their secrets.
pub const TOKENS: &str = "tokens";

/// Kinds whose jobs aren't claimed for now.
pub const QUEUES: &str = "queues";
/// Idempotency keys of requests, for a day.
pub const IDEMPOTENCY: &str = "idempotency";
/// One document per part of this database that has a shape: its number, so that an older program keeps away.
pub const MIGRATIONS: &str = "migrations";

/// Number of these definitions (validators, indexes, the view): it rises with every change of them, so that an older
/// program leaves alone what a later one has made.
pub const DEFINITIONS: i32 = 5;

/// An index as `createIndexes` takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexDefinition {
    /// The collection.
    pub collection: &'static str,
    /// The index document with `name` and `key`.
    pub index: Document,
}

/// `$jsonSchema` of a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatorDefinition {
    /// The collection.
    pub collection: &'static str,
    /// The validator.
    pub validator: Document,
}

/// Every validator.
pub fn validators() -> Vec<ValidatorDefinition> {
    let define =
        |collection, schema: Document| ValidatorDefinition { collection, validator: doc! { "$jsonSchema": schema } };
    vec![
        define(OPS, ops_schema()),
        define(OPS_DETAILS, doc! { "bsonType": "object", "required": ["_id", "job", "name", "hash", "data"] }),
        define(WORKERS, doc! { "bsonType": "object", "required": ["_id", "seen_at", "capacity", "repositories"] }),
        define(REPOSITORIES, doc! { "bsonType": "object", "required": ["_id", "id"] }),
        define(QUEUES, doc! { "bsonType": "object", "required": ["_id", "by", "reason", "at"] }),
        define(
            IDEMPOTENCY,
            doc! { "bsonType": "object", "required": ["_id", "fingerprint", "job", "write", "expires_at"] },
        ),
        define(MIGRATIONS, doc! { "bsonType": "object", "required": ["_id", "schema"] }),
        define(SCHEDULES, schedules_schema()),
        define(TOKENS, tokens_schema()),
        ValidatorDefinition {
            collection: SILENCES,
            validator: doc! { "$jsonSchema": silences_schema(), "$expr": silence_is_bounded() },
        },
    ]
}

fn schedules_schema() -> Document {
    doc! {
        "bsonType": "object",
        "required": ["_id", "schema", "version", "cron", "timezone", "kind", "spec", "repository", "paused", "missed",
                     "overlap", "high_water", "created_at", "updated_at", "write"],
        "properties": {
            "_id": { "bsonType": "string", "description": "its name" },
            "schema": { "bsonType": "int", "description": "shape of this document" },
            "version": { "bsonType": ["long", "int"], "description": "+1 with each edit" },
            "cron": { "bsonType": "string", "description": "minute, hour, day, month, weekday" },
            "timezone": { "bsonType": "string", "description": "IANA name of the clock that cron means" },
            "kind": { "bsonType": "string", "description": "what its jobs do" },
            "spec": { "bsonType": "object", "description": "what its jobs are asked to do" },
            "paused": { "bsonType": "bool" },
            "missed": { "enum": ["skip", "once", "all"], "description": "what becomes of missed occurrences" },
            "overlap": { "enum": ["skip", "allow"], "description": "whether its jobs may overlap" },
            "high_water": { "bsonType": "date", "description": "occurrences planned until then are dealt with" },
            "last": { "bsonType": "object", "required": ["planned_at"], "description": "what came of the newest one" },
            "created_at": { "bsonType": "date" },
            "updated_at": { "bsonType": "date" },
        },
    }
}

fn silences_schema() -> Document {
    doc! {
        "bsonType": "object",
        "required": ["_id", "schema", "matchers", "from", "until", "by", "comment", "created_at", "write"],
        "properties": {
            "_id": { "bsonType": "string", "description": "silence, UTC date, time, 10 random characters" },
            "schema": { "bsonType": "int", "description": "shape of this document" },
            "matchers": {
                "bsonType": "array", "minItems": 1,
                "items": { "bsonType": "object", "required": ["on", "value"] },
                "description": "what it is about: all of them must hold",
            },
            "from": { "bsonType": "date" },
            "until": { "bsonType": "date", "description": "unless it is ended before" },
            "window": {
                "bsonType": "object", "required": ["cron", "timezone", "duration_seconds"],
                "description": "where it holds only in parts of that time",
            },
            "by": { "bsonType": "string", "description": "who wants it" },
            "comment": { "bsonType": "string", "minLength": 1, "description": "why" },
            "created_at": { "bsonType": "date" },
            "ended_at": { "bsonType": "date", "description": "when somebody ended it" },
        },
    }
}

fn tokens_schema() -> Document {
    doc! {
        "bsonType": "object",
        "required": ["_id", "schema", "hash", "role", "created_at", "created_by", "write"],
        "properties": {
            "_id": { "bsonType": "string", "description": "its name, never given twice" },
            "schema": { "bsonType": "int", "description": "shape of this document" },
            "hash": { "bsonType": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of its secret" },
            "role": { "enum": Role::ALL.map(Role::as_str).to_vec(), "description": "what its holder may do" },
            "databases": {
                "bsonType": "array", "minItems": 1, "items": { "bsonType": "string" },
                "description": "to which databases; all where absent",
            },
            "created_at": { "bsonType": "date" },
            "created_by": { "bsonType": "string" },
            "expires_at": { "bsonType": "date", "description": "until when it is valid" },
            "revoked_at": { "bsonType": "date", "description": "when somebody took it back" },
            "revoked_by": { "bsonType": "string" },
        },
    }
}

/// Nothing is silenced for ever, nor without anything that is equal.
fn silence_is_bounded() -> Document {
    let is_plain = doc! { "$eq": [{ "$type": "$window" }, "missing"] };
    let most = doc! { "$cond": [is_plain, SILENCE_MS_MAX, WINDOWS_MS_MAX] };
    let is_equality = doc! { "$ne": ["$$matcher.not", true] };
    let equalities = doc! { "$filter": { "input": "$matchers", "as": "matcher", "cond": is_equality } };
    doc! { "$and": [
        { "$lt": ["$from", "$until"] },
        { "$lte": [{ "$subtract": ["$until", "$from"] }, most] },
        { "$gt": [{ "$size": equalities }, 0] },
    ] }
}

fn ops_schema() -> Document {
    doc! {
        "bsonType": "object",
        "required": ["_id", "schema", "kind", "state", "open", "version", "created_at", "events"],
        "properties": {
            "_id": { "bsonType": "string", "description": "kind, UTC date, time, 10 random characters" },
            "schema": { "bsonType": "int", "description": "shape of this document" },
            "kind": { "bsonType": "string", "description": "what the job does, or alert" },
            "open": { "bsonType": "bool", "description": "whether it has yet to end" },
            "version": { "bsonType": ["long", "int"], "description": "number of events" },
            "created_at": { "bsonType": "date" },
            "events": {
                "bsonType": "array", "minItems": 1, "maxItems": 1000,
                "items": { "bsonType": "object", "required": ["seq", "at", "type", "by", "write"] },
            },
        },
        // Their kinds tell them apart.
        "oneOf": [job_schema(), alert_schema()],
    }
}

fn job_schema() -> Document {
    let states: Vec<_> = State::ALL.map(State::as_str).to_vec();
    doc! {
        // An alert never has a `run_at`: the lists of jobs go by that.
        "required": ["spec", "epoch", "attempt", "run_at"],
        "properties": {
            "kind": { "not": { "enum": [ALERT] } },
            "spec": { "bsonType": "object", "description": "what it was asked to do; never changes" },
            "state": { "enum": states, "description": "fold of the events" },
            "unique_key": {
                "bsonType": "string", "pattern": "^(user|schedule|monitor|notify)/",
                "description": "whose key it is, and the key: at most one open job has it",
            },
            "epoch": { "bsonType": ["long", "int"] },
            "attempt": { "bsonType": "int" },
            "run_at": { "bsonType": "date", "description": "when it is due, by the primary's clock" },
            "started_at": { "bsonType": "date" },
            "finished_at": { "bsonType": "date" },
            "rank_at": { "bsonType": "date", "description": "run_at, earlier by ten minutes for each step of priority" },
            "keys": { "bsonType": "array", "minItems": 1, "description": "what it needs to itself or shares" },
            "after": { "bsonType": "object", "required": ["job", "state"], "description": "what must have ended first" },
            "needs": {
                "bsonType": "array", "minItems": 1, "items": { "bsonType": "string" },
                "description": "backups, by their jobs, that stay until this one has ended",
            },
            "holds": { "bsonType": "array", "minItems": 1, "description": "slots of concurrency keys" },
            "lease": { "bsonType": "object", "required": ["worker", "token", "expires_at"] },
        },
    }
}

fn alert_schema() -> Document {
    let states: Vec<_> = AlertState::ALL.map(AlertState::as_str).to_vec();
    doc! {
        "required": ["rule", "labels", "fingerprint", "unique_key", "starts_at", "severity", "last_seen_at", "occurrences",
                     "summary", "rules_version", "token", "touches", "write"],
        "not": { "required": ["run_at"] },
        "properties": {
            "kind": { "enum": [ALERT] },
            "state": { "enum": states, "description": "fold of the events" },
            "rule": { "bsonType": "string", "description": "what found it" },
            "labels": { "bsonType": "object", "description": "what it is about; never changes" },
            "fingerprint": { "bsonType": "string", "description": "hash of rule and labels" },
            "unique_key": {
                "bsonType": "string", "pattern": "^alert/", "description": "at most one open alert has a fingerprint",
            },
            "starts_at": { "bsonType": "date", "description": "since when it was so" },
            "severity": { "bsonType": "string", "description": "how much it matters" },
            "last_seen_at": { "bsonType": "date", "description": "written at most once a minute, with what was seen" },
            "summary": { "bsonType": "string", "description": "the rule's sentence, for people" },
            "notify": {
                "bsonType": "array", "minItems": 1,
                "items": { "bsonType": "object", "required": ["channel", "what", "due_at", "begun"] },
                "description": "who is to be told of it, and when",
            },
            "token": {
                "bsonType": "object", "required": ["generation", "epoch"], "description": "the claim that wrote it last",
            },
            "touches": { "bsonType": ["long", "int"], "description": "number of writes that no event tells of" },
            "resolved_at": { "bsonType": "date" },
        },
    }
}

/// States of jobs that a worker has, or had and couldn't end.
pub const UNDER_WAY: [State; 4] = [State::Running, State::Canceling, State::Committing, State::Blocked];

/// Index of what is due, best first: the claim's query.
pub const QUEUED_BY_RANK: &str = "queued_by_rank";
/// Index of what becomes due next: the timer's query.
pub const QUEUED_BY_TIME: &str = "queued_by_time";
/// Index of who waits for a job to end.
pub const WAITING_FOR: &str = "waiting_for";
/// Index of who waits, longest first.
pub const WAITING_SINCE: &str = "waiting_since";
/// Index of open jobs that were claimed, by the ends of their leases: the takeover's query.
pub const CLAIMED_BY_LEASE_END: &str = "claimed_by_lease_end";
/// Index of unique keys of open jobs.
pub const UNIQUE_KEY: &str = "unique_key";
/// Index of occupied slots.
pub const HOLDS: &str = "holds";
/// Index of the backups that open jobs need: the prune's query.
pub const NEEDED: &str = "needed";
/// Index of alerts of which somebody is to be told.
pub const NOTIFY_DUE: &str = "notify_due";
/// Index of alerts about the same, newest first.
pub const SAME_ALERTS: &str = "same_alerts";
/// Index of lists of jobs: alerts have no `run_at`.
pub const NEWEST_JOBS: &str = "newest_jobs";
/// Index of lists of a kind; alerts are one.
pub const NEWEST_OF_KIND: &str = "newest_of_kind";
/// Index of what ended, by state: "what failed today".
pub const ENDED: &str = "ended_newest";

/// Every index beyond `_id`. One that changes takes another name: an existing one is never replaced under way. A job
/// stands only in those that serve it: every index more is a write more for every transition.
pub fn indexes() -> Vec<IndexDefinition> {
    let some = |name: &str, key: Document, partial: Document| IndexDefinition {
        collection: OPS,
        index: doc! { "name": name, "key": key, "partialFilterExpression": partial },
    };
    let unique = |name: &str, key: Document, partial: Document| IndexDefinition {
        collection: OPS,
        index: doc! { "name": name, "key": key, "unique": true, "partialFilterExpression": partial },
    };
    let all = |name: &str, key: Document| IndexDefinition { collection: OPS, index: doc! { "name": name, "key": key } };
    let exists = || doc! { "$exists": true };
    let queued = doc! { "state": State::Queued.as_str() };
    let waiting = doc! { "state": State::Waiting.as_str() };
    vec![
        some(QUEUED_BY_RANK, doc! { "state": 1, "rank_at": 1 }, queued.clone()),
        some(QUEUED_BY_TIME, doc! { "state": 1, "run_at": 1 }, queued),
        some(WAITING_FOR, doc! { "state": 1, "after.job": 1, "created_at": 1 }, waiting.clone()),
        some(WAITING_SINCE, doc! { "state": 1, "created_at": 1 }, waiting),
        some(
            CLAIMED_BY_LEASE_END,
            doc! { "state": 1, "lease.expires_at": 1 },
            doc! { "open": true, "worker": exists() },
        ),
        unique(UNIQUE_KEY, doc! { "unique_key": 1 }, doc! { "open": true, "unique_key": exists() }),
        unique(HOLDS, doc! { "holds": 1 }, doc! { "holds": exists() }),
        some(NEEDED, doc! { "needs": 1 }, doc! { "open": true, "needs": exists() }),
        some(NOTIFY_DUE, doc! { "notify.due_at": 1 }, doc! { "notify": exists() }),
        some(SAME_ALERTS, doc! { "fingerprint": 1, "created_at": -1, "_id": -1 }, doc! { "fingerprint": exists() }),
        // Lists, newest first.
        some(NEWEST_JOBS, doc! { "created_at": -1, "_id": -1 }, doc! { "run_at": exists() }),
        all(NEWEST_OF_KIND, doc! { "kind": 1, "created_at": -1, "_id": -1 }),
        some(ENDED, doc! { "state": 1, "finished_at": -1 }, doc! { "finished_at": exists() }),
        // "What ran on node X", for Compass.
        some("claimed_by", doc! { "worker": 1, "started_at": -1 }, doc! { "worker": exists() }),
        IndexDefinition {
            collection: IDEMPOTENCY,
            index: doc! { "name": "expiry", "key": { "expires_at": 1 }, "expireAfterSeconds": 0 },
        },
        IndexDefinition { collection: SILENCES, index: doc! { "name": "silences_by_end", "key": { "until": 1 } } },
        IndexDefinition { collection: OPS_DETAILS, index: doc! { "name": "job", "key": { "job": 1 } } },
    ]
}

/// Pipeline of the view [`OPS_EVENTS`] on [`OPS`].
pub fn events_view() -> Vec<Document> {
    let is_alert = doc! { "$eq": ["$kind", ALERT] };
    vec![
        doc! { "$unwind": "$events" },
        doc! { "$project": {
            "_id": { "$concat": ["$_id", ":", { "$toString": "$events.seq" }] },
            "class": { "$cond": [&is_alert, ALERT, "job"] },
            "job": { "$cond": [&is_alert, "$$REMOVE", "$_id"] },
            "alert": { "$cond": [&is_alert, "$_id", "$$REMOVE"] },
            "kind": "$kind",
            "seq": "$events.seq",
            "at": "$events.at",
            "type": "$events.type",
            "by": "$events.by",
            "data": "$events.data",
        } },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_name_of_its_own() {
        let mut names: Vec<_> =
            indexes().iter().map(|definition| definition.index.get_str("name").expect("a name").to_owned()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), indexes().len());
    }
}
