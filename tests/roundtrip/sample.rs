//! A small database with every kind of collection, and a comparison that believes nobody.

use bson::{Bson, DateTime, Document, RawDocumentBuf, Timestamp, doc, oid::ObjectId};
use futures::TryStreamExt;
use mongodb::{Client, Database};
use std::collections::BTreeMap;

const USERS: i32 = 3_000;
const ZERO: Timestamp = Timestamp { time: 0, increment: 0 };

async fn run(database: &Database, command: Document) {
    database.run_command(command).await.expect("the command succeeds");
}

async fn insert(database: &Database, name: &str, documents: Vec<Document>) {
    database.collection(name).insert_many(documents).await.expect("inserted");
}

/// Makes the database.
pub async fn make(client: &Client, name: &str) {
    let database = &client.database(name);
    users(database).await;
    let uuid_id = |n: i32| bson::Uuid::from_bytes((i128::from(n) * 0x1234_5678_9abc_def1).to_be_bytes());
    insert(
        database,
        "sessions",
        (0..1_000).map(|n| doc! { "_id": uuid_id(n), "n": n, "pad": "x".repeat(300) }).collect(),
    )
    .await;
    run(database, doc! { "create": "log", "capped": true, "size": 1 << 20, "max": 5_000 }).await;
    insert(database, "log", (0..500).map(|n| doc! { "_id": 1_000 - n, "line": format!("line {n}") }).collect()).await;
    run(database, doc! { "create": "blocks", "clusteredIndex": { "key": { "_id": 1 }, "unique": true }, "expireAfterSeconds": 1_000_000_000_i64 }).await;
    insert(
        database,
        "blocks",
        (0..400).map(|n| doc! { "_id": DateTime::from_millis(4_000_000_000_000 + n), "n": n }).collect(),
    )
    .await;
    run(database, doc! { "create": "words", "collation": { "locale": "de", "strength": 2 } }).await;
    insert(database, "words", vec![doc! { "_id": "Ärger", "w": "a" }, doc! { "_id": "zorn", "w": "b" }]).await;
    run(
        database,
        doc! { "createIndexes": "words", "indexes": [
            { "key": { "w": 1 }, "name": "inherits" },
            { "key": { "w": -1 }, "name": "simple", "collation": { "locale": "simple" } },
        ] },
    )
    .await;
    almost_unique(database).await;
    odd(database).await;
    series(database, "metrics").await;
    run(database, doc! { "create": "empty" }).await;
    run(
        database,
        doc! { "create": "adults_view", "viewOn": "grown_view", "pipeline": [{ "$match": { "age": { "$gt": 30 } } }] },
    )
    .await;
    run(
        database,
        doc! { "create": "grown_view", "viewOn": "users", "pipeline": [{ "$match": { "age": { "$gte": 18 } } }] },
    )
    .await;
}

async fn users(database: &Database) {
    run(database, doc! { "create": "users", "validator": { "$jsonSchema": { "required": ["mail"] } }, "validationAction": "error" }).await;
    let user = |n: i32| {
        doc! {
            "_id": ObjectId::from_bytes(u128_id(n)), "mail": format!("user{n}@example.org"), "age": n % 90,
            "expires": DateTime::from_millis(4_102_444_800_000), "nested": { "a": [n, { "b": n }], "t": ZERO },
        }
    };
    insert(database, "users", (0..USERS).map(user).collect()).await;
    let rogue =
        doc! { "insert": "users", "documents": [{ "_id": "breaks the validator" }], "bypassDocumentValidation": true };
    run(database, rogue).await;
    run(
        database,
        doc! { "createIndexes": "users", "indexes": [
            { "key": { "mail": 1 }, "name": "mail", "unique": true },
            { "key": { "expires": 1 }, "name": "ttl", "expireAfterSeconds": 3600 },
            { "key": { "age": 1 }, "name": "grown", "partialFilterExpression": { "age": { "$gte": 18 } } },
            { "key": { "nested.t": 1, "age": -1 }, "name": "hidden", "hidden": true },
            { "key": { "mail": "text" }, "name": "words" },
            { "key": { "_id": "hashed" }, "name": "hashed" },
        ] },
    )
    .await;
}

/// An index that refuses what was there before it.
async fn almost_unique(database: &Database) {
    insert(database, "twins", vec![doc! { "_id": 1, "n": 1 }, doc! { "_id": 2, "n": 1 }]).await;
    run(database, doc! { "createIndexes": "twins", "indexes": [{ "key": { "n": 1 }, "name": "soon_unique" }] }).await;
    run(database, doc! { "collMod": "twins", "index": { "name": "soon_unique", "prepareUnique": true } }).await;
}

