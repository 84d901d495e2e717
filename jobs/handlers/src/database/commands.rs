//! Every command that changes something, in one place, with why it is safe.
//!
//! A worker may be stopped for an hour right before it sends one of these, while a successor finishes the job and users
//! write again. So each names the identity (UUID) of what it expects: the server refuses it with code 361 if anything
//! else is there by then. What can't name an identity can't harm either, as its comment says. Commands on the target also
//! end within the lease (`maxTimeMS`); those on staging end, too, so that somebody's lock can't hold a job, or the clean-up
//! after it, for ever. Only index builds may take as long as they need.

use super::{
    Command,
    queries::{Identified, command},
};
use crate::{error::Result, restore::staging::StagingName, scratch::ScratchName};
use bson::{
    Binary, Bson, Document, RawArrayBuf, RawDocument, RawDocumentBuf, Timestamp, Uuid, doc,
    raw::{CStr, cstr},
    rawdoc,
    spec::ElementType,
};
use std::time::Duration;

/// Where an answer waits for a majority, it does so for at most this long, and then reports trouble.
const MAJORITY_PATIENCE_MS: i64 = 60_000;
/// Making or dropping a staging collection takes moments, unless it waits for somebody's lock.
const STAGING_PATIENCE: Duration = Duration::from_secs(30);

fn majority() -> Document {
    doc! { "w": "majority", "wtimeout": MAJORITY_PATIENCE_MS }
}

fn raw_majority() -> RawDocumentBuf {
    rawdoc! { "w": "majority", "wtimeout": MAJORITY_PATIENCE_MS }
}

fn milliseconds(within: Duration) -> i64 {
    // 0 would mean "no limit".
    i64::try_from(within.as_millis()).unwrap_or(i64::MAX).clamp(1, i64::from(i32::MAX))
}

/// Creates a staging collection. Safe: `create` never touches what exists (code 48), and the name is this claim's own.
pub(crate) fn create_staging(database: &str, staging: &StagingName, options: Document) -> Result<Command> {
    let mut body = doc! { "create": staging.as_str() };
    body.extend(options);
    body.insert("writeConcern", majority());
    body.insert("maxTimeMS", milliseconds(STAGING_PATIENCE));
    command(database, "create a staging collection", true, &body)
}

/// Creates a collection or view under its final name. Safe: `create` never touches what exists (code 48).
pub(crate) fn create_target(database: &str, name: &str, options: Document, within: Duration) -> Result<Command> {
    let mut body = doc! { "create": name };
    body.extend(options);
    body.insert("writeConcern", majority());
    body.insert("maxTimeMS", milliseconds(within));
    command(database, format!("create {database}.{name}"), true, &body)
}

/// Inserts documents as they are. Safe: with the UUID it reaches only the collection that was created for them; where
/// that one has been renamed or dropped, the server refuses (361). Unless `durable`, it is acknowledged by the
/// primary alone: what a failover takes back is found when the content is proven.
pub(crate) fn insert(
    into: &Identified,
    documents: RawArrayBuf,
    (ordered, durable): (bool, bool),
    within: Duration,
) -> Command {
    let mut body = RawDocumentBuf::new();
    body.append(cstr!("insert"), into.storage.as_str());
    body.append(cstr!("ordered"), ordered);
    body.append(cstr!("bypassDocumentValidation"), true);
    body.append(cstr!("collectionUUID"), Binary::from(into.uuid));
    if durable {
        body.append(cstr!("writeConcern"), raw_majority());
    }
    body.append(cstr!("maxTimeMS"), milliseconds(within));
    body.append(cstr!("documents"), documents);
    Command {
        doing: format!("insert into {}.{}", into.database, into.storage),
        database: into.database.clone(),
        body,
        definitions: false,
    }
}

