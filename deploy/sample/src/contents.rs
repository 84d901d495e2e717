//! What a sample consists of besides documents: collections with their options, indexes, views.

use bson::{Document, doc};

/// Collections with the options they are made with, in the order in which they are made.
pub(crate) fn collections(audit_entries: u64) -> Vec<Document> {
    let audit_entries = i64::try_from(audit_entries.max(1)).unwrap_or(i64::MAX);
    vec![
        doc! { "create": "sessions" },
        doc! { "create": "authentication" },
        doc! { "create": "transactions" },
        doc! {
            "create": "metrics",
            "timeseries": { "timeField": "at", "metaField": "source", "granularity": "seconds" },
        },
        // Room for all entries: what a capped collection drops is not the same every time.
        doc! { "create": "audit_log", "capped": true, "size": audit_entries * 512, "max": audit_entries },
        doc! { "create": "blocks", "clusteredIndex": { "key": { "_id": 1 }, "unique": true, "name": "by height" } },
        accounts(),
        doc! { "create": "names", "collation": { "locale": "fr", "strength": 1 } },
        doc! { "create": "types" },
        doc! { "create": "keyed" },
        doc! { "create": "large" },
        doc! { "create": "empty" },
        doc! { "create": "reports/2025 Ω.archive" },
    ]
}

/// One collection with a validator, and change stream images.
fn accounts() -> Document {
    doc! {
        "create": "accounts",
        "validator": { "$jsonSchema": {
            "bsonType": "object",
            "required": ["owner", "balance"],
            "properties": { "balance": { "bsonType": "decimal" }, "owner": { "bsonType": "string", "minLength": 1 } },
        } },
        "validationLevel": "moderate",
        "validationAction": "error",
        "changeStreamPreAndPostImages": { "enabled": true },
    }
}

/// Views, each after what it is on.
pub(crate) fn views() -> Vec<Document> {
    vec![
        doc! {
            "create": "active_sessions",
            "viewOn": "sessions",
            "pipeline": [{ "$match": { "active": true } }, { "$project": { "user_id": 1, "device.name": 1, "created_at": 1 } }],
        },
        doc! {
            "create": "active_users",
            "viewOn": "active_sessions",
            "pipeline": [
                { "$group": { "_id": "$user_id", "sessions": { "$sum": 1 }, "last": { "$max": "$created_at" } } },
                { "$sort": { "sessions": -1, "_id": 1 } },
            ],
        },
    ]
}

/// Indexes by collection.
pub(crate) fn indexes() -> Vec<(&'static str, Vec<Document>)> {
    vec![
        (
            "sessions",
            vec![
                doc! { "key": { "token": 1 }, "name": "token_1", "unique": true },
                doc! { "key": { "expires_at": 1 }, "name": "expires_at_1", "expireAfterSeconds": 0 },
                doc! { "key": { "user_id": 1, "created_at": -1 }, "name": "user_id_1_created_at_-1" },
            ],
        ),
        ("authentication", authentication_indexes()),
        (
            "transactions",
            vec![
                doc! { "key": { "account": "hashed" }, "name": "account_hashed" },
                doc! { "key": { "place": "2dsphere" }, "name": "place_2dsphere" },
                doc! { "key": { "memo": "text" }, "name": "memo_text", "weights": { "memo": 3 }, "default_language": "english" },
                doc! { "key": { "attributes.$**": 1 }, "name": "attributes_wildcard" },
            ],
        ),
        ("metrics", vec![doc! { "key": { "source.host": 1, "at": -1 }, "name": "host_and_time" }]),
        ("audit_log", vec![doc! { "key": { "who": 1 }, "name": "who_1" }]),
        ("blocks", vec![doc! { "key": { "hash": 1 }, "name": "hash_1", "unique": true }]),
        ("accounts", vec![doc! { "key": { "$**": 1 }, "name": "all_but_note", "wildcardProjection": { "note": 0 } }]),
        (
            "names",
            vec![
                doc! { "key": { "name": 1 }, "name": "name_1" },
                doc! { "key": { "name": -1 }, "name": "name_exact", "collation": { "locale": "simple" } },
            ],
        ),
    ]
}

/// Four secondary indexes: unique, partial, hidden, collated.
pub(crate) fn authentication_indexes() -> Vec<Document> {
    vec![
        doc! { "key": { "username": 1 }, "name": "username_1", "unique": true },
        doc! { "key": { "last_login": 1 }, "name": "locked_by_login", "partialFilterExpression": { "locked": true } },
        doc! { "key": { "last_ip": 1 }, "name": "last_ip_1", "hidden": true, "sparse": true },
        doc! {
            "key": { "display_name": 1 },
            "name": "display_name_de",
            "collation": { "locale": "de", "strength": 2, "caseLevel": false },
        },
    ]
}