/// What other tools lose: zero timestamps, odd field names, odd types, strings as `_id`.
async fn odd(database: &Database) {
    let odd = [
        doc! { "_id": "zero", "t": ZERO },
        doc! { "_id": ZERO, "t": { "t": ZERO } },
        doc! { "_id": 1.5, "a.b": 1, "$c": 2, "": 3, "ü": Bson::MinKey, "k": Bson::MaxKey },
        doc! { "_id": 7_i64, "u": Bson::Undefined, "js": Bson::JavaScriptCode("x()".into()), "s": Bson::Symbol("s".into()) },
    ];
    let raw: Vec<RawDocumentBuf> =
        odd.iter().map(|document| RawDocumentBuf::try_from(document).expect("BSON")).collect();
    database.collection::<RawDocumentBuf>("odd").insert_many(raw).await.expect("inserted");
    // Not by replacing the document: secondaries would put their own time in again.
    let update = doc! { "$set": { "t": ZERO } };
    database.collection::<Document>("odd").update_one(doc! { "_id": "zero" }, update).await.expect("updated");
}

/// A time-series collection with secondary index and expiry.
pub async fn series(database: &Database, name: &str) {
    run(
        database,
        doc! {
            "create": name, "timeseries": { "timeField": "t", "metaField": "m", "granularity": "minutes" },
            "expireAfterSeconds": 1_000_000_000_i64,
        },
    )
    .await;
    measure(database, name, 0..600).await;
    run(database, doc! { "createIndexes": name, "indexes": [{ "key": { "m.s": 1, "t": -1 }, "name": "by_sensor" }] })
        .await;
}

/// More measurements.
pub async fn measure(database: &Database, name: &str, numbers: std::ops::Range<i64>) {
    let measurement =
        |n: i64| doc! { "t": DateTime::from_millis(1_767_225_600_000 + n * 60_000), "m": { "s": n % 3 }, "v": n };
    insert(database, name, numbers.map(measurement).collect()).await;
}

fn u128_id(n: i32) -> [u8; 12] {
    let mut id = [0x65; 12];
    id[8..].copy_from_slice(&n.to_be_bytes());
    id
}

/// Everything a database holds, by collection: options, indexes and raw documents, in comparable form.
pub type Contents = BTreeMap<String, (Vec<u8>, Vec<Vec<u8>>, Vec<Vec<u8>>)>;

/// Reads everything, `uuid` aside; documents of capped collections in order, all others sorted.
pub async fn contents(client: &Client, name: &str) -> Contents {
    let database = client.database(name);
    let listed =
        database.run_command(doc! { "listCollections": 1, "cursor": { "batchSize": 1_000 } }).await.expect("listed");
    let mut contents = Contents::new();
    for item in listed.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch")).expect("a batch") {
        let item = item.as_document().expect("a document");
        let collection = item.get_str("name").expect("a name");
        let options = item.get_document("options").expect("options");
        let is_view = item.get_str("type").expect("a type") == "view";
        if collection == "system.views" {
            continue;
        }
        let indexes = if is_view { Vec::new() } else { indexes(&database, collection).await };
        let documents =
            if is_view { Vec::new() } else { documents(&database, collection, options.contains_key("capped")).await };
        contents.insert(collection.to_owned(), (sorted(options), indexes, documents));
    }
    contents
}

/// The indexes of a collection, in comparable form.
pub async fn indexes(database: &Database, name: &str) -> Vec<Vec<u8>> {
    let command = doc! { "listIndexes": name, "cursor": { "batchSize": 1_000 } };
    let listed = database.run_command(command).await.expect("listed");
    let batch = listed.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch")).expect("a batch");
    let mut indexes: Vec<_> = batch.iter().map(|index| sorted(index.as_document().expect("a document"))).collect();
    indexes.sort();
    indexes
}

async fn documents(database: &Database, name: &str, ordered: bool) -> Vec<Vec<u8>> {
    let collection = database.collection::<RawDocumentBuf>(name);
    let stored = mongodb::options::Hint::Keys(doc! { "$natural": 1 });
    let cursor = collection.find(doc! {}).hint(stored).await.expect("a cursor");
    let found: Vec<RawDocumentBuf> = cursor.try_collect().await.expect("documents");
    let mut documents: Vec<Vec<u8>> = found.into_iter().map(RawDocumentBuf::into_bytes).collect();
    if !ordered {
        documents.sort();
    }
    documents
}

fn sorted(document: &Document) -> Vec<u8> {
    let fields: BTreeMap<_, _> = document.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    fields.into_iter().collect::<Document>().to_vec().expect("BSON")
}

/// Fails with the name of the first collection that differs.
pub fn assert_same(expected: &Contents, found: &Contents) {
    let names = |contents: &Contents| contents.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(expected), names(found));
    for (name, (options, indexes, documents)) in expected {
        let (found_options, found_indexes, found_documents) = &found[name];
        assert_eq!(readable(options), readable(found_options), "options of {name}");
        let all = |indexes: &Vec<Vec<u8>>| indexes.iter().map(|index| readable(index)).collect::<Vec<_>>();
        assert_eq!(all(indexes), all(found_indexes), "indexes of {name}");
        assert_eq!(documents.len(), found_documents.len(), "number of documents of {name}");
        for (expected, found) in documents.iter().zip(found_documents) {
            assert!(expected == found, "{name}: {:?} became {:?}", readable(expected), readable(found));
        }
    }
}

fn readable(bytes: &[u8]) -> Document {
    Document::from_reader(bytes).expect("BSON")
}