/// Puts back zero timestamps, which the server has replaced in inserted documents. Safe as [`insert`] is.
pub(crate) fn keep_zero_timestamps(into: &Identified, documents: &[RawDocumentBuf], within: Duration) -> Command {
    let mut updates = RawArrayBuf::new();
    for document in documents {
        let Ok(Some(id)) = document.get("_id") else {
            continue;
        };
        let mut equal = RawDocumentBuf::new();
        equal.append(cstr!("$eq"), id);
        let mut query = RawDocumentBuf::new();
        query.append(cstr!("_id"), equal);
        let mut update = RawDocumentBuf::new();
        update.append(cstr!("q"), query);
        match set_zero_timestamps(document) {
            Some(set) => update.append(cstr!("u"), set),
            None => update.append(cstr!("u"), replace_whole(document)),
        }
        updates.push(update);
    }
    let mut body = RawDocumentBuf::new();
    body.append(cstr!("update"), into.storage.as_str());
    body.append(cstr!("ordered"), false);
    body.append(cstr!("bypassDocumentValidation"), true);
    body.append(cstr!("collectionUUID"), Binary::from(into.uuid));
    body.append(cstr!("maxTimeMS"), milliseconds(within));
    body.append(cstr!("updates"), updates);
    Command {
        doing: format!("keep zero timestamps of {}.{}", into.database, into.storage),
        database: into.database.clone(),
        body,
        definitions: false,
    }
}

/// `$set` of each zero timestamp. It is replicated as a change of these fields, which secondaries apply as it is. `None`
/// where a field's name would be read as a path.
fn set_zero_timestamps(document: &RawDocument) -> Option<RawDocumentBuf> {
    let mut fields = RawDocumentBuf::new();
    for name in zero_timestamps(document) {
        let text = name.as_str();
        if text.is_empty() || text.starts_with('$') || text.contains('.') {
            return None;
        }
        fields.append(name, ZERO);
    }
    let mut set = RawDocumentBuf::new();
    set.append(cstr!("$set"), fields);
    Some(set)
}

/// A pipeline that replaces the whole document, `_id` aside. A small document is replicated whole then, and secondaries
/// put their own time in again (tried on 6.0.5): only for names that `$set` can't express.
fn replace_whole(document: &RawDocument) -> RawArrayBuf {
    let mut literal = RawDocumentBuf::new();
    literal.append(cstr!("$literal"), document);
    let mut root = RawDocumentBuf::new();
    root.append(cstr!("newRoot"), literal);
    let mut stage = RawDocumentBuf::new();
    stage.append(cstr!("$replaceRoot"), root);
    let mut pipeline = RawArrayBuf::new();
    pipeline.push(stage);
    pipeline
}

const ZERO: Timestamp = Timestamp { time: 0, increment: 0 };

/// Whether the server would replace a zero timestamp of this document. Few documents have the eight zero bytes of one
/// anywhere, so that few are parsed for it.
pub(crate) fn has_zero_timestamps(document: &RawDocument) -> bool {
    holds_eight_zeros(document.as_bytes()) && zero_timestamps(document).next().is_some()
}

/// Eight bytes in a row hold an aligned word of four.
fn holds_eight_zeros(bytes: &[u8]) -> bool {
    let zero = |byte: &&u8| **byte == 0;
    bytes.chunks_exact(4).enumerate().any(|(number, word)| {
        let (before, from) = bytes.split_at(number * 4);
        let around =
            || before.iter().rev().take_while(zero).take(4).count() + from.iter().take_while(zero).take(8).count();
        word == [0; 4] && around() >= 8
    })
}

/// Names of the fields in which the server puts its own time when a document is inserted: zero timestamps at the top
/// level, other than `_id`.
fn zero_timestamps(document: &RawDocument) -> impl Iterator<Item = &CStr> {
    document.iter_elements().flatten().filter_map(|element| {
        let replaced = element.element_type() == ElementType::Timestamp
            && element.key().as_str() != "_id"
            && element.value().is_ok_and(|value| value.as_timestamp() == Some(ZERO));
        replaced.then(|| element.key())
    })
}

/// Builds indexes, all in one pass. Safe: the UUID names the collection. Without a time limit, as a build takes as long
/// as it takes; dropping the collection ends it. A majority of members has to be ready, so that one member that is
/// down doesn't hold it up for ever.
pub(crate) fn create_indexes(database: &str, name: &str, uuid: Uuid, indexes: Vec<Document>) -> Result<Command> {
    let body = doc! {
        "createIndexes": name,
        "indexes": indexes,
        "collectionUUID": uuid,
        "commitQuorum": "majority",
        "writeConcern": majority(),
    };
    command(database, format!("build the indexes of {database}.{name}"), true, &body)
}

