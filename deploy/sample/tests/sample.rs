//! Samples on a real server: the same each time, and no difference goes unseen.

use bson::{Document, doc};
use lucid_embedded::{Deployment, Options};
use lucid_sample::{Difference, Error, compare, compare_each, drain, generate, load};
use mongodb::Client;

async fn server() -> (tempfile::TempDir, Deployment, Client) {
    let scratch = tempfile::tempdir().expect("scratch folder");
    let deployment = Deployment::start(Options::new(scratch.path())).await.expect("a server");
    let client = deployment.client().expect("a client");
    (scratch, deployment, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_the_same_each_time_and_whole() {
    let (_scratch, deployment, client) = server().await;
    let first = load(&client, "first", 3_000).await.expect("load");
    load(&client, "second", 100).await.expect("load");
    let second = load(&client, "second", 3_000).await.expect("load over an earlier sample");
    assert_eq!(first.documents, second.documents);
    assert_eq!(first.refused, Vec::<String>::new(), "MongoDB {} takes all", deployment.version());
    let all = compare_each(&client, "first", "second").await.expect("compare");
    assert_eq!(
        all.iter().filter_map(|compared| compared.difference.as_ref()).collect::<Vec<_>>(),
        Vec::<&Difference>::new()
    );
    assert_eq!(all.iter().map(|compared| compared.documents).sum::<u64>(), first.documents);
    for kind in ["collection", "capped", "clustered", "timeseries", "view"] {
        assert!(all.iter().any(|compared| compared.kind == kind), "no {kind}");
    }
    let types = client.database("first").collection::<Document>("types");
    let zero = types.find_one(doc! { "_id": "zero timestamp" }).await.expect("find").expect("it is there");
    assert_eq!(zero.get_timestamp("at").expect("a timestamp").time, 0, "the server put the time in");
    // Replaced as a whole, secondaries would put their own time in.
    let oplog = client.database("local").collection::<Document>("oplog.rs");
    let updates = doc! { "ns": "first.types", "op": "u" };
    let replaced = doc! { "ns": "first.types", "op": "u", "o._id": { "$exists": true } };
    assert_eq!(oplog.count_documents(updates).await.expect("count"), 2);
    assert_eq!(oplog.count_documents(replaced).await.expect("count"), 0);
    deployment.stop().await.expect("stop");
}

/// Changes one thing of database `b`, and what the comparison must say then, naming the collection first.
const CHANGES: [(&str, &str, &str); 9] = [
    ("transactions", "document", "differs from byte"),
    ("sessions", "removal", "number 1 has _id"),
    ("audit_log", "order", "number"),
    ("metrics", "removal", "_id"),
    ("authentication", "unhide", "index last_ip_1 differs"),
    ("names", "drop index", "index name_exact differs"),
    ("accounts", "validation", "options differ"),
    ("active_users", "drop", "is missing in b"),
    ("extra", "create", "is in b only"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_difference_goes_unseen() {
    let (_scratch, deployment, client) = server().await;
    for name in ["a", "b"] {
        load(&client, name, 1_000).await.expect("load");
    }
    let b = client.database("b");
    for (collection, change, _) in CHANGES {
        let documents = b.collection::<Document>(collection);
        let command = match change {
            "document" => {
                documents.update_one(doc! {}, doc! { "$set": { "lines.0.quantity": -1 } }).await.expect("update");
                continue;
            }
            "removal" => doc! { "delete": collection, "deletes": [{ "q": if collection == "metrics" {
                doc! { "source.host": "node-3" }
            } else { doc! {} }, "limit": i32::from(collection != "metrics") }] },
            "order" => {
                let entry = documents.find_one(doc! {}).await.expect("find").expect("an entry");
                documents.insert_one(doc! { "_id": 1 }).await.expect("the oldest entry makes room");
                let mut entry = entry;
                entry.insert("_id", 2);
                documents.insert_one(entry).await.expect("insert");
                continue;
            }
            "unhide" => doc! { "collMod": collection, "index": { "name": "last_ip_1", "hidden": false } },
            "drop index" => doc! { "dropIndexes": collection, "index": "name_exact" },
            "validation" => doc! { "collMod": collection, "validationLevel": "strict" },
            "drop" => doc! { "drop": collection },
            _ => doc! { "create": collection },
        };
        let reply = b.run_command(command).await.expect("the change");
        assert!(reply.get_array("writeErrors").is_err(), "{reply}");
    }
    let differences = compare(&client, "a", "b").await.expect("compare");
    assert_eq!(differences.len(), CHANGES.len(), "{differences:#?}");
    for (collection, _, expected) in CHANGES {
        let found = differences.iter().find(|difference| difference.collection == collection).expect(collection);
        assert!(found.what.contains(expected), "{found}");
    }
    deployment.stop().await.expect("stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_samples_are_dropped_and_what_is_generated_can_be_drained() {
    let (_scratch, deployment, client) = server().await;
    client.database("theirs").collection::<Document>("letters").insert_one(doc! {}).await.expect("insert");
    assert!(matches!(load(&client, "theirs", 10).await, Err(Error::NotOurs { .. })));
    assert!(matches!(generate(&client, "config", 1, true).await, Err(Error::Reserved { .. })));
    let documents = generate(&client, "bench", 2, false).await.expect("generate");
    let drained = drain(&client, "bench").await.expect("drain");
    assert_eq!(drained.documents, documents + 1, "and the marker");
    assert!((2_000_000..2_100_000).contains(&drained.bytes), "{}", drained.bytes);
    deployment.stop().await.expect("stop");
}
