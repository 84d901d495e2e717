//! A worker that dies, sleeps beyond its lease, or is asked to stop: the job goes on elsewhere, and nothing is harmed.

use crate::support::{Api, World, data, world::LEASE_MS};
use lucid_embedded::Signal;
use lucid_schemas::http::JobView;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Within this a job is taken over: the lease, and the five seconds that are promised.
const TAKEOVER_WITHIN: Duration = Duration::from_millis(LEASE_MS + 5_000);

const DOCUMENTS: u32 = 40_000;

/// A backup of `much` takes about five seconds here: ten replies, each held for half a second.
async fn slow_world() -> World {
    let world = World::start_with(data::with_fail_points).await;
    data::rows(&world, "much", DOCUMENTS).await;
    data::slow_down(&world, "getMore", 500).await;
    world
}

fn claims(api: &Api, id: &str) -> Vec<String> {
    let events = api.events(id).events;
    events.into_iter().filter(|event| event.kind == "claimed").map(|event| event.by).collect()
}

fn number(result: Option<&Value>, field: &str) -> i64 {
    result.and_then(|result| result[field].as_i64()).unwrap_or_else(|| panic!("no {field} in {result:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_taken_over_and_its_chunks_are_not_stored_again() {
    let world = slow_world().await;
    let (_api_process, api) = world.api();
    let (first, first_name) = world.worker(&[]);
    let id = api.accepted("/backup", &json!({ "database": "much" }));
    let packs = world.repository_path();
    api.await_job(&id, Duration::from_secs(60), data::copying).await;
    let begun = Instant::now();
    while stored_packs(&packs) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no pack was finished");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(running_or_committing(&api.job(&id)), "the test data is too small to catch a backup at work");
    first.signal(Signal::SIGKILL);
    let died = Instant::now();
    let (_second, second_name) = world.worker(&[]);

    api.await_job(&id, TAKEOVER_WITHIN + Duration::from_secs(2), |job| job.epoch == 2).await;
    assert!(died.elapsed() < TAKEOVER_WITHIN, "taken over after {:?}", died.elapsed());
    let done = api.succeeded(&id).await;
    assert_eq!(claims(&api, &id), [first_name, second_name]);
    let result = done.result.as_ref();
    assert_eq!(number(result, "documents"), i64::from(DOCUMENTS));
    assert!(number(result, "chunks_known") > 0, "the finished pack was found: {result:?}");
    let verify = api.accepted("/verify", &json!({ "backup": id }));
    api.succeeded(&verify).await;
}

fn running_or_committing(job: &JobView) -> bool {
    matches!(job.state.as_str(), "running" | "committing")
}

/// Finished packs below the repository; one that is being written has a '#' in its name.
fn stored_packs(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let count = |path: std::path::PathBuf| {
        if path.is_dir() {
            return stored_packs(&path);
        }
        let name = path.to_string_lossy();
        usize::from(name.contains("/packs/") && !name.contains('#'))
    };
    entries.flatten().map(|entry| count(entry.path())).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_beyond_its_lease_is_fenced_and_leaves_no_second_manifest() {
    let world = slow_world().await;
    let (_api_process, api) = world.api();
    let (sleeper, sleeper_name) = world.worker(&[]);
    let id = api.accepted("/backup", &json!({ "database": "much" }));
    api.await_job(&id, Duration::from_secs(60), data::copying).await;
    sleeper.signal(Signal::SIGSTOP);
    let (_second, second_name) = world.worker(&[]);
    let done = api.succeeded(&id).await;
    let version = done.version;
    assert_eq!(claims(&api, &id), [sleeper_name, second_name]);

    sleeper.signal(Signal::SIGCONT);
    // It has had its say when it has ended by itself after being asked to.
    assert!(sleeper.stop().success());
    let after = api.job(&id);
    assert_eq!((after.version, after.state.as_str()), (version, "succeeded"), "nothing was added to the job");
    let (repository, key_file) = (world.repository(), world.key_file());
    let listed = crate::support::process::run(
        &["repo", "list", "--json", "--repository", &repository, "--key-file", &key_file],
        &[],
    );
    let listed = String::from_utf8(listed.stdout).expect("text");
    assert_eq!(listed.lines().count(), 1, "one manifest: {listed}");
    assert!(listed.contains(&id), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_gives_its_job_back() {
    let world = slow_world().await;
    let (_api_process, api) = world.api();
    let (first, _) = world.worker(&[]);
    let id = api.accepted("/backup", &json!({ "database": "much" }));
    api.await_job(&id, Duration::from_secs(60), data::copying).await;
    assert!(first.stop().success());
    let released = api.job(&id);
    assert_eq!((released.state.as_str(), released.attempt), ("queued", 0), "{released:#?}");
    assert!(released.waiting_for.as_deref().is_some_and(|why| why.contains("worker")), "{released:#?}");
    let (_second, _) = world.worker(&[]);
    assert_eq!(api.succeeded(&id).await.attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_backup_is_canceled_through_another_api_within_two_seconds() {
    let world = slow_world().await;
    let (_first_api, first) = world.api();
    let (_second_api, second) = world.api();
    let (_worker, _) = world.worker(&[]);
    let id = first.accepted("/backup", &json!({ "database": "much" }));
    first.await_job(&id, Duration::from_secs(60), data::copying).await;
    let asked = Instant::now();
    let (status, answer) = second.call("DELETE", &format!("/backup/{id}"), None);
    assert_eq!(status, 202, "{answer}");
    first.await_job(&id, Duration::from_secs(10), |job| job.state == "canceled").await;
    assert!(asked.elapsed() < Duration::from_secs(2), "canceled after {:?}", asked.elapsed());
    let (repository, key_file) = (world.repository(), world.key_file());
    let listed =
        crate::support::process::run(&["repo", "list", "--repository", &repository, "--key-file", &key_file], &[]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "no backups in 'main'\n", "no manifest counts");
}