/// Gives a staged collection its final name. Safe: `collectionUUID` is the staged collection's, `dropTarget` the
/// identity of the one to be replaced, or `false` where nothing may be there. Whoever comes second, or after anybody
/// else's change, is refused (361 or 48).
pub(crate) fn rename_into_place(
    database: &str,
    staging: &StagingName,
    staged: Uuid,
    name: &str,
    replaced: Option<Uuid>,
    within: Duration,
) -> Result<Command> {
    let body = doc! {
        "renameCollection": format!("{database}.{staging}"),
        "to": format!("{database}.{name}"),
        "collectionUUID": staged,
        "dropTarget": replaced.map_or(Bson::Boolean(false), Bson::from),
        "writeConcern": majority(),
        "maxTimeMS": milliseconds(within),
    };
    command("admin", format!("swap {database}.{name}"), true, &body)
}

/// Drops a staging collection. Safe: named by UUID, and only names of this job's staging have the type.
pub(crate) fn drop_staging(database: &str, staging: &StagingName, uuid: Uuid) -> Result<Command> {
    let body = doc! {
        "drop": staging.as_str(),
        "collectionUUID": uuid,
        "writeConcern": majority(),
        "maxTimeMS": milliseconds(STAGING_PATIENCE),
    };
    command(database, "drop a staging collection", true, &body)
}

/// Drops a staging time-series collection, for which the server takes no UUID. Safe: only names of this job's staging
/// have the type, they are never given a second time, and nothing of it is ever renamed.
pub(crate) fn drop_staging_time_series(database: &str, staging: &StagingName) -> Result<Command> {
    let body = doc! {
        "drop": staging.as_str(),
        "writeConcern": majority(),
        "maxTimeMS": milliseconds(STAGING_PATIENCE),
    };
    command(database, "drop a staging time-series collection", true, &body)
}

/// Drops the scratch database of a drill, for which the server takes no identity. Safe: only names of this job's scratch databases have
/// the type, nobody else may use such a name, and no claim's is ever used a second time.
pub(crate) fn drop_scratch(scratch: &ScratchName) -> Result<Command> {
    let body = doc! {
        "dropDatabase": 1,
        "writeConcern": majority(),
        "maxTimeMS": milliseconds(STAGING_PATIENCE),
    };
    command(scratch.as_str(), "drop a scratch database", true, &body)
}

/// Makes an index expire documents. Safe: the UUID names the restored collection.
pub(crate) fn expire_by_index(
    database: &str,
    name: &str,
    uuid: Uuid,
    index: &str,
    after_seconds: Bson,
    within: Duration,
) -> Result<Command> {
    let body = doc! {
        "collMod": name,
        "index": { "name": index, "expireAfterSeconds": after_seconds },
        "collectionUUID": uuid,
        "writeConcern": majority(),
        "maxTimeMS": milliseconds(within),
    };
    command(database, format!("set the expiry of {database}.{name}"), true, &body)
}

/// Makes a clustered or time-series collection expire documents, or not any more (`off`). Safe: the UUID names the
/// restored collection, and the value is the one that it ends with, so that coming late changes nothing.
pub(crate) fn expire_by_collection(
    database: &str,
    name: &str,
    uuid: Uuid,
    after_seconds: Bson,
    within: Duration,
) -> Result<Command> {
    let body = doc! {
        "collMod": name,
        "expireAfterSeconds": after_seconds,
        "collectionUUID": uuid,
        "writeConcern": majority(),
        "maxTimeMS": milliseconds(within),
    };
    command(database, format!("set the expiry of {database}.{name}"), true, &body)
}

/// Gives a view another definition in place. Safe: the server refuses it on anything but a view, and a view holds no
/// data; there is no moment without it.
pub(crate) fn redefine_view(database: &str, name: &str, options: &Document, within: Duration) -> Result<Command> {
    let body = doc! {
        "collMod": name,
        "viewOn": options.get("viewOn").cloned().unwrap_or(Bson::Null),
        "pipeline": options.get("pipeline").cloned().unwrap_or_else(|| Bson::Array(Vec::new())),
        "writeConcern": majority(),
        "maxTimeMS": milliseconds(within),
    };
    command(database, format!("redefine the view {database}.{name}"), true, &body)
}

/// Removes buckets of a time-series collection by their ids, for lists of programs that noted no more of them. The UUID names the
/// collection, and the ids were listed before the point of no return; but what was written into them since goes, too.
pub(crate) fn remove_buckets(from: &Identified, ids: Vec<Bson>, within: Duration) -> Result<Command> {
    let body = doc! {
        "delete": &from.storage,
        "deletes": [{ "q": { "_id": { "$in": ids } }, "limit": 0 }],
        "collectionUUID": from.uuid,
        "ordered": false,
        "writeConcern": majority(),
        "maxTimeMS": milliseconds(within),
    };
    let doing = format!("remove replaced buckets of {}.{}", from.database, from.storage);
    command(&from.database, doing, false, &body)
}

