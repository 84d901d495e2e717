//! The life of a schedule, through the API, the command line and the variable.

use super::{every_minute, lucid, made, minutes_ago, put, schedule, until, with};
use crate::support::{
    Api, World,
    process::{Process, run},
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn after_hours_down_the_policy_decides() {
    let world = World::start(1).await;
    lucid(&world).await;
    let (_api_process, api) = world.api();
    let (worker, _) = world.worker(&[]);
    worker.stop();
    let half_past = minutes_ago(&world, 30).await;
    // Due every hour, last half an hour ago: no new occurrence comes in between.
    let hourly = json!({
        "cron": format!("{} * * * *", &half_past[14..16]), "high_water": minutes_ago(&world, 300).await,
        "missed_limit": 3, "overlap": "allow", "spec": { "database": "lucid" },
    });
    for missed in ["skip", "once", "all"] {
        put(&api, &with(&with(&hourly, "name", missed), "missed", missed));
    }
    let (_first, _) = world.worker(&[]);
    let (_second, _) = world.worker(&[]);
    for (missed, jobs) in [("skip", 0), ("once", 1), ("all", 3)] {
        let after = until(&api, missed, |schedule| {
            schedule["high_water"].as_str().map(|at| &at[..16]) == Some(&half_past[..16])
        })
        .await;
        let made = made(&world, missed).await;
        assert_eq!((made.len(), made.values().sum::<usize>()), (jobs, jobs), "{missed}: {made:?}");
        let last = &after["last"];
        assert_eq!(last["planned_at"].as_str().map(|at| &at[..16]), Some(&half_past[..16]), "{after}");
        assert_eq!((last["job"].is_string(), last["skipped"].is_string()), (jobs > 0, jobs == 0), "{after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_schedule_rests_and_makes_up_for_nothing() {
    let world = World::start(1).await;
    lucid(&world).await;
    let (_api_process, api) = world.api();
    let (worker, _) = world.worker(&[]);
    worker.stop();
    let since = minutes_ago(&world, 5).await;
    let plan = with(&every_minute(), "high_water", since.as_str());
    put(&api, &with(&with(&plan, "paused", true), "missed", "all"));
    looked(&world, &api).await;
    assert_eq!(made(&world, "often").await.len(), 0);
    let (status, resumed) = api.call("POST", "/schedules/often/resume", None);
    assert_eq!((status, &resumed["paused"]), (200, &json!(false)));
    looked(&world, &api).await;
    // A minute may begin meanwhile.
    let after = schedule(&api, "often");
    let planned_at = after["last"]["planned_at"].as_str();
    assert!(planned_at.is_none() || planned_at > resumed["updated_at"].as_str(), "{after}");
}

/// Starts a worker: its scheduler looks at once, long before a job that is asked for then is done. And stops it.
async fn looked(world: &World, api: &Api) {
    let (worker, _) = world.worker(&[]);
    let (status, job) = api.call("POST", "/schedules/often/run", None);
    assert_eq!(status, 202, "{job}");
    api.succeeded(job["job_id"].as_str().expect("an id")).await;
    worker.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_keeps_schedules_at_the_command_line() {
    let world = World::start(1).await;
    lucid(&world).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let verb = |arguments: &[&str]| {
        let output = api.verb(&[&["schedules"], arguments].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, _, said) = verb(&["set", "nightly", "--database", "lucid"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("a new one needs --cron"), "{said}");
    let (code, shown, said) =
        verb(&["set", "nightly", "--cron", "0 2 * * *", "--timezone", "Europe/Berlin", "--database", "lucid"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(shown.contains("0 2 * * * (Europe/Berlin)") && shown.contains("backup lucid"), "{shown}");
    // What isn't given stays.
    let (_, shown, _) = verb(&["set", "nightly", "--missed", "all", "--missed-limit", "3", "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((&shown["missed"], &shown["missed_limit"], &shown["version"]), (&json!("all"), &json!(3), &json!(2)));
    assert_eq!((&shown["timezone"], &shown["spec"]["database"]), (&json!("Europe/Berlin"), &json!("lucid")));
    let (code, _, said) = verb(&["set", "nightly", "--cron", "0 25 * * *"]);
    assert_eq!((code, said.contains("cron: ")), (Some(2), true), "{said}");
    verb(&["pause", "nightly"]);
    let (_, listed, _) = verb(&["list"]);
    assert!(listed.contains("nightly") && listed.contains("paused"), "{listed}");
    let (_, run_now, _) = verb(&["run", "nightly", "--json"]);
    let job: Value = serde_json::from_str(&run_now).expect("JSON");
    let ended = api.succeeded(job["job_id"].as_str().expect("an id")).await;
    assert!(ended.requested_by.ends_with(" for schedule:nightly"), "{}", ended.requested_by);
    verb(&["resume", "nightly"]);
    assert_eq!(schedule(&api, "nightly")["paused"], false);
    let (code, removed, _) = verb(&["remove", "nightly"]);
    assert_eq!((code, removed.as_str()), (Some(0), "nightly is removed\n"));
    let (code, _, said) = verb(&["show", "nightly"]);
    assert_eq!((code, said.contains("there is no schedule 'nightly'")), (Some(2), true), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_missions_variable_is_a_schedule() {
    let world = World::start(1).await;
    let (uri, token_file) = (world.uri(), world.token_file());
    let start = |value: &str| {
        let environment = [("MONGODB_URI", uri.as_str()), ("BACKUP_SCHEDULE", value)];
        Process::start_with(&["api", "--listen", "127.0.0.1:0", "--token-file", &token_file], &environment)
    };
    let refused =
        run(&["api", "--listen", "127.0.0.1:0"], &[("MONGODB_URI", &world.uri()), ("BACKUP_SCHEDULE", "every night")]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("BACKUP_SCHEDULE has 2 fields; expected five"), "{said}");
    let mut first = start("0 2 * * *");
    let url = first.await_line("listening on ");
    let api = Api::new(url, &token_file);
    let made = schedule(&api, "BACKUP_SCHEDULE");
    assert_eq!(
        (&made["cron"], &made["spec"]["database"], &made["version"]),
        (&json!("0 2 * * *"), &json!("lucid"), &json!(1))
    );
    assert!(made["next"][0].as_str().expect("a time").ends_with("T02:00:00.000Z"), "{made}");
    let mut second = start("30 3 * * *");
    second.await_line("listening on ");
    let changed = schedule(&api, "BACKUP_SCHEDULE");
    assert_eq!((&changed["cron"], &changed["version"]), (&json!("30 3 * * *"), &json!(2)));
    let (_third, _) = world.api();
    assert_eq!(schedule(&api, "BACKUP_SCHEDULE"), changed, "without the variable it stays");
}
