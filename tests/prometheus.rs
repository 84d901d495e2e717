//! Prometheus itself reads the monitor: without an error, every metric typed and explained, nothing that its own tool finds fault with.

use crate::{
    monitor::{monitor, scrape, until, until_scraped},
    support::{
        World,
        prometheus::{Prometheus, promtool},
    },
};
use bson::doc;
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
    let query = "histogram_quantile(0.99,sum%20by%20(le)(mongodb_query_duration_seconds_bucket))";
    let answer = prometheus.data(&format!("/api/v1/query?query={query}")).expect("an answer");
    let value = answer["result"][0]["value"][1].as_str().and_then(|value| value.parse::<f64>().ok());
    assert!(value.is_some_and(|seconds| seconds > 0.0 && seconds < 20.0), "{answer}");
}