/// Removes buckets, each if it still is, byte for byte, the one that is to go. Safe: a compare-and-set of each.
pub(crate) fn remove_buckets_if_same(from: &Identified, buckets: &[RawDocumentBuf], within: Duration) -> Command {
    let deletes: RawArrayBuf = buckets.iter().map(|bucket| remove_if_same(bucket)).collect();
    let mut body = RawDocumentBuf::new();
    body.append(cstr!("delete"), from.storage.as_str());
    body.append(cstr!("deletes"), deletes);
    body.append(cstr!("collectionUUID"), Binary::from(from.uuid));
    body.append(cstr!("ordered"), false);
    body.append(cstr!("writeConcern"), raw_majority());
    body.append(cstr!("maxTimeMS"), milliseconds(within));
    Command {
        doing: format!("remove replaced buckets of {}.{}", from.database, from.storage),
        database: from.database.clone(),
        body,
        definitions: false,
    }
}

fn remove_if_same(bucket: &RawDocument) -> RawDocumentBuf {
    let mut literal = RawDocumentBuf::new();
    literal.append(cstr!("$literal"), bucket);
    let mut sides = RawArrayBuf::new();
    sides.push("$$ROOT");
    sides.push(literal);
    let mut equal = RawDocumentBuf::new();
    equal.append(cstr!("$eq"), sides);
    let mut query = RawDocumentBuf::new();
    if let Ok(Some(id)) = bucket.get("_id") {
        query.append(cstr!("_id"), id);
    }
    query.append(cstr!("$expr"), equal);
    let mut delete = RawDocumentBuf::new();
    delete.append(cstr!("q"), query);
    delete.append(cstr!("limit"), 1);
    delete
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_on_staging_waits_for_a_lock_for_ever() {
        let job = "restore_20250109_020000_7k3fq2m8ab".parse().expect("an id");
        let staging = StagingName::new(&job, 1, 0);
        let into =
            Identified { database: "d".into(), storage: staging.as_str().into(), uuid: Uuid::from_bytes([7; 16]) };
        let within = Duration::from_secs(30);
        let commands = [
            create_staging("d", &staging, Document::new()).expect("a command"),
            drop_staging("d", &staging, into.uuid).expect("a command"),
            drop_staging_time_series("d", &staging).expect("a command"),
            insert(&into, RawArrayBuf::new(), (true, true), within),
            keep_zero_timestamps(&into, &[], within),
        ];
        for command in commands {
            let limit = command.body.get_i64("maxTimeMS");
            assert_eq!(limit.expect("a limit"), 30_000, "can't {}", command.doing);
        }
    }

    #[test]
    fn eight_zeros_are_found_wherever_they_are_and_seven_are_none() {
        for start in 1..40_usize {
            let bytes = |zeros: usize| [vec![7; start], vec![0; zeros], vec![7; 3 + start % 5]].concat();
            assert!((8..20).all(|zeros| holds_eight_zeros(&bytes(zeros))), "at {start}");
            assert!((0..8).all(|zeros| !holds_eight_zeros(&bytes(zeros))), "at {start}");
        }
        assert!(holds_eight_zeros(&[0; 8]) && !holds_eight_zeros(&[0; 7]) && !holds_eight_zeros(&[]));
    }

    #[test]
    fn only_zero_timestamps_at_the_top_are_put_back() {
        let some = Timestamp { time: 0, increment: 1 };
        let set = |document: &Document| {
            let raw = RawDocumentBuf::try_from(document).expect("BSON");
            set_zero_timestamps(&raw).map(|set| Document::try_from(&set).expect("BSON"))
        };
        let document =
            doc! { "_id": ZERO, "a": ZERO, "b": some, "n": { "t": ZERO }, "l": [Bson::from(ZERO)], "z": ZERO };
        assert_eq!(set(&document), Some(doc! { "$set": { "a": ZERO, "z": ZERO } }));
        for path in ["a.b", "$a", ""] {
            assert_eq!(set(&doc! { path: ZERO }), None, "{path:?} would be read as a path");
        }
    }
}
