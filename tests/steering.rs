//! Steering from outside: one job per key, pauses, jobs after jobs, a database to oneself, limits on time.

use crate::support::{
    Api, World,
    data::{copying, rows, slow_down, with_fail_points},
};
use bson::doc;
use lucid_schemas::http::JobView;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

async fn world() -> World {
    let world = World::start(1).await;
    world.client().database("here").collection("rows").insert_one(doc! { "_id": 1 }).await.expect("inserted");
    world
}

fn types(api: &Api, id: &str) -> Vec<String> {
    api.events(id).events.into_iter().map(|event| event.kind).collect()
}

async fn in_state(api: &Api, id: &str, state: &str) -> JobView {
    api.await_job(id, SOON, |job| job.state == state).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_equal_requests_with_one_key_make_one_job() {
    let world = world().await;
    let (_api, api) = world.api();
    let (_second, second) = world.api();
    let (_worker, _) = world.worker(&[]);
    let body = json!({ "database": "here" });
    api.succeeded(&api.accepted("/backup", &body)).await;
    let post =
        |api: &Api, key: &str, body: &Value| api.call_with("POST", "/backup", Some(body), &[("Idempotency-Key", key)]);
    let made: Vec<String> = std::thread::scope(|scope| {
        let calls = (0..100).map(|number| {
            let api = if number % 2 == 0 { &api } else { &second };
            scope.spawn(|| post(api, "nightly-7", &body))
        });
        let calls: Vec<_> = calls.collect();
        calls
            .into_iter()
            .map(|call| {
                let (status, job) = call.join().expect("no panic");
                assert_eq!(status, 202, "{job}");
                job["job_id"].as_str().expect("an id").to_owned()
            })
            .collect()
    });
    assert!(made.iter().all(|id| *id == made[0]), "{made:?}");
    api.succeeded(&made[0]).await;
    let (status, again) = post(&second, "nightly-7", &body);
    assert_eq!((status, again["state"].as_str()), (202, Some("succeeded")), "{again}");
    let (status, problem) = post(&api, "nightly-7", &json!({ "database": "here", "compression": false }));
    assert_eq!((status, problem["errors"][0]["field"].as_str()), (422, Some("Idempotency-Key")), "{problem}");
    let (status, problem) = post(&api, "with space", &body);
    assert_eq!(status, 422, "{problem}");
    let (_, list) = api.get("/backups");
    assert_eq!(list["backups"].as_array().map(Vec::len), Some(2), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_on_every_node_until_it_is_lifted() {
    let world = world().await;
    let (_api, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let first = api.accepted("/backup", &json!({ "database": "here" }));
    api.succeeded(&first).await;
    let (status, queue) = api.call("POST", "/queues/backup/pause", Some(&json!({ "reason": "disk swap" })));
    assert_eq!((status, queue["paused"].as_bool()), (200, Some(true)), "{queue}");
    // What was told a moment ago holds from a second later on.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (_second_worker, _) = world.worker(&[]);
    let held = api.accepted("/backup", &json!({ "database": "here", "job": { "unique_key": "nightly" } }));
    let verified = api.accepted("/verify", &json!({ "backup": first }));
    api.succeeded(&verified).await;
    let job = api.job(&held);
    assert_eq!(job.state, "queued");
    let why = job.waiting_for.expect("a reason");
    assert!(why.contains("disk swap") && why.contains("lucid-ops queues resume backup"), "{why}");
    let (_, health) = api.get("/health");
    assert!(health["problems"].to_string().contains("disk swap"), "{health}");

    let twice = json!({ "database": "here", "job": { "unique_key": "nightly" } });
    let (status, problem) = api.call("POST", "/backup", Some(&twice));
    assert_eq!(status, 409, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|said| said.contains(&held)), "it names the open one: {problem}");

    let (status, _) = api.call("POST", "/queues/backup/resume", None);
    assert_eq!(status, 200);
    api.succeeded(&held).await;
    let again = api.accepted("/backup", &twice);
    api.succeeded(&again).await;
    let (status, problem) = api.call("POST", "/queues/backups/pause", Some(&json!({})));
    assert_eq!(status, 404, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_follow_jobs() {
    let world = world().await;
    let (_api, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    api.succeeded(&api.accepted("/backup", &json!({ "database": "here" }))).await;
    let (_, _) = api.call("POST", "/queues/backup/pause", Some(&json!({})));
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    let backup = api.accepted("/backup", &json!({ "database": "here" }));
    let verify = api.accepted("/verify", &json!({ "backup": backup }));
    let alarm = api.accepted("/backup", &json!({ "database": "here", "job": { "after": backup, "on": "failed" } }));
    let waiting = api.job(&verify);
    assert_eq!((waiting.state.as_str(), waiting.after.as_deref()), ("waiting", Some(backup.as_str())));
    assert!(waiting.waiting_for.is_some_and(|why| why.contains(&backup)));
    api.call("POST", "/queues/backup/resume", None);
    api.succeeded(&backup).await;
    let verified = api.succeeded(&verify).await;
    assert_eq!(verified.result.expect("a result")["backup"], json!(backup));
    in_state(&api, &alarm, "canceled").await;
    assert_eq!(types(&api, &alarm), ["enqueued", "dependency_failed"]);

    // The other way round: the first one is canceled.
    let later = json!({ "database": "here", "job": { "run_at": "2031-01-01T00:00:00Z" } });
    let backup = api.accepted("/backup", &later);
    let early = api.accepted("/verify", &json!({ "backup": backup }));
    assert_eq!(api.call("DELETE", &format!("/jobs/{early}"), None).0, 202);
    let (status, verify) = api.call("POST", &format!("/jobs/{early}/retry"), None);
    assert_eq!((status, verify["after"].as_str()), (202, Some(backup.as_str())), "it waits as the first did: {verify}");
    let verify = verify["job_id"].as_str().expect("an id").to_owned();
    assert_eq!(api.call("DELETE", &format!("/jobs/{backup}"), None).0, 202);
    in_state(&api, &verify, "canceled").await;
    let (status, problem) = api.call("POST", &format!("/jobs/{verify}/retry"), None);
    assert_eq!(
        (status, problem["errors"][0]["field"].as_str()),
        (422, Some("backup")),
        "no backup to verify: {problem}"
    );
    let (status, retried) = api.call("POST", &format!("/jobs/{backup}/retry"), None);
    assert_eq!((status, retried["retry_of"].as_str()), (202, Some(backup.as_str())), "{retried}");
    let retried = api.succeeded(retried["job_id"].as_str().expect("an id")).await;
    let (status, problem) = api.call("POST", &format!("/jobs/{}/retry", retried.job_id), None);
    assert_eq!(status, 409, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_has_its_database_to_itself_and_its_turn() {
    let world = World::start_with(with_fail_points).await;
    rows(&world, "here", 20_000).await;
    let (_api, api) = world.api();
    let _workers = [world.worker(&["--slots", "4"]), world.worker(&["--slots", "4"])];
    let backup = api.accepted("/backup", &json!({ "database": "here" }));
    api.succeeded(&backup).await;
    slow_down(&world, "getMore", 300).await;
    let running = api.accepted("/backup", &json!({ "database": "here" }));
    api.await_job(&running, SOON, copying).await;
    let restore = json!({ "backup": backup, "database": "here", "replace": true });
    let restores = [api.accepted("/restore", &restore), api.accepted("/restore", &restore)];
    // Whoever comes later doesn't come in between. Which of the two is looked at first is open.
    let reserved = |id: &String| types(&api, id).contains(&"slots_reserved".to_owned());
    let begun = Instant::now();
    while !restores.iter().any(reserved) {
        assert!(begun.elapsed() < SOON, "none of them reserves its database");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let [one, other] = restores;
    let restores = if reserved(&one) { [one, other] } else { [other, one] };
    let late = api.accepted("/backup", &json!({ "database": "here" }));
    let mut spans = Vec::new();
    for id in [&running, &restores[0], &restores[1], &late] {
        let job = api.succeeded(id).await;
        spans.push((job.started_at.expect("begun"), job.finished_at.expect("ended"), id.clone()));
    }
    let alone = |restore: &(String, String, String)| {
        let others = spans.iter().filter(|other| other.2 != restore.2);
        let apart = |other: &(String, String, String)| other.1 <= restore.0 || restore.1 <= other.0;
        others.clone().all(apart)
    };
    assert!(alone(&spans[1]) && alone(&spans[2]), "{spans:#?}");
    assert!(
        spans[3].0 >= spans[1].1,
        "the first restore had its turn before the backup that came after it: {spans:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_takes_too_long_is_stopped_and_tried_again() {
    let world = World::start_with(with_fail_points).await;
    rows(&world, "here", 20_000).await;
    let (_api, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    api.succeeded(&api.accepted("/backup", &json!({ "database": "here" }))).await;
    slow_down(&world, "getMore", 2_000).await;
    let body = json!({ "database": "here", "job": { "timeout_seconds": 1, "max_attempts": 2 } });
    let job = in_state(&api, &api.accepted("/backup", &body), "failed").await;
    assert_eq!(job.error.as_ref().map(|error| error.code.as_str()), Some("timed_out"));
    assert_eq!(types(&api, &job.job_id).iter().filter(|name| *name == "claimed").count(), 2);
    let (_, listed) = api.get("/workers");
    let skew_ms = listed["workers"][0]["clock_skew_ms"].as_i64().expect("measured");
    assert!(skew_ms.abs() < 60_000, "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_label_goes_to_a_worker_that_carries_it() {
    let world = world().await;
    let (_api, api) = world.api();
    let (_plain, _) = world.worker(&[]);
    api.succeeded(&api.accepted("/backup", &json!({ "database": "here" }))).await;
    let id = api.accepted("/backup", &json!({ "database": "here", "job": { "labels": ["nvme"], "priority": 10 } }));
    let job = api.job(&id);
    assert!(job.waiting_for.is_some_and(|why| why.contains("nvme")), "it says what is missing");
    let (_labelled, name) = world.worker(&["--label", "nvme"]);
    let job = api.succeeded(&id).await;
    assert_eq!(job.worker.as_deref(), Some(name.as_str()));
    for (field, value) in [
        ("job.priority", json!({ "priority": 11 })),
        ("job.run_at", json!({ "run_at": "soon" })),
        ("job.after", json!({ "after": "backup_none" })),
        ("job.on", json!({ "on": "failed" })),
        ("job.prio", json!({ "prio": 1 })),
    ] {
        let (status, problem) = api.call("POST", "/backup", Some(&json!({ "database": "here", "job": value })));
        assert_eq!((status, problem["errors"][0]["field"].as_str()), (422, Some(field)), "{problem}");
    }
}
