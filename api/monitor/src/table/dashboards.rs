//! The dashboards for Grafana ask for nothing that isn't told, by servers of every version that we know, and say what they show.

use super::*;
use crate::seen::tests::seen;
use bson::{Document, doc};
use lucid_members::decode;
use lucid_ports::members::{Collection, Collections, Member};
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const DASHBOARDS: [(&str, &str); 4] = [
    ("lucid-rs", include_str!("../../../../deploy/grafana/rs.json")),
    ("lucid-jobs", include_str!("../../../../deploy/grafana/jobs.json")),
    ("lucid-backups", include_str!("../../../../deploy/grafana/backups.json")),
    ("lucid-nodes", include_str!("../../../../deploy/grafana/nodes.json")),
];
/// Those that Grafana brings along.
const PANELS: [&str; 7] = ["row", "stat", "timeseries", "heatmap", "state-timeline", "bargauge", "table"];

fn read((uid, text): (&str, &str)) -> Json {
    let dashboard: Json = serde_json::from_str(text).expect(uid);
    assert_eq!(dashboard["uid"], uid, "links and bookmarks go by it");
    dashboard
}

fn texts<'a>(json: &'a Json, key: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
    match json {
        Json::Object(fields) => {
            let own = fields.get(key).and_then(Json::as_str);
            Box::new(own.into_iter().chain(fields.values().flat_map(move |value| texts(value, key))))
        }
        Json::Array(values) => Box::new(values.iter().flat_map(move |value| texts(value, key))),
        _ => Box::new(std::iter::empty()),
    }
}

/// The families that a query asks for.
fn asked(query: &str) -> BTreeSet<&str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named =
        words.filter(|word| ["mongodb_", "ops_", "process_", "database_"].iter().any(|begin| word.starts_with(begin)));
    let is_histogram = |name: &str| FAMILIES.iter().any(|family| family.name == name && family.kind == Type::Histogram);
    let family = |word| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|part| str::strip_suffix(word, part));
        base.filter(|base| is_histogram(base)).unwrap_or(word)
    };
    named.map(family).collect()
}

fn all_asked() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for dashboard in DASHBOARDS.map(read) {
        for query in texts(&dashboard, "expr").chain(texts(&dashboard, "query")).chain(texts(&dashboard, "definition"))
        {
            all.extend(asked(query).into_iter().map(str::to_owned));
        }
    }
    assert!(all.len() > 60, "{all:?}");
    all
}

#[test]
fn every_metric_of_a_dashboard_is_in_the_table() {
    let known: BTreeSet<_> = FAMILIES.iter().map(|family| family.name).collect();
    let unknown: Vec<_> = all_asked().into_iter().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_needs_no_plugin() {
    for dashboard in DASHBOARDS.map(read) {
        let title = dashboard["title"].as_str().expect("a title");
        let variables: BTreeSet<_> = dashboard["templating"]["list"]
            .as_array()
            .expect("variables")
            .iter()
            .map(|variable| variable["name"].as_str().expect("a name"))
            .collect();
        assert!(variables.contains("datasource"), "{title}");
        let panels = dashboard["panels"].as_array().expect("panels");
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(ids.len(), panels.len(), "{title}: an id twice");
        for panel in panels {
            let name = format!("{title}: {}", panel["title"]);
            let kind = panel["type"].as_str().expect("a type");
            assert!(PANELS.contains(&kind) && panel["title"].as_str().is_some_and(|title| !title.is_empty()), "{name}");
            if kind == "row" {
                continue;
            }
            assert!(panel["description"].as_str().is_some_and(|said| said.ends_with('.')), "{name}");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{name}");
            for target in panel["targets"].as_array().expect("queries") {
                let query = target["expr"].as_str().expect("a query");
                assert!(!asked(query).is_empty(), "{name}: {query}");
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{name}");
                for variable in query.split('$').skip(1) {
                    let variable =
                        variable.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
                    assert!(variables.contains(variable) || variable == "__rate_interval", "{name}: ${variable}");
                }
            }
        }
    }
}

/// A member as a fixture has it.
fn member(text: &str) -> Member {
    let parts: BTreeMap<String, serde_json::Map<String, Json>> = serde_json::from_str(text).expect("JSON");
    let part = |name: &str| Some(Document::try_from(parts.get(name)?.clone()).expect("extended JSON"));
    let config = part("replSetGetConfig");
    let entry = |time| doc! { "ts": bson::Timestamp { time, increment: 1 } };
    Member {
        hello: decode::hello(&part("hello").expect("a part"), config.as_ref()),
        server: part("serverStatus").as_ref().map(decode::server),
        set: part("replSetGetStatus").map(|status| decode::set(&status, config.as_ref())),
        oplog: Some(decode::oplog(Some(&entry(100)), Some(&entry(160)), part("oplog").as_ref())),
        disk: part("dbStats").as_ref().map(decode::disk),
        ..Member::default()
    }
}

#[test]
fn servers_of_every_version_tell_what_the_dashboards_ask() {
    let missing = |fixture: &str| {
        // Another one answers, too: of itself no member tells all that it tells of others.
        let mut seen = seen([("pi-1:27017", Ok(member(fixture))), ("pi-2:27017", Ok(Member::default()))]);
        let users = Collection { database: "lucid".into(), name: "users".into(), ..Collection::default() };
        seen.members.collections = Some(Arc::new(Collections { largest: vec![users], ..Collections::default() }));
        let filled: BTreeSet<_> =
            FAMILIES.iter().filter(|family| !(family.fill)(&seen).is_empty()).map(|family| family.name).collect();
        let asked = all_asked().into_iter().filter(|name| name.starts_with("mongodb_"));
        asked.filter(|name| !filled.contains(name.as_str())).collect::<Vec<_>>()
    };
    let since_8 = ["mongodb_query_working_seconds"];
    assert_eq!(missing(include_str!("../../../../engine/members/fixtures/6.0.5.json")), since_8);
    assert_eq!(missing(include_str!("../../../../engine/members/fixtures/8.2.json")), [""; 0]);
    // That of 8.0 has what is new there.
    assert!(!missing(include_str!("../../../../engine/members/fixtures/8.0.json")).contains(&since_8[0].to_owned()));
}
