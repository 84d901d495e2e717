//! A restore that is stuck halfway is no trap: backups and prunes go on beside it, and an operator has a way out.

use crate::support::{Api, World, data};
use bson::{Bson, Document, Uuid, doc};
use lucid_core::{Command, slots, transition};
use lucid_ports::{Detail, Outcome, Store};
use lucid_schemas::{EventBody, Failure, JobId};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};

const WITHIN: Duration = Duration::from_secs(60);

async fn make_true(store: &Arc<dyn Store>, id: &JobId, command: &Command) {
    let job = store.load(id).await.expect("read").expect("there");
    let next = transition(&job, command, "w", &uuid::Uuid::new_v4().to_string()).expect("lawful");
    assert!(matches!(store.apply(&next).await, Ok(Outcome::Won(_))), "{}", command.name());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

async fn uuid_of(world: &World, name: &str) -> Uuid {
    let database = world.client().database("lucid");
    let listed = database.run_command(doc! { "listCollections": 1, "filter": { "name": name } }).await;
    let found = listed.expect("listed");
    let first = found.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch")).expect("a batch");
    let info = first.first().and_then(Bson::as_document).and_then(|entry| entry.get_document("info").ok());
    match info.and_then(|info| info.get("uuid")) {
        Some(Bson::Binary(binary)) => Uuid::from_bytes(binary.bytes.clone().try_into().expect("16 bytes")),
        other => panic!("{other:?}"),
    }
}

/// Brings a queued restore where a worker's swap got stuck: `rows` is swapped in, `words` isn't.
async fn get_stuck(world: &World, store: &Arc<dyn Store>, id: &JobId) {
    let staging = format!("__lucid_staging_{}_1_2", hex(&Sha256::digest(id.as_str())[..8]));
    let database = world.client().database("lucid");
    database.collection(&staging).insert_one(doc! { "_id": "staged" }).await.expect("inserted");
    let entry = |name: &str, staging: &str, staged: Uuid| {
        doc! {
            "name": name, "kind": "collection", "staging": staging, "staged": staged, "target": Bson::Null, "expire_after": Bson::Null,
            "index_expiry": [], "options": Bson::Null, "indexes": [], "bucket_lists": 0, "documents": 1_i64, "left_out": 0_i64, "raw_bytes": 9_i64,
        }
    };
    let (rows, words) = (uuid_of(world, "rows").await, uuid_of(world, &staging).await);
    let entries = vec![entry("rows", &staging.replace("_2", "_3"), rows), entry("words", &staging, words)];
    let data = doc! { "epoch": 1_i64, "database": "lucid", "entries": entries, "views": [] };
    let hash = hex(&Sha256::digest(data.to_vec().expect("BSON")));
    let job = store.load(id).await.expect("read").expect("there");
    let claim = Command::Claim { worker: "w".into(), lease_ms: 30_000, slots: slots::lacking(&job) };
    make_true(store, id, &claim).await;
    let kept = Detail { job: id.clone(), name: "swap_1".into(), hash: hash.clone(), data };
    store.put_detail(&kept).await.expect("kept");
    let fact = EventBody::SwapStarted { entries: 2, list_hash: hash };
    make_true(store, id, &Command::Commit { epoch: 1, fact }).await;
    let error = Failure { code: "changed_by_others".into(), message: "somebody made 'words'".into(), retryable: false };
    make_true(store, id, &Command::Fail { epoch: 1, error, retry_in_ms: 0, out_of_time: false }).await;
}

async fn is_there(world: &World, name: &str) -> bool {
    let names = world.client().database("lucid").list_collection_names().await.expect("names");
    names.iter().any(|there| there.starts_with(name))
}

async fn done(api: &Api, path: &str, body: serde_json::Value) {
    let id = api.accepted(path, &body);
    api.succeeded(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_and_prunes_go_on_beside_a_blocked_restore_until_it_is_given_up() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 300).await;
    let (_api_process, api) = world.api();
    let (first_worker, _) = world.worker(&[]);
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;
    let connection = lucid_mongo::connect(&world.uri(), "lucid_ops").await.expect("connected");
    let store: Arc<dyn Store> = connection.store();
    // A worker that begins looks for pauses before anything else; one that runs, within a second.
    assert!(first_worker.stop().success());
    assert_eq!(api.call("POST", "/queues/restore/pause", Some(&json!({}))).0, 200);
    let (_worker, _) = world.worker(&[]);
    let restore = json!({ "backup": backup, "replace": true });
    let id: JobId = api.accepted("/restore", &restore).parse().expect("an id");
    get_stuck(&world, &store, &id).await;
    assert_eq!(api.call("POST", "/queues/restore/resume", None).0, 200);
    assert_eq!(api.job(id.as_str()).state, "blocked");

    done(&api, "/backup", json!({ "database": "lucid" })).await;
    done(&api, "/prune", json!({ "keep": { "last": 5 } })).await;
    done(&api, "/restore", json!({ "backup": backup, "database": "beside" })).await;
    let (status, refused) = api.call("POST", "/restore", Some(&restore));
    assert!(status == 409 && refused["detail"].as_str().is_some_and(|told| told.contains("give-up")), "{refused}");
    assert!(is_there(&world, "__lucid_staging_").await);

    let said = api.verb(&["jobs", "give-up", id.as_str(), "--reason", "the rows count"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let ended = api.await_job(id.as_str(), WITHIN, |job| job.finished_at.is_some()).await;
    let error = ended.error.expect("an error");
    assert_eq!((ended.state.as_str(), error.code.as_str()), ("failed", "given_up"), "{}", error.message);
    assert!(error.message.contains("rows") && error.message.contains("words"), "{}", error.message);
    let result = ended.result.expect("what was found");
    assert_eq!((&result["swapped"], &result["not_swapped"]), (&json!(["rows"]), &json!(["words"])), "{result}");
    assert!(!is_there(&world, "__lucid_staging_").await, "what was staged is gone");
    let left = world.client().database("lucid").collection::<Document>("rows").count_documents(doc! {}).await;
    assert_eq!(left.expect("a count"), 300, "and nothing else");
    done(&api, "/restore", restore).await;
}
