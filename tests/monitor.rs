//! The monitor as a process, on a real set: what Prometheus reads, what people read, and what becomes of it when a member hangs.

use crate::support::{Api, World, process::Process};
use bson::doc;
use lucid_embedded::{Options, Signal};
use lucid_schemas::roles::Service;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

const WITHIN: Duration = Duration::from_secs(60);

/// A monitor process of a world: what it shows to people, and what to Prometheus.
pub fn monitor(world: &World) -> (Process, Api, Api) {
    monitor_with(world, &[])
}

/// The same with more arguments.
pub fn monitor_with(world: &World, more: &[&str]) -> (Process, Api, Api) {
    monitor_as(world, &world.uri_of(Service::Monitor), more)
}

/// The same for the user of this connection string.
fn monitor_as(world: &World, uri: &str, more: &[&str]) -> (Process, Api, Api) {
    let (repository, token_file) = (world.repository(), world.token_file());
    let arguments = ["monitor", "--listen", "127.0.0.1:0", "--metrics-port", "0", "--monitoring-interval", "1"];
    let arguments = [&arguments[..], &["--repository", &repository, "--token-file", &token_file], more].concat();
    let mut process = Process::start(&arguments, uri);
    let metrics = Api::to_read(process.await_line("metrics on "));
    let monitor = Api::to_read(process.await_line("listening on "));
    (process, monitor, metrics)
}

pub fn scrape(metrics: &Api) -> String {
    match metrics.get("/metrics") {
        (200, Value::String(text)) => text,
        other => panic!("{other:?}"),
    }
}

