//! Workers that die, primaries that step down, clocks that are wrong.

use super::{PATIENCE, every_minute, lucid, made, minutes_ago, put, schedule, until, with};
use crate::support::{
    World,
    process::{Process, faketime_library},
};
use lucid_embedded::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

/// More than a few seconds of work for three workers.
const MISSED: i64 = 250;

#[tokio::test(flavor = "multi_thread")]
async fn each_occurrence_is_made_once_though_a_worker_dies_and_the_primary_steps_down() {
    let world = World::start(3).await;
    lucid(&world).await;
    let (_api_process, api) = world.api();
    let (first, _) = world.worker(&[]);
    let (_second, _) = world.worker(&[]);
    let (_third, _) = world.worker(&[]);
    let since = minutes_ago(&world, MISSED).await;
    let plan = with(&with(&every_minute(), "missed", "all"), "missed_limit", 1_000);
    put(&api, &with(&with(&plan, "overlap", "allow"), "high_water", since.as_str()));
    reached(&world, 40).await;
    first.signal(Signal::SIGKILL);
    reached(&world, 120).await;
    world.deployment.step_down().await.expect("another primary");
    until(&api, "often", |schedule| mark_ms(schedule) >= millis(&since) + MISSED * super::MINUTE_MS).await;
    let (_, paused) = api.call("POST", "/schedules/often/pause", None);
    let made = made(&world, "often").await;
    let twice: Vec<_> = made.iter().filter(|(_, jobs)| **jobs != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    // None is missing between the first and the mark. The pause may have come between a job and its mark.
    let mark = paused["high_water"].as_str().expect("a mark");
    let in_id: String = mark.replace('T', "_").chars().filter(|c| c.is_ascii_digit() || *c == '_').take(15).collect();
    let (until_mark, after): (Vec<_>, Vec<_>) = made.keys().partition(|planned| **planned <= in_id);
    assert_eq!(i64::try_from(until_mark.len()).expect("few"), minutes_between(&since, mark), "{until_mark:?}");
    assert!(after.len() <= 1, "{after:?} after {mark}");
}

/// Waits until so many jobs were made.
async fn reached(world: &World, jobs: usize) {
    let begun = Instant::now();
    while made(world, "often").await.len() < jobs {
        assert!(begun.elapsed() < PATIENCE, "only {} of {jobs} jobs", made(world, "often").await.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn millis(at: &str) -> i64 {
    bson::DateTime::parse_rfc3339_str(at).expect("a time").timestamp_millis()
}

fn minutes_between(from: &str, until: &str) -> i64 {
    (millis(until) - millis(from)) / super::MINUTE_MS
}

fn mark_ms(schedule: &Value) -> i64 {
    millis(schedule["high_water"].as_str().expect("a mark"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_clock_is_two_hours_off_runs_jobs_but_schedules_nothing() {
    let Some(library) = faketime_library() else {
        eprintln!("skipped: the package faketime isn't installed");
        return;
    };
    let world = World::start(1).await;
    lucid(&world).await;
    let (_api_process, api) = world.api();
    let (right, _) = world.worker(&[]);
    drop(right);
    let since = minutes_ago(&world, 3).await;
    put(&api, &with(&with(&every_minute(), "high_water", since.as_str()), "overlap", "allow"));
    for offset in ["+2h", "-2h"] {
        let (repository, key_file, uri) = (world.repository(), world.key_file(), world.uri());
        // Only the time of day is wrong; what a process measures by itself goes on as ever.
        let environment = [
            ("MONGODB_URI", uri.as_str()),
            ("LD_PRELOAD", &library),
            ("FAKETIME", offset),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let arguments = ["worker", "--repository", &repository, "--key-file", &key_file];
        let mut wrong = Process::start_with(&arguments, &environment);
        wrong.await_line("worker ");
        // Its scheduler looks when it starts, long before this job is done.
        let (status, job) = api.call("POST", "/schedules/often/run", None);
        assert_eq!(status, 202, "{job}");
        api.succeeded(job["job_id"].as_str().expect("an id")).await;
        assert_eq!(mark_ms(&schedule(&api, "often")), millis(&since), "{offset}");
        assert_eq!(made(&world, "often").await.len(), 0, "{offset}");
    }
    let (_right, _) = world.worker(&[]);
    until(&api, "often", |schedule| mark_ms(schedule) > millis(&since)).await;
    assert_eq!(made(&world, "often").await.len(), 1, "and one with the right time does");
}
