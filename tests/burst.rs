//! A burst: two hundred alerts at once are one message to each channel, and no channel waits for another one.

use crate::{
    alerts::{monitor, until},
    support::{
        Api, World,
        receiver::{Receiver, channels_file},
    },
};
use bson::{Document, doc};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// As many as may be open of a rule; there are two rules.
const EACH: usize = 100;
/// All that is wrong is found at once, or the chapter would tell nothing of bursts.
const RULES: &str = r#"{
    "repository_full": { "off": true }, "disk_space": { "off": true }, "disk_filling": { "off": true },
    "unprotected_database": { "for_seconds": 0 },
    "schedule_paused": { "warning": 0 }
}"#;

/// A webhook that takes connections and never says a word; how many it has.
fn hanging() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().flatten() {
            held.push(stream);
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (url, connections)
}

/// How many alerts each message tells to be so, or to be over.
fn messages(receiver: &Receiver, status: &str) -> Vec<usize> {
    let count = |message: Value| {
        let alerts = message["alerts"].as_array().cloned().unwrap_or_default();
        alerts.iter().filter(|alert| alert["status"] == status).count()
    };
    receiver.messages().into_iter().map(count).filter(|count| *count > 0).collect()
}

/// How often the channel was told of each incident that it is so, or over.
fn tellings(receiver: &Receiver, status: &str) -> BTreeMap<String, usize> {
    let alerts =
        receiver.messages().into_iter().flat_map(|message| message["alerts"].as_array().cloned().unwrap_or_default());
    let mut told = BTreeMap::new();
    for alert in alerts.filter(|alert| alert["status"] == status) {
        *told.entry(alert["annotations"]["dedup_key"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    told
}

/// Databases that nobody backs up, and schedules that rest.
async fn make_wrong(world: &World, api: &Api) {
    let client = world.client();
    client.database("kept").collection::<Document>("rows").insert_one(doc! {}).await.expect("inserted");
    for number in 0..EACH {
        let (database, schedule) = (format!("shop{number:03}"), format!("rest{number:03}"));
        client.database(&database).collection::<Document>("rows").insert_one(doc! {}).await.expect("inserted");
        let body = json!({ "cron": "0 0 1 1 *", "paused": true, "spec": { "database": "kept" } });
        let (status, answer) = api.call("PUT", &format!("/schedules/{schedule}"), Some(&body));
        assert_eq!(status, 201, "{answer}");
    }
    client.database("kept").drop().await.expect("dropped");
}

async fn mend(world: &World, api: &Api) {
    let client = world.client();
    for number in 0..EACH {
        client.database(&format!("shop{number:03}")).drop().await.expect("dropped");
        assert_eq!(api.call("DELETE", &format!("/schedules/rest{number:03}"), None).0, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_alerts_are_one_message_to_each_channel_and_none_waits_for_another_one() {
    let world = World::start(1).await;
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    make_wrong(&world, &api).await;
    let (good, refusing, (hangs, connections)) = (Receiver::start(200), Receiver::start(500), hanging());
    let channel = |name: &str, url: &str| format!("[channels.{name}]\nkind = \"webhook\"\nurl = \"{url}\"\n");
    let channels = [channel("a_hangs", &hangs), channel("b_refuses", &refusing.url), channel("c_good", &good.url)];
    let channels = channels_file(&world, &format!("group_wait = \"10s\"\n{}", channels.concat()));
    let rules = world.dir().join("rules.json");
    fs::write(&rules, RULES).expect("written");
    let (channels, rules) = (channels.display().to_string(), rules.display().to_string());
    let (_monitor, people) = monitor(&world, &["--channels-file", &channels, "--rules-file", &rules]);

    let told = until("told", async || match messages(&good, "firing") {
        told if !told.is_empty() => Ok(told),
        _ => Err(people.get("/health").1["problems"].as_array().map_or(0, Vec::len).to_string()),
    })
    .await;
    assert_eq!(told, [2 * EACH], "one message");
    until("asked where it hangs", async || match connections.load(Ordering::SeqCst) {
        0 => Err(api.get("/jobs?kind=notify").1.to_string()),
        _ => Ok(()),
    })
    .await;
    until("refused", async || match api.get("/jobs?kind=notify").1["jobs"].to_string() {
        jobs if jobs.contains("channel_away") => Ok(()),
        jobs => Err(jobs),
    })
    .await;
    assert!(messages(&refusing, "firing").is_empty(), "nothing was taken");
    refusing.status.store(200, Ordering::SeqCst);
    until("told afterwards", async || match messages(&refusing, "firing") {
        told if !told.is_empty() => Ok(()),
        _ => Err(api.get("/jobs?kind=notify").1.to_string()),
    })
    .await;

    mend(&world, &api).await;
    for receiver in [&good, &refusing] {
        until("told to be over", async || match tellings(receiver, "resolved") {
            told if told.len() == 2 * EACH => Ok(()),
            told => Err(format!("{} of them", told.len())),
        })
        .await;
    }
    // Time for whoever would tell it again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    for receiver in [&good, &refusing] {
        assert_eq!(messages(receiver, "firing"), [2 * EACH], "once");
        let (firing, resolved) = (tellings(receiver, "firing"), tellings(receiver, "resolved"));
        assert!(firing.values().chain(resolved.values()).all(|times| *times == 1), "{firing:?} {resolved:?}");
        assert!(firing.keys().eq(resolved.keys()), "the same incidents");
    }
}
