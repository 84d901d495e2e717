//! What is refused, in one sentence that quotes neither a password nor a document.

use super::{Set, backup};
use crate::support::world::scratch;
use bson::{Document, doc};
use lucid_embedded::{Deployment, Options};
use lucid_mongo::{ConnectError, connect};
use lucid_ports::Store;
use lucid_schemas::collections::OPS;

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_server_quote_no_document() {
    let set = Set::start(1).await;
    let (connection, database) = set.database().await;
    let store = connection.store();
    let job = store.enqueue(&backup(0)).await.expect("enqueued");
    // Two jobs with one slot, which only a defect could bring about: the index refuses the second.
    let jobs = database.collection::<Document>(OPS);
    let held = doc! { "$set": { "holds": ["a-very-private-slot"] } };
    jobs.update_one(doc! { "_id": job.id().as_str() }, held).await.expect("updated");
    let command = doc! { "update": OPS, "updates": [
        { "q": { "_id": "x" }, "u": { "$set": { "holds": ["a-very-private-slot"] } }, "upsert": true },
    ] };
    let raw = database.run_command(command).await.expect("answered").to_string();
    assert!(raw.contains("writeErrors") && raw.contains("Document failed validation"), "{raw}");
    let mut large = backup(0);
    large.request.requested_by = "private ".repeat(3_000_000);
    let refused = store.enqueue(&large).await.expect_err("too large").to_string();
    assert!(!refused.contains("private"), "{refused}");
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_there_is_no_connection_is_one_sentence_without_the_password() {
    let set = Set::start(1).await;
    let (_, rest) = set.uri.split_once('@').expect("a password");
    let wrong = format!("mongodb://lucid:hunter2@{rest}");
    let error = connect(&wrong, "lucid_ops").await.expect_err("refused");
    assert!(matches!(error, ConnectError::Credentials { .. }) && !error.is_retryable(), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    let other_set = set.uri.replace("replicaSet=rs0", "replicaSet=rs7");
    let nobody = "mongodb://lucid:hunter2@127.0.0.1:9/?replicaSet=rs0";
    let (other, unreachable) = tokio::join!(connect(&other_set, "lucid_ops"), connect(nobody, "lucid_ops"));
    let error = other.expect_err("refused");
    assert!(error.to_string().contains("its name isn't the one"), "{error}");
    let error = unreachable.expect_err("refused");
    assert!(error.is_retryable() && error.to_string().contains("127.0.0.1:9"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    let (connection, _) = set.database().await;
    assert_eq!(connection.replica_set(), "rs0");
    assert!(connection.snapshot_window_s().await.expect("asked").is_some_and(|seconds| seconds >= 60));
    assert!(!format!("{connection:?}").contains(password(&set.uri)), "a password in Debug output");
    set.end().await;
}

fn password(uri: &str) -> &str {
    let (user, _) = uri.split_once('@').expect("a user");
    user.rsplit_once(':').expect("a password").1
}

#[tokio::test(flavor = "multi_thread")]
async fn small_oplogs_and_windows_are_refused() {
    let dir = scratch();
    let mut options = Options::new(dir.path().join("mongod"));
    options.oplog_mib = 8;
    let small = Deployment::start(options).await.expect("a replica set starts");
    let error = connect(&small.uri(), "lucid_ops").await.expect_err("refused");
    assert_eq!(error, ConnectError::Oplog { mib: 8 });
    small.stop().await.expect("stopped");
    let dir = scratch();
    let options = Options::new(dir.path().join("mongod")).parameter("minSnapshotHistoryWindowInSeconds", "10");
    let short = Deployment::start(options).await.expect("a replica set starts");
    let error = connect(&short.uri(), "lucid_ops").await.expect_err("refused");
    assert_eq!(error, ConnectError::SnapshotWindow { seconds: 10 });
    short.stop().await.expect("stopped");
}
