//! The forms that a message takes. Pure: the same message always becomes the same bytes.

mod alertmanager;
mod mail;
mod own;
mod webhook;

pub use alertmanager::alertmanager;
pub use mail::{Mail, mail};
pub use own::{own, signature};
pub use webhook::webhook;

use crate::message::{Message, Notice};
use bson::DateTime;
use serde_json::{Map, Value};

/// What tells our alerts from those that Prometheus finds by the same rules.
const SOURCE: &str = "lucid-ops";

/// As everybody writes times: RFC 3339, in UTC.
fn time(at: DateTime) -> String {
    at.try_to_rfc3339_string().unwrap_or_default()
}

/// An alert's labels as Alertmanager knows them; these are who it is.
fn labels(notice: &Notice) -> Map<String, Value> {
    let own = [("alertname", notice.rule.as_str()), ("severity", notice.severity.as_str()), ("source", SOURCE)];
    let of_rule = notice.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    of_rule.chain(own).map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// What is said of an alert, which changes while it is the same.
fn annotations(notice: &Notice) -> Map<String, Value> {
    let mut said: Map<String, Value> = [
        ("summary".to_owned(), notice.summary.clone().into()),
        ("dedup_key".to_owned(), notice.dedup_key().into()),
        ("sequence".to_owned(), notice.sequence.to_string().into()),
    ]
    .into_iter()
    .collect();
    if let Some(value) = notice.value {
        said.insert("value".into(), value.to_string().into());
    }
    said
}

/// Where an alert is looked at.
fn link(message: &Message, notice: &Notice) -> String {
    let base = message.link.as_deref().map(|base| base.trim_end_matches('/'));
    let place = notice.id.as_ref().map(|id| format!("/alerts/{id}")).unwrap_or_default();
    base.map(|base| format!("{base}{place}")).unwrap_or_default()
}

/// What all of these have in common.
fn common(mut all: impl Iterator<Item = Map<String, Value>>) -> Map<String, Value> {
    let mut common = all.next().unwrap_or_default();
    for other in all {
        common.retain(|name, value| other.get(name) == Some(value));
    }
    common
}

#[cfg(test)]
mod tests;
