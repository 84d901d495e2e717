//! All jobs: audit and export.

use crate::{served::Served, world::World};
use bson::Bson;
use lucid_client::{Client, whole};
use lucid_ports::Store;
use lucid_schemas::JobId;
use serde_json::{Value, json};

fn tamper(world: &World, id: &JobId, change: impl FnOnce(&mut bson::Document)) {
    let mut document = world.store.twin.document(id).expect("there");
    change(&mut document);
    world.store.twin.tamper(document);
}

#[actix_web::test]
async fn an_audit_finds_what_is_not_what_its_events_say() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(world.good_backup().await);
    }
    let whole = world.get("/jobs/audit").await;
    assert_eq!(whole.body, json!({ "jobs": 6, "events": 18, "violations": [], "unreadable": [] }));
    tamper(&world, &ids[1], |job| drop(job.insert("state", "failed")));
    tamper(&world, &ids[2], |job| drop(job.insert("schema", 99)));
    tamper(&world, &ids[3], |job| drop(job.get_array_mut("events").expect("events").remove(1)));
    tamper(&world, &ids[4], |job| drop(job.insert("max_attempts", 7)));
    let found = world.get("/jobs/audit").await.body;
    let violations = found["violations"].as_array().expect("a list");
    let of = |id: &JobId| {
        let own = violations.iter().filter(|found| found["job_id"].as_str() == Some(id.as_str()));
        own.filter_map(|found| found["invariant"].as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(&ids[1]), ["INV-1"], "a head that was changed: {found}");
    assert!(of(&ids[3]).contains(&"INV-2"), "an event that was cut out: {found}");
    assert_eq!(of(&ids[4]), ["INV-3"], "a request that was changed: {found}");
    assert_eq!(found["unreadable"][0]["job_id"].as_str(), Some(ids[2].as_str()), "{found}");
    assert_eq!((found["jobs"].as_i64(), of(&ids[0]), of(&ids[5])), (Some(6), vec![], vec![]));
    // In parts the same.
    let (mut seen, mut parts, mut path) = (0, 0, "/jobs/audit?limit=2".to_owned());
    loop {
        let part = world.get(&path).await.body;
        seen += part["jobs"].as_u64().expect("a number");
        parts += 1;
        match part["next"].as_str() {
            Some(next) => path = format!("/jobs/audit?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!((seen, parts), (6, 4), "the last part learns that there is nothing more");
    assert_eq!(world.get("/jobs/audit?limit=0").await.blamed(), ["limit"]);
}

#[actix_web::test]
async fn an_audit_takes_jobs_of_kinds_of_later_programs_for_what_they_are() {
    let world = World::new().await;
    let id = world.good_backup().await;
    let mut later = world.store.twin.document(&id).expect("there");
    later.insert("kind", "migrate");
    later.insert("_id", "migrate_20270115_080000_7k3fq2m8ab");
    world.store.twin.tamper(later);
    let found = world.get("/jobs/audit").await.body;
    assert_eq!(found, json!({ "jobs": 2, "events": 3, "violations": [], "unreadable": [], "later": 1 }));
    tamper(&world, &id, |job| drop(job.insert("kind", "migrate")));
    let found = world.get("/jobs/audit").await.body;
    assert_eq!(found["unreadable"][0]["job_id"].as_str(), Some(id.as_str()), "its id says another kind: {found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_holds_every_job_once_as_it_is_stored() {
    let served = Served::start().await;
    let mut ids = Vec::new();
    for _ in 0..120 {
        ids.push(served.world.backup().await);
    }
    served.world.succeed(&ids[0]).await;
    ids.sort();
    let export = |client: Client| {
        let mut lines = Vec::new();
        let count = whole::export(&client, &mut |line| {
            lines.push(line.to_owned());
            Ok(())
        });
        (count.expect("exported"), lines)
    };
    let (count, lines) = served.call(export).await;
    assert_eq!(count, 120);
    for (line, id) in lines.iter().zip(&ids) {
        let told: Value = serde_json::from_str(line).expect("JSON");
        let stored = served.world.store.twin.document(id).expect("there");
        assert_eq!(told, Bson::Document(stored).into_relaxed_extjson());
    }
    served.world.store.away.store(true, std::sync::atomic::Ordering::SeqCst);
    let refused = served.call(|client| whole::export(&client, &mut |_| Ok(()))).await;
    assert!(refused.is_err(), "a store that is away is told by a status");
    assert!(served.world.store.load(&ids[0]).await.is_err());
    served.stopped().await;
}
