//! `GET /stats`: the newest samples as JSON.

use crate::{
    Seen,
    jobs::{Jobs, Space},
};
use lucid_ports::members::{Collections, Sample, Set, Terms};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// All that is seen.
pub fn stats(seen: &Seen) -> Value {
    let lags: BTreeMap<&str, f64> = seen.members.view().into_iter().flat_map(Set::lags).collect();
    let all = seen.members.members.iter();
    let members: Map<String, Value> = all
        .map(|(address, sample)| (address.clone(), member(sample.as_deref(), lags.get(address.as_str()).copied())))
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "terms": terms(&seen.terms),
        "set": seen.set_name(),
        "members": members,
        "collections": seen.members.collections.as_deref().map(collections),
        "jobs": seen.jobs.as_deref().map_or_else(|problem| json!({ "problem": problem }), jobs),
    })
}

/// As `POST /monitor` takes them.
fn terms(Terms { interval, databases, latency_by_collection }: &Terms) -> Value {
    json!({
        "interval_seconds": interval.as_secs(),
        "databases": databases,
        "latency_by_collection": latency_by_collection,
    })
}

fn member(sample: Option<&Sample>, lag_seconds: Option<f64>) -> Value {
    let Some(sample) = sample else { return json!({ "up": false, "problem": "it wasn't looked at lately" }) };
    let (age, took) = (sample.at.elapsed().as_secs_f64(), sample.took.as_secs_f64());
    match &sample.answer {
        Err(problem) => json!({ "up": false, "problem": problem, "age_seconds": age, "took_seconds": took }),
        Ok(member) => {
            let mut told = serde_json::to_value(member).unwrap_or_default();
            if let Some(fields) = told.as_object_mut() {
                fields.extend([
                    ("up".into(), true.into()),
                    ("age_seconds".into(), age.into()),
                    ("took_seconds".into(), took.into()),
                    ("lag_seconds".into(), lag_seconds.into()),
                ]);
            }
            told
        }
    }
}

fn collections(known: &Collections) -> Value {
    let age = known.at.map(|at| at.elapsed().as_secs_f64());
    json!({ "age_seconds": age, "dropped": known.dropped, "largest": known.largest })
}

fn jobs(known: &Jobs) -> Value {
    let open: Vec<Value> = known
        .open
        .iter()
        .map(|((kind, state), jobs)| json!({ "kind": kind.as_str(), "state": state.as_str(), "jobs": jobs }))
        .collect();
    let verifications: Vec<Value> = known
        .verifications
        .iter()
        .map(|((database, level), told)| json!({ "database": database, "level": level, "last": told }))
        .collect();
    let repositories: Map<String, Value> =
        known.repositories.iter().map(|(name, found)| (name.clone(), repository(found))).collect();
    json!({
        "age_seconds": known.at.elapsed().as_secs_f64(),
        "open": open,
        "workers": known.workers,
        "slots": { "busy": known.slots_busy, "free": known.slots_free },
        "backups": known.backups,
        "verifications": verifications,
        "repositories": repositories,
    })
}

fn repository(found: &Result<Space, String>) -> Value {
    match found {
        Ok(space) => json!(space),
        Err(problem) => json!({ "problem": problem }),
    }
}
