//! The judgement itself is judged: what is broken on purpose is found, each by its own check.

use super::{
    judge,
    ledger::{Answer, Asked, Known, MARK_SECONDS},
    load::{ALIKE, TARGETS},
    report::Report,
};
use crate::support::{Api, World};
use bson::{Bson, DateTime, Document, doc};
use lucid_schemas::{collections::OPS, names::DEFAULT_OPS_DATABASE};
use mongodb::Collection;
use serde_json::{Value, json};

/// Asks for a job, waits for its good end, and notes both as a client would.
async fn done(api: &Api, known: &mut Known, kind: &'static str, mut body: Value) -> String {
    let mark = MARK_SECONDS + i64::try_from(known.asked.len()).expect("few");
    body["job"] = json!({ "timeout_seconds": mark });
    let id = api.accepted(&format!("/{kind}"), &body);
    api.succeeded(&id).await;
    known.asked.push(Asked { kind, body, mark: Some(mark), answers: vec![Answer::Accepted(id.clone())] });
    id
}

async fn verdict(world: &World, known: &Known) -> Vec<String> {
    let logs = world.dir().join("logs");
    std::fs::create_dir_all(&logs).expect("a folder");
    let mut report = Report::default();
    judge(world, known, &logs, &mut report).await;
    report.violations.into_iter().map(|broken| broken.what).collect()
}

async fn tamper(ops: &Collection<Document>, id: &str, change: impl FnOnce(&mut Document)) {
    let mut job = ops.find_one_and_delete(doc! { "_id": id }).await.expect("a reply").expect("the job");
    change(&mut job);
    ops.insert_one(job).bypass_document_validation(true).await.expect("inserted");
}

/// By more than what counts as one moment.
fn end_later(job: &mut Document) {
    let events = job.get_array_mut("events").expect("events");
    let last = events.last_mut().and_then(Bson::as_document_mut).expect("an event");
    let later = last.get_datetime("at").expect("a time").timestamp_millis() + 5_000;
    last.insert("at", DateTime::from_millis(later));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_on_purpose_is_found() {
    let world = World::start(1).await;
    let client = world.client();
    for (number, source) in (0_i64..).zip(ALIKE) {
        let rows = client.database(source).collection("rows");
        rows.insert_one(doc! { "_id": number }).await.expect("inserted");
    }
    let (_api, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let mut known = Known::default();
    let mut backups = Vec::new();
    for source in [ALIKE[0], ALIKE[0], ALIKE[1], ALIKE[2], ALIKE[2]] {
        backups.push(done(&api, &mut known, "backup", json!({ "database": source })).await);
    }
    let restore = json!({ "backup": backups[0], "database": TARGETS[0] });
    let restore = done(&api, &mut known, "restore", restore).await;
    assert_eq!(verdict(&world, &known).await, Vec::<String>::new(), "nothing is broken yet");

    let ops: Collection<Document> = client.database(DEFAULT_OPS_DATABASE).collection(OPS);
    ops.delete_one(doc! { "_id": &backups[1] }).await.expect("deleted");
    tamper(&ops, &backups[2], |job| drop(job.insert("attempt", 3))).await;
    tamper(&ops, &backups[3], end_later).await;
    let (stem, last) = backups[3].split_at(backups[3].len() - 1);
    let copy = format!("{stem}{}", if last == "x" { "y" } else { "x" });
    let mut twin = ops.find_one(doc! { "_id": &backups[3] }).await.expect("a reply").expect("the job");
    twin.insert("_id", &copy);
    ops.insert_one(twin).await.expect("inserted");
    let manifests = world.repository_path().join("sealed/manifests");
    for manifest in std::fs::read_dir(manifests).expect("manifests").flatten() {
        if manifest.file_name().to_string_lossy().contains(&backups[4]) {
            std::fs::remove_file(manifest.path()).expect("removed");
        }
    }
    let target = client.database(TARGETS[0]);
    target.collection("rows").insert_one(doc! { "_id": 99 }).await.expect("inserted");
    target.create_collection("__lucid_staging_left").await.expect("made");

    let found = verdict(&world, &known).await;
    for (what, id) in [
        ("was accepted and is gone", &backups[1]),
        ("INV-1", &backups[2]),
        ("INV-3", &copy),
        ("INV-9", &copy),
        ("one request made the jobs", &copy),
        ("isn't in the repository", &backups[4]),
        ("which no job explains", &backups[1]),
        ("differs from", &restore),
        ("was left behind", &"__lucid_staging_left".to_owned()),
    ] {
        assert!(found.iter().any(|said| said.contains(what) && said.contains(id)), "{what} {id}: {found:#?}");
    }
}
