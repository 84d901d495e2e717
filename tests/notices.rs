//! Notices from end to end: a webhook of this test is told what goes wrong, once, and that it is over, once, whoever writes alerts.

use crate::{
    alerts::{alerts, flip_packs, monitor, until, until_status, verified},
    support::{
        World, data,
        receiver::{Receiver, channels_file},
    },
};
use lucid_embedded::{Options, Signal};
use serde_json::json;
use std::{fs, sync::atomic::Ordering, time::Duration};

const RULE: &str = "verification_failed";

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_once_what_is_wrong_and_once_that_it_is_over() {
    let world = World::start(1).await;
    data::rows(&world, "lucid", 300).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let receiver = Receiver::start(500);
    let text = format!("group_wait = \"1s\"\n[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\n", receiver.url);
    let path = channels_file(&world, &text);
    let file = ["--channels-file", path.to_str().expect("a path")];
    let (_one, _) = monitor(&world, &file);
    let (_other, _) = monitor(&world, &file);
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;
    flip_packs(&world);
    verified(&api, &backup, "failed").await;
    until("tried in vain", async || {
        let jobs = api.get("/jobs?kind=notify").1["jobs"].to_string();
        if jobs.contains("channel_away") { Ok(()) } else { Err(jobs) }
    })
    .await;
    receiver.status.store(200, Ordering::SeqCst);
    let (key, _) = until("told", async || receiver.told(RULE).pop().ok_or_else(String::new)).await;
    let alert = alerts(&world, RULE).await.remove(0);
    assert!(key.ends_with(alert.get_str("_id").expect("an id")), "{key}");
    flip_packs(&world);
    verified(&api, &backup, "succeeded").await;
    until("told to be over", async || match receiver.told(RULE) {
        told if told.len() > 1 => Ok(()),
        told => Err(format!("{told:?}")),
    })
    .await;
    // Time for whoever would tell it again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let words = ["firing", "resolved"].map(|word| (key.clone(), word.to_owned()));
    assert_eq!(receiver.told(RULE), words);
    let alert = alerts(&world, RULE).await.remove(0);
    assert!(alert.get_array("notify").map_or(true, Vec::is_empty), "{alert}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_primary_the_webhook_is_told_all_the_same_and_hears_that_it_is_over() {
    const LOST: &str = "no_majority";
    let mut world = World::bare(|dir| Options::new(dir).members(3)).await;
    let receiver = Receiver::start(200);
    let text = format!("group_wait = \"1s\"\n[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\n", receiver.url);
    let (channels, rules) = (channels_file(&world, &text), world.dir().join("rules.json"));
    let off =
        r#""disk_space": { "off": true }, "repository_full": { "off": true }, "repository_gone": { "off": true }"#;
    fs::write(&rules, format!("{{ \"{LOST}\": {{ \"for_seconds\": 2 }}, {off} }}")).expect("written");
    let (channels, rules) = (channels.display().to_string(), rules.display().to_string());
    let (_monitor, people) = monitor(&world, &["--channels-file", &channels, "--rules-file", &rules]);
    until_status(&people, "healthy").await;
    for member in [0, 1] {
        world.deployment.kill(member, Signal::SIGKILL).await.expect("killed");
    }
    let (key, word) = until("told", async || {
        let told = receiver.told(LOST).pop();
        told.ok_or_else(|| people.get("/health").1.to_string())
    })
    .await;
    assert!(
        word == "firing" && key.contains("/t"),
        "nothing can be written, so the incident is named after the term: {key}"
    );
    until_status(&people, "critical").await;
    for member in [0, 1] {
        world.deployment.restart(member).await.expect("restarted");
    }
    until("told to be over", async || match receiver.told(LOST) {
        told if told.len() > 1 => Ok(()),
        told => Err(format!("{told:?} {}", people.get("/health").1)),
    })
    .await;
    until_status(&people, "healthy").await;
    assert_eq!(receiver.told(LOST), ["firing", "resolved"].map(|word| (key.clone(), word.to_owned())));
}
