//! Everything on one screen: plain where it is piped, and as much as is known.

use crate::{
    alerts::{monitor, until},
    support::{
        World,
        process::{Process, run},
    },
};
use serde_json::{Value, json};
use std::process::Output;

fn top(api: &str, monitor: &str, more: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, .. } = run(&[&["top", "--api", api, "--monitor", monitor], more].concat(), &[]);
    (status.code(), String::from_utf8(stdout).expect("UTF-8"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_screen_shows_all_and_what_is_not_known_says_why() {
    let world = World::start(1).await;
    let rows = world.client().database("lucid").collection("rows");
    rows.insert_one(bson::doc! { "_id": 1 }).await.expect("inserted");
    let (mut api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let (_monitor, people): (Process, _) = monitor(&world, &[]);
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;
    let tomorrow = bson::DateTime::from_millis(bson::DateTime::now().timestamp_millis() + 86_400_000);
    let tomorrow = tomorrow.try_to_rfc3339_string().expect("a time");
    let waiting = api.accepted("/backup", &json!({ "database": "lucid", "job": { "run_at": tomorrow } }));
    let text = until("all of it", async || match top(&api.url, &people.url, &[]) {
        (Some(0), text) if text.starts_with("healthy ") && text.contains(&backup) => Ok(text),
        other => Err(format!("{other:?}")),
    })
    .await;
    let line =
        |begins: &str| text.lines().find(|line| line.starts_with(begins)).unwrap_or_else(|| panic!("{begins}: {text}"));
    assert!(line("127.0.0.1:").contains("  primary") && line("127.0.0.1:").ends_with("0 s"), "{text}");
    assert!(line(&waiting).contains("  queued "), "{text}");
    assert!(line("lucid ").ends_with(&backup), "{text}");
    assert!(text.ends_with("no open alerts\n") && !text.contains("monitor_"), "{text}");
    assert!(!text.contains('\u{1b}'), "nothing steers what it is piped into: {text:?}");

    let (code, told) = top(&api.url, &people.url, &["--json"]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((code, &told["health"]["status"]), (Some(0), &json!("healthy")), "{told}");
    assert_eq!((&told["backups"]["lucid"]["job"], &told["jobs"][0]["job_id"]), (&json!(backup), &json!(waiting)));

    api_process.signal(lucid_embedded::Signal::SIGKILL);
    until("the end of the API", async || api_process.ended().map(drop).ok_or_else(|| "it runs".to_owned())).await;
    let (code, text) = top(&api.url, &people.url, &["--once"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("\njobs: not known: ") && text.contains("  primary"), "{text}");
    let (code, text) = top(&api.url, "http://127.0.0.1:1", &[]);
    assert_eq!(code, Some(3), "nobody answers: {text}");
    assert!(text.contains("lucid-ops monitor"), "it says what to start: {text}");
}
