//! The repository's disk is unmounted under a running worker, or another one is mounted in its place: nothing succeeds meanwhile, health
//! says why, nothing is written there, and once it is back everything that waited is done.

use crate::support::{Api, World, data, process::run};
use lucid_schemas::http::JobView;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

fn told(arguments: &[&str]) {
    let said = run(arguments, &[]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// Every file below a folder, and what is in it.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.push((path.clone(), Vec::new()));
            found.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).expect("read");
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

fn has_tried_in_vain(job: &JobView) -> bool {
    job.error.as_ref().is_some_and(|error| error.code == "repository_away" && error.retryable)
}

async fn until_health(api: &Api, what: &str, holds: impl Fn(&str) -> bool) {
    let begun = Instant::now();
    loop {
        let problems: Value = api.get("/health").1["problems"].clone();
        if holds(&problems.to_string()) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {problems}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// One of everything that a repository is asked for.
fn ask_for_everything(api: &Api, backup: &str) -> Vec<String> {
    let mut jobs = vec![api.accepted("/backup", &json!({ "database": "lucid" }))];
    jobs.push(api.accepted("/verify", &json!({ "backup": backup })));
    jobs.push(api.accepted("/restore", &json!({ "backup": backup, "database": "again", "replace": true })));
    jobs.push(api.accepted("/copy", &json!({ "backup": backup, "to": "far" })));
    jobs.push(api.accepted("/reencrypt", &json!({})));
    jobs.push(api.accepted("/prune", &json!({ "keep": { "last": 9 }, "grace_hours": 0, "at_once": true })));
    jobs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_away_or_another_one_is_waited_out_and_never_written_to() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 2_000).await;
    let (here, aside, other) = (world.repository_path(), world.dir().join("aside"), world.dir().join("other"));
    let keys = ["far.key", "other.key"].map(|name| world.dir().join(name).display().to_string());
    let far = format!("far=file://{}", world.dir().join("far").display());
    told(&["repo", "init", "--repository", &far, "--key-file", &keys[0]]);
    told(&["repo", "init", "--repository", &format!("main=file://{}", other.display()), "--key-file", &keys[1]]);
    let (_api_process, api) = world.api();
    let far_key = format!("far={}", keys[0]);
    let (_worker, name) = world.worker(&["--repository", &far, "--key-file", &far_key]);
    let mut backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;

    for exchanged in [false, true] {
        fs::rename(&here, &aside).expect("unmounted");
        if exchanged {
            fs::rename(&other, &here).expect("another one is mounted");
        } else {
            fs::create_dir(&here).expect("an empty mount point");
        }
        let before = contents(&here);
        let jobs = ask_for_everything(&api, &backup);
        // A prune waits until it has the repository to itself.
        for job in &jobs[..5] {
            api.await_job(job, Duration::from_secs(60), has_tried_in_vain).await;
        }
        let words = if exchanged { "holds another repository" } else { "isn't there any more" };
        until_health(&api, words, |said| said.contains(&name) && said.contains("'main'") && said.contains(words)).await;
        assert!(jobs.iter().all(|job| api.job(job).finished_at.is_none()), "nothing has ended");
        assert!(contents(&here) == before, "nothing was written there");

        if exchanged {
            fs::rename(&here, &other).expect("unmounted");
        } else {
            fs::remove_dir(&here).expect("it is empty");
        }
        fs::rename(&aside, &here).expect("mounted again");
        for job in &jobs {
            api.succeeded(job).await;
        }
        until_health(&api, "well again", |said| !said.contains("'main'")).await;
        backup.clone_from(&jobs[0]);
        api.succeeded(&api.accepted("/verify", &json!({ "backup": backup }))).await;
    }
}