pub async fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(begun.elapsed() < WITHIN, "not {what}: {seen}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Scrapes until every line that is wanted is there.
pub async fn until_scraped(metrics: &Api, wanted: &[&str]) -> String {
    until(&format!("{wanted:?}"), || {
        let text = scrape(metrics);
        let missing = wanted.iter().find(|wanted| !text.lines().any(|line| line.starts_with(**wanted)));
        missing.map_or(Ok(text.clone()), |missing| Err(format!("{missing} is missing in\n{text}")))
    })
    .await
}

/// Every series belongs to a family that says its type and what it tells, before it and once.
fn check_typed(text: &str) {
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeMap::new());
    for line in text.lines() {
        let mut words = line.split([' ', '{']);
        match (words.next(), words.next()) {
            (Some("#"), Some("HELP")) => {
                let (name, help) = (words.next().expect("a name"), words.next());
                assert!(helped.insert(name) && help.is_some(), "{line}");
            }
            (Some("#"), Some("TYPE")) => {
                let (name, kind) = (words.next().expect("a name"), words.next().expect("a type"));
                assert!(["gauge", "counter", "histogram"].contains(&kind), "{line}");
                assert!(typed.insert(name, kind).is_none(), "{line}");
            }
            (Some(series), Some(_)) => {
                let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| series.strip_suffix(part));
                let family = of_histogram.filter(|name| typed.get(name) == Some(&"histogram")).unwrap_or(series);
                assert!(typed.contains_key(family) && helped.contains(family), "{line}");
                let value = line.rsplit(' ').next().expect("a value");
                assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            }
            other => panic!("{other:?} of {line}"),
        }
    }
    assert!(typed.len() > 60, "only {} families: {:?}", typed.len(), typed.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_set_the_jobs_and_the_backups() {
    let world = World::start(1).await;
    let users = world.client().database("lucid").collection("users");
    users.insert_many((0..300).map(|number| doc! { "_id": number })).await.expect("inserted");
    let (_monitor, people, metrics) = monitor(&world);
    let before = until_scraped(&metrics, &["ops_store_up 1", "mongodb_up{"]).await;
    assert!(!before.contains("ops_backup_last_success_timestamp_seconds"), "nothing was backed up yet");
    assert!(before.contains("\nops_workers 0\n"), "{before}");

    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;
    let verification = api.accepted("/verify", &json!({ "backup": backup }));
    api.succeeded(&verification).await;
    let text = until_scraped(
        &metrics,
        &[
            "database_health_status{rs=\"rs0\",status=\"healthy\"} 1",
            "mongodb_collection_documents{database=\"lucid\",collection=\"users\"} 300",
            "mongodb_replset_writable_primaries{rs=\"rs0\"} 1",
            "ops_backup_last_attempt_success{database=\"lucid\"} 1",
            "ops_repository_up{repository=\"main\"} 1",
            "ops_verification_last_success{database=\"lucid\",level=\"data\"} 1",
            "ops_workers 1",
            "ops_change_stream_lag_seconds ",
        ],
    )
    .await;
    check_typed(&text);
    // What the server has counted is all there: buckets up to the one without end, which is the count.
    let value = |begins: &str| {
        let line = text.lines().find(|line| line.starts_with(begins)).unwrap_or_else(|| panic!("{begins}: {text}"));
        line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number")
    };
    let member = format!("member=\"127.0.0.1:{}\",op_type=\"commands\"", port(&world));
    let count = value(&format!("mongodb_query_duration_seconds_count{{{member}}}"));
    assert!(count > 10.0);
    assert!((value(&format!("mongodb_query_duration_seconds_bucket{{{member},le=\"+Inf\"}}")) - count).abs() < 0.5);
    assert!(value("ops_backup_last_success_timestamp_seconds{database=\"lucid\"}") > 1_600_000_000.0);
    assert!(value("process_resident_memory_bytes") > 1_000_000.0);
    let (status, stats) = people.get("/stats");
    assert_eq!((status, &stats["jobs"]["backups"]["lucid"]["job"]), (200, &json!(backup)), "{stats}");
    assert_eq!(people.get("/health?fail=degraded").0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_rights_of_a_monitor_is_enough() {
    let world = World::start(1).await;
    let users = world.client().database("lucid").collection("users");
    users.insert_many((0..300).map(|number| doc! { "_id": number })).await.expect("inserted");
    let (_worker, _) = world.worker(&[]);
    let admin = world.client().database("admin");
    let names = doc! { "resource": { "db": "", "collection": "" }, "actions": ["listCollections"] };
    admin.run_command(doc! { "createRole": "names", "privileges": [names], "roles": [] }).await.expect("made");
    let roles = vec![
        doc! { "role": "names", "db": "admin" },
        doc! { "role": "clusterMonitor", "db": "admin" },
        doc! { "role": "read", "db": "local" },
        doc! { "role": "readWrite", "db": "lucid_ops" },
    ];
    admin.run_command(doc! { "createUser": "watcher", "pwd": "secret", "roles": roles }).await.expect("made");
    let uri = format!("mongodb://watcher:secret@127.0.0.1:{}/?replicaSet=rs0&authSource=admin", port(&world));
    let (_monitor, _people, metrics) = monitor_as(&world, &uri, &[]);
    let member = format!("mongodb_sample_parts_refused{{member=\"127.0.0.1:{}\"}} 0", port(&world));
    let sizes = "mongodb_collection_documents{database=\"lucid\",collection=\"users\"} 300";
    let healthy = "database_health_status{rs=\"rs0\",status=\"healthy\"} 1";
    until_scraped(&metrics, &[&member, sizes, "ops_store_up 1", "ops_workers 1", healthy]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_terms_are_followed_by_every_monitor() {
    let world = World::start(1).await;
    for database in ["lucid", "shop"] {
        let rows = world.client().database(database).collection("rows");
        rows.insert_one(doc! { "_id": 1 }).await.expect("inserted");
    }
    let monitors = [monitor(&world), monitor(&world)];
    for (_, _, metrics) in &monitors {
        let sized = "mongodb_collection_size_bytes{database=\"lucid\",collection=\"rows\"}";
        until_scraped(metrics, &[sized, "ops_store_up 1"]).await;
    }
    let asked = Api::new(monitors[0].1.url.clone(), &world.token_file());
    for (bad, field) in [
        (json!({ "interval_seconds": 0 }), "interval_seconds"),
        (json!({ "databases": [] }), "databases"),
        (json!({ "databases": ["a/b"] }), "databases"),
    ] {
        let (status, problem) = asked.call("POST", "/monitor", Some(&bad));
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{problem}");
    }
    let terms = json!({ "interval_seconds": 2, "databases": ["shop"], "latency_by_collection": true });
    asked.accepted("/monitor", &terms);
    for (_, people, metrics) in &monitors {
        let counted = format!(
            "mongodb_collection_query_duration_seconds_count{{member=\"127.0.0.1:{}\",database=\"shop\",collection=\"rows\",op_type=\"writes\"}} 1",
            port(&world)
        );
        let text = until_scraped(metrics, &[&counted]).await;
        assert!(!text.contains("{database=\"lucid\",collection="), "{text}");
        assert!(text.contains("{database=\"lucid_ops\",collection=\"ops\"}"), "the engine's own is always measured");
        let told = &people.get("/stats").1["terms"];
        assert_eq!((&told["interval_seconds"], &told["databases"]), (&json!(2), &json!(["lucid_ops", "shop"])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_histogram_shows_how_long_a_known_load_took() {
    const FINDS: f64 = 100.0;
    // The ends of the bucket in whose middle the load lies, in seconds.
    const BUCKET: (&str, &str) = ("0.065535", "0.131071");
    let world = World::bare(Options::new).await;
    let (_monitor, _people, metrics) = monitor(&world);
    // How many reads took at most so long.
    let until = |text: &str, le: &str| {
        let (reads, le) = ("op_type=\"reads\"", format!("le=\"{le}\""));
        let line = text.lines().find(|line| line.contains("_bucket") && line.contains(reads) && line.contains(&le));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    let before = until_scraped(&metrics, &["mongodb_query_duration_seconds_count"]).await;
    let rows = world.client().database("lucid").collection("rows");
    rows.insert_one(doc! { "_id": 1 }).await.expect("inserted");
    let mut slower = 0.0;
    for _ in 0..100 {
        let asked = Instant::now();
        // The server itself takes so long. (What the fail point failCommand blocks isn't counted: that comes before the clock starts.)
        rows.find_one(doc! { "$where": "sleep(110) || true" }).await.expect("read").expect("there");
        slower += f64::from(u8::from(asked.elapsed() > Duration::from_millis(131)));
    }
    let load = |text: &str, le: &str| {
        let after = |text: &str| until(text, le) - until(text, BUCKET.0);
        after(text) - after(&before)
    };
    let begun = Instant::now();
    let text = loop {
        let text = scrape(&metrics);
        if load(&text, "+Inf") >= FINDS {
            break text;
        }
        assert!(begun.elapsed() < WITHIN, "the server has counted {} of them", load(&text, "+Inf"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let (all, inside) = (load(&text, "+Inf"), load(&text, BUCKET.1));
    assert!(all - inside <= slower, "{inside} of {all} in the bucket, {slower} answers were slower than it");
    // Where the machine itself was slow, the load wasn't what it should be.
    let slow = slower / FINDS;
    for quantile in [0.5, 0.99].into_iter().filter(|quantile| slow <= 1.0 - quantile) {
        assert!(inside >= all * quantile, "p{quantile} isn't in the bucket: {inside} of {all}");
    }
}

fn port(world: &World) -> u16 {
    let uri = world.uri();
    let port = uri.rsplit_once("127.0.0.1:").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
    port.expect("a port")
}

const SCRAPES: usize = 200;

/// How long each of so many scrapes took, shortest first; every one is answered.
fn times(metrics: &Api) -> Vec<Duration> {
    let one = |_| {
        let begun = Instant::now();
        scrape(metrics);
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..SCRAPES).map(one).collect();
    times.sort_unstable();
    times
}

fn middle(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_hangs_is_down_alone_and_delays_no_scrape() {
    let mut world = World::bare(|dir| Options::new(dir).members(3)).await;
    let (_monitor, people, metrics) = monitor(&world);
    let frozen = (world.deployment.primary().await.expect("a primary") + 1) % 3;
    let address = format!("member=\"127.0.0.1:{}\"", world.deployment.members()[frozen].port);
    let (up, down) = (format!("mongodb_up{{{address}}} 1"), format!("mongodb_up{{{address}}} 0"));
    let all = until_scraped(&metrics, &[&up, "mongodb_replset_members{rs=\"rs0\"} 3"]).await;
    assert!(all.lines().filter(|line| line.contains(&address)).count() > 50, "{all}");
    let usual = times(&metrics);
    world.deployment.kill(frozen, Signal::SIGSTOP).await.expect("stopped");
    let text = until_scraped(&metrics, &[&down]).await;
    let of_it: Vec<&str> = text.lines().filter(|line| line.contains(&address)).collect();
    assert_eq!(of_it, [down.as_str()], "nothing else is told of it");
    assert_eq!(text.lines().filter(|line| line.starts_with("mongodb_up") && line.ends_with(" 1")).count(), 2);
    let (_, health) = people.get("/health");
    assert_eq!(health["answering"], 2, "{health}");
    // A scrape that waited for it would wait for as long as it hangs, or its patience of seconds.
    let meanwhile = times(&metrics);
    println!(
        "p50 of {SCRAPES} scrapes: {:?} while all answer, {:?} while one hangs",
        middle(&usual),
        middle(&meanwhile)
    );
    assert!(middle(&meanwhile) < 5 * middle(&usual), "{meanwhile:?} instead of {usual:?}");
    assert_eq!(scrape(&metrics).lines().filter(|line| line.contains(&address)).collect::<Vec<_>>(), [down.as_str()]);
    world.deployment.kill(frozen, Signal::SIGCONT).await.expect("continued");
    until_scraped(&metrics, &[&up, "mongodb_replset_writable_primaries{rs=\"rs0\"} 1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_without_a_primary_is_told_by_a_monitor_that_begins_then() {
    let mut world = World::bare(|dir| Options::new(dir).members(3)).await;
    let left = world.deployment.primary().await.expect("a primary");
    for member in (0..3).filter(|member| *member != left) {
        world.deployment.kill(member, Signal::SIGKILL).await.expect("killed");
    }
    let (_monitor, people, metrics) = monitor(&world);
    let health = until("critical", || match people.get("/health") {
        (503, health) if health["status"] == "critical" => Ok(health),
        (status, health) => Err(format!("{status} {health}")),
    })
    .await;
    assert_eq!((&health["members"], &health["answering"]), (&json!(3), &json!(1)), "{health}");
    let text = until_scraped(&metrics, &["ops_store_up 0", "mongodb_replset_writable_primaries{rs=\"rs0\"} 0"]).await;
    let silent = |line: &&str| line.starts_with("mongodb_up") && line.ends_with(" 0");
    assert_eq!(text.lines().filter(silent).count(), 2, "{text}");
    for member in (0..3).filter(|member| *member != left) {
        world.deployment.restart(member).await.expect("restarted");
    }
    until_scraped(&metrics, &["ops_store_up 1", "mongodb_replset_writable_primaries{rs=\"rs0\"} 1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_has_a_monitor_and_its_card_says_where() {
    let scratch = crate::support::world::scratch();
    let dir = scratch.path().join("dev").display().to_string();
    let ports = ["--api-port", "0", "--monitor-port", "0", "--metrics-port", "0", "--mongod-port", "0"];
    let arguments = [&["dev", "--dir", &dir, "--monitoring-interval", "1"][..], &ports].concat();
    let mut dev = Process::start_with(&arguments, &[]);
    dev.await_line("Ctrl-C");
    let card: Value = serde_json::from_slice(&fs::read(format!("{dir}/dev.json")).expect("a card")).expect("JSON");
    let at = |name: &str| Api::to_read(card[name].as_str().expect("an address").to_owned());
    let wanted =
        ["database_health_status{rs=\"rs0\",status=\"healthy\"} 1", "ops_repository_up{repository=\"main\"} 1"];
    let text = until_scraped(&at("metrics_url"), &wanted).await;
    assert!(text.contains("\nops_workers 1\n") && text.contains("ops_worker_looks_total{worker=\"jobs\"}"), "{text}");
    check_typed(&text);
    assert_eq!(at("monitor_url").get("/health").0, 200);
    assert!(dev.stop().success());

    // Without the port of Prometheus, the monitor has the metrics all the same.
    let arguments = [&arguments[..], &["--prometheus-enabled", "false"]].concat();
    let mut dev = Process::start_with(&arguments, &[]);
    dev.await_line("Ctrl-C");
    let card: Value = serde_json::from_slice(&fs::read(format!("{dir}/dev.json")).expect("a card")).expect("JSON");
    assert_eq!(card["metrics_url"], Value::Null);
    let monitor = Api::to_read(card["monitor_url"].as_str().expect("an address").to_owned());
    assert!(scrape(&monitor).contains("ops_build_info"));
    assert!(dev.stop().success());
}
