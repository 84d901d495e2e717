//! Prometheus itself reads the monitor: without an error, every metric typed and explained, nothing that its own tool finds fault with.

use crate::{
    monitor::{monitor, scrape, until, until_scraped},
    support::{
        World,
        process::{Process, run},
        prometheus::{Prometheus, promtool},
    },
};
use bson::doc;
use lucid_embedded::Options;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

/// Names of the families of a text, by what is said of their types.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Its own tool finds nothing: no name without its unit, no counter without its ending, nothing without a help.
fn check(text: &str) {
    let said = promtool(&["check", "metrics"], text);
    let found = [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(said.status.success() && found.is_empty(), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_itself_reads_every_metric_with_its_type_and_help() {
    let world = World::start(1).await;
    let users = world.client().database("lucid").collection("users");
    users.insert_many((0..300).map(|number| doc! { "_id": number })).await.expect("inserted");
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;
    api.succeeded(&api.accepted("/verify", &json!({ "backup": backup }))).await;
    let (_monitor, people, metrics) = monitor(&world);
    let whole = ["ops_verification_last_success{", "mongodb_collection_size_bytes{", "mongodb_connections{"];
    check(&until_scraped(&metrics, &whole).await);

    let prometheus = Prometheus::scraping(world.dir(), &[&people.url, &metrics.url]);
    let targets = until("both scraped", || {
        let targets = prometheus.data("/api/v1/targets?state=active")?;
        let active = targets["activeTargets"].as_array().cloned().unwrap_or_default();
        let is_up = |target: &Value| target["health"] == "up";
        if active.len() == 2 && active.iter().all(is_up) { Ok(active) } else { Err(targets.to_string()) }
    })
    .await;
    assert!(targets.iter().all(|target| target["lastError"] == ""), "{targets:?}");
    let metadata = prometheus.data("/api/v1/targets/metadata").expect("metadata");
    let known = metadata.as_array().expect("a list");
    let bare: Vec<_> = known
        .iter()
        .filter(|metric| {
            metric["help"] == "" || !["gauge", "counter", "histogram"].map(Value::from).contains(&metric["type"])
        })
        .collect();
    assert!(bare.is_empty(), "{bare:#?}");
    let known: BTreeSet<_> = known.iter().filter_map(|metric| metric["metric"].as_str()).map(str::to_owned).collect();
    let missing: Vec<_> = families(&scrape(&metrics)).into_iter().filter(|name| !known.contains(name)).collect();
    assert!(missing.is_empty() && known.len() > 60, "{missing:?} of {known:?}");
    // What it stored can be asked for: the latency that people look at first.
    let answer = prometheus
        .query("histogram_quantile(0.99, sum by (le) (mongodb_query_duration_seconds_bucket))")
        .expect("an answer");
    let value = answer["result"][0]["value"][1].as_str().and_then(|value| value.parse::<f64>().ok());
    assert!(value.is_some_and(|seconds| seconds > 0.0 && seconds < 20.0), "{answer}");
}

/// What a dashboard asks where there is nothing to tell: on other machines, of other servers, or before anything has happened.
const SILENT: [&str; 12] = [
    "mongodb_query_working_seconds",
    "ops_backup_expected_interval_seconds",
    "ops_backup_next_due_timestamp_seconds",
    "ops_host_temperature_celsius",
    "ops_host_throttled",
    "ops_host_disk",
    "ops_host_pressure_seconds_total",
    "ops_schedule_",
    "ops_jobs_total",
    "ops_jobs{",
    "ops_oldest_due_job_age_seconds",
    "ops_job_duration_seconds",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_of_the_dashboards_is_answered_by_prometheus() {
    let world = World::start(3).await;
    let users = world.client().database("lucid").collection("users");
    users.insert_many((0..300).map(|number| doc! { "_id": number })).await.expect("inserted");
    let (_api_process, api) = world.api();
    let (_worker, _) = world.worker(&[]);
    let backup = api.accepted("/backup", &json!({ "database": "lucid" }));
    api.succeeded(&backup).await;
    api.succeeded(&api.accepted("/verify", &json!({ "backup": backup }))).await;
    let (_monitor, _people, metrics) = monitor(&world);
    let whole = ["ops_verification_last_success{", "mongodb_collection_size_bytes{", "mongodb_replset_member_state{"];
    until_scraped(&metrics, &whole).await;
    let prometheus = Prometheus::scraping(world.dir(), &[&metrics.url]);
    let rates = "rate(mongodb_operations_total[1m])";
    until("rates", || {
        prometheus.query(rates).and_then(|answer| if is_empty(&answer) { Err(answer.to_string()) } else { Ok(()) })
    })
    .await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("deploy/grafana");
    let (mut panels, mut unanswered) = (0, Vec::new());
    for file in fs::read_dir(folder).expect("dashboards") {
        let text = fs::read_to_string(file.expect("a file").path()).expect("text");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        for panel in dashboard["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let expression = target["expr"].as_str().expect("a query");
                let query = expression.replace("$__rate_interval", "1m").replace("\"$rs\"", "\"rs0\"");
                let query = ["$member", "$kind", "$database", "$instance"]
                    .iter()
                    .fold(query, |query, name| query.replace(name, ".*"));
                let may_be_silent = SILENT.iter().any(|name| query.contains(name));
                match prometheus.query(&query) {
                    Ok(answer) if !is_empty(&answer) || may_be_silent => panels += 1,
                    answer => unanswered.push(format!("{}: {query}: {answer:?}", panel["title"])),
                }
            }
        }
    }
    assert!(unanswered.is_empty() && panels > 60, "{panels}, but {unanswered:#?}");
}

fn is_empty(answer: &Value) -> bool {
    answer["result"].as_array().is_none_or(Vec::is_empty)
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_that_others_can_reach_have_a_password_or_are_said_to_be_open() {
    let world = World::bare(Options::new).await;
    let uri = world.uri();
    let start = |more: &[&str]| {
        let ports = ["monitor", "--listen", "127.0.0.1:0", "--metrics-port", "0", "--metrics-bind", "0.0.0.0"];
        [&ports[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let words = start(&[]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let refused = run(&words, &[("MONGODB_URI", &uri)]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("--metrics-password-file"), "{said}");

    let file = world.dir().join("password").display().to_string();
    fs::write(&file, "open sesame\n").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("private");
    let words = start(&["--metrics-password-file", &file]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut process = Process::start(&words, &uri);
    let url = process.await_line("metrics on ").replace("0.0.0.0", "127.0.0.1");
    let target = url.trim_start_matches("http://");
    let job = |name: &str, password: &str| {
        format!(
            "{{ job_name: {name}, basic_auth: {{ username: prometheus, password: \"{password}\" }}, static_configs: [{{ targets: [\"{target}\"] }}] }}"
        )
    };
    let jobs = [job("right", "open sesame"), job("wrong", "open")].join(", ");
    let prometheus =
        Prometheus::start(world.dir(), &format!("global: {{ scrape_interval: 1s }}\nscrape_configs: [{jobs}]\n"));
    until("one is let in, the other isn't", || {
        let targets = prometheus.data("/api/v1/targets?state=active")?;
        let state = |name: &str| {
            let all = targets["activeTargets"].as_array().into_iter().flatten();
            all.filter(|target| target["labels"]["job"] == name)
                .map(|target| (target["health"].clone(), target["lastError"].clone()))
                .next()
        };
        match (state("right"), state("wrong")) {
            (Some((up, _)), Some((down, reason)))
                if up == "up" && down == "down" && reason.to_string().contains("401") =>
            {
                Ok(())
            }
            _ => Err(targets.to_string()),
        }
    })
    .await;
}
